"""Lists of loads become tests, traces become rounds, and an open loop that is held back says so by its times."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.api.exchange import Job
from inference_bench.config.models import LoadTestSettings, Settings
from inference_bench.errors import ConfigError
from inference_bench.orchestration.run_plan import planned_test
from inference_bench.testing.plan import further_load, make_plans, plan_load, plan_probe
from inference_bench.testing.schedule import FAR_NS, OpenSchedule
from inference_bench.testing.sweeps import at_load, expand, planned_names
from inference_bench.testing.traces import slices_of


def load_test(**values: object) -> LoadTestSettings:
    return LoadTestSettings.model_validate({"name": "load", **values})


def test_a_list_of_users_is_a_test_for_each() -> None:
    points = expand(load_test(concurrent_users=[1, 4, 16], duration_seconds=3))
    assert [(point.name, point.concurrent_users) for point in points] == [("load@1", 1), ("load@4", 4), ("load@16", 16)]


def test_a_list_of_rates_is_a_test_for_each_and_the_course_of_steps() -> None:
    points = expand(load_test(arrivals="gamma", burstiness=0.5, rate=[0.5, 2], requests=9))
    assert [(point.name, point.rate) for point in points] == [("load@0.5", 0.5), ("load@2", 2)]
    course = load_test(arrivals="steps", rate=[2, 1, 4], duration_seconds=3)
    assert expand(course) == (course,)


def test_plans_of_a_sweep_differ_in_their_load_alone_and_say_where_they_belong() -> None:
    tests = [{"name": "curve", "rate": [2, 4], "duration_seconds": 30}, {"name": "flat", "rate": 3, "requests": 5}]
    chosen = Settings.model_validate({"load_tests": tests})
    plans = make_plans(chosen, 2, ttft=False, load=True, times_of=_no_trace)
    assert [(plan.name, getattr(plan, "sweep", None)) for plan in plans] == [
        ("curve@2", "curve"),
        ("curve@4", "curve"),
        ("flat", None),
    ]
    assert planned_names(chosen, ttft=True, load=True) == ["ttft", "curve@2", "curve@4", "flat"]
    assert planned_names(chosen, ttft=True, load=True, only=["curve"]) == ["curve@2", "curve@4"]


def test_a_probe_is_the_same_work_at_the_same_times_whoever_is_asked() -> None:
    point = at_load(load_test(rate=5, duration_seconds=20, rounds=4), 12.5)
    one, other = (plan_probe(point, service, 7, round_no=2, sweep="load") for service in (0, 1))
    assert one.offsets[0].tolist() == other.offsets[0].tolist()
    assert [(turn.round_no, turn.service, turn.steady_seconds) for turn in one.turns] == [(2, 0, 5.0)]
    assert plan_probe(point, 0, 7, round_no=3, sweep="load").offsets[0].tolist() != one.offsets[0].tolist()
    assert (one.name, one.probe, one.sweep) == ("load@12.5", True, "load")
    # What the manifest says was asked is what a probe lasts, or its window would be called too short.
    asked = planned_test(one, ("vllm",)).load
    assert (asked.duration_seconds, asked.rate, one.settings.rounds) == (5.0, 12.5, 1)


@given(
    gaps=st.lists(st.floats(0, 30), min_size=1, max_size=60),
    speed=st.sampled_from([0.5, 1.0, 7.0]),
    rounds=st.integers(1, 6),
)
@settings(deadline=None)
def test_every_row_of_a_trace_is_replayed_once_in_its_place(gaps: list[float], speed: float, rounds: int) -> None:
    times = np.cumsum(gaps) - gaps[0]
    slices = slices_of(times, load_test(arrivals="trace", speed=speed), rounds)
    assert len(slices) == rounds
    assert [part.first for part in slices] == np.cumsum([0, *(part.count for part in slices[:-1])]).tolist()
    assert sum(part.count for part in slices) == len(times)
    began = 0.0
    for part in slices:
        rows = times[part.first : part.first + part.count] / speed - began
        assert part.offsets / 1e9 == pytest.approx(rows, abs=1e-6)
        began += part.seconds


def test_a_trace_is_cut_by_time_or_by_rows_and_begins_again_when_it_goes_on() -> None:
    times = np.arange(10.0)
    asked = load_test(arrivals="trace", duration_seconds=4)
    plan = plan_load(asked, 1, 0, times=times)
    assert [part.count for part in plan.slices] == [2, 1, 1]
    assert plan.rate == pytest.approx(1.0)
    assert sum(part.count for part in slices_of(times, load_test(arrivals="trace", requests=7), 2)) == 7
    more = further_load(plan, 1, 0, first=3, rounds=2)
    assert [offsets.tolist() for offsets in more.offsets] == [offsets.tolist() for offsets in plan.offsets[:2]]
    with pytest.raises(ConfigError, match="no request"):
        slices_of(times + 5, asked, 1)


def test_a_time_beyond_the_end_of_a_trace_cuts_nothing_and_adds_no_silence() -> None:
    times, longer = np.arange(10.0), load_test(arrivals="trace", duration_seconds=60)
    assert sum(part.seconds for part in slices_of(times, longer, 2)) == pytest.approx(10.0)
    gap = np.array([0.0, 1.0, 2.0, 100.0])  # the silence before the last row is the trace's own
    assert sum(part.seconds for part in slices_of(gap, longer, 2)) == pytest.approx(60.0)


def test_an_open_loop_that_is_held_back_sends_when_there_is_room_again() -> None:
    schedule = OpenSchedule(max_in_flight=2)
    schedule.add([Job(seq, 0, b"", intended_ns=10 * seq) for seq in range(1, 5)])
    schedule.no_more()
    sent = [schedule.due(100), schedule.due(100), schedule.due(100)]
    assert [None if job is None else job.seq for job in sent] == [1, 2, None]
    assert schedule.next_ns(100) == FAR_NS  # only an answer can bring the next turn
    assert sent[0] is not None
    schedule.ended(sent[0], 120)
    assert schedule.next_ns(120) == 30
    third = schedule.due(120)
    assert third is not None
    assert third.seq == 3
    assert not schedule.exhausted(120)


def _no_trace(test: LoadTestSettings) -> np.ndarray:
    raise AssertionError(f"{test.name} has no trace")
