"""Typed access to the record columns: Arrow in, NumPy out, null kept apart from 0.

Marks stay integers until they are subtracted: nanoseconds of a monotonic clock that ran for months no longer fit a
float64 exactly. What a column means stands in `records`; what a difference means, in `definitions`.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

NS_PER_MS = 1e6
NS_PER_S = 1e9


class Whole(NamedTuple):
    """A column of whole numbers: `value` (0 where null) and `known`, both of the table's length."""

    value: Ints
    known: Bools


class RequestColumns:
    """The columns of request records, one NumPy array at a time."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def whole(self, name: str) -> Whole:
        """Return a column of marks or counts."""
        column = self._table.column(name)
        known = np.asarray(column.is_valid().to_numpy(), dtype=np.bool_)
        value = np.asarray(_filled(column, 0), dtype=np.int64)
        return Whole(value, known)

    def number(self, name: str) -> Floats:
        """Return a column as float64, NaN where null."""
        column = self._table.column(name).cast(pa.float64())
        return np.asarray(column.to_numpy(), dtype=np.float64)

    def flag(self, name: str, *, missing: bool = False) -> Bools:
        """Return a column of booleans; null reads as `missing`."""
        return np.asarray(_filled(self._table.column(name), missing), dtype=np.bool_)

    def distinct(self, name: str) -> list[str]:
        """Return the different strings of a column."""
        return [word for word in self._table.column(name).cast(pa.string()).unique().to_pylist() if word is not None]

    def words(self, name: str) -> list[str | None]:
        """Return a column of strings, plain or dictionary-encoded."""
        values: list[str | None] = self._table.column(name).cast(pa.string()).to_pylist()
        return values

    def elapsed_ms(self, later: str, earlier: str) -> Floats:
        """Return later - earlier in milliseconds, NaN where either mark is missing."""
        end, start = self.whole(later), self.whole(earlier)
        result = np.full(len(self), np.nan)
        both = end.known & start.known
        result[both] = (end.value[both] - start.value[both]) / NS_PER_MS
        return result


# The element type of a column is a run-time fact: Any is what the stubs of Arrow can say of it.
def _filled(column: "pa.ChunkedArray[Any]", value: int | bool) -> npt.NDArray[Any]:
    return column.fill_null(pa.scalar(value, type=column.type)).to_numpy()
