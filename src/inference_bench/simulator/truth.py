"""The truth log: when each token was due and when it was really written, by request id. Writing it and reading it.

One JSON object per line, one line per generation request, written when the request ends however it ends:
`{"request_id","engine","service","route","streamed","received_ns","prompt_tokens","tokens","text_tokens","due_ns":[…],
"written_ns":[…],"finish","fault","held_back"}`. Times are CLOCK_MONOTONIC nanoseconds of this host; `written_ns[i]` is
the clock immediately before the write that carries token i, `written_ns[i] - due_ns[i]` how late it was. `tokens` is
what the server's usage says (an end-of-sequence token has no text and comes last); `text_tokens` of them have text.
`finish` is eos, length, stop_sequence, or why there was no proper end. `held_back` says that the client read so slowly
that the kernel did not take a write at once: the stamps of that request are then too early.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from inference_bench.errors import UsageError

FLUSH_INTERVAL_S = 0.2


@dataclass(slots=True)
class TruthRecord:
    """One request, as the simulator saw it; the fields are those of the file."""

    request_id: str
    engine: str
    service: str
    route: str
    streamed: bool
    received_ns: int
    prompt_tokens: int = 0
    text_tokens: int = 0
    due_ns: list[int] = field(default_factory=list)
    written_ns: list[int] = field(default_factory=list)
    finish: str = ""
    fault: str | None = None
    held_back: bool = False

    @property
    def tokens(self) -> int:
        """Number of tokens written, an end-of-sequence token included."""
        return len(self.written_ns)

    @property
    def lateness_ns(self) -> list[int]:
        """How late each token was written, in nanoseconds."""
        return [written - due for written, due in zip(self.written_ns, self.due_ns, strict=True)]

    def to_json(self) -> bytes:
        """Return the line of the file, without the newline."""
        return orjson.dumps(
            {
                "request_id": self.request_id,
                "engine": self.engine,
                "service": self.service,
                "route": self.route,
                "streamed": self.streamed,
                "received_ns": self.received_ns,
                "prompt_tokens": self.prompt_tokens,
                "tokens": self.tokens,
                "text_tokens": self.text_tokens,
                "due_ns": self.due_ns,
                "written_ns": self.written_ns,
                "finish": self.finish,
                "fault": self.fault,
                "held_back": self.held_back,
            }
        )


class TruthWriter:
    """Collects lines in memory and writes them five times a second and at the end; a path of None keeps nothing.

    Raises UsageError when the file cannot be opened. An existing log is continued.
    """

    def __init__(self, path: Path | None) -> None:
        try:
            self._file = path.open("ab") if path is not None else None
        except OSError as error:
            raise UsageError(f"simulator: cannot write the truth log {path}: {error.strerror or error}") from error
        self._lines: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, record: TruthRecord) -> None:
        """Take one finished request; must run in the event loop."""
        if self._file is None:
            return
        self._lines.append(record.to_json())
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_INTERVAL_S, self.flush)

    def flush(self) -> None:
        """Write what was collected."""
        self._timer = None
        if self._file is not None and self._lines:
            lines, self._lines = self._lines, []
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()

    def close(self) -> None:
        """Write what was collected and close the file."""
        if self._timer is not None:
            self._timer.cancel()
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None


def read_truth(path: Path) -> Iterator[TruthRecord]:
    """Yield the records of a truth log; a last line cut short by a killed process is left out.

    Raises ValueError for a complete line that is not a record.
    """
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            values = orjson.loads(line)
            tokens = values.pop("tokens")
            record = TruthRecord(**values)
            if not tokens == len(record.due_ns) == len(record.written_ns):
                raise ValueError(f"truth log: {record.request_id} has {tokens} tokens but other numbers of times")
            yield record


def lateness_percentile_ms(records: Sequence[TruthRecord], percent: float) -> float | None:
    """Return a percentile of the simulator's own lateness over all streamed tokens, in milliseconds.

    Nearest rank; None when there is no token.
    """
    late_ns = sorted(late for record in records if record.streamed for late in record.lateness_ns)
    if not late_ns:
        return None
    rank = min(len(late_ns) - 1, int(len(late_ns) * percent / 100))
    return late_ns[rank] / 1_000_000
