"""Rates, tokens by their arrival, concurrency, counts, goodput, cold start: by hand, and their laws."""

import itertools
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.config.models import PerRequestSlo
from inference_bench.metrics import MetricsCalculator
from inference_bench.metrics.goodput import PerRequestLimits
from inference_bench.metrics.throughput import cost_per_million_tokens
from run_records import at, chunk_table, request, request_table

Streams = dict[int, list[tuple[float, int | None]]]


def window(start: float, end: float) -> tuple[int, int]:
    first, last = at(start), at(end)
    assert first is not None
    assert last is not None
    return first, last


SECOND = [window(0, 1000)]


def measured(
    rows: list[dict[str, object]],
    streams: Streams | None = None,
    windows: list[tuple[int, int]] = SECOND,
    slo: PerRequestLimits | None = None,
) -> MetricsCalculator:
    chunks = None if streams is None else chunk_table(streams)
    return MetricsCalculator(request_table(rows), chunks, windows=windows, slo=slo)


def answer(seq: int, first: float, last: float, tokens: int | None = 10, **fields: object) -> dict[str, object]:
    marks = {"sent_at": first - 1, "first_token_at": first, "last_token_at": last, "end_at": last + 1}
    return request(seq, **{**marks, "output_tokens": tokens, **fields})


def test_requests_per_second_counts_good_ends_inside() -> None:
    rows = [
        answer(1, -500, 100),  # sent in the ramp, ends inside: counts
        answer(2, 100, 900),
        answer(3, 900, 1200),  # ends in the drain: does not
        answer(4, 100, 200, ok=False, error_class="truncated"),
        answer(5, 100, 200, warmup=True),
    ]
    assert measured(rows).throughput().requests_per_s == 2.0


def test_rounds_share_their_summed_length() -> None:
    windows = [window(0, 1000), window(5000, 6000)]
    rows = [answer(1, 10, 20), answer(2, 5100, 5200), answer(3, 2000, 2100), answer(4, 5300, 5400)]
    found = measured(rows, windows=windows)
    assert found.window_seconds == 2.0
    assert found.throughput().requests_per_s == 1.5
    assert found.counts().sent == 3


def test_tokens_count_at_the_arrival_of_their_chunk() -> None:
    # 1 + 2 tokens inside, 4 after the end of the window; an end token without text makes 8, and came with the last.
    found = measured([answer(1, 990, 1005, 8)], {1: [(990, 1), (999, 2), (1005, 4)]})
    assert found.throughput().output_tokens_per_s == 3.0
    inside = measured([answer(1, 100, 200, 8)], {1: [(100, 1), (150, 2), (200, 4)]})
    assert inside.throughput().output_tokens_per_s == 8.0


@pytest.mark.parametrize("streams", [None, {1: [(900.0, None), (1100.0, None)]}])
def test_an_unknown_split_is_spread_from_first_to_last_token(streams: Streams | None) -> None:
    # One token at 900, ten over 900..1100: half of these inside.
    assert measured([answer(1, 900, 1100, 11)], streams).throughput().output_tokens_per_s == 6.0


def test_the_first_chunks_tokens_are_not_spread() -> None:
    assert measured([answer(1, 900, 1100, 11, first_chunk_tokens=5)]).throughput().output_tokens_per_s == 8.0


def test_an_answer_of_one_moment_counts_there() -> None:
    assert measured([answer(1, 500, 500, 11)]).throughput().output_tokens_per_s == 11.0
    assert measured([answer(1, 1500, 1500, 11)]).throughput().output_tokens_per_s == 0.0


def test_prompt_tokens_count_when_the_prefill_is_done() -> None:
    rows = [answer(1, 500, 600, 4, prompt_tokens=100), answer(2, 1001, 1100, 4, prompt_tokens=1000, sent_at=10)]
    assert measured(rows).throughput().total_tokens_per_s == 104.0
    assert measured([answer(1, 5, 6, 4)]).throughput().total_tokens_per_s is None


def test_a_token_rate_without_all_counts_is_missing_not_too_low() -> None:
    rates = measured([answer(1, 5, 6), answer(2, 5, 6, None)]).throughput()
    assert rates.output_tokens_per_s is None
    assert rates.tokens_unknown == 1
    outside = measured([answer(1, 5, 6), answer(2, 2000, 2100, None)]).throughput()
    assert outside.output_tokens_per_s == 10.0


