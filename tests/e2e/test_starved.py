"""Starved on purpose: a worker stopped for a second turns the verdict, with the reason; left alone, it does not."""

import re
import signal
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow.parquet as pq
from front_door import journal_of, read_json, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

STOPPED_SECONDS = 1.2
SECOND = 1_000_000_000
TICK_SECONDS = 0.005
CALM_SHARE = 0.003


class Witness(threading.Thread):
    """Another process of the same machine that wants to run every few milliseconds: was it let?"""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._over = threading.Event()
        self.late: list[tuple[int, int]] = []

    def run(self) -> None:
        due = time.monotonic_ns()
        while not self._over.wait(max(0.0, (due - time.monotonic_ns()) / SECOND)):
            now = time.monotonic_ns()
            self.late.append((now, now - due))
            due = now + int(TICK_SECONDS * SECOND)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self.join()

    def late_share(self, start: int, end: int) -> float:
        """Return the share of a stretch by which it was late, lateness of a timer's own grain left out."""
        return sum(late for at, late in self.late if start <= at < end and late > 1_000_000) / (end - start)


def window_of(manifest: Any, test: str) -> tuple[int, int]:
    (window,) = manifest["windows"][test]["vllm"]
    return window["start_ns"], window["end_ns"]


def waited_share(folder: Path, start: int, end: int) -> float:
    """Return the share of a window in which Linux says that the worker was ready to run and had no CPU."""
    samples = sorted(pq.read_table(folder / "worker_samples.parquet").to_pylist(), key=lambda row: int(row["at_ns"]))
    before = [row for row in samples if row["at_ns"] <= start][-1]
    after = next((row for row in samples if row["at_ns"] >= end), samples[-1])
    return float(after["wait_ns"] - before["wait_ns"]) / (end - start)


def stall_ms(reasons: list[str]) -> int:
    """Return the stall that the reasons speak of, in ms; 0 when of none."""
    found = [re.search(r"could not run for (\d+) ms at a stretch", reason) for reason in reasons]
    return max((int(match[1]) for match in found if match), default=0)


def test_a_stopped_worker_turns_the_verdict_and_an_undisturbed_test_of_the_same_run_stands(tmp_path: Path) -> None:
    tests = [users("stopped", 3, duration_seconds=4), users("undisturbed", 3, duration_seconds=3)]
    write_config(tmp_path / "c.yaml", load_tests=tests)
    # Tokens far apart: one read late by a busy machine's doing is no merged read yet.
    with (
        SimulatorProcess(["vllm,ttft-ms=80,itl-ms=40"]) as simulator,
        Witness() as witness,
        start("benchmark", "-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", "--strict", cwd=tmp_path) as run,
    ):
        worker = run.child("inference_bench.testing.worker")
        run.until(lambda: journal_of(run.folder()), "an answer in the journal")
        worker.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_SECONDS)
        worker.send_signal(signal.SIGCONT)
        done = run.finish()
        assert run.left_behind() == []
    assert done.code == 5, done.said()
    (error,) = done.errors
    assert error.startswith("Error: the run is invalid: stopped")
    assert re.search(r"^INVALID", done.out, re.MULTILINE)  # the banner
    assert "could not run for" in done.out

    manifest = read_json(run.folder() / "test_manifest.json")
    assert manifest["status"] == "complete"
    services = {test["name"]: test["services"]["vllm"] for test in read_json(run.folder() / "summary.json")["tests"]}
    assert all(service["requests"]["failed"] == 0 for service in services.values())
    stopped, undisturbed = (services[name]["validity"] for name in ("stopped", "undisturbed"))
    assert stopped["verdict"] == "invalid"
    assert stall_ms(stopped["reasons"]) >= STOPPED_SECONDS * 1000 - 50

    # The stop must not reach into the next test. Beyond that, what a busy machine does to this test is the machine's:
    # it is held to `valid` when Linux and a witness both say that whoever wanted to run could.
    assert stall_ms(undisturbed["reasons"]) < 1000
    window = window_of(manifest, "undisturbed")
    if waited_share(run.folder(), *window) < CALM_SHARE and witness.late_share(*window) < CALM_SHARE:
        reasons = [reason for reason in undisturbed["reasons"] if "wall clock" not in reason]
        assert reasons == []
