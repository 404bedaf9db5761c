"""icl_ms and itl_ms: gaps by hand, pooling, amortising, and what the order of rows may not change."""

import itertools
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics import MetricsCalculator
from run_records import ZERO_NS, chunk_table, request, request_table

WINDOW = [(ZERO_NS, ZERO_NS + 1_000_000_000)]
Streams = dict[int, list[tuple[float, int | None]]]


def calculator(streams: Streams, **rows: object) -> MetricsCalculator:
    requests = [request(seq, sent_at=1, **rows) for seq in streams]
    return MetricsCalculator(request_table(requests), chunk_table(streams), windows=WINDOW)


def test_icl_pools_the_gaps_of_all_requests() -> None:
    found = calculator({1: [(10, 1), (15, 1), (15, 1), (25, 1)], 2: [(100, 1), (101, 1)], 3: [(7, 1)]})
    assert sorted(found.values("icl_ms").tolist()) == [0.0, 1.0, 5.0, 10.0]
    assert found.zero_gap_share() == 0.25
    figures = found.distribution("icl_ms")
    assert (figures.n, figures.missing) == (4, 1)  # request 3 had one chunk
    assert figures.ci == {}
    assert figures.ci_reason is not None


def test_itl_counts_a_gap_once_per_token() -> None:
    found = calculator({1: [(10, 3), (16, 2), (20, 1)]})
    assert sorted(found.values("itl_ms").tolist()) == [3.0, 3.0, 4.0]
    assert sorted(found.values("icl_ms").tolist()) == [4.0, 6.0]


def test_itl_equals_icl_when_chunks_are_tokens() -> None:
    found = calculator({1: [(10, 1), (16, 1), (20, 1)], 2: [(3, 1), (4, 1)]})
    assert found.values("itl_ms").tolist() == found.values("icl_ms").tolist()


def test_one_chunk_of_unknown_tokens_makes_the_request_missing_in_itl() -> None:
    found = calculator({1: [(10, 1), (16, None), (20, 1)], 2: [(1, 1), (3, 1)]})
    assert found.values("itl_ms").tolist() == [2.0]
    assert found.distribution("itl_ms").missing == 1
    assert found.distribution("icl_ms").missing == 0


def test_text_without_a_token_ends_no_gap() -> None:
    found = calculator({1: [(10, 1), (14, 0), (20, 2)]})
    assert found.values("itl_ms").tolist() == [5.0, 5.0]


def test_chunks_of_others_do_not_count() -> None:
    streams: Streams = {1: [(10, 1), (15, 1)], 2: [(1, 1), (9, 1)], 3: [(1, 1), (2, 1)], 4: [(0, 1), (99, 1)]}
    rows = [
        request(1, sent_at=1),
        request(2, sent_at=1, ok=False, error_class="truncated"),
        request(3, sent_at=1, warmup=True),
        # request 4 is another service's
    ]
    found = MetricsCalculator(request_table(rows), chunk_table(streams), windows=WINDOW)
    assert found.values("icl_ms").tolist() == [5.0]


def test_without_chunks_gaps_are_missing() -> None:
    found = MetricsCalculator(request_table([request(1, sent_at=1)]), None, windows=WINDOW)
    assert (found.distribution("icl_ms").n, found.distribution("icl_ms").missing) == (0, 1)
    assert found.zero_gap_share() is None


STREAMS = st.lists(
    st.lists(st.tuples(st.integers(0, 50), st.one_of(st.none(), st.integers(0, 4))), max_size=8), max_size=8
)


def _by_hand(streams: Streams) -> tuple[list[float], list[float]]:
    icl: list[float] = []
    itl: list[float] = []
    for chunks in streams.values():
        icl += [later[0] - earlier[0] for earlier, later in itertools.pairwise(chunks)]
        bearing = [(at, tokens) for at, tokens in chunks if tokens]
        if all(tokens is not None for _, tokens in chunks):
            for earlier, later in itertools.pairwise(bearing):
                itl += [(later[0] - earlier[0]) / later[1]] * later[1]
    return sorted(icl), sorted(itl)


@given(STREAMS, st.randoms(use_true_random=False), st.integers(1, 5))
@settings(deadline=None)
def test_neither_the_order_of_requests_nor_the_batches_matter(
    gaps: list[list[tuple[int, int | None]]], random: Random, batch: int
) -> None:
    streams: Streams = {}
    for seq, steps in enumerate(gaps):
        moments = np.cumsum([step for step, _ in steps]).tolist()
        streams[seq] = [(moment, tokens) for moment, (_, tokens) in zip(moments, steps, strict=True)]
    icl, itl = _by_hand(streams)
    requests = [request(seq, sent_at=1) for seq in streams]
    random.shuffle(requests)
    numbers = list(streams)
    random.shuffle(numbers)
    whole = chunk_table({seq: streams[seq] for seq in numbers})
    cut = pa.Table.from_batches(whole.to_batches(max_chunksize=batch), schema=whole.schema)
    # The chunks of concurrent requests in turn: still each request's own in stream order.
    rows = whole.to_pylist()
    position = dict.fromkeys(streams, 0)
    keys = []
    for row in rows:
        keys.append((position[row["seq"]], row["seq"]))
        position[row["seq"]] += 1
    mixed = whole.take(pa.array(sorted(range(len(rows)), key=lambda at: keys[at]), type=pa.int64()))
    for chunks in (whole, cut, mixed):
        found = MetricsCalculator(request_table(requests), chunks, windows=WINDOW)
        assert sorted(found.values("icl_ms").tolist()) == pytest.approx(icl)
        assert sorted(found.values("itl_ms").tolist()) == pytest.approx(itl)
        counted = sum(len(chunks) > 1 for chunks in streams.values())
        assert found.distribution("icl_ms").missing == len(streams) - counted
