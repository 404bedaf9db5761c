"""Every sign is there with its value and limits, also when nothing is wrong; what is near and what was not watched."""

from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.results.finalise import finalise
from inference_bench.results.manifest import LoadShape, PlannedTest
from inference_bench.results.schema import journal_schema
from inference_bench.results.trust import CalibrationFacts, WatchFacts
from inference_bench.testing.analyzers import summarise_run
from inference_bench.testing.evidence import near_limits, with_calibration
from inference_bench.testing.signs import workers_view
from inference_bench.testing.validity import Facts, judge, signs_of
from run_records import at, request, run_with_journal

SIGNS = [
    "send_lag",
    "rate",
    "merged_reads",
    "worker_wait",
    "clock_step",
    "window",
    "stall",
    "unstamped",
    "turn_wait",
    "turn_lag",
]
LEVELS = ("valid", "suspect", "invalid")
FACTS = {
    "send_lag_p99_ms": 0,
    "rate_sent_over_asked": 1,
    "merged_first_token_share": 2,
    "worker_wait_share": 3,
    "clock_step_ms": 4,
    "window_over_asked": 5,
    "longest_stall_ms": 6,
    "unstamped_share": 7,
    "turn_wait_share": 8,
    "longest_turn_lag_ms": 9,
}


def worker_samples(rows: list[tuple[int, float, float | None, int]]) -> pa.Table:
    """Return the samples of one worker: (when, late so far, waited so far, longest stall since), all in ms."""
    found = [
        {"worker": 0, "at_ns": at(when), "wall_offset_ns": 5, "run_ns": None, "late_ns": round(late * 1e6),
         "wait_ns": None if waited is None else round(waited * 1e6), "longest_stall_ns": stall * 1_000_000,
         "in_flight": 1, "open_sockets": 1}
        for when, late, waited, stall in rows
    ]  # fmt: skip
    return pa.Table.from_pylist(found, schema=journal_schema("workers"))


def test_all_signs_are_shown_whether_known_or_not() -> None:
    nothing = judge(Facts())
    assert [sign.sign for sign in nothing.signs] == SIGNS
    assert {(sign.value, sign.level) for sign in nothing.signs} == {(None, None)}
    assert nothing.near == []
    lag = judge(Facts(send_lag_p99_ms=3.0, ttft_median_ms=1000.0)).signs[0]
    assert (lag.value, lag.suspect, lag.invalid, lag.level) == (3.0, 10.0, 50.0, "valid")


@given(name=st.sampled_from(sorted(FACTS)), low=st.floats(0, 2000), more=st.floats(0, 2000))
def test_a_worse_value_is_never_judged_better(name: str, low: float, more: float) -> None:
    first, second = signs_of(Facts(**{name: low}))[FACTS[name]], signs_of(Facts(**{name: low + more}))[FACTS[name]]
    worse, better = (first, second) if first.best == 1.0 else (second, first)
    assert worse.level is not None
    assert better.level is not None
    assert LEVELS.index(worse.level) >= LEVELS.index(better.level)


@pytest.mark.parametrize(
    ("name", "near", "far"),
    [
        ("send_lag_p99_ms", 1.7, 1.5),
        ("rate_sent_over_asked", 0.9915, 0.993),
        ("merged_first_token_share", 0.009, 0.007),
        ("worker_wait_share", 0.017, 0.01),
        ("clock_step_ms", 0.85, 0.7),
        ("window_over_asked", 0.83, 0.9),
        ("longest_stall_ms", 85.0, 70.0),
        ("unstamped_share", 0.009, 0.007),
        ("turn_wait_share", 0.017, 0.01),
        ("longest_turn_lag_ms", 85.0, 70.0),
    ],
)
def test_a_sign_within_a_fifth_of_its_limit_is_near_and_no_verdict(name: str, near: float, far: float) -> None:
    judgement = judge(Facts(**{name: near}))
    assert judgement.verdict == "valid"
    assert len(judgement.near) == 1
    assert "near its limit of" in judgement.near[0]
    assert judge(Facts(**{name: far})).near == []


def test_a_share_just_below_the_limit_is_not_said_to_be_the_limit() -> None:
    assert judge(Facts(rate_sent_over_asked=0.9899)).reasons == ["only 98.99% of the rate asked for was sent"]
    assert judge(Facts(rate_sent_over_asked=0.5)).reasons == ["only 50.0% of the rate asked for was sent"]


