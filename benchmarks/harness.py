"""What the benchmark scripts share: a simulated engine of known timing, our command run on it, and its truth log."""

import contextlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import psutil
import pyarrow.parquet as pq

from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord, read_truth

ROOT = Path(__file__).resolve().parent.parent
MODEL = "simulated-model"


@dataclass(frozen=True, slots=True)
class Engine:
    """A running simulated engine."""

    url: str
    pid: int
    log: Path

    def truth(self) -> dict[str, TruthRecord]:
        """Return what it really did, by request id; call it after the engine has ended."""
        return {record.request_id: record for record in read_truth(self.log)}


@contextlib.contextmanager
def engine(*, ttft_ms: float, itl_ms: float, folder: Path, engine_name: str = "vllm") -> Iterator[Engine]:
    """Run one simulated engine with exact timing; the truth log is whole when the block is over."""
    log = folder / f"truth-{engine_name}-{time.monotonic_ns()}.jsonl"
    serve = f"{engine_name},ttft-ms={ttft_ms:g},itl-ms={itl_ms:g},model={MODEL}"
    with SimulatorProcess([serve], truth_log=log) as simulator:
        yield Engine(simulator.urls[engine_name], simulator.pid, log)


@dataclass(frozen=True, slots=True)
class Ours:
    """One run of our command: its folder, what it cost (user + system of all its processes), its exit code."""

    folder: Path
    cpu_seconds: float
    peak_pss_mib: float
    exit_code: int

    @property
    def summary(self) -> dict[str, object]:
        """Return summary.json."""
        loaded: dict[str, object] = json.loads((self.folder / "summary.json").read_text())
        return loaded

    @property
    def chunks(self) -> int:
        """Text chunks that were kept."""
        return int(pq.read_metadata(self.folder / "chunks.parquet").num_rows)


def run_ours(
    url: str,
    *,
    folder: Path,
    users: int,
    tokens: int,
    ramp: float,
    seconds: float | None = None,
    requests: int | None = None,
    engine_name: str = "vllm",
    watch_memory: bool = False,
) -> Ours:
    """Run `benchmark --load-only` with one closed-loop test; raises RuntimeError when it fails."""
    length = f"duration_seconds: {seconds}" if seconds is not None else f"requests: {requests}"
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=folder, delete=False) as file:
        file.write(
            "ttft_test: {enabled: false}\n"
            f"output: {{directory: {folder / 'results'}}}\n"
            f"load_tests: [{{name: load, concurrent_users: {users}, {length}, ramp_up_seconds: {ramp}, rounds: 1,"
            f" warmup_requests: 0, max_tokens: {tokens}}}]\n"
        )
    command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "benchmark", "-c", file.name, "--yes", "--quiet"]
    process = subprocess.Popen([*command, "--url", f"{engine_name}={url}"], stdout=subprocess.PIPE, text=True)
    memory = MemoryWatch(process.pid) if watch_memory else None
    output = process.stdout.read() if process.stdout is not None else ""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    peak = memory.stop() if memory is not None else 0.0
    runs = sorted((folder / "results").glob("test_*"), key=lambda path: path.stat().st_mtime)
    if process.returncode != 0 or not runs:
        raise RuntimeError(f"the run failed with {process.returncode}: {output[-2000:]}")
    return Ours(runs[-1], usage.ru_utime + usage.ru_stime, peak, process.returncode)


class MemoryWatch:
    """Samples the summed PSS of a process and all its descendants, twice a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._peak = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._done.wait(0.5):
            with contextlib.suppress(psutil.Error):
                parent = psutil.Process(self._pid)
                total = 0
                for process in [parent, *parent.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        total += process.memory_full_info().pss
                self._peak = max(self._peak, total / 2**20)

    def stop(self) -> float:
        """Return the peak in MiB."""
        self._done.set()
        self._thread.join()
        return self._peak


@dataclass(frozen=True, slots=True)
class Aiohttp:
    """One run of the aiohttp client."""

    cpu_seconds: float
    chunks: int
    rows: list[list[object]]


def run_aiohttp(url: str, *, users: int, tokens: int, ramp: float, seconds: float) -> Aiohttp:
    """Run the ordinary client on the same load."""
    arguments = ["--users", str(users), "--tokens", str(tokens), "--ramp", str(ramp), "--seconds", str(seconds)]
    script = str(ROOT / "benchmarks" / "aiohttp_client.py")
    done = subprocess.run(
        [sys.executable, script, "--url", f"{url}/v1/chat/completions", "--model", MODEL, *arguments],
        check=True,
        capture_output=True,
        text=True,
    )
    result = json.loads(done.stdout)
    return Aiohttp(result["cpu_seconds"], result["chunks"], result["rows"])


def quantiles(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return p50 and p99."""
    return float(np.percentile(values, 50)), float(np.percentile(values, 99))


def machine() -> str:
    """Return a line about this machine."""
    model = "unknown CPU"
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    python = ".".join(map(str, sys.version_info[:3]))
    return f"{model}, {os.cpu_count()} cores, Python {python}, {os.uname().sysname} {os.uname().release}"


def more_files() -> None:
    """Raise the soft limit on open files: the scripts open a connection per stream."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
