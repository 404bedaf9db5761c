"""How exact a lane of the race is while four lanes are drawn: what the screen shows, what is stored, and the truth.

Each run is the real command on a pseudo-terminal of 200 columns and 50 lines, so that it draws as it does for people,
against four simulated engines with a truth log. The TTFT on the screen must be the stored one; both are held against
the simulator's own stamp immediately before the write of the first token (same clock, matched by request id).

    python benchmarks/race.py --runs 20
"""

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

import numpy as np

from harness import machine
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord, read_truth

ROOT = Path(__file__).resolve().parents[1]
SERVE = (
    "vllm,ttft-ms=60,itl-ms=20",
    "tgi,ttft-ms=90,itl-ms=25",
    "ollama,ttft-ms=140,itl-ms=30",
    "vllm,name=vllm-green,ttft-ms=60,itl-ms=20",
)
URLS = {"vllm": "vllm", "tgi": "tgi", "ollama": "ollama", "vllm-green": "vllm/green"}
SIZE = (50, 200)
LIMIT_MS = 2.0
PATIENCE_SECONDS = 60.0
_SEQUENCE = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_FRAME = b"\x1b[H"


def main() -> None:
    """Race, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    print(machine())
    print(f"\n{given.runs} races of {len(SERVE)} lanes, {given.tokens} tokens each\n")
    errors: list[float] = []
    late: list[float] = []
    differing = frames = 0
    with tempfile.TemporaryDirectory() as place:
        truth_log = Path(place) / "truth.jsonl"
        with SimulatorProcess(SERVE, truth_log=truth_log) as simulator:
            for number in range(given.runs):
                saved = Path(place) / f"{number}.json"
                screen, drawn = race(simulator.urls, saved, given.tokens)
                frames += drawn
                lanes = json.loads(saved.read_bytes())["heats"][0]["lanes"]
                differing += sum(f"{lane['ttft_ms']:.1f}" not in screen[name] for name, lane in lanes.items())
                truth = truth_of(truth_log, [lane["request_id"] for lane in lanes.values()])
                for lane in lanes.values():
                    record = truth[lane["request_id"]]
                    errors.append(abs(lane["first_token_ns"] - record.written_ns[0]) / 1e6)
                    late.extend(one / 1e6 for one in record.lateness_ns)
    found = np.asarray(errors)
    print(f"TTFT against truth: p50 {np.percentile(found, 50):.3f} ms, worst {found.max():.3f} ms, n {found.size}")
    print(f"lanes whose screen shows another TTFT than is stored: {differing}")
    print(f"frames drawn in all: {frames}; the simulator's own lateness p99: {np.percentile(late, 99):.2f} ms")
    print(f"within {LIMIT_MS:g} ms every time: {'yes' if found.max() <= LIMIT_MS else 'NO'}")


def race(urls: dict[str, str], saved: Path, tokens: int) -> tuple[dict[str, list[str]], int]:
    """Run one race on a terminal; return the figures of each service's line in the result, and the frames drawn."""
    services = [f"--url={URLS[name]}={url}" for name, url in urls.items()]
    options = ["--mode", "race", "--max-tokens", str(tokens), "--save", str(saved)]
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
    environ = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "vllm_benchmark.py"), "demo", *options, *services],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        env={**environ, "TERM": "xterm-256color"},
    )
    os.close(follower)
    written = read_to_end(leader)
    os.close(leader)
    if process.wait(PATIENCE_SECONDS) != 0:
        raise SystemExit(f"the race failed:\n{written[-2000:].decode(errors='replace')}")
    result = _SEQUENCE.sub("", written.rpartition(b"same tokens" if b"same tokens" in written else b"E2E")[2].decode())
    lines = [line.split() for line in result.splitlines()]
    shown = {name: next((line for line in lines if name in line), []) for name in urls}
    return shown, written.count(_FRAME)


def read_to_end(leader: int) -> bytes:
    """Read all that the command writes; press a key when it asks for one."""
    written = b""
    pressed = False
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        try:
            piece = os.read(leader, 1 << 16)
        except OSError:  # the last writer has gone
            break
        if not piece:
            break
        written += piece
        if not pressed and b"any key" in written:
            pressed = True
            os.write(leader, b"x")
    return written


def truth_of(path: Path, wanted: list[str]) -> dict[str, TruthRecord]:
    """Return the truth of these requests; the simulator writes it five times a second."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        found: dict[str, Any] = {record.request_id: record for record in read_truth(path)}
        if set(wanted) <= found.keys():
            return {name: found[name] for name in wanted}
        time.sleep(0.05)
    raise SystemExit("the simulator's truth log lacks requests of the race")


if __name__ == "__main__":
    main()
