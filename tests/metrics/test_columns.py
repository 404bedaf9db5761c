"""Columns as arrays: null is kept apart from 0, in however many pieces a column stands; chunks are read when needed."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.columns import RequestColumns
from run_records import ZERO_NS, at, chunk_table, request, request_table

WINDOW = [(ZERO_NS, ZERO_NS + 1_000_000_000)]
marks = st.lists(st.none() | st.integers(0, 1000), max_size=30)


def column(values: list[int | None], cuts: list[int], kind: "pa.DataType") -> "pa.ChunkedArray[Any]":
    """Return the values in pieces, some of them empty."""
    edges = [0, *sorted(min(cut, len(values)) for cut in cuts), len(values)]
    parts: list[pa.Array[Any]] = [pa.array(values[low:high], type=kind) for low, high in pairwise(edges)]
    return pa.chunked_array(parts)


@settings(max_examples=60, deadline=None)
@given(marks, marks, st.lists(st.integers(0, 30), max_size=3))
def test_pieces_and_nulls_change_nothing(first: list[int | None], second: list[int | None], cuts: list[int]) -> None:
    rows = min(len(first), len(second))
    later, earlier = ([None if one is None else ZERO_NS + one for one in part[:rows]] for part in (first, second))
    table = pa.table(
        {
            "end_ns": column(later, cuts, pa.int64()),
            "sent_ns": column(earlier, [], pa.int64()),
            "tokens": column(first[:rows], cuts, pa.int32()),
        }
    )
    columns = RequestColumns(table)
    found = columns.whole("end_ns")
    assert found.value.tolist() == [one or 0 for one in later]
    assert found.known.tolist() == [one is not None for one in later]
    expected = [None if one is None else float(one) for one in first[:rows]]
    assert [None if np.isnan(one) else one for one in columns.number("tokens").tolist()] == expected
    gaps = columns.elapsed_ms("end_ns", "sent_ns").tolist()
    for gap, end, sent in zip(gaps, later, earlier, strict=True):
        assert np.isnan(gap) if end is None or sent is None else gap == (end - sent) / 1e6
    assert table.column("end_ns").to_pylist() == later  # what was read is not written to


class Unread:
    """Chunks that must not be read."""

    def batches(self) -> Iterator["pa.RecordBatch"]:
        raise AssertionError("the chunks are read")


def test_figures_of_requests_alone_read_no_chunks() -> None:
    rows = [
        request(number, sent_at=10 * number, first_token_at=10 * number + 5, last_token_at=10 * number + 9,
                end_at=10 * number + 9, output_tokens=2)
        for number in range(20)
    ]  # fmt: skip
    calculator = MetricsCalculator(request_table(rows), Unread(), windows=WINDOW)
    assert calculator.values("ttft_ms").tolist() == [5.0] * 20
    assert calculator.distribution("e2e_ms").n == 20
    assert calculator.counts().ok == 20
    assert calculator.stamps().first_tokens == 20
    groups = np.arange(20) % 4
    assert [part.size for part in calculator.grouped("tpot_ms", groups, 4)] == [5, 5, 5, 5]
    with pytest.raises(AssertionError, match="the chunks are read"):
        calculator.zero_gap_share()


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=6), max_size=8))
def test_the_share_of_zero_gaps_is_that_of_the_gaps(streams: list[list[int]]) -> None:
    arrivals = {number: np.cumsum(steps).tolist() for number, steps in enumerate(streams)}
    rows = [request(number, sent_at=0, end_at=100) for number in arrivals]
    chunks = chunk_table({number: [(float(ms), 1) for ms in stamps] for number, stamps in arrivals.items()})
    calculator = MetricsCalculator(request_table(rows), chunks, windows=[(at(0) or 0, at(1000) or 0)])
    gaps = [step for steps in streams for step in steps[1:]]
    assert calculator.zero_gap_share() == (gaps.count(0) / len(gaps) if gaps else None)
    found = calculator.gap_percentile("icl_ms", 90)
    assert found == (pytest.approx(float(np.percentile(gaps, 90))) if gaps else None)
