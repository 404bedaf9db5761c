"""Verdicts of real runs over HTTP: two simulated services of a known ratio, the real command, its comparison.json."""

import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from inference_bench.simulator.launcher import SimulatorProcess

ROOT = Path(__file__).resolve().parents[1]
CASES = {"equal": (60.0, 60.0), "b 20 % slower": (60.0, 72.0)}
ITERATIONS = 30


def end_to_end(runs: int) -> Iterator[str]:
    """Yield a table: `runs` runs, half of them of each case."""
    yield "| case | runs | a better | b better | equivalent | no difference shown | not comparable | ratios |"
    yield "|---|---:|---:|---:|---:|---:|---:|---|"
    for number, (name, (a_ms, b_ms)) in enumerate(CASES.items()):
        count = runs // 2 + (runs % 2 if number == 0 else 0)
        pairs = [_pair(a_ms, b_ms, seed) for seed in range(count)]
        verdicts = Counter(f"{pair['better']} better" if pair["better"] else str(pair["verdict"]) for pair in pairs)
        # A machine that is busy makes a run invalid; then there is no ratio.
        ratios = sorted(float(pair["ratio"]) for pair in pairs if pair["ratio"] is not None)
        words = ("vllm-a better", "vllm-b better", "equivalent", "no_difference_shown", "not_comparable")
        found = " | ".join(str(verdicts[word]) for word in words)
        reach = f"{ratios[0]:.3f} to {ratios[-1]:.3f}" if ratios else ""
        yield f"| {name} | {count} | {found} | {reach} |"


def _pair(a_ms: float, b_ms: float, seed: int) -> dict[str, str]:
    """Run the command once and return the primary pair."""
    serve = [f"vllm,name=a,ttft-ms={a_ms},itl-ms=5,jitter=0.5", f"vllm,name=b,ttft-ms={b_ms},itl-ms=5,jitter=0.5"]
    with tempfile.TemporaryDirectory() as name, SimulatorProcess(serve) as simulator:
        config = Path(name) / "c.yaml"
        config.write_text(f"ttft_test: {{iterations: {ITERATIONS}, max_tokens: 4}}\nload_tests: []\n", "utf-8")
        urls = [part for one in ("a", "b") for part in ("--url", f"vllm/{one}={simulator.urls[one]}")]
        command = ["benchmark", "-c", str(config), *urls, "--seed", str(seed), "-o", name, "--yes", "--quiet"]
        subprocess.run(
            [sys.executable, str(ROOT / "vllm_benchmark.py"), *command], check=True, stdout=subprocess.DEVNULL
        )
        (found,) = Path(name).glob("test_*/comparison.json")
        pairs = json.loads(found.read_text("utf-8"))["pairs"]
        primary: dict[str, str] = next(pair for pair in pairs if pair["primary"])
        return primary
