"""Our own command, run on one load test, and what it wrote."""

import json
import signal
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from harness import ROOT
from watched import Cost, run_watched


@dataclass(frozen=True, slots=True)
class Run:
    """One run of our command."""

    folder: Path
    cost: Cost

    @property
    def test(self) -> dict[str, Any]:
        """Its only test, of summary.json."""
        summary = json.loads((self.folder / "summary.json").read_text())
        (test,) = summary["tests"]
        found: dict[str, Any] = test
        return found

    @property
    def service(self) -> dict[str, Any]:
        """Its only service there."""
        (found,) = self.test["services"].values()
        service: dict[str, Any] = found
        return service

    @property
    def verdict(self) -> str:
        """valid, suspect or invalid."""
        return str(self.test["validity"]["verdict"])

    @property
    def reasons(self) -> list[str]:
        """What it says of it, without the service's name."""
        return [str(reason).removeprefix("openai: ") for reason in self.test["validity"]["reasons"]]

    def columns(self, *names: str) -> dict[str, Any]:
        """Return columns of the good requests in the steady window, as lists."""
        table = pq.read_table(self.folder / "requests.parquet", columns=[*names, "ok", "in_window"])
        flags = (table.column(name).to_pylist() for name in ("ok", "in_window"))
        table = table.filter(pa.array([bool(ok and inside) for ok, inside in zip(*flags, strict=True)]))
        return {name: table.column(name).to_pylist() for name in names}


def run_ours(
    url: str,
    load: Mapping[str, object],
    *,
    folder: Path,
    memory: bool = False,
    options: tuple[str, ...] = (),
    started: Callable[[int], None] | None = None,
) -> Run:
    """Run `benchmark` with one load test; RuntimeError when it leaves no summary."""
    number = len(list(folder.glob("run*.yaml")))
    place = folder / f"results{number}"
    test = {"name": "load", "rounds": 1, "warmup_requests": 0, **load}
    settings = {"ttft_test": {"enabled": False}, "output": {"directory": str(place)}, "load_tests": [test]}
    config = folder / f"run{number}.yaml"
    config.write_text(yaml.safe_dump(settings))
    command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "--quiet", "benchmark", "-c", str(config), "--yes"]
    command += ["--url", f"openai={url}", *options]
    cost = run_watched(command, memory=memory, log=folder / f"run{number}.log", started=started)
    runs = list(place.glob("test_*"))
    if not runs or not (runs[0] / "summary.json").exists():
        raise RuntimeError(f"the run failed with {cost.exit_code}: {cost.output[-2000:]}")
    return Run(runs[0], cost)


def processes_of(pid: int, module: str) -> list[psutil.Process]:
    """Return the descendants that run a module of ours, such as `testing.worker`."""
    found = []
    for process in psutil.Process(pid).children(recursive=True):
        try:
            if f"inference_bench.{module}" in process.cmdline():
                found.append(process)
        except psutil.Error:
            continue
    return found


def stop_for(processes: list[psutil.Process], seconds: float, wait: Callable[[float], None]) -> None:
    """Stop processes for a while, as a machine that has no time for them would."""
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        wait(seconds)
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)
