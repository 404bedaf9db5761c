"""How much of the asked rate was sent: the sign that a client did not keep up."""

import pytest

from inference_bench.testing.signs import sent_over_asked
from run_records import at, request, request_table

WINDOWS = [(at(0) or 0, at(1000) or 0)]


@pytest.mark.parametrize(
    ("marks", "share"),
    [
        ([{"sent_at": 990}], 1.0),
        ([{"sent_at": 1000.2}], 1.0),  # a moment behind the window's edge: its send lag tells
        ([{"sent_at": 1011}], 0.0),
        ([{"sent_at": 995}, {"sent_at": 1500}], 0.5),
        ([{"sent_at": None, "connect_start_at": 991, "ok": False}], 1.0),  # refused: the server's doing
        ([{"sent_at": None, "ok": False}], 0.0),
    ],
)
def test_a_request_counts_as_sent_when_it_left_in_time(marks: list[dict[str, object]], share: float) -> None:
    rows = [request(number, intended_at=990, **one) for number, one in enumerate(marks)]
    assert sent_over_asked(request_table(rows), WINDOWS) == share


def test_only_what_was_intended_in_the_window_is_asked_for() -> None:
    outside = [request(1, intended_at=1000, sent_at=1000), request(2, intended_at=5, sent_at=5, warmup=True)]
    assert sent_over_asked(request_table(outside), WINDOWS) is None
    closed = [request(1, sent_at=5)]
    assert sent_over_asked(request_table(closed), WINDOWS) is None
