"""A show kept in a file, chunk by chunk with its times, and read from it again. The format: docs/recordings.md.

JSON lines. The first is an object that says what this is; each further one is an array [t, what, …], `t` in integer
nanoseconds since the first heat's start, so that every figure of a replay is the recorded one to the nanosecond.
"""

import json
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Final, Literal

from pydantic import TypeAdapter

from inference_bench import __version__
from inference_bench.errors import BenchError, UsageError
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent
from inference_bench.live.recording_lines import event_of, line_of, validated, value_of

FORMAT: Final = "vllm-benchmark-recording"
VERSION: Final = 1
LONGEST_LINE: Final = 4_000_000  # bytes
LARGEST_FILE: Final = 256_000_000  # bytes


@dataclass(frozen=True, slots=True)
class RecordingHead:
    """What a recording says of itself: when it was made (ISO 8601) and by what, of what kind of engines, and whether
    its times are the kernel's stamps or were taken at the read.
    """

    created: str
    program: str
    simulated: bool
    stamp_source: Literal["kernel", "read"]


_HEAD = TypeAdapter(RecordingHead)


class Recorder:
    """Writes events as they happen; a context manager. Lines go out one by one: a show cut short is kept to there.

    Raises UsageError when the file exists or cannot be written. A disk that fills up later does not stop the show:
    the recording ends there, and leaving the block raises BenchError.
    """

    def __init__(self, path: Path, *, simulated: bool, kernel_stamps: bool) -> None:
        self._path = path
        self._failure: OSError | None = None
        try:
            # JSON's own escape stands for half a surrogate pair, which UTF-8 cannot carry and a server may send.
            self._file: IO[str] = path.open("x", encoding="utf-8", errors="backslashreplace", newline="\n")
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
        self._write({"format": FORMAT, "version": VERSION, **asdict(head)}, flush=True)

    def __enter__(self) -> "Recorder":
        """Nothing more: the file is open."""
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Close the file. Raises BenchError when it could not be written to its end."""
        try:
            self._file.close()
        except OSError as error:
            self._failure = self._failure or error
        if self._failure is not None and kind is None:
            reason = self._failure.strerror or self._failure
            raise BenchError(f"{self._path} holds the beginning only: {reason}", hint="record to a disk with room")

    def take(self, event: LiveEvent) -> None:
        """Write one event; what comes before the first heat is none of a recording."""
        if isinstance(event, Heat) and self._base is None:
            self._base = event.start_ns
        if self._base is not None:
            self._write(line_of(event, self._base), flush=not isinstance(event, Chunk))

    def _write(self, value: object, *, flush: bool) -> None:
        if self._failure is not None:
            return
        try:
            self._file.write(json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False) + "\n")
            if flush:
                self._file.flush()
        except OSError as error:
            self._failure = error


class Recording:
    """A recording that is read: its head, and its events in order.

    Raises UsageError, with the line, for one that is damaged, of a later version, or something else.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._check_file()
        first = next(self._lines(), None)
        if first is None:
            raise UsageError(f"{path} is empty; it is no recording")
        try:
            value = value_of(first)
        except ValueError:
            value = None
        if not isinstance(value, dict) or value.get("format") != FORMAT:
            raise UsageError(f"{path} is no recording of this program", hint="recordings are made with demo --record")
        version = value.get("version")
        if type(version) is not int or version != VERSION:
            shown = version if type(version) is int and 0 <= version < 10**9 else "unknown"
            raise UsageError(f"{path} has version {shown}; this program reads version {VERSION}")
        try:
            self.head = validated(_HEAD, value)
        except ValueError as error:
            raise self._damaged(1, str(error)) from None
        try:
            self.created = datetime.fromisoformat(self.head.created)
        except ValueError:
            raise self._damaged(1, "created is no date and time of ISO 8601") from None

    @property
    def path(self) -> Path:
        """Where it is read from."""
        return self._path

    def events(self, offset_ns: int = 0) -> Iterator[LiveEvent]:
        """Yield the events with their times moved by `offset_ns`. A last line cut short is left out."""
        order = _Order()
        for number, line in enumerate(self._lines(), start=1):
            if number == 1:
                continue
            if not line.endswith("\n"):
                return
            try:
                event = event_of(value_of(line), offset_ns)
                order.check(event)
            except ValueError as error:
                raise self._damaged(number, str(error)) from None
            yield event

    def _check_file(self) -> None:
        try:
            found = self._path.stat()
        except OSError as error:
            raise self._unreadable(error) from error
        if not stat.S_ISREG(found.st_mode):  # a pipe would be waited for, a device might never end
            raise UsageError(f"{self._path} is no file; a recording is read from one")
        if found.st_size > LARGEST_FILE:
            raise UsageError(
                f"{self._path} has {found.st_size / 1e6:,.0f} MB; "
                f"recordings are read up to {LARGEST_FILE / 1e6:,.0f} MB"
            )

    def _lines(self) -> Iterator[str]:
        number = 0
        try:
            with self._path.open("rb") as file:
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                        raise self._damaged(number, f"it is longer than {LONGEST_LINE:,} bytes")
                    yield line.decode()
        except OSError as error:
            raise self._unreadable(error) from error
        except UnicodeDecodeError:
            # The last line may have been cut within a character, like anywhere else.
            if line.endswith(b"\n") or number == 1:
                raise self._damaged(number, "it is not UTF-8 text") from None

    def _damaged(self, number: int, why: str) -> UsageError:
        return UsageError(f"{self._path}, line {number}: damaged: {why}")

    def _unreadable(self, error: OSError) -> UsageError:
        return UsageError(f"cannot read {self._path}: {error.strerror or error}")


class _Order:
    """What may follow what: heats one after the other, in each its lanes' chunks, then their ends, then its own."""

    def __init__(self) -> None:
        self._open: dict[int, bool] | None = None  # of the heat that goes on: which lanes are over

    def check(self, event: LiveEvent) -> None:
        """Take the next event. Raises ValueError when it cannot come here."""
        if isinstance(event, Heat):
            if self._open is not None:
                raise ValueError("a heat begins before the last one ended")
            self._open = {place: facts.down is not None for place, facts in enumerate(event.lanes)}
        elif self._open is None:
            raise ValueError("no heat goes on here")
        elif isinstance(event, HeatEnded):
            if not all(self._open.values()):
                raise ValueError("the heat ended before all its lanes did")
            self._open = None
        else:
            self._lane(event, self._open)

    def _lane(self, event: Chunk | Finished, lanes: dict[int, bool]) -> None:
        if event.lane not in lanes:
            raise ValueError(f"there is no lane {event.lane}")
        if lanes[event.lane]:
            raise ValueError(f"lane {event.lane} is over")
        lanes[event.lane] = isinstance(event, Finished)
