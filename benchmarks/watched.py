"""Run a command and say what it cost: CPU of all its processes, peak memory of them all, and when it began."""

import contextlib
import ctypes
import os
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

_BECOME_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command cost."""

    exit_code: int
    began_ns: int
    seconds: float
    cpu_seconds: float  # user and system, every descendant included
    pss: tuple[tuple[int, float], ...]  # (monotonic ns, summed PSS in MiB); empty when memory was not watched
    output: str

    def peak_pss_mib(self, after_ns: int = 0, before_ns: int = 1 << 63) -> float | None:
        """Return the highest summed PSS that was seen in a stretch of time, in MiB."""
        return max((mib for at, mib in self.pss if after_ns <= at < before_ns), default=None)


def run_watched(
    command: Sequence[str],
    *,
    environment: Mapping[str, str] | None = None,
    memory: bool = False,
    log: Path,
    started: Callable[[int], None] | None = None,
) -> Cost:
    """Run a command to its end; its output goes to `log`. `started` is told the command's process id.

    The processes that it leaves behind are waited for too: without that, work that it did not wait for itself would
    cost nothing.
    """
    ctypes.CDLL(None).prctl(_BECOME_SUBREAPER, 1, 0, 0, 0)
    before = {child.pid for child in psutil.Process().children()}
    began = time.monotonic_ns()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=environment)
        watch = MemoryWatch(process.pid) if memory else None
        if started is not None:
            started(process.pid)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = (time.monotonic_ns() - began) / 1e9
    cpu = usage.ru_utime + usage.ru_stime
    for orphan in psutil.Process().children():
        if orphan.pid not in before:
            _, _, usage = os.wait4(orphan.pid, 0)
            cpu += usage.ru_utime + usage.ru_stime
    pss = watch.stop() if watch is not None else ()
    return Cost(process.returncode, began, seconds, cpu, pss, log.read_text(errors="replace"))


class MemoryWatch:
    """Samples the summed PSS of a process and all its descendants, twice a second."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._seen: list[tuple[int, float]] = []
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
                self._seen.append((time.monotonic_ns(), total / 2**20))

    def stop(self) -> tuple[tuple[int, float], ...]:
        """Return (monotonic ns, MiB) of every sample."""
        self._done.set()
        self._thread.join()
        return tuple(self._seen)
