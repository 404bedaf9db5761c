"""An interrupted run goes on: what is whole is kept, what was cut is measured anew, nothing is lost or counted twice.

One matrix of tests is interrupted three times, each time otherwise, and goes on each time; the tests look at its parts.
"""

import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from front_door import Done, Row, benchmark, journal_of, read_json, requests_of, run, start, users, write_config

from inference_bench.config.load_models import LoadTestSettings
from inference_bench.results.design import unpack_order
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord, read_truth
from inference_bench.testing.plan import plan_load

BOTH = ("vllm", "tgi")
BLOCKS = 10
SEED = 3
CUT = {"name": "cut", "rate": 12, "duration_seconds": 1.6, "rounds": 2, "warmup_requests": 0, "max_tokens": 8}
pytestmark = pytest.mark.timeout(200)  # the first one pays for the whole story


class Story(NamedTuple):
    """What was seen: after Ctrl-C, the dry run, after the kill, after its rescue, and at the end."""

    folder: Path
    stopped: Done
    rows_stopped: list[Row]
    planned: Done
    recovered: Done
    rows_killed: list[Row]
    refused: Done
    done: Done
    rows: list[Row]
    truth: list[TruthRecord]


def stop_when(folder: Path, look: Callable[[list[Row]], bool]) -> Callable[[], bool]:
    return lambda: (folder / "journal" / "requests.arrow").exists() and look(journal_of(folder))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    cwd = tmp_path_factory.mktemp("resume")
    truth = cwd / "truth.jsonl"
    load = [
        users("first", 2, requests=4, rounds=2, warmup_requests=1),
        CUT,
        users("last", 1, requests=2, rounds=2),
    ]
    ttft = {"iterations": BLOCKS, "warmup_requests": 1, "max_tokens": 12}
    output = {"generate_charts": False, "generate_report": False}
    write_config(cwd / "c.yaml", seed=SEED, ttft_test=ttft, load_tests=load, output=output)
    serve = [f"{name},ttft-ms=20,itl-ms=10" for name in BOTH]
    with SimulatorProcess(serve, truth_log=truth) as simulator:
        urls = [word for name in BOTH for word in ("--url", f"{name}={simulator.urls[name]}")]
        with start("benchmark", "-c", "c.yaml", *urls, cwd=cwd) as running:
            folder = running.folder()
            blocks = stop_when(folder, lambda rows: any((row["block"] or 0) >= 1 for row in rows))
            running.until(blocks, "a second block")
            running.signal(signal.SIGINT)
            stopped = running.finish()
        rows_stopped = requests_of(folder)
        planned = benchmark("--resume", folder.name, "--dry-run", "--json", cwd=cwd)
        with start("benchmark", "--resume", str(folder), cwd=cwd) as running:
            second = stop_when(folder, lambda rows: any(row["test"] == "cut" and row["round"] == 1 for row in rows))
            running.until(second, "the second round of the third test")
            victims = [running.child(f"inference_bench.testing.{who}").pid for who in ("decoder", "worker")]
            for pid in (running.pid, *victims):
                os.kill(pid, signal.SIGKILL)
            running.finish()
            assert running.left_behind() == []
        recovered = run("results", "recover", folder.name, cwd=cwd)
        rows_killed = requests_of(folder)
        refused = as_if(folder, {"version": "0.0.1"}, cwd)
        another_boot(folder)
        done = benchmark("--resume", "last", "--json", "--fail-if", "vllm.ttft_ms.p50>0", cwd=cwd)
        simulator.stop()
    return Story(
        folder, stopped, rows_stopped, planned, recovered, rows_killed, refused, done, requests_of(folder),
        list(read_truth(truth)),
    )  # fmt: skip


def as_if(folder: Path, facts: dict[str, str], cwd: Path) -> Done:
    """Try to go on as if the first service had been another one."""
    path = folder / "test_manifest.json"
    before = path.read_bytes()
    manifest = json.loads(before)
    manifest["services"][0] |= facts
    path.write_text(json.dumps(manifest))
    done = benchmark("--resume", folder.name, cwd=cwd)
    path.write_bytes(before)
    return done


def another_boot(folder: Path) -> None:
    """Let the run have begun on another start of the machine."""
    path = folder / "test_manifest.json"
    manifest = json.loads(path.read_bytes())
    manifest["clock"]["boot_id"] = "another"
    path.write_text(json.dumps(manifest))


def test_an_interrupted_run_says_how_it_goes_on(story: Story) -> None:
    command = f"vllm-benchmark benchmark --resume {story.folder.name}"
    assert story.stopped.code == 130, story.stopped.said()
    assert f"go on with: {command}" in story.stopped.err
    assert story.recovered.code == 0, story.recovered.said()
    assert command in story.recovered.err


def test_a_dry_run_says_what_is_left(story: Story) -> None:
    assert story.planned.code == 0, story.planned.said()
    plan = json.loads(story.planned.out)
    kept = plan["resumes"]["completed"]["ttft"]
    assert 1 <= kept < BLOCKS
    assert plan["resumes"]["completed"] == {"ttft": kept, "first": 0, "cut": 0, "last": 0}
    assert [test["name"] for test in plan["tests"]] == ["ttft", "first", "cut", "last"]
    assert plan["tests"][0]["requests"] == 2 * (BLOCKS - kept + 1)


