"""Gaps between text chunks, pooled over requests: inter-chunk latency, and inter-token latency amortised per token.

The p99 of these is a p99 over gaps, never over per-request means. Which requests count is the calculator's business.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from inference_bench.metrics.chunks import ChunkTable, Piece
from inference_bench.metrics.columns import NS_PER_MS, Bools, Floats, Ints
from inference_bench.metrics.gathering import Gathering, joined


class Gaps(NamedTuple):
    """Pooled gaps in ms, and how many requests gave at least one."""

    values: Floats
    requests: int


def chunk_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return every gap between consecutive text chunks of the wanted requests (icl_ms)."""
    return _pooled(_chunk_gaps, chunks, wanted)


def token_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return the gap per token of the wanted requests (itl_ms): a gap before a chunk of k tokens is k values of gap/k.

    A request with any chunk of unknown tokens gives none. A chunk that carried text but no token (text held back by
    the server) ends no gap: the time goes to the next chunk that brings tokens.
    """
    return _pooled(_token_gaps, chunks, wanted)


def gathered_gaps(metric_id: str, chunks: ChunkTable, wanted: Ints) -> tuple[Gathering, int]:
    """Return the pooled gaps of icl_ms or itl_ms in bounded memory, and how many requests gave at least one."""
    of_piece = {"icl_ms": _chunk_gaps, "itl_ms": _token_gaps}[metric_id]
    gathering = Gathering()
    requests = 0
    for whole in chunks.pieces(wanted):
        piece, values, _ = of_piece(whole)
        gathering.add(values)
        requests += int(np.count_nonzero(piece.lengths > 1))
    return gathering, requests


def zero_gaps(chunks: ChunkTable, wanted: Ints) -> tuple[int, int]:
    """Return how many gaps between text chunks (icl_ms) are 0, and how many there are; none is held."""
    zeros = every = 0
    for whole in chunks.pieces(wanted):
        _, values, _ = _chunk_gaps(whole)
        zeros += int(np.count_nonzero(values == 0))
        every += values.size
    return zeros, every


def grouped_gaps(metric_id: str, chunks: ChunkTable, wanted: Ints, groups: Ints, count: int) -> list[Floats]:
    """Return the pooled gaps of icl_ms or itl_ms per group of requests.

    `wanted` are sorted request numbers, `groups` the group (0 to count - 1) of each of them.
    """
    of_piece = {"icl_ms": _chunk_gaps, "itl_ms": _token_gaps}[metric_id]
    found: list[list[Floats]] = [[] for _ in range(count)]
    for whole in chunks.pieces(wanted):
        piece, values, owners = of_piece(whole)
        group = groups[np.searchsorted(wanted, piece.numbers)][owners]
        ordered = values[np.argsort(group, kind="stable")]
        ends = np.cumsum(np.bincount(group, minlength=count))
        # Copies: a view would keep the other groups' values alive.
        for number in np.unique(group).tolist():
            found[number].append(ordered[ends[number - 1] if number else 0 : ends[number]].copy())
    # One group after the other gives its parts back as it is put together: all of them twice would be too much.
    return [joined(found.pop(0)) for _ in range(count)]


# The requests of a piece that count, their gaps in ms, and for each gap the position of its request among them.
_Of = Callable[[Piece], tuple[Piece, Floats, Ints]]


def _pooled(of_piece: _Of, chunks: ChunkTable, wanted: Ints) -> Gaps:
    found: list[Floats] = []
    requests = 0
    for whole in chunks.pieces(wanted):
        piece, values, _ = of_piece(whole)
        found.append(values)
        requests += int(np.count_nonzero(piece.lengths > 1))
    return Gaps(joined(found), requests)


def _chunk_gaps(piece: Piece) -> tuple[Piece, Floats, Ints]:
    owners = np.repeat(np.arange(piece.lengths.size), np.maximum(piece.lengths - 1, 0))
    return piece, np.diff(piece.arrival_ns)[_within(piece.lengths)] / NS_PER_MS, owners


def _token_gaps(whole: Piece) -> tuple[Piece, Floats, Ints]:
    piece = _bearing_tokens(whole.of(whole.tokens_known()))
    within = _within(piece.lengths)
    tokens = piece.tokens[1:][within]
    owners = np.repeat(np.arange(piece.lengths.size), np.maximum(piece.lengths - 1, 0))
    gaps = np.repeat(np.diff(piece.arrival_ns)[within] / (NS_PER_MS * tokens), tokens)
    return piece, gaps, np.repeat(owners, tokens)


def _within(lengths: Ints) -> Bools:
    """Return which of the differences between neighbouring chunks lie within one request (lengths may be 0)."""
    owner = np.repeat(np.arange(lengths.size), lengths)
    return np.asarray(owner[1:] == owner[:-1])


def _bearing_tokens(piece: Piece) -> Piece:
    """Return the piece without the chunks that brought no token; a request may have none left."""
    bearing = piece.tokens > 0
    if bearing.all() or not piece.numbers.size:
        return piece
    lengths = np.add.reduceat(bearing, piece.starts, dtype=np.int64)
    return Piece(piece.numbers, lengths, piece.arrival_ns[bearing], piece.tokens[bearing])
