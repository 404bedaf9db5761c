"""The table of metrics.md, row by row, on either side of each limit."""

import pytest

from inference_bench.testing.validity import Facts, judge, worst

ROWS = [
    ("send_lag_p99_ms", 1.9, 2.1, 10.1),
    ("rate_sent_over_asked", 0.995, 0.985, 0.945),
    ("merged_first_token_share", 0.009, 0.011, 0.051),
    ("worker_wait_share", 0.019, 0.021, 0.101),
    ("clock_step_ms", 0.9, 1.1, 10.1),
    ("window_over_asked", 0.81, 0.79, 0.49),
    ("longest_stall_ms", 99.0, 101.0, 501.0),
]


@pytest.mark.parametrize(("fact", "good", "doubtful", "bad"), ROWS)
def test_each_sign_turns_the_verdict_at_its_limits(fact: str, good: float, doubtful: float, bad: float) -> None:
    assert judge(Facts(**{fact: good})).verdict == "valid"
    assert judge(Facts(**{fact: good})).reasons == []
    assert judge(Facts(**{fact: doubtful})).verdict == "suspect"
    assert judge(Facts(**{fact: bad})).verdict == "invalid"
    assert len(judge(Facts(**{fact: bad})).reasons) == 1


def test_send_lag_limits_grow_with_the_median_ttft() -> None:
    assert judge(Facts(send_lag_p99_ms=4.0, ttft_median_ms=500.0)).verdict == "valid"  # 1 % of 500 is 5
    assert judge(Facts(send_lag_p99_ms=6.0, ttft_median_ms=500.0)).verdict == "suspect"
    assert judge(Facts(send_lag_p99_ms=24.0, ttft_median_ms=500.0)).verdict == "suspect"  # 5 % of 500 is 25
    assert judge(Facts(send_lag_p99_ms=26.0, ttft_median_ms=500.0)).verdict == "invalid"


def test_the_worst_sign_stands_and_is_said_first() -> None:
    judgement = judge(Facts(clock_step_ms=2.0, longest_stall_ms=1000.0))
    assert judgement.verdict == "invalid"
    assert [finding.sign for finding in judgement.findings] == ["clock_step", "stall"]
    assert "could not run for 1000 ms" in judgement.reasons[0]


def test_what_is_not_known_is_not_judged() -> None:
    assert judge(Facts()).verdict == "valid"
    assert worst([]) == "valid"
    assert worst(["valid", "suspect", "valid"]) == "suspect"