def test_concurrency_by_hand() -> None:
    rows = [
        request(1, sent_at=-100, end_at=500),  # 500 ms inside
        request(2, sent_at=250, end_at=750, ok=False, error_class="timeout"),  # in flight all the same
        request(3, sent_at=500, end_at=1500),  # begins when 1 ends: not at once with it
        request(4, sent_at=1200, end_at=1300),
    ]
    rates = measured(rows).throughput()
    assert rates.concurrency_mean == pytest.approx(1.5)
    assert rates.concurrency_max == 2


def test_rate_asked_and_sent() -> None:
    rows = [
        request(1, intended_at=10, sent_at=11),
        request(2, intended_at=990, sent_at=1010),
        request(3, intended_at=20, ok=False, error_class="connect"),
    ]
    rates = measured(rows).throughput()
    assert (rates.rate_asked, rates.rate_sent) == (3.0, 1.0)
    assert measured([request(1, sent_at=11)]).throughput().rate_asked is None


def test_without_a_window_nothing_is_known() -> None:
    found = measured([answer(1, 5, 6)], windows=[])
    rates = found.throughput()
    assert (rates.requests_per_s, rates.output_tokens_per_s, rates.concurrency_max) == (None, None, None)
    assert found.counts().sent == 0


def test_a_window_that_only_holds_first_requests_has_no_rate() -> None:
    first = [answer(1, 1, 100), answer(2, 3, 100)]  # both sent (at 0 and 2) before any answer: the last one ends it
    ends = (window(0, 0)[0], window(0, 2)[1] + 1)
    slo = PerRequestSlo(ttft_ms=50)
    found = measured(first, windows=[ends], slo=slo)
    rates, good = found.throughput(), found.goodput()
    assert (rates.requests_per_s, rates.output_tokens_per_s, rates.concurrency_mean) == (None, None, None)
    assert good is not None
    assert (good.requests_per_s, good.met, good.of) == (None, 2, 2)
    second = (ends[0], window(0, 102)[1] + 1)  # user 1 asks again when its answer is there
    assert measured([*first, answer(3, 103, 200)], windows=[second]).throughput().requests_per_s == pytest.approx(
        2 / 0.102, rel=1e-4
    )
    hung = measured([answer(1, 5000, 6000, sent_at=0)])  # a window of its own length: nothing in a second is a rate
    assert hung.throughput().requests_per_s == 0.0


def test_counts_and_success_rate() -> None:
    rows = [
        answer(1, 5, 6),
        answer(2, 5, 6),
        answer(3, 5, 6, ok=False, error_class="timeout"),
        answer(4, 5, 6, ok=False, error_class="overloaded"),
        answer(5, 5, 6, ok=False, error_class="overloaded"),
        answer(6, 5, 6, ok=False, error_class="interrupted"),
        # Never got a connection, never sent: it counts where it was tried.
        request(7, ok=False, error_class="connect", connect_start_at=100, end_at=2000),
        request(8, ok=False, error_class="dns", end_at=900),
    ]
    found = measured(rows)
    counts = found.counts()
    assert (counts.sent, counts.ok, counts.failed, counts.interrupted) == (8, 2, 5, 1)
    assert counts.errors == {"connect": 1, "dns": 1, "overloaded": 2, "timeout": 1}
    assert found.success_rate() == pytest.approx(2 / 7)
    assert measured([rows[5]]).success_rate() is None


def test_goodput_needs_every_limit_met_by_a_good_request() -> None:
    rows = [
        answer(1, 10, 100),
        answer(2, 10, 100, first_token_at=80),  # sent at 9: ttft 71
        answer(3, 10, 100, output_tokens=None),  # tpot missing: does not meet
        answer(4, 10, 100, ok=False, error_class="stream_error"),
        answer(5, 10, 100, ok=False, error_class="interrupted"),  # neither met nor asked
    ]
    found = measured(rows, slo=PerRequestSlo(ttft_ms=50, tpot_ms=10)).goodput()
    assert found is not None
    assert (found.met, found.of, found.requests_per_s, found.attainment) == (1, 4, 1.0, 0.25)
    at_limit = measured(rows, slo=PerRequestSlo(ttft_ms=1)).goodput()
    assert at_limit is not None
    assert at_limit.met == 2  # a limit that is just met is met
    assert measured(rows).goodput() is None


