"""A machine that slows down: all times of both models grow with the time since the epoch, on the virtual clock."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.errors import UsageError
from inference_bench.simulator.drift import Drift
from inference_bench.simulator.fixed import FixedTiming
from inference_bench.simulator.options import build_options
from inference_bench.simulator.profile import NS_PER_MS, NS_PER_S, PRESETS
from inference_bench.simulator.scheduling import Job, Scheduler
from inference_bench.simulator.serving import BatchModel

MINUTE = 60 * NS_PER_S


def first_and_last_ns(model: Scheduler, at_ns: int) -> tuple[int, int]:
    """Submit a job of five tokens then, and return when its first and last came, from its arrival."""
    job = Job(40, 5, 5)
    model.submit(job, at_ns)
    while (due_ns := model.next_due_ns()) is not None:
        model.advance(due_ns)
    assert job.first_ns is not None
    assert job.last_ns is not None
    return job.first_ns - at_ns, job.last_ns - at_ns


@given(share=st.floats(0, 10), minutes=st.floats(0, 60), epoch_s=st.integers(0, 1000))
def test_the_factor_grows_by_the_share_each_minute_from_its_epoch(share: float, minutes: float, epoch_s: int) -> None:
    drift = Drift(share, epoch_s * NS_PER_S)
    at_ns = epoch_s * NS_PER_S + round(minutes * MINUTE)
    assert drift.factor(at_ns) == pytest.approx(1 + share * minutes)
    assert drift.factor(0) == 1.0


def test_exact_times_are_as_many_times_as_long_as_at_the_arrival() -> None:
    timing = FixedTiming(100, 10, drift=Drift(0.5, MINUTE))
    assert first_and_last_ns(timing, MINUTE) == (100 * NS_PER_MS, 140 * NS_PER_MS)
    assert first_and_last_ns(timing, 2 * MINUTE) == (150 * NS_PER_MS, 210 * NS_PER_MS)
    assert first_and_last_ns(timing, 3 * MINUTE) == (200 * NS_PER_MS, 280 * NS_PER_MS)


def test_steps_and_overhead_of_the_model_grow_alike() -> None:
    profile = replace(PRESETS["vllm"], jitter=0)
    at_first, at_double = (
        first_and_last_ns(BatchModel(profile, drift=Drift(1.0, epoch_ns)), 2 * MINUTE)
        for epoch_ns in (2 * MINUTE, MINUTE)
    )
    # A step drifts a little further than the one before it: within a tenth of a second that is next to nothing.
    assert at_double[0] / at_first[0] == pytest.approx(2, rel=0.002)
    assert at_double[1] / at_first[1] == pytest.approx(2, rel=0.002)
    assert first_and_last_ns(BatchModel(profile), 2 * MINUTE) == first_and_last_ns(
        BatchModel(profile, drift=Drift(0.0)), 2 * MINUTE
    )


def test_the_setting_is_read_and_refused_by_name() -> None:
    assert build_options("vllm", [("drift", "0.25")]).drift == Drift(0.25)
    with pytest.raises(UsageError, match="drift"):
        build_options("vllm", [("drift", "-1")])
