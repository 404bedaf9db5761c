"""A show kept in a file, chunk by chunk with its times, and played back from it. The format: docs/recordings.md.

JSON lines. The first is an object that says what this is; each further one is an array [t, what, …], `t` in integer
nanoseconds since the first heat's start, so that every figure of a replay is the recorded one to the nanosecond.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final

from pydantic import TypeAdapter, ValidationError

from inference_bench import __version__
from inference_bench.errors import UsageError
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent, Outcome

FORMAT: Final = "vllm-benchmark-recording"
VERSION: Final = 1
LONGEST_LINE: Final = 4_000_000
LONGEST_PAUSE_NS: Final = 2_000_000_000  # between heats: people talked, and nobody wants to wait for it again
_HEAT = TypeAdapter(Heat)
_OUTCOME = TypeAdapter(Outcome)


@dataclass(frozen=True, slots=True)
class RecordingHead:
    """What a recording says of itself. `stamp_source`: "kernel" or "read"."""

    created: str
    program: str
    simulated: bool
    stamp_source: str


_HEAD = TypeAdapter(RecordingHead)


class Recorder:
    """Writes events as they happen; a context manager. Lines go out one by one: a show cut short is kept to there.

    Raises UsageError when the file exists or cannot be written.
    """

    def __init__(self, path: Path, *, simulated: bool, kernel_stamps: bool) -> None:
        self._path = path
        try:
            self._file: IO[str] = path.open("x", encoding="utf-8", newline="\n")
        except FileExistsError:
            raise UsageError(
                f"{path} already exists; nothing was recorded", hint="give --record another name"
            ) from None
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror or error}") from error
        self._base: int | None = None
        head = RecordingHead(
            created=datetime.now(UTC).isoformat(timespec="seconds"),
            program=f"vllm-benchmark {__version__}",
            simulated=simulated,
            stamp_source="kernel" if kernel_stamps else "read",
        )
        self._line({"format": FORMAT, "version": VERSION, **asdict(head)})

    def __enter__(self) -> "Recorder":
        """Nothing more: the file is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._file.close()

    def take(self, event: LiveEvent) -> None:
        """Write one event."""
        if isinstance(event, Heat):
            self._base = event.start_ns if self._base is None else self._base
            at = event.start_ns - self._base
            self._line([at, "heat", {**asdict(event), "start_ns": at}])
        elif self._base is not None:
            self._line(_line_of(event, self._base))
        if not isinstance(event, Chunk):
            self._file.flush()

    def _line(self, value: object) -> None:
        self._file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")


def _line_of(event: LiveEvent, base: int) -> list[object]:
    if isinstance(event, Chunk):
        return [
            event.at_ns - base, "chunk", event.lane, event.sent_ns - base, event.text, event.reasoning, event.tokens,
        ]  # fmt: skip
    if isinstance(event, Finished):
        return [event.at_ns - base, "finished", event.lane, asdict(moved(event.outcome, -base))]
    assert isinstance(event, HeatEnded)
    return [event.at_ns - base, "ended", {"late_ms": event.late_ms}]


def moved(outcome: Outcome, by_ns: int) -> Outcome:
    """Return an outcome with all its marks moved by so much."""

    def move(mark: int | None) -> int | None:
        return None if mark is None else mark + by_ns

    return replace(
        outcome,
        sent_ns=move(outcome.sent_ns),
        first_token_ns=move(outcome.first_token_ns),
        last_token_ns=move(outcome.last_token_ns),
        end_ns=move(outcome.end_ns),
    )


class Recording:
    """A recording that is read: its head, and its events in order. Raises UsageError, with the line, for one that is
    damaged, of a later version, or something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        first = next(self._lines(), None)
        value = None if first is None else self._json(1, first)
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise UsageError(f"{path} is no recording of this program", hint="recordings are made with demo --record")
        if value.get("version") != VERSION:
            raise UsageError(f"{path} has version {value.get('version')}; this program reads version {VERSION}")
        try:
            self.head = _HEAD.validate_python(
                {key: kept for key, kept in value.items() if key not in ("format", "version")}
            )
        except ValidationError as error:
            raise self._damaged(1, error.errors()[0]["msg"]) from None

    def events(self, offset_ns: int = 0) -> Iterator[LiveEvent]:
        """Yield the events with their times moved by `offset_ns`. A last line cut short is left out."""
        lanes = 0
        for number, line in enumerate(self._lines(), start=1):
            if number == 1:
                continue
            if not line.endswith("\n"):
                return
            event = self._event(number, self._json(number, line), offset_ns)
            if isinstance(event, Heat):
                lanes = len(event.lanes)
            elif isinstance(event, Chunk | Finished) and not 0 <= event.lane < lanes:
                raise self._damaged(number, f"there is no lane {event.lane}")
            yield event

    def _event(self, number: int, value: object, by: int) -> LiveEvent:
        try:
            match value:
                case [int(), "heat", dict(told)]:
                    heat = _HEAT.validate_python(told)
                    return replace(heat, start_ns=heat.start_ns + by)
                case [int(at), "chunk", int(lane), int(sent), str(text), str(reasoning), int() | None as tokens]:
                    return Chunk(lane, at + by, sent + by, text, reasoning, tokens)
                case [int(at), "finished", int(lane), dict(told)]:
                    return Finished(lane, at + by, moved(_OUTCOME.validate_python(told), by))
                case [int(at), "ended", dict(told)]:
                    return HeatEnded(at + by, float(told.get("late_ms", 0.0)))
        except (ValidationError, TypeError, ValueError) as error:
            said = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
            raise self._damaged(number, said) from None
        raise self._damaged(number, "there is no such event")

    def _lines(self) -> Iterator[str]:
        try:
            with self._path.open(encoding="utf-8", newline="\n") as file:
                while line := file.readline(LONGEST_LINE):
                    yield line
        except OSError as error:
            raise UsageError(f"cannot read {self._path}: {error.strerror or error}") from error
        except UnicodeDecodeError:
            raise UsageError(f"{self._path} is no recording: it is not UTF-8 text") from None

    def _json(self, number: int, line: str) -> object:
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            raise self._damaged(number, "it is not JSON") from None

    def _damaged(self, number: int, why: str) -> UsageError:
        return UsageError(f"{self._path}, line {number}: damaged: {why}")


class Replay:
    """Plays a recording with its own timing, `speed` times as fast. `clock` tells the show's time while it plays."""

    def __init__(self, recording: Recording, *, speed: float = 1.0) -> None:
        self._recording = recording
        self._speed = speed
        self._began = time.monotonic_ns()
        self._skipped = 0  # of the recording's time: pauses between heats that were too long

    def clock(self) -> int:
        """Return the show's present time, in the recording's nanoseconds."""
        return int((time.monotonic_ns() - self._began) * self._speed) + self._skipped

    async def play(self, take: Callable[[LiveEvent], None]) -> None:
        """Hand on each event when its time has come."""
        async for event in self._timed():
            take(event)

    async def _timed(self) -> AsyncIterator[LiveEvent]:
        for event in self._recording.events():
            if isinstance(event, Heat):
                self._skipped += max(0, event.start_ns - self.clock() - LONGEST_PAUSE_NS)
                yield event  # at once: its lanes are ready before its start
                continue
            left = (event.at_ns - self.clock()) / 1e9 / self._speed
            # Late or not, others must get their turn: a long answer's chunks may all be due at once.
            await asyncio.sleep(max(0.0, left))
            yield event
