"""A worker that must share its core with somebody busy: the verdict says that it waited for a CPU."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
from front_door import journal_of, read_json, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

RIVALS = 3
BUSY = """
import os, sys, threading
threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0))).start()  # it ends with the test, whatever happens
while True:
    pass
"""


def test_a_busy_core_makes_the_run_invalid_for_that_reason(tmp_path: Path) -> None:
    load = users("crowded", 24, duration_seconds=3, ramp_up_seconds=0.3, max_tokens=40)
    write_config(tmp_path / "c.yaml", load_tests=[load], output={"generate_charts": False, "generate_report": False})
    core = min(os.sched_getaffinity(0))
    with (
        SimulatorProcess(["vllm,ttft-ms=30,itl-ms=5"]) as simulator,
        start("benchmark", "-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", "--strict", cwd=tmp_path) as run,
    ):
        worker = run.child("inference_bench.testing.worker")
        run.until(lambda: journal_of(run.folder()), "an answer in the journal")
        rivals = [subprocess.Popen([sys.executable, "-c", BUSY], stdin=subprocess.PIPE) for _ in range(RIVALS)]
        try:
            for pid in (worker.pid, *(rival.pid for rival in rivals)):
                psutil.Process(pid).cpu_affinity([core])
            done = run.finish()
        finally:
            for rival in rivals:
                rival.kill()
                rival.communicate()
    assert done.code == 5, done.said()
    validity = read_json(run.folder() / "summary.json")["tests"][0]["services"]["vllm"]["validity"]
    assert validity["verdict"] == "invalid"
    assert any("workers waited for a CPU" in reason for reason in validity["reasons"])
    levels = {sign["sign"]: sign["level"] for sign in validity["signs"]}
    assert levels["worker_wait"] == "invalid"
    assert levels["send_lag"] is None  # a closed loop has none
