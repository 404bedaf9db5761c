"""Typed access to the record columns: Arrow in, NumPy out, null kept apart from 0.

Marks stay integers until they are subtracted: nanoseconds of a monotonic clock that ran for months no longer fit a
float64 exactly. What a column means stands in `records`; what a difference means, in `definitions`.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple, Protocol

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


class Records(Protocol):
    """Request records by column: a pa.Table, or records in a file of which a column is read when it is asked for."""

    @property
    def num_rows(self) -> int:
        """How many records there are."""

    @property
    def column_names(self) -> list[str]:
        """The columns that can be asked for."""

    def column(self, name: str, /) -> "pa.ChunkedArray[Any]":
        """Return a column. Raises KeyError when there is none of that name."""


class Words(NamedTuple):
    """A column of words, each different one kept once: `code` is a row's place in `words`, -1 where null."""

    code: npt.NDArray[np.int32]
    words: Sequence[str]

    def word(self, row: int) -> str | None:
        """Return the word of a row; None where null."""
        return None if self.code[row] < 0 else self.words[self.code[row]]

    def among(self, words: Collection[str]) -> Bools:
        """Return which rows hold one of these words."""
        places = [place for place, one in enumerate(self.words) if one in words]
        return np.asarray(np.isin(self.code, places), dtype=np.bool_)

    def counts(self, which: Bools) -> dict[str | None, int]:
        """Return how often each word (None: null) stands in the chosen rows, in the order of first appearance."""
        chosen = self.code[which]
        counts = np.bincount(chosen + 1)
        present = np.flatnonzero(counts) - 1
        first = sorted(present.tolist(), key=lambda place: int(np.argmax(chosen == place)))
        return {None if place < 0 else self.words[place]: int(counts[place + 1]) for place in first}


class RequestColumns:
    """The columns of request records, one NumPy array at a time. None is kept here."""

    def __init__(self, table: Records) -> None:
        self._table = table

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def whole(self, name: str) -> Whole:
        """Return a column of marks or counts."""
        value, known = np.zeros(len(self), dtype=np.int64), np.ones(len(self), dtype=np.bool_)
        at = 0
        for chunk in self._table.column(name).chunks:  # piece by piece: never a second copy of the whole column
            part = slice(at, at + len(chunk))
            value[part] = chunk.fill_null(pa.scalar(0, type=chunk.type)).to_numpy()
            if chunk.null_count:
                known[part] = chunk.is_valid().to_numpy(zero_copy_only=False)
            at = part.stop
        return Whole(value, known)

    def number(self, name: str) -> Floats:
        """Return a column as float64, NaN where null."""
        value = np.empty(len(self), dtype=np.float64)
        at = 0
        for chunk in self._table.column(name).chunks:
            part = slice(at, at + len(chunk))
            value[part] = chunk.cast(pa.float64()).to_numpy(zero_copy_only=False)
            at = part.stop
        return value

    def flag(self, name: str, *, missing: bool = False) -> Bools:
        """Return a column of booleans; null reads as `missing`."""
        return np.asarray(_filled(self._table.column(name), missing), dtype=np.bool_)

    def distinct(self, name: str) -> list[str]:
        """Return the different strings of a column."""
        return list(self.coded(name).words)

    def coded(self, name: str) -> Words:
        """Return a column of strings, plain or dictionary-encoded: four bytes a row, and each different word once.

        The words stand in the order in which they first appear.
        """
        places: dict[str, int] = {}
        codes = [np.empty(0, dtype=np.int32)]
        for chunk in self._table.column(name).chunks:
            encoded = chunk if isinstance(chunk, pa.DictionaryArray) else chunk.dictionary_encode()
            codes.append(_recoded(encoded, places))
        return Words(np.concatenate(codes), list(places))

    def words(self, name: str) -> list[str | None]:
        """Return a column of strings as Python's own, for few rows: `coded` takes a tenth of the memory."""
        code, words = self.coded(name)
        return [None if place < 0 else words[place] for place in code.tolist()]

    def elapsed_ms(self, later: str, earlier: str) -> Floats:
        """Return later - earlier in milliseconds, NaN where either mark is missing."""
        end, start = self.whole(later), self.whole(earlier)
        np.subtract(end.value, start.value, out=end.value)
        result: Floats = end.value / NS_PER_MS
        result[~(end.known & start.known)] = np.nan
        return result


# The element type of a column is a run-time fact: Any is what the stubs of Arrow can say of it.
def _filled(column: "pa.ChunkedArray[Any]", value: int | bool) -> npt.NDArray[Any]:
    return column.fill_null(pa.scalar(value, type=column.type)).to_numpy()


def _recoded(encoded: "pa.DictionaryArray[Any, Any]", places: dict[str, int]) -> npt.NDArray[np.int32]:
    """Return the places of a chunk's words among those seen so far, to which the new ones are added."""
    own = np.asarray(encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False), dtype=np.int64)
    used, firsts = np.unique(own, return_index=True)
    names = encoded.dictionary.to_pylist()
    place_of = np.full(len(names) + 1, -1, dtype=np.int32)  # the last one is null's: index -1 finds it
    for place in used[np.argsort(firsts, kind="stable")].tolist():
        if place >= 0 and names[place] is not None:
            place_of[place] = places.setdefault(names[place], len(places))
    return np.asarray(place_of[own], dtype=np.int32)
