"""A large file as a sequence of records: where each one stands is remembered, and it is read when it is asked for."""

import os
import zlib
from abc import abstractmethod
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, overload

from inference_bench.workloads.opened import wrong

Record = TypeVar("Record")


class _Records(Sequence[Record], Generic[Record]):
    """Records that are made one by one when they are asked for; a slice of them is a list."""

    @abstractmethod
    def _record(self, place: int) -> Record:
        """Return one record; IndexError where there is none."""

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        """Return one record, or several."""
        if isinstance(place, slice):
            return [self._record(one) for one in range(*place.indices(len(self)))]
        return self._record(place)


class RecordFile(_Records[Record]):
    """The records of an open file, twenty bytes of memory each.

    `parse` makes a record of its bytes; it has seen them before, when the file was checked. ConfigError when a record's
    bytes are others by now: the file was written to, or cut. What is sent would not be what was checked, and would
    depend on the moment. A change elsewhere in the file, such as lines that are added, does no harm.
    """

    def __init__(self, path: Path, stream: BinaryIO, parse: Callable[[bytes], Record]) -> None:
        self._path = path
        self._stream = stream
        self._parse = parse
        self._starts = array("q")
        self._sizes = array("q")
        self._sums = array("I")

    def add(self, start: int, data: bytes) -> None:
        """Add the record that begins at byte `start` of the file and consists of these bytes."""
        self._starts.append(start)
        self._sizes.append(len(data))
        self._sums.append(zlib.crc32(data))

    def __len__(self) -> int:
        return len(self._starts)

    def _record(self, place: int) -> Record:
        try:
            data = os.pread(self._stream.fileno(), self._sizes[place], self._starts[place])
        except OSError as error:
            raise wrong(self._path, f"cannot read the file any more: {error.strerror or error}") from error
        if zlib.crc32(data) != self._sums[place]:
            problem = "this file was changed while it is in use; what was measured before is kept"
            raise wrong(self._path, problem, hint="start again, with a file that nobody writes to")
        return self._parse(data)


class Selected(_Records[Record]):
    """Some of the records of a sequence, by their places in it."""

    def __init__(self, records: Sequence[Record], places: "array[int]") -> None:
        self._records = records
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    def _record(self, place: int) -> Record:
        return self._records[self._places[place]]
