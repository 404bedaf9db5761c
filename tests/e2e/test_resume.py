"""An interrupted run goes on: what is whole is kept, what was cut is measured anew, nothing is lost or counted twice."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import Row, answers, benchmark, only_folder, read_json, requests_of, run, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

TTFT = {"iterations": 3, "warmup_requests": 1, "max_tokens": 3}


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with SimulatorProcess(["vllm,ttft-ms=20,itl-ms=5", "tgi,ttft-ms=20,itl-ms=5"]) as simulator:
        yield ["--url", f"vllm={simulator.urls['vllm']}", "--url", f"tgi={simulator.urls['tgi']}"]


def matrix(cwd: Path) -> None:
    """Write a TTFT test, a short load test, one of two long rounds, and a last one that is reached only later."""
    load = [
        users("first", 2, requests=4, rounds=2, warmup_requests=1),
        users("cut", 2, duration_seconds=2, rounds=2),
        users("last", 1, requests=2, rounds=2),
    ]
    write_config(cwd / "c.yaml", ttft_test=TTFT, load_tests=load)


def rounds_of(rows: list[Row], test: str) -> Counter[tuple[str, int]]:
    return Counter((row["service"], row["round"]) for row in rows if row["test"] == test and not row["warmup"])


def in_test(folder: Path, test: str, at_least: int) -> bool:
    from front_door import journal_of  # noqa: PLC0415

    return sum(row["test"] == test for row in journal_of(folder)) >= at_least


def cut_off(urls: list[str], cwd: Path, *, everyone: bool) -> Path:
    """Begin the matrix and kill it in its third test."""
    matrix(cwd)
    with start("benchmark", "-c", "c.yaml", *urls, cwd=cwd) as running:
        folder = running.folder()
        running.until(lambda: in_test(folder, "cut", 3), "answers of the third test")
        victims = [running.pid]
        if everyone:
            victims += [running.child(f"inference_bench.testing.{who}").pid for who in ("decoder", "worker")]
        for pid in victims:
            os.kill(pid, signal.SIGKILL)
        running.finish()
        assert running.left_behind() == []
    return folder


def check_whole(folder: Path) -> list[Row]:
    """Check that a matrix that went on is whole, and return its requests."""
    manifest = read_json(folder / "test_manifest.json")
    assert manifest["status"] == "complete"
    assert not (folder / "journal").exists()
    rows = requests_of(folder)
    numbers = [row["seq"] for row in rows]
    assert len(set(numbers)) == len(numbers)
    assert len({row["request_id"] for row in rows}) == len(rows)
    assert all(row["ok"] for row in rows)
    both = ("vllm", "tgi")
    for test in ("first", "cut", "last"):
        assert set(rounds_of(rows, test)) == {(name, number) for name in both for number in (0, 1)}
        for name in both:
            windows = manifest["windows"][test][name]
            assert [window["round"] for window in windows] == [0, 1]
    assert all(count == 2 for count in rounds_of(rows, "first").values())
    blocks = Counter((row["service"], row["block"]) for row in rows if row["test"] == "ttft" and not row["warmup"])
    assert blocks == {(name, block): 1 for name in both for block in range(3)}
    assert {name: test["run"] for name, test in manifest["design"]["tests"].items()} == {
        "ttft": 3,
        "first": 2,
        "cut": 2,
        "last": 2,
    }
    summary = read_json(folder / "summary.json")
    for test in summary["tests"]:
        for name in both:
            counted = [r for r in rows if r["test"] == test["name"] and r["service"] == name and r["in_window"]]
            assert test["services"][name]["requests"]["ok"] == len(counted) > 0
    assert {row["test"] for row in rows} == {"ttft", "first", "cut", "last"}
    return rows


@pytest.mark.parametrize("everyone", [False, True], ids=["the command", "all processes"])
def test_a_killed_matrix_goes_on_where_it_stopped(urls: list[str], tmp_path: Path, everyone: bool) -> None:
    folder = cut_off(urls, tmp_path, everyone=everyone)
    before = {row["request_id"] for row in (run_recovered(folder, tmp_path))}
    kept_tests = [row for row in requests_of(folder) if row["test"] in {"ttft", "first"}]

    shown = benchmark("--resume", folder.name, "--dry-run", cwd=tmp_path)
    assert shown.code == 0, shown.said()
    assert "ttft 3 of 3 blocks; first 2 of 2 rounds; cut 0 of 2 rounds; last 0 of 2 rounds" in shown.out
    assert read_json(folder / "test_manifest.json")["status"] == "partial"

    done = benchmark("--resume", folder.name, cwd=tmp_path)
    assert done.code == 0, done.said()
    assert only_folder(tmp_path) == folder
    rows = check_whole(folder)
    assert [row for row in rows if row["test"] in {"ttft", "first"}] == kept_tests
    cut = [row for row in rows if row["test"] == "cut"]
    assert not {row["request_id"] for row in cut} & before  # measured anew, all of it
    (resumed,) = read_json(folder / "test_manifest.json")["resumed"]
    assert resumed["cut"] == {"cut": 0}
    assert resumed["after_requests"] == len(kept_tests)
    assert resumed["removed_requests"] == len(before) - len(kept_tests)
    assert resumed["shifted_ns"] == 0
    again = benchmark("--resume", folder.name, cwd=tmp_path)
    assert again.code == 2
    assert again.errors == [f"Error: {folder.name} is complete: nothing of it is left to measure"]


def run_recovered(folder: Path, cwd: Path) -> list[Row]:
    """Rescue a killed run, as somebody may before it goes on; it is told how."""
    recovered = run("results", "recover", folder.name, cwd=cwd)
    assert recovered.code == 0, recovered.said()
    assert f"vllm-benchmark benchmark --resume {folder.name}" in recovered.err
    return requests_of(folder)
