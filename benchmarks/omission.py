"""Coordinated omission: what hides it, what shows it. Each case is one run of our command of --seconds.

A server that pauses for a second in an open loop, and in a closed one; a client that is held up for a second, and one
whose requests in flight are capped, in an open loop.

    python benchmarks/omission.py
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from harness import machine, more_files
from known import known_server
from ours import Run, run_ours, stop_for
from overload import later_after

RATE = 40.0
TOKENS = 8
TTFT_MS, GAP_MS = 60.0, 10.0
SLOW_MS = 300.0
PAUSE_SECONDS = 1.0


def main() -> None:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args()
    more_files()
    print(
        f"{machine()}; true TTFT {TTFT_MS:g} ms, {TOKENS} tokens {GAP_MS:g} ms apart; {RATE:g} requests/s, or 4 users\n"
    )
    print(f"| case | sent | ttft_ms p50 / p99 / max | over {SLOW_MS:g} ms | ttft_intended_ms p50 / p99 / max "
          f"| over {SLOW_MS:g} ms | verdict | what the output says |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|", flush=True)
    half = given.seconds / 2
    pause = ((half, PAUSE_SECONDS),)
    opened: dict[str, object] = {"arrivals": "constant", "rate": RATE}
    case("server pauses, open loop", given, opened, pauses=pause)
    case("server pauses, closed loop", given, {"concurrent_users": 4}, pauses=pause)
    case("worker stopped, open loop", given, opened, started=lambda pid: later_after(pid, half, stop_all))
    case("capped in flight, open loop", given, {**opened, "max_in_flight": 4})


def case(
    name: str,
    given: argparse.Namespace,
    load: dict[str, object],
    *,
    pauses: tuple[tuple[float, float], ...] = (),
    started: Callable[[int], None] | None = None,
) -> None:
    """Run one case and print its row."""
    test = {**load, "duration_seconds": given.seconds, "max_tokens": TOKENS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        try:
            with known_server(folder, ttft_ms=TTFT_MS, gap_ms=GAP_MS, pauses=pauses, keep_truth=False) as server:
                run = run_ours(server.url, test, folder=folder, started=started)
        except RuntimeError as error:
            print(f"| {name} | not run: {str(error)[-200:]!r} |", flush=True)
            return
        print(f"| {name} | {row(run)} |", flush=True)


def row(run: Run) -> str:
    """Return the cells of a run."""
    sent = run.service["requests"]["sent"]
    marks = run.columns("intended_ns", "sent_ns", "first_token_ns")
    cells = [str(sent)]
    for metric, origin in (("ttft_ms", "sent_ns"), ("ttft_intended_ms", "intended_ns")):
        found: dict[str, Any] | None = run.service["metrics"].get(metric)
        rows = zip(marks[origin], marks["first_token_ns"], strict=True)
        values = [(first - start) / 1e6 for start, first in rows if start is not None]
        if not found or not values:
            cells += ["missing: a closed loop has no times of its own", ""]
            continue
        figures = ("p50", "p99", "max")
        cells.append(" / ".join("-" if found[name] is None else f"{found[name]:.0f}" for name in figures))
        cells.append(f"{sum(value > SLOW_MS for value in values)} of {len(values)}")
    notes = run.test.get("notes") or run.service.get("notes") or []
    return " | ".join([*cells, run.verdict, "; ".join([*run.reasons, *map(str, notes)])])


def stop_all(workers: list[psutil.Process]) -> None:
    """Stop every worker for a second."""
    stop_for(workers, PAUSE_SECONDS, time.sleep)


if __name__ == "__main__":
    main()
