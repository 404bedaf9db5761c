"""A server of known timing (native/known_server.c): built, run, and the truth it wrote; and the bare C reader."""

import atexit
import contextlib
import json
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

NATIVE = Path(__file__).resolve().parent / "native"
MODEL = "known-model"
MS = 1e6
_HEAD = np.dtype([("id", "S64"), ("received", "<i8"), ("late", "<i8"), ("chunks", "<u4"), ("whole", "<u4")])


@cache
def built(name: str) -> Path:
    """Compile one of the C programs into a temporary folder, which goes with this process; once in each process."""
    folder = tempfile.mkdtemp(prefix="known-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    program = Path(folder) / name
    command = ["gcc", "-O2", "-Wall", "-Wextra", "-o", str(program), str(NATIVE / f"{name}.c")]
    subprocess.run(command, check=True)
    return program


@dataclass(frozen=True, slots=True)
class Truth:
    """What the server did for one request; times in ns of the monotonic clock."""

    received: int  # it had read the request
    late: int  # the longest that a token was written after it was due
    whole: int  # 0: the client went away; 1: written as stamped; 2: a write had to wait
    written: npt.NDArray[np.int64]  # immediately before the write of each token

    @property
    def ttft_ms(self) -> float:
        """From the request's arrival to the write of the first token."""
        return float(self.written[0] - self.received) / MS

    @property
    def tpot_ms(self) -> float:
        """The mean gap between tokens."""
        return float(self.written[-1] - self.written[0]) / max(1, len(self.written) - 1) / MS


@dataclass
class Known:
    """A running server; `truth` and `report` are there when the block that runs it is over."""

    port: int
    pid: int
    log: Path | None
    report: dict[str, float] = field(default_factory=dict)
    said: str = ""

    @property
    def url(self) -> str:
        """Return its base URL."""
        return f"http://127.0.0.1:{self.port}"

    def truth(self) -> dict[str, Truth]:
        """Read what it wrote, by request id; of two of one id the later."""
        if self.log is None:
            raise ValueError("this server was asked to keep no truth")
        return read_truth(self.log)


@contextlib.contextmanager
def known_server(
    folder: Path,
    *,
    ttft_ms: float = 200,
    gap_ms: float = 100,
    role_at_once: bool = False,
    pauses: Sequence[tuple[float, float]] = (),
    keep_truth: bool = True,
) -> Iterator[Known]:
    """Run the server; pauses are (seconds after the first chat request, seconds)."""
    log = Path(tempfile.mkstemp(suffix=".truth", dir=folder)[1]) if keep_truth else None
    options = ["--ttft-ms", f"{ttft_ms:g}", "--gap-ms", f"{gap_ms:g}", "--model", MODEL]
    options += ["--truth", str(log)] if log is not None else []
    options += ["--role", "at-once"] if role_at_once else []
    for at, seconds in pauses:
        options += ["--pause", f"{at:g}:{seconds:g}"]
    process = subprocess.Popen(
        [built("known_server"), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    known = Known(int(process.stdout.readline()), process.pid, log)
    try:
        yield known
    finally:
        process.send_signal(signal.SIGTERM)
        out, known.said = process.communicate(timeout=30)
        known.report = json.loads(out)


def read_truth(path: Path) -> dict[str, Truth]:
    """Read the server's truth file."""
    data = path.read_bytes()
    at = 0
    found: dict[str, Truth] = {}
    while at + _HEAD.itemsize <= len(data):
        head: Any = np.frombuffer(data, _HEAD, 1, at)[0]
        at += _HEAD.itemsize
        written = np.frombuffer(data, "<i8", int(head["chunks"]), at)
        at += 8 * int(head["chunks"])
        found[head["id"].decode()] = Truth(int(head["received"]), int(head["late"]), int(head["whole"]), written)
    return found


def bare_reader(port: int, *, streams: int, tokens: int, seconds: float, ramp: float = 0.0) -> dict[str, float]:
    """Run the C reader; returns requests, chunks, cpu_seconds and peak_mib."""
    command = [str(built("reader")), *map(str, (port, streams, tokens, seconds, ramp))]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout)
    return result
