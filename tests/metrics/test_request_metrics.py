"""Per-request metrics against values computed by hand, and their missing rules."""

import pytest

from inference_bench.metrics import METRICS, MetricsCalculator
from run_records import ZERO_NS, chunk_table, request, request_table

WINDOW = [(ZERO_NS, ZERO_NS + 1_000_000_000)]


def values(metric: str, *rows: dict[str, object]) -> list[float]:
    found: list[float] = MetricsCalculator(request_table(rows), None, windows=WINDOW).values(metric).tolist()
    return found


FULL = {
    "intended_at": 8,
    "sent_at": 10,
    "connect_start_at": 1,
    "connected_at": 4.5,
    "first_token_at": 60,
    "first_answer_token_at": 90,
    "last_token_at": 360,
    "end_at": 365,
    "output_tokens": 32,
    "prompt_tokens": 11,
    "first_chunk_tokens": 2,
    "text_chunks": 20,
    "stall_ns": 41_000_000,
    "server_ttft_ms": 1.0,
    "server_queue_ms": 2.0,
    "server_prefill_ms": 3.0,
    "server_decode_ms": 4.0,
    "server_total_ms": 5.0,
    "server_load_ms": 0.0,
}

GOLDEN = {
    "connect_ms": 3.5,
    "ttft_ms": 50.0,
    "ttft_intended_ms": 52.0,
    "ttfa_ms": 80.0,
    "send_lag_ms": 2.0,
    "e2e_ms": 350.0,
    "e2e_intended_ms": 352.0,
    "tpot_ms": 10.0,  # 300 ms for the 30 tokens after the first chunk's two
    "output_tok_per_s_user": 100.0,
    "output_tokens": 32.0,
    "prompt_tokens": 11.0,
    "stall_ms": 41.0,
    "server_ttft_ms": 1.0,
    "server_queue_ms": 2.0,
    "server_prefill_ms": 3.0,
    "server_decode_ms": 4.0,
    "server_total_ms": 5.0,
    "server_load_ms": 0.0,  # told to be 0 is not missing
}


@pytest.mark.parametrize(("metric", "expected"), GOLDEN.items())
def test_golden(metric: str, expected: float) -> None:
    assert values(metric, request(1, **FULL)) == [pytest.approx(expected, abs=1e-9)]


def test_every_metric_is_golden_or_pooled() -> None:
    assert set(METRICS) == set(GOLDEN) | {"icl_ms", "itl_ms"}


@pytest.mark.parametrize("metric", METRICS)
def test_a_failed_request_keeps_its_marks_and_enters_no_metric(metric: str) -> None:
    row = request(1, **FULL, ok=False, error_class="truncated")
    calculator = MetricsCalculator(request_table([row]), chunk_table({1: [(60, 2), (360, 30)]}), windows=WINDOW)
    assert calculator.values(metric).size == 0
    assert calculator.distribution(metric).missing == 0  # nothing good is missing it


@pytest.mark.parametrize("metric", METRICS)
def test_what_nobody_told_is_missing_and_never_zero(metric: str) -> None:
    # A good request of a closed loop, of which only the sending is known.
    row = request(1, sent_at=10, text_chunks=1)
    found = MetricsCalculator(request_table([row]), None, windows=WINDOW).distribution(metric)
    assert (found.n, found.missing) == (0, 1)
    assert found.mean is None
    assert found.min is None
    assert found.max is None
    assert set(found.percentiles.values()) == {None}


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"output_tokens": 1}, "fewer than two tokens"),
        ({"output_tokens": None}, "nobody told the tokens"),
        ({"first_chunk_tokens": 32}, "all tokens came with the first chunk"),
        ({"text_chunks": 1, "first_chunk_tokens": None, "last_token_at": 60}, "one chunk shows no time between tokens"),
    ],
)
def test_tpot_is_missing_when(fields: dict[str, object], why: str) -> None:
    row = request(1, **{**FULL, **fields})
    assert values("tpot_ms", row) == [], why
    assert values("output_tok_per_s_user", row) == [], why


def test_tpot_takes_one_token_for_the_first_chunk_when_unknown() -> None:
    row = request(1, **{**FULL, "first_chunk_tokens": None, "output_tokens": 31})
    assert values("tpot_ms", row) == [10.0]


def test_no_speed_is_made_of_a_tpot_of_zero() -> None:
    row = request(1, **{**FULL, "last_token_at": 60})
    assert values("tpot_ms", row) == [0.0]
    assert values("output_tok_per_s_user", row) == []


def test_nanoseconds_survive_a_clock_beyond_float64() -> None:
    row = request(1, sent_ns=ZERO_NS, first_token_ns=ZERO_NS + 1)
    assert values("ttft_ms", row) == [1e-6]


def test_the_window_takes_what_was_sent_in_it_wherever_it_ends() -> None:
    rows = [
        request(1, sent_at=-0.001, first_token_at=5),
        request(2, sent_at=0, first_token_at=7),
        request(3, sent_at=999.999, first_token_at=2000.999),
        request(4, sent_at=1000, first_token_at=1001),
        request(5, sent_at=500, first_token_at=501, warmup=True),
    ]
    assert values("ttft_ms", *rows) == [7.0, pytest.approx(1001.0)]


def test_an_open_loop_takes_what_was_intended_in_the_window() -> None:
    rows = [
        request(1, intended_at=999, sent_at=1500, first_token_at=1510),
        request(2, intended_at=-1, sent_at=3, first_token_at=4),
    ]
    assert values("send_lag_ms", *rows) == [501.0]


def test_definitions_are_complete() -> None:
    for metric_id, metric in METRICS.items():
        assert metric_id == metric.id
        assert metric.unit in {"ms", "tokens", "tokens/s"}
        assert metric.better in {"less", "more", None}
        assert metric.formula
        assert metric.source
        assert metric.missing_when
    assert {metric.id for metric in METRICS.values() if metric.better == "more"} == {"output_tok_per_s_user"}
    assert {metric.id for metric in METRICS.values() if metric.pooled} == {"icl_ms", "itl_ms"}


def test_an_unknown_metric_is_a_key_error() -> None:
    calculator = MetricsCalculator(request_table([]), None, windows=WINDOW)
    with pytest.raises(KeyError):
        calculator.values("ttft")
    assert calculator.distribution("ttft_ms").n == 0
    assert calculator.success_rate() is None
    assert calculator.cold_start() is None


def test_records_of_two_services_are_refused() -> None:
    rows = [request(1, service="a"), request(2, service="b")]
    with pytest.raises(ValueError, match="more than one service"):
        MetricsCalculator(request_table(rows), None, windows=WINDOW)
    with pytest.raises(ValueError, match="more than one test"):
        MetricsCalculator(request_table([request(1, test="a"), request(2, test="b")]), None, windows=WINDOW)


@pytest.mark.parametrize("windows", [[(5, 5)], [(7, 5)], [(0, 10), (9, 20)]])
def test_impossible_windows_are_refused(windows: list[tuple[int, int]]) -> None:
    with pytest.raises(ValueError, match="window"):
        MetricsCalculator(request_table([]), None, windows=windows)


def test_the_clock_zero_is_beyond_what_float64_holds() -> None:
    assert int(float(ZERO_NS)) != ZERO_NS
