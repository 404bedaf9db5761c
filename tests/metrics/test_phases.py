"""Warm-up, ramp, steady, drain: each request in one of them, and how long each took."""

from inference_bench.metrics.phases import phases_of
from run_records import at, request, request_table


def test_every_request_is_in_one_phase_of_its_round() -> None:
    windows = {0: (at(100) or 0, at(1100) or 0), 1: (at(3000) or 0, at(4000) or 0)}
    rows = [
        request(0, warmup=True, sent_at=1, end_at=5),
        request(1, sent_at=50, end_at=90),
        request(2, sent_at=100, end_at=400),
        request(3, sent_at=900, end_at=1600),  # in flight when the window closes
        request(4, sent_at=1000, end_at=1300),
        request(5, round=1, sent_at=2980, end_at=3050),
        request(6, round=1, intended_at=3999, sent_at=4001, end_at=4200),  # placed by its intended time
        request(7, round=1, sent_at=4010, end_at=4100),
    ]
    found = phases_of(request_table(rows), windows)
    assert (found.warmup, found.ramp, found.steady, found.after) == (1, 2, 4, 1)
    assert found.steady_s == 1.0
    assert found.ramp_s == 0.05
    assert found.drain_s == 0.5
    assert found.in_flight_at_close == 2


def test_a_round_without_a_window_was_all_ramp_and_nothing_is_made_up() -> None:
    found = phases_of(request_table([request(0, sent_at=5, end_at=9)]), {})
    assert (found.ramp, found.steady) == (1, 0)
    assert (found.ramp_s, found.drain_s, found.in_flight_at_close) == (None, None, None)
    assert phases_of(request_table([]), {}).warmup == 0
