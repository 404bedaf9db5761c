"""The rate raised step by step until our verdict turns: how far off TTFT is at each step, and what the verdict says.

Streams double (or grow by --factor) on the known server, each at --rate tokens/s; a step is one run of our command.
Truth is the server's stamp immediately before each write. What must hold: the error at the last step called valid is
under 5 ms at p99, and no step with an error over 20 ms is called valid.

    python benchmarks/load_steps.py --streams 64 --rate 20 --seconds 10
"""

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from harness import machine, more_files, quantiles
from known import Known, known_server
from ours import Run, run_ours

LAST_VALID_MS = 5.0
NEVER_VALID_MS = 20.0


def main() -> None:
    """Climb, print a row for each step, and say whether the claims hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--streams", type=int, default=128, help="of the first step")
    parser.add_argument("--factor", type=float, default=2.0)
    parser.add_argument("--rate", type=float, default=20.0, help="tokens/s of a stream")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=10.0, help="the steady window")
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--workers", default="auto")
    given = parser.parse_args()
    more_files()
    print(f"{machine()}; {given.rate:g} tokens/s a stream, {given.tokens} tokens, window {given.seconds:g} s, "
          f"workers {given.workers}\n")  # fmt: skip
    print("| streams | chunks/s | chunks | requests | TTFT error p50 / p99, ms | from the server's side | verdict "
          "| CPU, cores | server late p99, ms | reasons |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|---|---|", flush=True)
    seen: list[tuple[str, float]] = []
    streams = given.streams
    for _ in range(given.steps):
        try:
            seen.append(step(streams, given))
        except RuntimeError as error:
            print(f"| {streams} | the run failed: {str(error)[-200:]!r} |")
            break
        if [verdict for verdict, _ in seen[-2:]] == ["invalid", "invalid"]:
            break
        streams = round(streams * given.factor)
    conclude(seen)


def step(streams: int, given: argparse.Namespace) -> tuple[str, float]:
    """Run one step, print its row, and return its verdict and its p99 error in ms."""
    answer = (200 + 1000 / given.rate * (given.tokens - 1)) / 1000
    load = {
        "concurrent_users": streams,
        "duration_seconds": given.seconds,
        "ramp_up_seconds": round(answer, 3),
        "max_tokens": given.tokens,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with known_server(folder, gap_ms=1000 / given.rate) as server:
            run = run_ours(server.url, load, folder=folder, options=("--workers", given.workers))
        late, error = errors(run, server)
        chunks = sum(len(one.written) for one in server.truth().values())
        verdict, reasons = run.verdict, "; ".join(run.reasons)
    late_50, late_99 = quantiles(late)
    error_50, error_99 = quantiles(error)
    cores = run.cost.cpu_seconds / run.cost.seconds
    print(f"| {streams} | {streams * given.rate:.0f} | {chunks} | {len(error)} | {late_50:.2f} / {late_99:.2f} "
          f"| {error_50:.2f} / {error_99:.2f} | {verdict} | {cores:.2f} of {os.cpu_count()} "
          f"| {server.report['late_p99_ms']:.2f} | {reasons} |", flush=True)  # fmt: skip
    return verdict, late_99


def errors(run: Run, server: Known) -> tuple["np.ndarray[Any, Any]", "np.ndarray[Any, Any]"]:
    """Return, in ms, how late the first token was stamped, and |TTFT - true TTFT|; of good requests in the window.

    The second counts from the server's side: from when it had read the request to the write of the first token. It
    holds what the server's own reading took too, which on a full machine is no small part.
    """
    marks = run.columns("request_id", "sent_ns", "first_token_ns")
    truth = server.truth()
    late, error = [], []
    for name, sent, first in zip(*marks.values(), strict=False):
        true = truth[name]
        late.append((first - int(true.written[0])) / 1e6)
        error.append(abs((first - sent) / 1e6 - true.ttft_ms))
    return np.asarray(late), np.asarray(error)


def conclude(seen: list[tuple[str, float]]) -> None:
    """Say whether the claims hold."""
    valid = [error for verdict, error in seen if verdict == "valid"]
    print()
    if not valid:
        print("No step was valid: begin with fewer streams.")
        return
    print(f"Error at the last valid step: {valid[-1]:.2f} ms at p99; under {LAST_VALID_MS:g} ms: "
          f"{'yes' if valid[-1] < LAST_VALID_MS else 'NO'}.")  # fmt: skip
    print(f"Largest error of a step called valid: {max(valid):.2f} ms; none over {NEVER_VALID_MS:g} ms: "
          f"{'yes' if max(valid) <= NEVER_VALID_MS else 'NO'}.")  # fmt: skip


if __name__ == "__main__":
    main()
