"""Request records that stay in their Parquet file: of one service in one test, a column is read when it is asked for.

A run of a million requests has some fifty columns, and no figure needs more than five of them at once. So what is held
is which rows belong to the service and the test, and the columns that were asked for last, up to a fixed size.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError

HELD_BYTES: Final = 16_000_000
_NOT_MEASURED: Final = frozenset({"request_id", "error_message", "response_text"})


class StoredRequests:
    """The request records of one service in one test, without their texts: `metrics.columns.Records`.

    The file stays open, so that all columns are of the same file even where it is replaced meanwhile.

    Raises:
        RunFolderError: the file is missing or damaged; also from `column`.
    """

    def __init__(self, path: Path, *, test: str, service: str) -> None:
        self._path = path
        self._held: OrderedDict[str, pa.ChunkedArray[Any]] = OrderedDict()
        with reading(path):
            self._file = pq.ParquetFile(path)
            self._schema = self._file.schema_arrow
            # Row groups that hold such rows, and which of theirs these are: None for all.
            self._groups: list[tuple[int, Any]] = []
            self.num_rows = 0
            for group in range(self._file.num_row_groups):
                self._look(group, test, service)

    @property
    def column_names(self) -> list[str]:
        """The columns that can be asked for, in the order of the file."""
        return [name for name in self._schema.names if name not in _NOT_MEASURED]

    def column(self, name: str, /) -> "pa.ChunkedArray[Any]":
        """Return a column of these records, in the order in which they stand in the file.

        Raises:
            KeyError: there is no such column, or it is a text.
            RunFolderError: the file is damaged.
        """
        if name not in self._schema.names or name in _NOT_MEASURED:
            raise KeyError(name)
        if name in self._held:
            self._held.move_to_end(name)
            return self._held[name]
        with reading(self._path):
            found = self._read(name)
        self._held[name] = found
        while len(self._held) > 1 and sum(column.nbytes for column in self._held.values()) > HELD_BYTES:
            self._held.popitem(last=False)
        return found

    def _look(self, group: int, test: str, service: str) -> None:
        table = self._file.read_row_group(group, columns=["test", "service"], use_threads=False)
        of_test = pc.equal(table.column("test").cast(pa.string()), pa.scalar(test))
        mine = pc.and_(of_test, pc.equal(table.column("service").cast(pa.string()), pa.scalar(service)))
        rows = int(np.count_nonzero(mine.to_numpy()))
        if rows:
            self._groups.append((group, None if rows == table.num_rows else mine))
            self.num_rows += rows

    def _read(self, name: str) -> "pa.ChunkedArray[Any]":
        kind = self._schema.field(name).type
        found: list[pa.Array[Any]] = []
        for group, mine in self._groups:
            column = self._file.read_row_group(group, columns=[name], use_threads=False).column(name)
            found += (column if mine is None else column.filter(mine)).chunks
        return pa.chunked_array(found, type=kind)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of whatever goes wrong while a table is read that it is missing or damaged."""
    try:
        yield
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is missing or damaged") from error