def test_goodput_without_any_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one limit"):
        measured([answer(1, 5, 6)], slo=PerRequestSlo()).goodput()


def test_cold_start_is_the_very_first_request() -> None:
    rows = [
        answer(2, 200, 300),
        request(1, warmup=True, sent_at=-900, first_token_at=-100, server_load_ms=650.0),
    ]
    cold = measured(rows).cold_start()
    assert cold is not None
    assert (cold.ttft_ms, cold.server_load_ms) == (800.0, 650.0)
    failed = measured([request(1, sent_at=1, first_token_at=2, ok=False, error_class="truncated")]).cold_start()
    assert failed is not None
    assert failed.ttft_ms is None


def test_stamps_say_how_many_first_tokens_were_merged() -> None:
    rows = [
        answer(1, 5, 6, first_token_merged=True, merged_reads=3),
        answer(2, 5, 6, first_token_merged=False, merged_reads=1),
        answer(3, 5, 6, first_token_merged=True, merged_reads=9, warmup=True),
    ]
    stamps = measured(rows).stamps()
    assert (stamps.first_tokens, stamps.first_tokens_merged, stamps.merged_share) == (2, 1, 0.5)
    assert stamps.merged_reads == 4


def test_cost() -> None:
    assert cost_per_million_tokens(3.6, 1000.0) == pytest.approx(1.0)
    assert cost_per_million_tokens(3.6, None) is None
    assert cost_per_million_tokens(3.6, 0.0) is None


@dataclass(frozen=True)
class Shape:
    sent: float
    wait: float
    span: float
    tokens: int
    told: bool


SHAPES = st.lists(
    st.builds(
        Shape,
        sent=st.integers(-500, 1200),
        wait=st.integers(1, 300),
        span=st.integers(0, 800),
        tokens=st.integers(2, 40),
        told=st.booleans(),
    ),
    max_size=12,
)


@given(SHAPES, st.integers(1, 999))
def test_splitting_a_window_changes_no_rate(shapes: list[Shape], cut: int) -> None:
    rows: list[dict[str, object]] = []
    streams: Streams = {}
    for seq, shape in enumerate(shapes):
        first = shape.sent + shape.wait
        rows.append(answer(seq, first, first + shape.span, shape.tokens, sent_at=shape.sent))
        if shape.told:
            streams[seq] = [(first, 1), (first + shape.span, shape.tokens - 1)]
    whole = measured(rows, streams)
    parts = measured(rows, streams, [window(cut, 1000), window(0, cut)])
    one, two = whole.throughput(), parts.throughput()
    assert one.requests_per_s == pytest.approx(two.requests_per_s)
    assert one.output_tokens_per_s == pytest.approx(two.output_tokens_per_s)
    assert one.concurrency_mean == pytest.approx(two.concurrency_mean)
    assert one.concurrency_max == two.concurrency_max
    assert sorted(whole.values("ttft_ms").tolist()) == sorted(parts.values("ttft_ms").tolist())
    assert whole.counts() == parts.counts()


@given(SHAPES, st.lists(st.integers(-900, 2500), min_size=1, max_size=6, unique=True))
def test_every_token_is_counted_once_whatever_the_windows(shapes: list[Shape], cuts: list[int]) -> None:
    rows: list[dict[str, object]] = []
    streams: Streams = {}
    for seq, shape in enumerate(shapes):
        first = shape.sent + shape.wait
        rows.append(answer(seq, first, first + shape.span, shape.tokens))
        if shape.told:
            streams[seq] = [(first, 1), (first + shape.span, shape.tokens - 1)]
    edges = [-1000, *sorted(cuts), 3000]
    windows = [window(start, end) for start, end in itertools.pairwise(edges)]
    rate = measured(rows, streams, windows).throughput().output_tokens_per_s
    assert rate is not None
    assert rate * 4.0 == pytest.approx(sum(shape.tokens for shape in shapes))
