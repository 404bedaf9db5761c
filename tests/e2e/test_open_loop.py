"""Open loops through the command: requests go at their intended times, whatever became of those before them."""

from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from front_door import Row, benchmark, only_folder, read_json, requests_of, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

RATE = 25
SECOND = 1_000_000_000
TESTS = [
    {"name": "constant", "arrivals": "constant", "rate": RATE, "duration_seconds": 1.6},
    {"name": "poisson", "arrivals": "poisson", "rate": RATE, "duration_seconds": 1.6},
    {"name": "counted", "arrivals": "constant", "rate": RATE, "requests": 12},
    {"name": "poisson-counted", "rate": RATE, "requests": 12},
]


class Run(NamedTuple):
    """A finished run: summaries by test, rows by test, windows by test."""

    tests: dict[str, Any]
    rows: dict[str, list[Row]]
    windows: dict[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One engine whose answers outlast many gaps, so that requests overlap."""
    cwd = tmp_path_factory.mktemp("open_loop")
    common = {"rounds": 2, "warmup_requests": 1, "max_tokens": 6}
    closed = users("closed", 2, requests=6)
    write_config(cwd / "c.yaml", load_tests=[*({**common, **test} for test in TESTS), closed])
    with SimulatorProcess(["vllm,ttft-ms=150,itl-ms=20"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    rows: dict[str, list[Row]] = {}
    for row in requests_of(folder):
        if not row["warmup"]:
            rows.setdefault(row["test"], []).append(row)
    windows = read_json(folder / "test_manifest.json")["windows"]
    return Run(
        {test["name"]: test["services"]["vllm"] for test in read_json(folder / "summary.json")["tests"]},
        {test: sorted(of_test, key=lambda row: int(row["intended_ns"] or 0)) for test, of_test in rows.items()},
        {test: [(one["start_ns"], one["end_ns"]) for one in of_test["vllm"]] for test, of_test in windows.items()},
    )


@pytest.mark.parametrize("name", [str(test["name"]) for test in TESTS])
def test_requests_are_sent_at_or_after_their_intended_time_and_count_by_it(run: Run, name: str) -> None:
    assert all(row["intended_ns"] <= row["sent_ns"] <= row["first_token_ns"] for row in run.rows[name])
    inside = [
        row for row in run.rows[name] if any(start <= row["intended_ns"] < end for start, end in run.windows[name])
    ]
    assert [row["in_window"] for row in run.rows[name]] == [row in inside for row in run.rows[name]]
    metrics, requests = run.tests[name]["metrics"], run.tests[name]["requests"]
    assert requests["sent"] == requests["ok"] == len(inside) == len(run.rows[name])
    for metric in ("ttft_intended_ms", "send_lag_ms", "e2e_intended_ms"):
        assert (metrics[metric]["n"], metrics[metric]["missing"]) == (len(inside), 0)
    assert metrics["send_lag_ms"]["min"] >= 0
    assert metrics["ttft_intended_ms"]["max"] >= metrics["ttft_ms"]["max"]


@pytest.mark.parametrize("name", ["constant", "counted"])
def test_constant_arrivals_are_equally_spaced_and_the_rate_asked_is_the_rate(run: Run, name: str) -> None:
    for start, end in run.windows[name]:
        intended = [row["intended_ns"] for row in run.rows[name] if start <= row["intended_ns"] < end]
        assert {round((later - earlier) / 1e6) for earlier, later in pairwise(intended)} == {1000 // RATE}
        assert intended[0] - start == SECOND // RATE // 2
    assert run.tests[name]["throughput"]["rate_asked"] == pytest.approx(RATE, rel=1e-3)
    assert len(run.rows[name]) == (40 if name == "constant" else 12)


def test_poisson_arrivals_vary_and_every_round_has_its_own(run: Run) -> None:
    gaps = [later["intended_ns"] - earlier["intended_ns"] for earlier, later in pairwise(run.rows["poisson"])]
    assert len(set(gaps)) == len(gaps)
    first, second = run.windows["poisson"]
    offsets = [
        [row["intended_ns"] - start for row in run.rows["poisson"] if start <= row["intended_ns"] < end]
        for start, end in (first, second)
    ]
    assert offsets[0] != offsets[1]
    assert run.tests["poisson"]["throughput"]["rate_asked"] == pytest.approx(len(run.rows["poisson"]) / 1.6, rel=1e-6)
    assert len(run.rows["poisson-counted"]) == 12


def test_requests_do_not_wait_for_answers(run: Run) -> None:
    """An answer takes 250 ms, a gap 40 ms: several are in flight at once."""
    for name in ("constant", "poisson"):
        assert run.tests[name]["throughput"]["concurrency_max"] > 3
        assert run.tests[name]["throughput"]["rate_sent"] is not None


def test_the_rate_sign_is_silent_when_everything_was_sent(run: Run) -> None:
    """Whatever a busy machine did to the rest, no request of these few was left out at the window's edge."""
    for name in ("constant", "poisson", "counted", "poisson-counted"):
        late = max(row["sent_ns"] - row["intended_ns"] for row in run.rows[name])
        if late < 10_000_000:
            assert not any("rate" in reason for reason in run.tests[name]["validity"]["reasons"])


def test_a_closed_loop_has_no_intended_times_and_counts_every_request_asked_for(run: Run) -> None:
    closed = run.tests["closed"]
    assert closed["requests"]["sent"] == closed["requests"]["ok"] == 6
    assert {row["intended_ns"] for row in run.rows["closed"]} == {None}
    for metric in ("ttft_intended_ms", "send_lag_ms", "e2e_intended_ms"):
        assert closed["metrics"][metric]["n"] == 0
    assert closed["throughput"]["rate_asked"] is None
    assert closed["throughput"]["concurrency_max"] == 2
