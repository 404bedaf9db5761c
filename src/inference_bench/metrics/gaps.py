"""Gaps between text chunks, pooled over requests: inter-chunk latency, and inter-token latency amortised per token.

The p99 of these is a p99 over gaps, never over per-request means. Which requests count is the calculator's business.
"""

from typing import NamedTuple

import numpy as np

from inference_bench.metrics.chunks import ChunkTable, Piece
from inference_bench.metrics.columns import NS_PER_MS, Bools, Floats, Ints


class Gaps(NamedTuple):
    """Pooled gaps in ms, and how many requests gave at least one."""

    values: Floats
    requests: int


def chunk_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return every gap between consecutive text chunks of the wanted requests (icl_ms)."""
    found: list[Floats] = []
    requests = 0
    for piece in chunks.pieces(wanted):
        found.append(np.diff(piece.arrival_ns)[_within(piece.lengths)] / NS_PER_MS)
        requests += int(np.count_nonzero(piece.lengths > 1))
    return Gaps(np.concatenate(found) if found else np.empty(0), requests)


def token_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return the gap per token of the wanted requests (itl_ms): a gap before a chunk of k tokens is k values of gap/k.

    A request with any chunk of unknown tokens gives none. A chunk that carried text but no token (text held back by
    the server) ends no gap: the time goes to the next chunk that brings tokens.
    """
    found: list[Floats] = []
    requests = 0
    for whole in chunks.pieces(wanted):
        piece = _bearing_tokens(whole.of(whole.tokens_known()))
        within = _within(piece.lengths)
        tokens = piece.tokens[1:][within]
        found.append(np.repeat(np.diff(piece.arrival_ns)[within] / (NS_PER_MS * tokens), tokens))
        requests += int(np.count_nonzero(piece.lengths > 1))
    return Gaps(np.concatenate(found) if found else np.empty(0), requests)


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
