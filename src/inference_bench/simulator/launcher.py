"""Starts the simulator as a process of its own and knows where it listens. Standard library only.

The child stays in the caller's session (a scheduler that groups by session must not favour it over the client) but has
its own process group (Ctrl-C in a terminal reaches it only through its parent). It ends with its parent, even when
that is killed: its standard input is a pipe that the parent holds open.
"""

import json
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from inference_bench.errors import BenchError

DEFAULT_ENGINES = ("vllm", "tgi", "ollama")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 5.0
MAX_ERROR_TEXT = 2000


class SimulatorProcess:
    """A running simulator: a context manager, or `start()` and `stop()`.

    `serve` are `--serve` values (`vllm`, `tgi:8080,max-batch=32`, `vllm,name=vllm-blue`); `options` are any further
    command-line options, which hold for all of them. Inside the context `urls` gives the base URL by name (the
    engine's, or its own `name=`), and `engines` the engine by name.

    Raises BenchError, with what the simulator said, when it does not come up.
    """

    def __init__(
        self,
        serve: Sequence[str] = DEFAULT_ENGINES,
        *,
        truth_log: Path | None = None,
        options: Sequence[str] = (),
        start_timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        self._arguments = [argument for value in serve for argument in ("--serve", value)]
        if truth_log is not None:
            self._arguments += ["--truth-log", str(truth_log)]
        self._arguments += [*options, "--exit-with-parent"]
        self._expected = len(serve)
        self._start_timeout_s = start_timeout_s
        self._process: subprocess.Popen[bytes] | None = None
        self._stderr: IO[bytes] | None = None
        self.urls: dict[str, str] = {}
        self.engines: dict[str, str] = {}

    @property
    def pid(self) -> int:
        """Process id; raises BenchError when it was not started."""
        if self._process is None:
            raise BenchError("the simulator is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> "SimulatorProcess":
        """Start it."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop it."""
        self.stop()

    def start(self) -> None:
        """Start the process and wait until every engine listens."""
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        command = [sys.executable, "-m", "inference_bench.simulator", *self._arguments]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=_environment(),
            process_group=0,
        )
        try:
            self._await_ready(self._process)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the process: by SIGTERM, and by SIGKILL when it does not obey. Safe to call again."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    pipe.close()
        if self._stderr is not None:
            self._stderr.close()
            self._stderr = None

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        """Read one ready line per engine."""
        assert process.stdout is not None
        deadline_s = time.monotonic() + self._start_timeout_s
        pending = b""
        os.set_blocking(process.stdout.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while len(self.urls) < self._expected:
                if not selector.select(max(0.0, deadline_s - time.monotonic())):
                    raise BenchError(
                        f"the simulator did not start within {self._start_timeout_s:g} s", hint=self._said()
                    )
                data = os.read(process.stdout.fileno(), 65_536)
                if not data:
                    process.wait(STOP_TIMEOUT_S)
                    raise BenchError(
                        f"the simulator ended at its start (exit code {process.returncode})", hint=self._said()
                    )
                *lines, pending = (pending + data).split(b"\n")
                for line in lines:
                    served = json.loads(line)
                    self.urls[served["name"]] = served["url"]
                    self.engines[served["name"]] = served["engine"]

    def _said(self) -> str | None:
        """Return the end of what the process wrote to stderr."""
        if self._stderr is None:
            return None
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - MAX_ERROR_TEXT))
        return self._stderr.read().decode(errors="replace").strip() or None


def _environment() -> dict[str, str]:
    """Return the environment in which the child finds this very package, installed or in a checkout."""
    source = str(Path(__file__).resolve().parents[2])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
