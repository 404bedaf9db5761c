"""Ctrl-C and SIGTERM in the middle of a run: it ends soon, with 130, and keeps what it has."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import Running, answers, journal_of, read_json, requests_of, run, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

TTFT = {"iterations": 2, "warmup_requests": 0, "max_tokens": 3}
SECONDS = 30  # far longer than the test waits: the end is the signal's doing
GOOD = 9


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatorProcess(["vllm,ttft-ms=80,itl-ms=30"]) as simulator:
        yield simulator.urls["vllm"]


def begin(url: str, cwd: Path) -> Running:
    """Start a long run and wait until it has measured something of its load test."""
    write_config(cwd / "c.yaml", ttft_test=TTFT, load_tests=[users("load", 3, duration_seconds=SECONDS)])
    running = start("benchmark", "-c", "c.yaml", "--url", f"vllm={url}", cwd=cwd)
    running.until(lambda: answers(running.folder(), "vllm") >= GOOD, "answers in the journal")
    return running


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_run_with_130_and_keeps_what_was_measured(
    url: str, tmp_path: Path, number: signal.Signals
) -> None:
    with begin(url, tmp_path) as running:
        running.signal(number)
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 130, done.said()
    assert done.errors == ["Error: interrupted; what was measured until then is saved"]
    assert "Traceback" not in done.err
    folder = running.folder()
    assert not (folder / "journal").exists()
    assert read_json(folder / "test_manifest.json")["status"] == "partial"
    rows = requests_of(folder)
    interrupted = [row for row in rows if row["error_class"] == "interrupted"]
    assert 1 <= len(interrupted) <= 3  # a user whose answer came in that very moment has nothing in flight
    assert all(row["ok"] or row in interrupted for row in rows)
    ttft, load = (test["services"]["vllm"] for test in read_json(folder / "summary.json")["tests"])
    assert ttft["requests"]["ok"] == 2
    counted = [row for row in rows if row["test"] == "load" and row["in_window"]]
    good = sum(row["ok"] for row in counted)
    assert good + ttft["requests"]["ok"] >= GOOD
    assert load["requests"] == {
        "sent": len(counted),
        "ok": good,
        "failed": 0,
        "interrupted": len(counted) - good,
        "success_rate": 1.0,
        "errors": {},
    }
    assert load["validity"]["verdict"] == "invalid"  # far from the window asked for
    assert 0 < load["window_s"] < SECONDS / 2
    assert "partial" in done.out


def test_a_second_signal_ends_it_at_once_and_the_journal_can_be_recovered(url: str, tmp_path: Path) -> None:
    with begin(url, tmp_path) as running:
        held = len(journal_of(running.folder()))
        running.signal(signal.SIGINT)
        running.wait_for_line("once more: at once")
        running.signal(signal.SIGINT)
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 130, done.said()
    assert len(done.errors) == 1
    assert "Traceback" not in done.err
    folder = running.folder()
    # Whichever was faster, the saving or the second signal: nothing is lost, and recovering is never wrong.
    recovered = run("results", "recover", folder.name, cwd=tmp_path)
    assert recovered.code == 0, recovered.said()
    assert f"{folder.name}: partial" in recovered.out
    assert not (folder / "journal").exists()
    assert len(requests_of(folder)) >= held
    load = read_json(folder / "summary.json")["tests"][1]["services"]["vllm"]
    assert load["requests"]["ok"] >= held - 2 - 3


def test_a_signal_before_anything_is_measured_is_130_too(url: str, tmp_path: Path) -> None:
    """While services are looked for: a server that takes connections and says nothing holds that up."""
    write_config(tmp_path / "c.yaml", ttft_test=TTFT)
    silent = SimulatorProcess(["vllm,fault=slow-first-byte:60"], options=["--faults-everywhere"])
    with silent, start("benchmark", "-c", "c.yaml", "--url", f"vllm={silent.urls['vllm']}", cwd=tmp_path) as running:
        running.wait_for_line("Configuration: c.yaml")
        running.until(lambda: running.connected_to(silent.urls["vllm"]), "a connection to the silent server")
        running.signal(signal.SIGINT)
        running.wait_for_line("once more: at once")
        running.signal(signal.SIGINT)
        done = running.finish()
    assert done.code == 130, done.said()
    assert done.errors == ["Error: interrupted"]
    assert not (tmp_path / "results").exists()
