"""The chunks of a test, read once and held compactly: ten bytes each, whole requests together, in stream order.

The journal and chunks.parquet hold the chunks of a request in one piece. A table that was shuffled by request is put
together again first. Times are not used to order chunks: several may carry the same stamp, and their order still says
which chunk carried which tokens.
"""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inference_bench.metrics.columns import Bools, Ints

COLUMNS: Final = ("seq", "arrival_ns", "tokens")
UNKNOWN: Final = -1
HELD_CHUNKS: Final = 20_000_000  # 200 MB, of all services that are looked at together
_SLICE_ROWS: Final = 131_072


class Piece(NamedTuple):
    """Some whole requests: their numbers and how many chunks each has (at least one); arrivals in ns and tokens
    (UNKNOWN where not told) of all those chunks, request by request.
    """

    numbers: Ints
    lengths: Ints
    arrival_ns: Ints
    tokens: npt.NDArray[np.int16]

    @property
    def starts(self) -> Ints:
        """Where each request's chunks begin."""
        return np.cumsum(self.lengths) - self.lengths

    def of(self, which: Bools) -> "Piece":
        """Return the requests for which `which` is true."""
        if which.all():
            return self
        rows = np.repeat(which, self.lengths)
        return Piece(self.numbers[which], self.lengths[which], self.arrival_ns[rows], self.tokens[rows])

    def tokens_known(self) -> Bools:
        """Return, for each request, whether the protocol told the tokens of every chunk."""
        return np.asarray(np.minimum.reduceat(self.tokens, self.starts) != UNKNOWN)

    def token_sums(self) -> Ints:
        """Return the tokens that each request's chunks carried."""
        return np.asarray(np.add.reduceat(self.tokens, self.starts, dtype=np.int64))


class ChunkSource(Protocol):
    """Chunks that are stored somewhere and read a batch at a time."""

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Yield all chunks in stored order; the first columns are `COLUMNS`."""


class ChunkTable:
    """The chunks of one service in one test. More than HELD_CHUNKS are not held but read again each time."""

    def __init__(self, chunks: "pa.Table | ChunkSource", *, sharing: int = 1) -> None:
        """Take chunks from a pa.Table with at least the columns `COLUMNS`, or from where they are stored.

        `sharing` is how many such tables there are at a time: together they hold no more than one alone.
        """
        self._source = chunks
        self._pieces: list[Piece] | None = []
        numbers = [np.empty(0, dtype=np.int64)]
        held = 0
        for piece in self._read():
            numbers.append(piece.numbers)
            held += piece.arrival_ns.size
            if self._pieces is not None:
                self._pieces.append(piece)
                if held > HELD_CHUNKS // sharing:
                    self._pieces = None
        every = np.concatenate(numbers)
        every.sort()
        if np.any(every[1:] == every[:-1]):
            self._pieces = list(_whole_requests(_batches(self._put_together())))

    def pieces(self, wanted: Ints) -> Iterator[Piece]:
        """Yield the requests that are in `wanted`, piece by piece."""
        if not wanted.size:
            return
        ordered = wanted if np.all(wanted[1:] >= wanted[:-1]) else np.sort(wanted)
        for piece in self._read() if self._pieces is None else self._pieces:
            place = np.minimum(np.searchsorted(ordered, piece.numbers), ordered.size - 1)
            found = piece.of(ordered[place] == piece.numbers)
            if found.numbers.size:
                yield found

    def _read(self) -> Iterator[Piece]:
        source = self._source
        return _whole_requests(_batches(source) if isinstance(source, pa.Table) else source.batches())

    def _put_together(self) -> pa.Table:
        """Return all chunks ordered by request, each request's in the order in which they stood."""
        pieces = list(self._read())
        seq = np.concatenate([np.repeat(piece.numbers, piece.lengths) for piece in pieces])
        order = np.argsort(seq, kind="stable")
        arrivals = np.concatenate([piece.arrival_ns for piece in pieces])
        tokens = np.concatenate([piece.tokens for piece in pieces])
        return pa.table(dict(zip(COLUMNS, (seq[order], arrivals[order], tokens[order]), strict=True)))


def _batches(table: pa.Table) -> Iterator["pa.RecordBatch"]:
    yield from table.select(list(COLUMNS)).to_batches(max_chunksize=_SLICE_ROWS)


def _whole_requests(batches: Iterator["pa.RecordBatch"]) -> Iterator[Piece]:
    """Yield the chunks in pieces that cut no request in two: a request at the end of a batch waits for the next."""
    waiting: Piece | None = None
    for batch in batches:
        if not batch.num_rows:
            continue
        piece = _piece(batch)
        if waiting is not None:
            piece = _joined(waiting, piece)
        last = piece.lengths[-1]
        if piece.numbers.size > 1:
            yield Piece(piece.numbers[:-1], piece.lengths[:-1], piece.arrival_ns[:-last], piece.tokens[:-last])
        waiting = Piece(piece.numbers[-1:], piece.lengths[-1:], piece.arrival_ns[-last:], piece.tokens[-last:])
    if waiting is not None:
        yield waiting


def _piece(batch: "pa.RecordBatch") -> Piece:
    seq = _column(batch, 0, np.int64)
    starts = np.flatnonzero(np.concatenate(([True], seq[1:] != seq[:-1])))
    # Copies: a view would keep the batch alive, request numbers and all.
    return Piece(
        seq[starts],
        np.diff(starts, append=seq.size),
        _column(batch, 1, np.int64).copy(),
        np.array(batch.column(2).fill_null(UNKNOWN).to_numpy(), dtype=np.int16),
    )


def _joined(first: Piece, second: Piece) -> Piece:
    numbers, lengths = np.concatenate((first.numbers, second.numbers)), np.concatenate((first.lengths, second.lengths))
    if first.numbers[-1] == second.numbers[0]:
        at = first.numbers.size
        lengths[at] += lengths[at - 1]
        numbers, lengths = np.delete(numbers, at - 1), np.delete(lengths, at - 1)
    return Piece(
        numbers,
        lengths,
        np.concatenate((first.arrival_ns, second.arrival_ns)),
        np.concatenate((first.tokens, second.tokens)),
    )


def _column(batch: "pa.RecordBatch", position: int, kind: type[np.int64]) -> npt.NDArray[Any]:
    return np.asarray(batch.column(position).to_numpy(), dtype=kind)
