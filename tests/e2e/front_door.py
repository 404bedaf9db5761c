"""The real command in a process of its own, and what it leaves behind: run folders, children, truth logs.

Nothing here asserts; waiting is for events (a line, a process, a file), with a generous end, never for a duration.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Self, TypeVar

import psutil
import pyarrow.parquet as pq

from inference_bench.results.journal import read_journal
from inference_bench.simulator.truth import TruthRecord, read_truth

LAUNCHER = Path(__file__).parents[2] / "vllm_benchmark.py"
PATIENCE = 60.0  # seconds until a test gives up; a busy machine may need many of them
Row = dict[str, Any]
Found = TypeVar("Found")


def environment(**extra: str) -> dict[str, str]:
    """Return a plain environment: no configuration, no colours, no proxies of the caller's."""
    unwanted = ("VLLM_BENCHMARK", "NO_COLOR", "FORCE_COLOR", "LINES", "http_proxy", "https_proxy", "all_proxy")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(unwanted)}
    return {**kept, "COLUMNS": "100", **extra}


def write_config(path: Path, *, name: str = "small", seed: int = 3, **sections: object) -> Path:
    """Write a configuration: the given sections; no TTFT test and no load test unless they are among them."""
    everything: dict[str, object] = {
        "benchmark": {"name": name, "seed": seed},
        "ttft_test": {"enabled": False},
        "load_tests": [],
        **sections,
    }
    path.write_text(json.dumps(everything, indent=1))  # JSON is YAML
    return path


def users(name: str, count: int, **more: object) -> dict[str, object]:
    """Return a closed-loop test of short answers, one round, no ramp, no warm-up unless told otherwise."""
    return {"name": name, "concurrent_users": count, "rounds": 1, "warmup_requests": 0, "max_tokens": 8, **more}


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        """The lines that say what went wrong."""
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]

    def said(self) -> str:
        """Everything, for the message of a failed assertion."""
        return f"exit code {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


@dataclass
class Running:
    """A command that is running. Its output goes to files, so that it never waits for a reader."""

    process: subprocess.Popen[bytes]
    cwd: Path
    stdout: Path
    stderr: Path
    files: tuple[IO[bytes], ...]
    family: dict[int, psutil.Process] = field(default_factory=dict)

    @property
    def pid(self) -> int:
        """The command's process id."""
        return self.process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Leave no process behind, whatever happened."""
        self.look()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for child in self.family.values():
            if child.is_running():
                child.kill()
        for file in self.files:
            file.close()

    def look(self) -> list[psutil.Process]:
        """Remember and return the command's living children, theirs included."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            found = []
        self.family |= {child.pid: child for child in found}
        return found

    def child(self, module: str) -> psutil.Process:
        """Wait for and return the first child that runs this module of ours."""

        def find() -> psutil.Process | None:
            return next((one for one in self.look() if module in " ".join(one.cmdline())), None)

        return self.until(find, f"a child that runs {module}")

    def folder(self) -> Path:
        """Wait for and return the run folder."""
        return self.until(lambda: next(iter(run_folders(self.cwd)), None), "a run folder")

    def wait_for_line(self, text: str) -> None:
        """Wait until the command has said this on stderr."""
        self.until(lambda: text in self.stderr.read_text(errors="replace"), f"the words {text!r}")

    def connected_to(self, url: str) -> bool:
        """Say whether the command has a connection to this address."""
        port = int(url.rpartition(":")[2])
        return any(one.raddr and one.raddr[1] == port for one in psutil.Process(self.pid).net_connections())

    def until(self, look: Callable[[], Found | None], what: str) -> Found:
        """Wait until `look` finds something; the command must not end meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            ended = self.process.poll() is not None
            try:
                found = look()
            except psutil.NoSuchProcess:
                found = None
            if found:
                return found
            if ended:
                break
            time.sleep(0.02)
        raise AssertionError(f"{what} never came\n{self._so_far()}")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command alone."""
        self.look()
        self.process.send_signal(number)

    def finish(self) -> Done:
        """Wait for its end."""
        self.look()
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the command does not end\n{self._so_far()}") from None
        return Done(self.process.returncode, self.stdout.read_text(), self.stderr.read_text())

    def left_behind(self) -> list[str]:
        """Return the command lines of children that still live some seconds after the command's end."""
        _, alive = psutil.wait_procs(list(self.family.values()), timeout=20)
        return [" ".join(process.cmdline()) for process in alive]

    def _so_far(self) -> str:
        return Done(-1, self.stdout.read_text(errors="replace"), self.stderr.read_text(errors="replace")).said()


def start(*args: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Running:
    """Start the command without a terminal; its output is kept beside `cwd`'s other files."""
    number = len(list(cwd.glob("*.stdout")))
    stdout, stderr = cwd / f"{number}.stdout", cwd / f"{number}.stderr"
    files = (stdout.open("wb"), stderr.open("wb"))
    process = subprocess.Popen(
        [sys.executable, str(LAUNCHER), *args],
        cwd=cwd,
        env=environment(**(environ or {})),
        stdin=subprocess.DEVNULL,
        stdout=files[0],
        stderr=files[1],
    )
    return Running(process, cwd, stdout, stderr, files)


def run(*args: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Done:
    """Run the command to its end."""
    with start(*args, cwd=cwd, environ=environ) as running:
        return running.finish()


def benchmark(*args: str, cwd: Path, environ: Mapping[str, str] | None = None) -> Done:
    """Run `benchmark` to its end."""
    return run("benchmark", *args, cwd=cwd, environ=environ)


def run_folders(cwd: Path) -> list[Path]:
    """Return the run folders, oldest first."""
    return sorted(cwd.glob("results/test_*"), key=lambda path: path.stat().st_ctime_ns)


def only_folder(cwd: Path) -> Path:
    """Return the one run folder."""
    (folder,) = run_folders(cwd)
    return folder


def read_json(path: Path) -> Any:
    """Return a JSON file's content; Any, for tests look into it freely."""
    return json.loads(path.read_bytes())


def journal_of(folder: Path) -> list[Row]:
    """Return the rows that a run's journal holds so far."""
    return [row for batch in read_journal(folder / "journal") for row in batch.to_pylist()]


def answers(folder: Path, service: str) -> int:
    """Return how many good answers of a service the journal holds so far."""
    return sum(bool(row["ok"]) and row["service"] == service for row in journal_of(folder))


def requests_of(folder: Path) -> list[Row]:
    """Return the rows of requests.parquet."""
    return pq.read_table(folder / "requests.parquet").to_pylist()


def truth_of(path: Path, *, wanted: Iterable[str] = ()) -> dict[str, TruthRecord]:
    """Return a truth log by request id; waits until the wanted ids are in it (it is written five times a second)."""
    needed = set(wanted)
    deadline = time.monotonic() + PATIENCE
    while True:
        found = {record.request_id: record for record in read_truth(path)} if path.exists() else {}
        if needed <= found.keys() or time.monotonic() > deadline:
            return found
        time.sleep(0.05)
