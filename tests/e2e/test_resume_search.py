"""A search for a capacity is killed in a probe and goes on: its end is that of a search in one piece."""

import os
import signal
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from front_door import Done, Row, benchmark, read_json, requests_of, run, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

PROMISE = {"per_request": {"ttft_ms": 550}, "attainment": 0.8}
pytestmark = pytest.mark.timeout(200)


class Search(NamedTuple):
    """What was there after the kill, what the command said to a gate and when it went on, and what its end was."""

    folder: Path
    before: Any
    rows_killed: list[Row]
    gated: Done
    done: Done
    manifest: Any
    rows: list[Row]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """An answer takes 700 ms, and there is place for one: whoever waits for it breaks the promise."""
    cwd = tmp_path_factory.mktemp("search")
    chat = users("chat", 1, duration_seconds=0.6, max_tokens=35)
    write_config(cwd / "c.yaml", slo=PROMISE, load_tests=[chat], output={"generate_report": False})
    with SimulatorProcess(["vllm,max-batch=1,step-ms=20"]) as simulator:
        with start("benchmark", "-c", "c.yaml", "--url", simulator.urls["vllm"], "--find-capacity", cwd=cwd) as running:
            folder = running.folder()
            victims = [running.child(f"inference_bench.testing.{who}").pid for who in ("decoder", "worker")]
            running.wait_for_line("chat@2: vllm, round 1")
            for pid in (running.pid, *victims):
                os.kill(pid, signal.SIGKILL)
            running.finish()
        recovered = run("results", "recover", folder.name, cwd=cwd)
        assert f"benchmark --resume {folder.name}" in recovered.err, recovered.said()
        before, rows_killed = read_json(folder / "test_manifest.json"), requests_of(folder)
        gated = benchmark("--resume", "last", "--fail-if", "vllm.failed>0", cwd=cwd)
        done = benchmark("--resume", "last", cwd=cwd)
    return Search(
        folder, before, rows_killed, gated, done, read_json(folder / "test_manifest.json"), requests_of(folder)
    )


def test_the_answer_is_that_of_a_search_in_one_piece(search: Search) -> None:
    assert search.done.code == 0, search.done.said()
    assert search.manifest["status"] == "complete"
    (facts,) = read_json(search.folder / "summary.json")["capacity"]
    found = facts["services"]["vllm"]
    assert facts["complete"]
    if str(found["limited_by"]).startswith("this client at "):  # a machine so busy that its probes say nothing
        assert (found["value"] or 0) <= 1
        return
    assert (found["value"], found["low"], found["high"]) == (1, 1, 2)
    told = [(probe["load"], probe["kept"]) for probe in found["probes"] if probe["kept"] is not None]
    assert told.count((1, True)) == told.count((2, False)) == 3


def test_whole_probes_stay_and_the_one_that_was_cut_is_measured_anew(search: Search) -> None:
    (resumed,) = search.manifest["resumed"]
    stored = search.before["capacity"][0]["services"]["vllm"]["probes"]
    probes = search.manifest["capacity"][0]["services"]["vllm"]["probes"]
    assert stored
    assert probes[: len(stored)] == stored
    # Every probe is there once, with all that it sent, and nothing of what gave way.
    asked = [(f"chat@{probe['load']:g}", probe["round"]) for probe in probes]
    rows = [(row["test"], row["round"]) for row in search.rows]
    assert len(set(asked)) == len(asked)
    assert set(rows) == set(asked)
    assert all(row["ok"] for row in search.rows)
    gone = {(turn["test"], turn["round"]) for turn in resumed["cut_turns"]}
    kept = [row for row in search.rows_killed if (row["test"], row["round"]) not in gone]
    assert resumed["removed_requests"] == len(search.rows_killed) - len(kept)
    assert [row for row in search.rows if row["seq"] < resumed["first_seq"]] == kept


def test_a_gate_that_would_have_nothing_to_judge_is_refused(search: Search) -> None:
    assert search.gated.code == 2
    assert search.gated.errors[0] == "Error: --fail-if has no test to judge: the loads that a search tries fail nothing"


def test_it_is_said_that_it_went_on(search: Search) -> None:
    count = len(search.before["capacity"][0]["services"]["vllm"]["probes"])
    made = f"{count} probe{'' if count == 1 else 's'}"
    assert f"Note: the search of chat goes on after {made}, with vllm at" in search.done.err
    assert f"; the search of chat went on after {made}" in search.manifest["notes"][-1]
    assert "resumed at " in search.done.out
