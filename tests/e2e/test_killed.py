"""kill -9 of the command at ten moments of a run: the journal is there, `results` tells the truth, nothing lives on."""

import json
import os
import random
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from front_door import Row, answers, read_json, requests_of, run, start, truth_of, users, write_config

from inference_bench.results.journal import count_requests
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord

MOMENTS = 10
LONGEST = 3.0  # seconds after the first answer is in the journal
AT_A_TIME = 2
SECOND = 1_000_000_000
pytestmark = pytest.mark.timeout(400)  # the first one pays for all ten runs


class Killed(NamedTuple):
    """A run that was killed: when (monotonic ns), where it was kept, who lived on, what the engine saw of it."""

    at_ns: int
    cwd: Path
    folder: Path
    left: list[str]
    truth: dict[str, TruthRecord]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> list[Killed]:
    place = tmp_path_factory.mktemp("killed")
    rng = random.Random(20)
    # Some within a moment of the first flush, the others spread over the run.
    delays = [LONGEST * (moment + rng.random()) / MOMENTS for moment in range(MOMENTS)]
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        return list(pool.map(lambda n: kill_after(place / str(n), delays[n], everyone=n % 2 == 1), range(MOMENTS)))


def kill_after(cwd: Path, delay: float, *, everyone: bool) -> Killed:
    """Run against an engine of its own, and kill the command (or its children too) so many seconds after its first
    answer was kept.
    """
    cwd.mkdir()
    load = [users("short", 2, duration_seconds=1, rounds=2), users("long", 4, duration_seconds=30)]
    write_config(cwd / "c.yaml", name="killed", load_tests=load)
    truth = cwd / "truth.jsonl"
    with SimulatorProcess(["vllm,ttft-ms=40,itl-ms=15"], truth_log=truth) as simulator:
        with start("benchmark", "-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=cwd) as running:
            folder = running.folder()
            running.until(lambda: answers(folder, "vllm") > 0, "an answer in the journal")
            time.sleep(delay)
            victims = [running.pid]
            if everyone:
                # As when the memory is used up: nobody is left to write out what is still in memory.
                victims += [running.child(f"inference_bench.testing.{who}").pid for who in ("decoder", "worker")]
            running.look()
            at_ns = time.monotonic_ns()
            for pid in victims:
                os.kill(pid, signal.SIGKILL)
            running.finish()
            left = running.left_behind()
        simulator.stop()  # writes the rest of its truth log
    return Killed(at_ns, cwd, folder, left, truth_of(truth))


def whole_by(truth: dict[str, TruthRecord], at_ns: int) -> set[str]:
    """Return the requests whose last token was written before this moment."""
    return {
        name
        for name, record in truth.items()
        if record.finish == "length" and record.written_ns and record.written_ns[-1] < at_ns
    }


@pytest.mark.parametrize("moment", range(MOMENTS))
def test_what_ended_a_second_before_the_kill_is_kept(killed: list[Killed], moment: int) -> None:
    one = killed[moment]
    assert one.left == []
    assert (one.folder / "journal").is_dir()
    journalled = count_requests(one.folder / "journal")
    assert journalled > 0

    if moment < 2:  # one whose children were killed too, and one whose were not: how it is shown is no matter of time
        listed = json.loads(run("results", "--json", cwd=one.cwd).out)["runs"]
        assert [(entry["status"], entry["requests_in_journal"]) for entry in listed] == [("partial", journalled)]
        shown = run("results", "show", one.folder.name, cwd=one.cwd)
        assert shown.code == 0, shown.said()
        assert f"its journal holds {journalled} requests: `results recover` saves them" in shown.out

    recovered = run("results", "recover", one.folder.name, cwd=one.cwd)
    assert recovered.code == 0, recovered.said()
    assert recovered.out == f"{one.folder.name}: partial, {journalled} requests in requests.parquet\n"
    rows = requests_of(one.folder)
    assert len(rows) == journalled
    kept = {row["request_id"] for row in rows if row["ok"]}
    must = whole_by(one.truth, one.at_ns - SECOND)
    assert must <= kept
    agree_with_the_truth(rows, one.truth)
    figures_of_the_cut_turn(one.folder, rows)


def agree_with_the_truth(rows: list[Row], truth: dict[str, TruthRecord]) -> None:
    for row in rows:
        assert row["ok"] or row["error_class"] == "interrupted"
        if row["ok"]:
            assert row["output_tokens"] == truth[row["request_id"]].tokens


def figures_of_the_cut_turn(folder: Path, rows: list[Row]) -> None:
    """The turn that was cut has figures too: what its records tell is counted."""
    manifest, summary = (read_json(folder / name) for name in ("test_manifest.json", "summary.json"))
    assert manifest["status"] == "partial"
    for test in summary["tests"]:
        good = sum(row["test"] == test["name"] and row["ok"] and bool(row["in_window"]) for row in rows)
        assert test["services"]["vllm"]["requests"]["ok"] == good
    last = rows[-1]["test"]
    assert any(row["test"] == last and row["in_window"] for row in rows)


def test_recovering_again_changes_nothing(killed: list[Killed]) -> None:
    one = killed[0]
    run("results", "recover", one.folder.name, cwd=one.cwd)
    before = {path: path.read_bytes() for path in one.folder.iterdir()}
    again = run("results", "recover", one.folder.name, cwd=one.cwd)
    assert again.code == 0, again.said()
    assert {path: path.read_bytes() for path in one.folder.iterdir()} == before
