"""Traffic of every shape through the command: sweeps, steps, gamma, traces, an open loop that is held back."""

import json
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from front_door import Row, benchmark, only_folder, read_json, requests_of, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

TRACE = [(0, 100, 3), (40, 120, 5), (40, 90, 4), (900, 110, 3)]  # ms, tokens in, tokens out
REPLAY = {"name": "replay", "arrivals": "trace", "speed": 2, "workload": {"kind": "trace", "path": "trace.jsonl"}}
TESTS = [
    users("curve", 1, requests=4) | {"concurrent_users": [1, 2]},
    {"name": "steps", "arrivals": "steps", "rate": [5, 30], "duration_seconds": 2},
    {"name": "bursts", "arrivals": "gamma", "burstiness": 0.3, "rate": 15, "requests": 12},
    {"name": "held", "arrivals": "constant", "rate": 20, "requests": 12, "max_in_flight": 1},
    REPLAY,
    {**REPLAY, "name": "quiet", "rounds": 3},
]


class Run(NamedTuple):
    """A finished run: its tests, its rows by test, and each test's windows."""

    tests: dict[str, Any]
    rows: dict[str, list[Row]]
    windows: dict[str, list[Any]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """One engine of exact timing: an answer takes 100 ms."""
    cwd = tmp_path_factory.mktemp("shapes")
    lines = [{"timestamp": at, "input_length": given, "output_length": wanted} for at, given, wanted in TRACE]
    (cwd / "trace.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    common = {"rounds": 1, "warmup_requests": 0, "max_tokens": 6}
    write_config(cwd / "c.yaml", load_tests=[{**common, **test} for test in TESTS])
    with SimulatorProcess(["vllm,ttft-ms=75,itl-ms=5"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    rows: dict[str, list[Row]] = {}
    for row in sorted(requests_of(folder), key=lambda row: (row["intended_ns"] or row["sent_ns"], row["index"])):
        rows.setdefault(row["test"], []).append(row)
    windows = read_json(folder / "test_manifest.json")["windows"]
    of_engine = {test: of_test["vllm"] for test, of_test in windows.items()}
    return Run({test["name"]: test for test in read_json(folder / "summary.json")["tests"]}, rows, of_engine)


def test_a_sweep_is_a_test_for_each_number_of_users(run: Run) -> None:
    assert list(run.tests)[:2] == ["curve@1", "curve@2"]
    assert [run.tests[name]["load"]["concurrent_users"] for name in ("curve@1", "curve@2")] == [1, 2]
    assert {run.tests[name]["sweep"] for name in ("curve@1", "curve@2")} == {"curve"}
    assert {row["user"] for row in run.rows["curve@2"]} == {0, 1}


def test_steps_ask_for_more_in_the_second_half(run: Run) -> None:
    middle = run.windows["steps"][0]["start_ns"] + 1_000_000_000
    first = sum(row["intended_ns"] < middle for row in run.rows["steps"])
    assert 3 * first < len(run.rows["steps"])
    assert run.tests["steps"]["load"]["rates"] == [5, 30]


def test_bursts_are_sent_in_full(run: Run) -> None:
    assert len(run.rows["bursts"]) == 12
    assert run.tests["bursts"]["load"]["burstiness"] == 0.3


def test_a_trace_keeps_its_times_and_lengths(run: Run) -> None:
    rows = run.rows["replay"]
    offsets = [(row["intended_ns"] - rows[0]["intended_ns"]) / 1e6 for row in rows]
    assert offsets == pytest.approx([at / 2 for at, _, _ in TRACE], abs=0.01)
    assert [row["max_tokens"] for row in rows] == [wanted for _, _, wanted in TRACE]
    template = {row["prompt_tokens"] - given for row, (_, given, _) in zip(rows, TRACE, strict=True)}
    assert len(template) == 1  # what the chat template adds is the same for every prompt


def test_a_round_in_which_nothing_is_due_lasts_as_long_as_the_others(run: Run) -> None:
    """The second third of the trace is quiet, and so is the end of the first."""
    assert [row["round"] for row in run.rows["quiet"]] == [0, 0, 0, 2]
    windows = run.windows["quiet"]
    assert [one["end_ns"] - one["start_ns"] for one in windows] == pytest.approx([200_000_000] * 3, abs=2)
    assert all(later["start_ns"] >= earlier["end_ns"] for earlier, later in pairwise(windows))


def test_an_open_loop_that_is_held_back_says_so_by_its_intended_times(run: Run) -> None:
    service = run.tests["held"]["services"]["vllm"]
    rows = run.rows["held"]
    assert all(later["sent_ns"] >= earlier["end_ns"] for earlier, later in pairwise(rows))
    # An answer takes 100 ms, and every 50 ms one is due: half of the twelve wait a quarter of a second for their turn.
    # One that a busy machine holds up makes the others wait longer, and says nothing by its own TTFT.
    assert service["metrics"]["ttft_intended_ms"]["p50"] > 3 * service["metrics"]["ttft_ms"]["p50"]
    assert run.tests["held"]["validity"]["verdict"] != "valid"
    assert any("late" in reason for reason in run.tests["held"]["validity"]["reasons"])
