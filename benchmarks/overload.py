"""A client overloaded on purpose, and a healthy one: what the verdict says, run after run.

Cases: healthy; too many streams for one worker; our measuring processes pinned to one core that a busy loop holds;
a worker stopped for a second (as by a machine that has no time for it). The reason must be of the right kind.

    python benchmarks/overload.py --runs 20
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from harness import machine, more_files
from known import known_server
from ours import Run, processes_of, run_ours, stop_for

SECONDS = 5.0
Started = Callable[[int], None]


def main() -> None:
    """Run every case so many times and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this one (repeatable)")
    parser.add_argument("--streams", type=int, default=64, help="of all cases but `streams`")
    parser.add_argument("--many", type=int, default=2000, help="streams of the case `streams`")
    given = parser.parse_args()
    more_files()
    print(f"{machine()}; {given.runs} runs of {SECONDS:g} s each\n")
    print("| case | as wanted | valid | suspect | invalid | reasons (runs that named it) |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in given.case or list(CASES):
        run, wanted = CASES[name]
        verdicts: list[str] = []
        reasons: dict[str, int] = {}
        right = 0
        for _ in range(given.runs):
            with tempfile.TemporaryDirectory() as place:
                found = run(Path(place), given)
                verdict, signs = found.verdict, {sign_of(reason) for reason in found.reasons}
            verdicts.append(verdict)
            for sign in signs:
                reasons[sign] = reasons.get(sign, 0) + 1
            right += verdict == "valid" if not wanted else verdict != "valid" and bool(signs & wanted)
        counts = " | ".join(str(verdicts.count(level)) for level in ("valid", "suspect", "invalid"))
        said = ", ".join(f"{sign} ({count})" for sign, count in sorted(reasons.items(), key=lambda pair: -pair[1]))
        print(f"| {name} | {right}/{given.runs} | {counts} | {said} |", flush=True)


def sign_of(reason: str) -> str:
    """Name the sign of a reason in words; a reason of an unknown kind stays as it is."""
    for words, sign in SIGNS.items():
        if words in reason:
            return sign
    return reason


def healthy(folder: Path, given: argparse.Namespace) -> Run:
    """A load that this machine carries easily."""
    return one_run(folder, users=given.streams)


def streams(folder: Path, given: argparse.Namespace) -> Run:
    """Many more streams than one worker can read: each at 50 tokens/s."""
    return one_run(folder, users=given.many, gap_ms=20, tokens=128, options=("--workers", "1"))


def pinned(folder: Path, given: argparse.Namespace) -> Run:
    """Our processes on one core, with a busy loop of the same right to it, under a load that needs more than what is
    left: a few streams are read in time even so, and are rightly valid.
    """
    with busy_loop():
        return one_run(folder, users=4 * given.streams, gap_ms=20, tokens=64, started=pin)


def paused(folder: Path, given: argparse.Namespace) -> Run:
    """A worker does not run for a second in the middle of the window."""
    return one_run(
        folder, users=given.streams, started=lambda pid: later_after(pid, 1.0 + SECONDS / 2, stop_one_worker)
    )


def one_run(
    folder: Path,
    *,
    users: int,
    gap_ms: float = 50,
    tokens: int = 32,
    options: tuple[str, ...] = (),
    started: Started | None = None,
) -> Run:
    """Run our command on the known server."""
    load = {
        "concurrent_users": users,
        "duration_seconds": SECONDS,
        "ramp_up_seconds": 1.0,
        "max_tokens": tokens,
    }
    with known_server(folder, gap_ms=gap_ms, keep_truth=False) as server:
        return run_ours(server.url, load, folder=folder, options=options, started=started)


@contextlib.contextmanager
def busy_loop() -> Iterator[None]:
    """Keep core 0 busy."""
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(process.pid, {0})
    try:
        yield
    finally:
        process.kill()
        process.wait()


def pin(pid: int) -> None:
    """Pin a process to core 0; what it starts inherits that."""
    os.sched_setaffinity(pid, {0})


def later_after(pid: int, seconds: float, act: Callable[[list[psutil.Process]], None]) -> None:
    """Do something to the measuring workers so many seconds after they are there, from a thread."""

    def wait_and_act() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with contextlib.suppress(psutil.Error):
                workers = processes_of(pid, "testing.worker")
                if workers:
                    time.sleep(seconds)
                    act(workers)
                    return
            time.sleep(0.05)

    threading.Thread(target=wait_and_act, daemon=True).start()


def stop_one_worker(workers: list[psutil.Process]) -> None:
    """Stop one for a second."""
    stop_for(workers[:1], 1.0, time.sleep)


SIGNS = {
    "sent late": "send lag",
    "of the rate asked": "rate",
    "held later ones": "merged reads",
    "waited for a CPU": "waiting for a CPU",
    "clock stepped": "clock step",
    "steady window": "window",
    "at a stretch": "stall",
}
FULL = {"send lag", "rate", "merged reads", "waiting for a CPU", "window", "stall"}
CASES: dict[str, tuple[Callable[[Path, argparse.Namespace], Run], set[str]]] = {
    "healthy": (healthy, set()),
    "streams": (streams, FULL),
    "pinned": (pinned, {"waiting for a CPU", "stall"}),
    "paused": (paused, {"stall"}),
}

if __name__ == "__main__":
    main()
