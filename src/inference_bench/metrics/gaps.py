"""Gaps between text chunks, pooled over requests: inter-chunk latency, and inter-token latency amortised per token.

The p99 of these is a p99 over gaps, never over per-request means. Which requests count is the calculator's business.
"""

from typing import NamedTuple

import numpy as np

from inference_bench.metrics.chunks import ChunkSlice, ChunkTable
from inference_bench.metrics.columns import NS_PER_MS, Floats, Ints


class Gaps(NamedTuple):
    """Pooled gaps in ms, and how many requests gave at least one."""

    values: Floats
    requests: int


def chunk_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return every gap between consecutive text chunks of the wanted requests (icl_ms)."""
    return _collect(chunks, wanted, per_token=False)


def token_gaps(chunks: ChunkTable, wanted: Ints) -> Gaps:
    """Return the gap per token of the wanted requests (itl_ms): a gap before a chunk of k tokens is k values of gap/k.

    A request with any chunk of unknown tokens gives none. A chunk that carried text but no token (text held back by
    the server) ends no gap: the time goes to the next chunk that brings tokens.
    """
    return _collect(chunks, np.setdiff1d(wanted, chunks.with_unknown_tokens()), per_token=True)


def _collect(chunks: ChunkTable, wanted: Ints, *, per_token: bool) -> Gaps:
    found: list[Floats] = []
    requests = 0
    carried: ChunkSlice | None = None  # the last chunk so far: its request may go on in the next slice
    last_request: int | None = None  # the last request that gave a gap, so that it is counted once
    for piece in chunks.slices(wanted):
        rows = piece.where(piece.tokens > 0) if per_token else piece
        if not rows.seq.size:
            continue
        if carried is not None:
            rows = rows.after(carried)
        carried = rows.last()
        same = rows.seq[1:] == rows.seq[:-1]
        if not same.any():
            continue
        gaps = np.diff(rows.arrival_ns)[same] / NS_PER_MS
        if per_token:
            tokens = rows.tokens[1:][same]
            gaps = np.repeat(gaps / tokens, tokens)
        found.append(gaps)
        given = rows.seq[1:][same]
        requests += int(np.count_nonzero(np.diff(given))) + int(given[0] != last_request)
        last_request = int(given[-1])
    return Gaps(np.concatenate(found) if found else np.empty(0), requests)
