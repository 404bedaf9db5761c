"""The plan of a calibration asks like its test, only shorter; what it finds is judged by fixed limits."""

import numpy as np
import pyarrow as pa
import pytest

from inference_bench.config.models import LoadTestSettings, WorkloadSettings
from inference_bench.results.trust import CalibrationFacts, ErrorFigures
from inference_bench.results.trust_view import calibration_words
from inference_bench.testing.calibration import (
    STEADY_SECONDS,
    TOKENS,
    WriteStamps,
    calibrated_tests,
    calibration_plan,
    calibration_seconds,
    calibration_shape,
    error_figures,
    judged,
    mark_errors,
)
from inference_bench.testing.plan import LoadPlan, plan_load
from inference_bench.testing.rendering import TestShape as Shape
from inference_bench.testing.sweeps import expand
from inference_bench.workloads.build import build_workload


def plan(**settings: object) -> LoadPlan:
    return plan_load(LoadTestSettings.model_validate({"name": "t", "duration_seconds": 60, **settings}), 2, 7)


def test_a_closed_loop_keeps_its_users_and_an_open_one_its_arrivals() -> None:
    closed = calibration_plan(plan(concurrent_users=40, max_tokens=2000, think_time_seconds=0.5), 7)
    assert (closed.users, len(closed.turns), closed.settings.max_tokens) == (40, 1, TOKENS)
    assert closed.settings.think_time_seconds == 0.5
    assert closed.turns[0].steady_seconds == STEADY_SECONDS
    opened = calibration_plan(plan(rate=30.0, arrivals="constant", max_tokens=4), 7)
    assert (opened.settings.arrivals, opened.rate, opened.settings.max_tokens) == ("constant", 30.0, 4)
    assert len(opened.intended(0)) > 30 * STEADY_SECONDS  # the ramp comes on top


def test_a_course_of_rates_is_calibrated_at_its_highest() -> None:
    steps = plan(rate=[10.0, 50.0], arrivals="steps")
    short = calibration_plan(steps, 7)
    assert short.settings.arrivals == "poisson"
    assert short.rate == steps.peak_rate
    assert short.rate is not None
    assert short.rate >= 50


def test_of_a_sweep_only_the_largest_load_is_calibrated() -> None:
    test = LoadTestSettings(name="c", concurrent_users=(1, 16, 64), duration_seconds=9)
    sweep = [plan_load(point, 1, 7, sweep="c") for point in expand(test)]
    alone = plan(concurrent_users=2)
    assert [test.name for test in calibrated_tests([*sweep, alone])] == ["c@64", "t"]
    assert calibration_seconds([*sweep, alone]) < 25
    assert calibration_seconds([]) == 0


def test_answers_are_shortened_and_prompts_are_not() -> None:
    workload = build_workload(WorkloadSettings(), seed=1)
    shape = Shape("t", "load", 2000, 0.0, True, workload)
    short = calibration_shape(plan(concurrent_users=1, max_tokens=2000), shape)
    for index in range(5):
        assert short.workload.item(index).messages == workload.item(index).messages
        asked = short.workload.item(index).max_tokens
        assert asked is not None
        assert asked <= TOKENS


def test_marks_are_held_against_write_stamps_of_good_requests_of_the_window() -> None:
    ms = 1_000_000
    rows = {
        "request_id": ["a", "b", "c", "d"],
        "first_token_ns": [101 * ms, None, 300 * ms, 400 * ms],
        "last_token_ns": [203 * ms, None, 300 * ms, 500 * ms],
        "ok": [True, False, True, True],
        "in_window": [True, True, False, True],
    }
    stamps = {name: WriteStamps([100 * ms, 150 * ms, 200 * ms], [0, ms, 2 * ms]) for name in "abc"}
    ttft, tpot, late = mark_errors(pa.table(rows), stamps)
    assert ttft.tolist() == [1.0]  # b failed, c was outside, of d nothing is known
    assert tpot.tolist() == [1.0]  # (102 - 100) / 2
    assert late.tolist() == [0.0, 1.0, 2.0]


def test_a_p99_needs_a_hundred() -> None:
    assert error_figures(np.empty(0)) is None
    few, many = error_figures(np.arange(99.0)), error_figures(np.arange(101.0))
    assert few is not None
    assert many is not None
    assert (few.p99, few.max) == (None, 98.0)
    assert many.p99 == 99.0


@pytest.mark.parametrize(
    ("verdict", "p99", "expected"),
    [
        ("valid", 4.9, "valid"),
        ("valid", 5.1, "suspect"),
        ("valid", 20.1, "invalid"),
        ("suspect", 1.0, "suspect"),
        ("invalid", 6.0, "invalid"),
    ],
)
def test_what_our_marks_are_wrong_by_is_judged(verdict: str, p99: float, expected: str) -> None:
    error = ErrorFigures(n=200, p50=0.1, p99=p99, max=99.0)
    found, reasons = judged(verdict, ("late",), error)  # type: ignore[arg-type]
    assert found == expected
    assert "late" in reasons
    assert any("TTFT was" in reason for reason in reasons) == (p99 > 5)
    assert judged("valid", (), None)[0] == "invalid"


def test_it_is_said_in_a_sentence() -> None:
    found = CalibrationFacts(
        test="load",
        load="64 users",
        seconds=9.0,
        requests=640,
        failed=0,
        ttft_error_ms=ErrorFigures(n=640, p50=0.1, p99=0.9, max=2.0),
        tpot_error_ms=ErrorFigures(n=12, p50=0.0001, p99=None, max=0.004),
        server_late_ms=ErrorFigures(n=9000, p50=0.1, p99=0.4, max=7.0),
        send_lag_p99_ms=None,
        worker_cpu_share=0.25,
        verdict="valid",
    )
    assert calibration_words(found) == (
        "load: at 64 users this machine adds 0.100 ms (p50), 0.900 ms (p99) to TTFT and under 0.001 ms (p50), 0.004 ms "
        "(most of 12) to TPOT; the null server itself was late by 0.400 ms (p99); busiest worker 25 % of a CPU: valid"
    )