def test_another_version_of_a_service_is_refused(story: Story) -> None:
    assert story.refused.code == 2
    assert story.refused.errors[0].startswith("Error: vllm is not what was measured: its version was 0.0.1 and is ")


def test_the_end_is_a_whole_run(story: Story) -> None:
    assert story.done.code == 4, story.done.said()  # the gate that was given with --resume
    assert json.loads(story.done.out)["test_id"] == story.folder.name
    manifest = read_json(story.folder / "test_manifest.json")
    assert manifest["status"] == "complete"
    assert not (story.folder / "journal").exists()
    runs = {name: test["run"] for name, test in manifest["design"]["tests"].items()}
    assert runs == {"ttft": BLOCKS, "first": 2, "cut": 2, "last": 2}
    for test in ("first", "cut", "last"):
        for name in BOTH:
            windows = manifest["windows"][test][name]
            assert [(window["round"], window["cut"]) for window in windows] == [(0, False), (1, False)]
    for test in read_json(story.folder / "summary.json")["tests"]:
        for name in BOTH:
            counted = [row for row in of(story.rows, test["name"], name) if row["in_window"]]
            assert test["services"][name]["requests"]["ok"] == len(counted) > 0


def of(rows: list[Row], test: str, service: str) -> list[Row]:
    return [row for row in rows if row["test"] == test and row["service"] == service and not row["warmup"]]


def test_every_block_and_round_is_there_once(story: Story) -> None:
    assert all(row["ok"] for row in story.rows)
    for name in BOTH:
        assert sorted(row["block"] for row in of(story.rows, "ttft", name)) == list(range(BLOCKS))
        assert Counter(row["round"] for row in of(story.rows, "first", name)) == {0: 2, 1: 2}
        assert Counter(row["round"] for row in of(story.rows, "last", name)) == {0: 1, 1: 1}
    numbers = [row["seq"] for row in story.rows]
    assert len(set(numbers)) == len({row["request_id"] for row in story.rows}) == len(numbers)
    served = {record.request_id: record for record in story.truth}
    assert all(row["output_tokens"] == served[row["request_id"]].tokens for row in story.rows)


def test_orders_and_times_are_those_of_the_plan(story: Story) -> None:
    order = unpack_order(read_json(story.folder / "test_manifest.json")["design"]["tests"]["ttft"]["order"])
    single = sorted((row for row in story.rows if row["block"] is not None), key=lambda row: row["sent_ns"])
    assert [(row["block"], row["service"]) for row in single] == [
        (number, BOTH[place]) for number, places in enumerate(order) for place in places
    ]
    plan = plan_load(LoadTestSettings.model_validate(CUT), len(BOTH), SEED)
    begun: dict[tuple[int, str], int] = {}
    for number in (0, 1):
        for name in BOTH:
            made = sorted(row["intended_ns"] for row in of(story.rows, "cut", name) if row["round"] == number)
            assert np.diff(made).tolist() == np.diff(plan.offsets[number]).tolist()
            begun[number, name] = made[0]
    assert sorted(begun, key=begun.__getitem__) == [(0, "vllm"), (0, "tgi"), (1, "tgi"), (1, "vllm")]


def test_what_was_whole_is_kept_and_what_was_cut_is_measured_anew(story: Story) -> None:
    first, second = read_json(story.folder / "test_manifest.json")["resumed"]
    blocks = first["cut"]["ttft"]
    assert first["cut"] == {"ttft": blocks}
    kept = [row for row in story.rows_stopped if row["block"] is None or row["block"] < blocks]
    assert first["after_requests"] == len(kept)
    assert first["removed_requests"] == len(story.rows_stopped) - len(kept)
    ids = {row["request_id"] for row in story.rows}
    assert {row["request_id"] for row in kept} <= ids

    assert second["cut"] == {"cut": 1}
    stay = [row for row in story.rows_killed if row["test"] != "cut" or row["round"] == 0]
    assert second["after_requests"] == len(stay)
    assert [row for row in story.rows if row["seq"] < second["first_seq"]] == stay
    gone = {row["request_id"] for row in story.rows_killed if row["test"] == "cut" and row["round"] == 1}
    assert gone
    assert not gone & ids
    notes = " ".join(read_json(story.folder / "test_manifest.json")["notes"])
    assert f"measured anew, {len(gone):,} of its requests removed (cut from round 2 on)" in notes


def test_the_parts_lie_one_after_the_other_on_one_clock(story: Story) -> None:
    _, second = read_json(story.folder / "test_manifest.json")["resumed"]
    assert second["shifted_ns"] != 0
    earlier = [row["end_ns"] for row in story.rows if row["seq"] < second["first_seq"]]
    later = [row["sent_ns"] for row in story.rows if row["seq"] >= second["first_seq"]]
    assert max(earlier) < second["began_ns"] < min(later)
    workers = {row["worker"] for row in story.rows if row["seq"] >= second["first_seq"]}
    assert min(workers) == second["first_worker"] > 0
