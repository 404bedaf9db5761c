"""Does the search for capacity find a knee that is known? Run by hand; prints a Markdown table.

Two simulated engines whose batches hold a different number of answers. A user beyond the batch waits for a whole
answer before its first token, far beyond the promised time to first token, so the knee is the size of the batch. Each
seed is a run of the real command with prompts and times of its own.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from inference_bench.simulator.launcher import SimulatorProcess

ROOT = Path(__file__).resolve().parent.parent
PROMISE = {"per_request": {"ttft_ms": 400}, "attainment": 0.95}


def search(seed: int, knees: dict[str, int], seconds: float, folder: Path) -> dict[str, Any]:
    """Search both services' capacity once; return what was found, by service."""
    chat = {"name": "chat", "concurrent_users": 4, "duration_seconds": seconds, "rounds": 1, "max_tokens": 48}
    config = {"benchmark": {"seed": seed}, "ttft_test": {"enabled": False}, "slo": PROMISE, "load_tests": [chat]}
    output = {"directory": str(folder / "results"), "generate_report": False}
    (folder / "c.yaml").write_text(json.dumps({**config, "output": output}))
    engines = [f"vllm,name={name},max-batch={knee},step-ms=20,seed={seed}" for name, knee in knees.items()]
    with SimulatorProcess(engines) as simulator:
        urls = [word for name in knees for word in ("--url", f"vllm/{name}={simulator.urls[name]}")]
        command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "--quiet", "benchmark", "-c", "c.yaml", *urls]
        words = ["--find-capacity", "--json", "--max-requests", "1000000"]
        done = subprocess.run([*command, *words], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the search failed ({done.returncode}): {done.stderr[-2000:]}")
    (facts,) = json.loads(done.stdout)["capacity"]
    return {name: facts["services"][f"vllm-{name}"] for name in knees}


def main() -> None:
    """Search with every seed and print what was found beside what is true."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--knees", default="9,23", help="the sizes of the two batches")
    parser.add_argument("--seconds", type=float, default=2.0, help="length of a probe")
    given = parser.parse_args()
    knees = dict(zip(("a", "b"), map(int, given.knees.split(",")), strict=True))
    print("| seed | service | knee | found | interval | error | probes |\n|---:|---|---:|---:|---|---:|---:|")
    inside = 0
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            found = search(seed, knees, given.seconds, Path(folder))
        errors = []
        for name, one in found.items():
            error = (one["value"] or 0) / knees[name] - 1
            errors.append(abs(error))
            interval = f"{one['low']:g} to {one['high']:g}" if one["high"] is not None else "open"
            row = (
                f"{seed} | {name} | {knees[name]} | {one['value']:g} | {interval} | {error:+.1%} | {len(one['probes'])}"
            )
            print(f"| {row} |", flush=True)
        inside += max(errors) <= 0.10
    print(f"\nBoth within 10 % in {inside} of {given.seeds} seeds.")


if __name__ == "__main__":
    main()
