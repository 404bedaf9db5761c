"""Reading the chunk table: one slice at a time, each request's chunks together and in stream order.

The journal and chunks.parquet hold the chunks of a request in one piece, so a slice needs only its predecessor's last
row. A table that was shuffled by request is put together again first. Times are not used to order chunks: several may
carry the same stamp, and their order still says which chunk carried which tokens.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inference_bench.metrics.columns import Ints

UNKNOWN = -1


class ChunkSlice(NamedTuple):
    """Some consecutive chunks: request number, arrival in ns, tokens (UNKNOWN where not told)."""

    seq: Ints
    arrival_ns: Ints
    tokens: npt.NDArray[np.int32]

    def where(self, keep: npt.NDArray[np.bool_]) -> "ChunkSlice":
        """Return the chunks for which `keep` is true."""
        return ChunkSlice(self.seq[keep], self.arrival_ns[keep], self.tokens[keep])

    def last(self) -> "ChunkSlice":
        """Return the last chunk alone."""
        return ChunkSlice(self.seq[-1:], self.arrival_ns[-1:], self.tokens[-1:])

    def after(self, before: "ChunkSlice") -> "ChunkSlice":
        """Return these chunks with others put before them."""
        return ChunkSlice(
            np.concatenate((before.seq, self.seq)),
            np.concatenate((before.arrival_ns, self.arrival_ns)),
            np.concatenate((before.tokens, self.tokens)),
        )


class ChunkTable:
    """The chunks of one service in one test: any pa.Table with the columns seq, arrival_ns and tokens."""

    def __init__(self, table: pa.Table) -> None:
        table = table.select(["seq", "arrival_ns", "tokens"])
        self._table = table if _in_one_piece(table) else table.take(_stable_order(table))
        self._unknown: Ints | None = None

    def slices(self, wanted: Ints) -> Iterator[ChunkSlice]:
        """Yield the chunks of the requests in `wanted` (sorted request numbers), slice by slice."""
        for piece in _read(self._table):
            yield piece.where(_member(piece.seq, wanted))

    def with_unknown_tokens(self) -> Ints:
        """Return the sorted numbers of requests that have a chunk whose tokens the protocol did not tell."""
        if self._unknown is None:
            found = [np.unique(piece.seq[piece.tokens == UNKNOWN]) for piece in _read(self._table)]
            self._unknown = np.unique(np.concatenate(found)) if found else np.empty(0, dtype=np.int64)
        return self._unknown


def _read(table: pa.Table) -> Iterator[ChunkSlice]:
    for batch in table.to_batches():
        if batch.num_rows:
            yield ChunkSlice(
                np.asarray(batch.column(0).to_numpy(), dtype=np.int64),
                np.asarray(batch.column(1).to_numpy(), dtype=np.int64),
                np.asarray(batch.column(2).fill_null(UNKNOWN).to_numpy(), dtype=np.int32),
            )


def _member(seq: Ints, wanted: Ints) -> npt.NDArray[np.bool_]:
    """Return which rows belong to `wanted`; asks once per run of equal numbers, not once per row."""
    starts = np.flatnonzero(np.diff(seq, prepend=seq[0] - 1))
    lengths = np.diff(starts, append=seq.size)
    return np.repeat(np.isin(seq[starts], wanted), lengths)


def _in_one_piece(table: pa.Table) -> bool:
    """Whether no request's chunks are interrupted by another's."""
    firsts = []
    last: int | None = None
    for batch in table.to_batches():
        seq = np.asarray(batch.column(0).to_numpy(), dtype=np.int64)
        if seq.size:
            starts = np.diff(seq, prepend=seq[0] - 1 if last is None else last) != 0
            firsts.append(seq[starts])
            last = int(seq[-1])
    if not firsts:
        return True
    runs = np.concatenate(firsts)
    return bool(np.unique(runs).size == runs.size)


def _stable_order(table: pa.Table) -> Ints:
    seq = np.asarray(table.column(0).to_numpy(), dtype=np.int64)
    return np.argsort(seq, kind="stable")
