"""A process of ours dies in the middle of a run: one clear line, exit code 1, and what was measured is kept."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import answers, journal_of, read_json, requests_of, run, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

# A worker that can hand on no more ends too: either may be the one that is missed first.
ENDED = ("Error: worker 0 ended in the middle of the run", "Error: the decoder ended in the middle of the run")


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatorProcess(["vllm,ttft-ms=60,itl-ms=20"]) as simulator:
        yield simulator.urls["vllm"]


@pytest.mark.parametrize("who", ["worker", "decoder"])
def test_a_killed_process_ends_the_run_with_1_and_loses_nothing_that_was_kept(
    url: str, tmp_path: Path, who: str
) -> None:
    load = [users("short", 2, duration_seconds=1), users("long", 3, duration_seconds=30)]
    write_config(tmp_path / "c.yaml", load_tests=load)
    with start("benchmark", "-c", "c.yaml", "--url", f"vllm={url}", cwd=tmp_path) as running:
        victim = running.child(f"inference_bench.testing.{who}")
        running.wait_for_line("long: vllm, round 1")
        running.until(lambda: len(in_long(journal_of(running.folder()))) > 3, "answers in the journal")
        victim.kill()
        held = {row["request_id"] for row in journal_of(running.folder())}
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 1, done.said()
    (error,) = done.errors
    assert error.startswith(ENDED[:1] if who == "worker" else ENDED)
    assert "Traceback" not in done.err
    folder = running.folder()
    assert read_json(folder / "test_manifest.json")["status"] == "failed"
    assert not (folder / "journal").exists()
    rows = requests_of(folder)
    assert held <= {row["request_id"] for row in rows}
    # The turn that was cut has its figures, and says how much of its window is missing.
    short, long = (test["services"]["vllm"] for test in read_json(folder / "summary.json")["tests"])
    assert short["requests"]["ok"] == sum(row["in_window"] for row in rows if row["test"] == "short")
    assert long["requests"]["ok"] == sum(bool(row["in_window"] and row["ok"]) for row in in_long(rows)) > 3
    assert long["validity"]["verdict"] == "invalid"
    assert any("steady window" in reason for reason in long["validity"]["reasons"])
    recovered = run("results", "recover", folder.name, cwd=tmp_path)
    assert recovered.out == f"{folder.name}: failed, {len(rows)} requests in requests.parquet\n"


def in_long(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return [row for row in rows if row["test"] == "long"]


def test_a_worker_killed_before_anything_is_measured(url: str, tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, duration_seconds=30)])
    with start("benchmark", "-c", "c.yaml", "--url", f"vllm={url}", cwd=tmp_path) as running:
        running.child("inference_bench.testing.worker").kill()
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 1, done.said()
    assert len(done.errors) == 1
    assert done.errors[0].startswith("Error: worker 0 ended")
    assert "Traceback" not in done.err
    assert read_json(running.folder() / "test_manifest.json")["status"] == "failed"
    assert run("results", cwd=tmp_path).code == 0


def test_a_simulator_of_our_own_that_dies_is_a_dead_service(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, duration_seconds=1)])
    with start("benchmark", "-c", "c.yaml", "--simulate", cwd=tmp_path) as running:
        simulator = running.child("inference_bench.simulator")
        running.until(lambda: answers(running.folder(), "vllm") > 0, "an answer in the journal")
        simulator.kill()
        done = running.finish()
        assert running.left_behind() == []
    # Those whose turn had not come answered nothing at all.
    assert done.code == 3, done.said()
    (error,) = done.errors
    assert "answered not a single request (connect: connection refused)" in error
    services = read_json(running.folder() / "summary.json")["tests"][0]["services"]
    assert services["vllm"]["requests"]["ok"] > 0
