"""A service that dies or hangs in the middle of a search for its capacity: the search ends, and says why."""

import os
import signal
from pathlib import Path

from front_door import read_json, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

PROMISE = {"per_request": {"ttft_ms": 2000}, "attainment": 0.5}
PATIENCE_SECONDS = 1
COMMAND = ("benchmark", "-c", "c.yaml", "--find-capacity", "--url")


def configured(cwd: Path) -> None:
    chat = users("chat", 2, duration_seconds=0.4, max_tokens=4)
    timeouts = {"timeout_seconds": PATIENCE_SECONDS, "idle_timeout_seconds": PATIENCE_SECONDS}
    output = {"generate_charts": False, "generate_report": False}
    write_config(cwd / "c.yaml", slo=PROMISE, load_tests=[chat], services=timeouts, output=output)


def test_a_service_that_dies_ends_its_search_and_is_not_called_slow(tmp_path: Path) -> None:
    configured(tmp_path)
    with (
        SimulatorProcess(["vllm,ttft-ms=10,itl-ms=5"]) as simulator,
        start(*COMMAND, f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as run,
    ):
        run.wait_for_line("vllm at 2 users: ")
        os.kill(simulator.pid, signal.SIGKILL)
        done = run.finish()
        assert run.left_behind() == []
    assert done.code == 0, done.said()
    assert read_json(run.folder() / "test_manifest.json")["status"] == "complete"
    (facts,) = read_json(run.folder() / "summary.json")["capacity"]
    assert facts["complete"]
    gone = [probe for probe in facts["services"]["vllm"]["probes"] if probe["unreachable"]]
    assert len(gone) == 3, done.said()
    assert all(probe["kept"] is None and probe["why"][0].endswith("requests failed: connect") for probe in gone)
    assert facts["services"]["vllm"]["limited_by"].startswith("the service could not be reached at ")
    assert "says nothing, the service could not be reached: " in done.err
    assert "not even" not in done.out


def test_a_service_that_hangs_breaks_a_probe_in_bounded_time_and_ctrl_c_keeps_what_was_found(tmp_path: Path) -> None:
    configured(tmp_path)
    with (
        SimulatorProcess(["vllm,ttft-ms=10,itl-ms=5"]) as simulator,
        start(*COMMAND, f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as run,
    ):
        run.wait_for_line("vllm at 2 users: ")
        os.kill(simulator.pid, signal.SIGSTOP)
        try:
            run.wait_for_line("requests failed: timeout")
            run.signal(signal.SIGINT)
            done = run.finish()
        finally:
            os.kill(simulator.pid, signal.SIGCONT)
        assert run.left_behind() == []
    assert done.code == 130, done.said()
    assert read_json(run.folder() / "test_manifest.json")["status"] == "partial"
    (facts,) = read_json(run.folder() / "summary.json")["capacity"]
    assert not facts["complete"]
    assert facts["services"]["vllm"]["probes"][0]["load"] == 2
