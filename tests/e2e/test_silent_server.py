"""A server that stands still for a second: a closed loop says what it did not see, an open loop has both TTFTs."""

import os
import signal
import time
from functools import partial
from pathlib import Path

from front_door import Running, journal_of, read_json, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

STOPPED_SECONDS = 1.0


def answered(run: Running, test: str) -> bool:
    return bool(sum(row["test"] == test for row in journal_of(run.folder())) > 12)


def test_a_pause_is_told_by_the_closed_loop_and_seen_by_the_open_one(tmp_path: Path) -> None:
    # Long enough that a busy machine still has a second left when the first answers have been seen in the journal.
    closed = users("closed", 6, duration_seconds=5, ramp_up_seconds=0.3, max_tokens=12)
    opened = {"name": "open", "rate": 25.0, "arrivals": "constant", "duration_seconds": 3}
    opened |= {"rounds": 1, "warmup_requests": 0, "max_tokens": 12}
    output = {"generate_charts": False, "generate_report": False}
    write_config(tmp_path / "c.yaml", load_tests=[closed, opened], output=output)
    with (
        SimulatorProcess(["vllm,ttft-ms=60,itl-ms=20"]) as simulator,
        start("benchmark", "-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as run,
    ):
        for test in ("closed", "open"):
            run.until(partial(answered, run, test), f"answers of {test}")
            os.kill(simulator.pid, signal.SIGSTOP)
            time.sleep(STOPPED_SECONDS)
            os.kill(simulator.pid, signal.SIGCONT)
        done = run.finish()
    assert done.code == 0, done.said()
    tests = {test["name"]: test["services"]["vllm"] for test in read_json(run.folder() / "summary.json")["tests"]}

    # Every request that was due in that second was sent, and waited: no note, both TTFTs show it.
    assert (tests["open"]["omission"], tests["open"]["notes"]) == (None, [])
    for metric in ("ttft_ms", "ttft_intended_ms"):
        assert tests["open"]["metrics"][metric]["n"] == 75
        assert tests["open"]["metrics"][metric]["p95"] > 600

    omission = tests["closed"]["omission"]
    stalls = [sign["value"] for sign in tests["closed"]["validity"]["signs"] if sign["sign"] == "stall"]
    if max(stalls) < 500:  # a machine so busy that the client stood still as well cannot tell the server's silence
        assert omission is not None, tests["closed"]
    if omission is None:
        return
    assert omission["unsent"] >= 10
    longest = max(omission["silences"], key=lambda one: one["seconds"])
    assert longest["users"] == 6
    assert longest["seconds"] > 0.9 * STOPPED_SECONDS
    assert tests["closed"]["notes"] == [omission["text"]]
    assert f"Note: vllm: {omission['text']}" in " ".join(done.out.split())
    assert tests["closed"]["phases"]["ramp"] >= 1
    assert tests["closed"]["metrics"]["ttft_intended_ms"]["n"] == 0
