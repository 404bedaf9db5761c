"""A large file as a sequence of records: where each one stands is remembered, and it is read when it is asked for."""

import os
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar, overload

from inference_bench.workloads.opened import wrong

Record = TypeVar("Record")


class RecordFile(Sequence[Record], Generic[Record]):
    """The records of an open file, sixteen bytes of memory each.

    `parse` makes a record of its bytes; it has seen them before, when the file was checked. ConfigError when the file
    has been written to since, so that its bytes are no record any more.
    """

    def __init__(self, path: Path, stream: BinaryIO, parse: Callable[[bytes], Record]) -> None:
        self._path = path
        self._stream = stream
        self._parse = parse
        self._starts = array("q")
        self._sizes = array("q")

    def add(self, start: int, size: int) -> None:
        """Add the record that begins at byte `start` and has `size` bytes."""
        self._starts.append(start)
        self._sizes.append(size)

    def __len__(self) -> int:
        return len(self._starts)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        """Read one record, or several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        data = os.pread(self._stream.fileno(), self._sizes[place], self._starts[place])
        try:
            return self._parse(data)
        except (ValueError, LookupError, TypeError) as error:
            raise wrong(self._path, "this file was changed while it is in use", hint="start again") from error


class Selected(Sequence[Record], Generic[Record]):
    """Some of the records of a sequence, by their places in it."""

    def __init__(self, records: Sequence[Record], places: "array[int]") -> None:
        self._records = records
        self._places = places

    def __len__(self) -> int:
        return len(self._places)

    @overload
    def __getitem__(self, place: int) -> Record: ...
    @overload
    def __getitem__(self, place: slice) -> Sequence[Record]: ...
    def __getitem__(self, place: int | slice) -> Record | Sequence[Record]:
        """Return one record, or several."""
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        return self._records[self._places[place]]