def test_a_machine_that_failed_its_calibration_makes_a_test_suspect() -> None:
    facts = CalibrationFacts(
        test="t",
        load="9 users",
        seconds=1.0,
        requests=9,
        failed=0,
        ttft_error_ms=None,
        tpot_error_ms=None,
        server_late_ms=None,
        send_lag_p99_ms=None,
        worker_cpu_share=None,
        verdict="invalid",
        reasons=("workers waited",),
    )
    found = with_calibration(judge(Facts()), facts)
    assert found.verdict == "suspect"
    assert found.reasons == ["calibrated at this load before the run, this machine was invalid itself: workers waited"]
    assert with_calibration(judge(Facts(clock_step_ms=11.0)), facts).verdict == "invalid"
    assert with_calibration(judge(Facts()), facts.model_copy(update={"verdict": "suspect"})).verdict == "valid"
    assert with_calibration(judge(Facts()), None).verdict == "valid"


def test_limits_of_the_machine_that_came_near_are_named() -> None:
    assert near_limits(WatchFacts()) == []
    easy = WatchFacts(memory=10, memory_left=90, files=10, files_limit=100, sockets=10, ports=100, time_wait=10)
    assert near_limits(easy) == []
    full = WatchFacts(memory=90 << 20, memory_left=10 << 20, files=81, files_limit=100, sockets=85, ports=100)
    files, memory, ports = near_limits(full)
    assert files == "81 open files in one process, the limit is 100"
    assert memory == "90 MiB of memory used, 10 MiB were left"
    assert ports == "85 connections open, this machine has 100 local ports"
    (held,) = near_limits(WatchFacts(sockets=40, ports=100, time_wait=45))
    assert "45 ports held by closed ones (TIME_WAIT)" in held


def test_a_kernel_that_tells_no_waiting_is_said_so_and_late_wake_ups_stand_for_it() -> None:
    bounds = [(at(0) or 0, at(1000) or 0)]
    told = workers_view(worker_samples([(0, 0.0, 0.0, 0), (1000, 5.0, 30.0, 7)]), bounds)
    assert told.schedstat is True
    assert told.wait_share == pytest.approx(0.03)
    untold = workers_view(worker_samples([(0, 0.0, None, 0), (1000, 5.0, None, 7)]), bounds)
    assert untold.schedstat is False
    assert untold.wait_share == pytest.approx(0.005)
    assert untold.longest_stall_ms == 7.0
    outside = workers_view(worker_samples([(10, 0.0, 0.0, 0), (900, 0.0, 0.0, 0)]), bounds)
    assert (outside.schedstat, outside.wait_share, outside.longest_stall_ms) == (None, None, None)


def test_reads_without_a_stamp_and_answers_that_wait_are_told_of_all_workers() -> None:
    bounds = [(at(0) or 0, at(1000) or 0)]
    rows = []
    for worker, (reads, bare, unsent) in enumerate([(300, 0, 5), (100, 12, 7_000)]):
        for when, share in ((0, 0), (1000, 1)):
            rows.append(
                {"worker": worker, "at_ns": at(when), "wall_offset_ns": 5, "run_ns": None, "late_ns": 0,
                 "wait_ns": None, "longest_stall_ns": 0, "in_flight": 1, "open_sockets": 1, "reads": 50 + share * reads,
                 "unstamped": share * bare, "unsent_bytes": share * unsent}
            )  # fmt: skip
    samples = pa.Table.from_pylist(rows, schema=journal_schema("workers"))
    view = workers_view(samples, bounds)
    assert view.unstamped_share == pytest.approx(12 / 400)
    assert view.unsent_bytes == 7_000
    earlier = workers_view(samples.drop_columns(["reads", "unstamped", "unsent_bytes"]), bounds)
    assert (earlier.unstamped_share, earlier.unsent_bytes) == (None, None)
    assert earlier.wait_share == view.wait_share


@pytest.mark.parametrize(
    ("due_at", "missing"),
    [(100, "send lag, for of what was due in the window nothing could be sent"),
     (5000, "send lag and rate, for nothing was due in the window")],
)  # fmt: skip
def test_what_was_due_and_got_no_connection_is_not_called_nothing_due(
    tmp_path: Path, due_at: int, missing: str
) -> None:
    failed = {"sent_at": None, "connect_start_at": due_at, "end_at": due_at + 1, "ok": False, "error_class": "connect"}
    plan = PlannedTest(name="load", kind="load", rounds=1, load=LoadShape(arrivals="poisson", rates=(6.0,)))
    folder = run_with_journal(tmp_path, [request(0, intended_at=due_at, **failed)], plan=(plan,))
    finalise(folder, status="complete", save_raw_data=False)
    assert f"not watched: {missing}" in summarise_run(folder).tests[0].services["vllm"].validity.not_watched
