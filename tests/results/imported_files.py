"""The recorded result files of other tools, and ways to change them. Nothing here asserts."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

DATA = Path(__file__).parents[1] / "data" / "imported"
GUIDELLM = DATA / "guidellm" / "benchmarks.json"
AIPERF = DATA / "aiperf" / "profile_export_aiperf.json"
AIPERF_RECORDS = DATA / "aiperf" / "profile_export.jsonl"
DETAILED = DATA / "vllm-bench" / "detailed.json"
APPENDED = DATA / "vllm-bench" / "appended.json"
INFERENCE_PERF = DATA / "inference-perf"
SUMMARY = INFERENCE_PERF / "summary_lifecycle_metrics.json"


def loaded(path: Path) -> Any:
    """Return what a recorded file holds."""
    return json.loads(path.read_text())


def changed(path: Path, into: Path, change: Callable[[Any], object]) -> Path:
    """Write a recorded file anew with a change made to what it holds; return the new file."""
    data = copy.deepcopy(loaded(path))
    change(data)
    target = into / path.name
    target.write_text(json.dumps(data))
    return target


def lengthened(into: Path, *, times: int, slower: float = 1.0) -> Path:
    """Write the detailed file of vllm bench with its requests repeated one after the other; return the new file."""
    data = loaded(DETAILED)
    count, span = len(data["start_times"]), 1.0
    for key in ("input_lens", "output_lens", "ttfts", "itls", "errors", "latencies", "queue_times"):
        data[key] = data[key] * times
    data["itls"] = [[gap * slower for gap in gaps] for gaps in data["itls"]]
    starts = data["start_times"]
    data["start_times"] = [start + span * turn for turn in range(times) for start in starts]
    del data["latencies"]
    data |= {"completed": count * times, "num_prompts": count * times, "duration": span * times}
    target = into / f"lengthened-{slower:g}.json"
    target.write_text(json.dumps(data))
    return target


def lengthened_report(into: Path, *, times: int) -> Path:
    """Write GuideLLM's report with one benchmark, its requests repeated one after the other; return the new file."""

    def repeat(data: Any) -> None:
        benchmark = data["benchmarks"].pop(0)
        data["benchmarks"] = [benchmark]
        once, span = benchmark["requests"]["successful"], benchmark["duration"]
        benchmark["requests"]["successful"] = [_later(one, span * turn) for turn in range(times) for one in once]
        benchmark["metrics"]["request_totals"] |= {"successful": times * len(once), "total": times * len(once)}

    return changed(GUIDELLM, into, repeat)


def _later(request: Any, seconds: float) -> Any:
    moved = copy.deepcopy(request)
    timings = moved["info"]["timings"]
    for name, mark in timings.items():
        if isinstance(mark, float) and mark > 1e9:
            timings[name] = mark + seconds
    return moved
