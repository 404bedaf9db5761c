"""inference-perf's reports, as they lie in one folder: a summary, one file per stage, and a record per request."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

import yaml

from inference_bench.results.importing import failures
from inference_bench.results.importing.fields import Node, as_count, as_number, moment, plain_url
from inference_bench.results.importing.files import parse, read_whole
from inference_bench.results.importing.model import Exchange, Foreign, ForeignTest, Reported
from inference_bench.results.manifest import LoadShape

SUMMARY: Final = "summary_lifecycle_metrics.json"
RECORDS: Final = "per_request_lifecycle_metrics.json"
_STAGE: Final = re.compile(r"stage_(\d{1,6})_lifecycle_metrics\.json")
_FOLDER: Final = re.compile(r"reports-(\d{8}-\d{6})")
_CONFIG: Final = "config.yaml"
_LARGEST_CONFIG: Final = 1_000_000
_MOST_STAGES: Final = 1000
_METRICS: Final = (
    ("ttft_ms", "time_to_first_token"),
    ("tpot_ms", "time_per_output_token"),
    ("itl_ms", "inter_token_latency"),
    ("e2e_ms", "request_latency"),
)
_PERCENTS: Final = {1: "p1", 5: "p5", 10: "p10", 50: "median", 90: "p90", 95: "p95", 99: "p99"}
_SIMULATOR: Final = re.compile(r'"system_fingerprint": ?"[^"]*\+simulator')


def recognises(data: object) -> bool:
    """Return whether this is one of inference-perf's lifecycle reports."""
    if isinstance(data, list):
        first = data[0] if data else None
        return isinstance(first, dict) and {"start_time", "end_time"} <= first.keys() and "info" in first
    return isinstance(data, dict) and {"load_summary", "successes", "failures"} <= data.keys()


def read(data: object, path: Path) -> Foreign:
    """Return what a report holds, with the others of its folder when it is the summary or the requests.

    Raises:
        ConfigError: a value is not of the kind it should be.
    """
    folder, config = path.parent, _config(path.with_name(_CONFIG))
    notes: list[str] = []
    simulated = None
    kind = _kind(config.node("load").text("type"))
    if _STAGE.fullmatch(path.name):
        tests: tuple[ForeignTest, ...] = (_test(Node(data, path.name), kind),)
    else:
        records = data if isinstance(data, list) else _beside(folder / RECORDS)
        summary = _beside(folder / SUMMARY) if isinstance(data, list) else data
        entries = [Node(one, f"{RECORDS}[{at}]") for at, one in enumerate(records)] if isinstance(records, list) else []
        tests = _tests(folder, summary, entries, kind, notes)
        simulated = True if any(_says_simulated(entry) for entry in entries) else None
    found = _FOLDER.fullmatch(folder.resolve().name)
    server = config.node("server")
    return Foreign(
        tool="inference-perf",
        path=path,
        tests=tests,
        started=_started(found[1]) if found else None,
        model=server.text("model_name"),
        url=plain_url(server.text("base_url")),
        simulated=simulated,
        notes=tuple(notes),
    )


def _tests(
    folder: Path, summary: object, entries: Sequence[Node], kind: str | None, notes: list[str]
) -> tuple[ForeignTest, ...]:
    """Return a test per stage where there are several, else one; with its requests where they can be told apart."""
    stages = [Node(told, path.name) for path in _stages(folder) if (told := _beside(path)) is not None]
    if len(stages) > 1:
        split = _split(entries, [_sent(stage) for stage in stages])
        if split is None and entries:
            notes.append(
                "requests are kept without their stage, and their number is not that of the stages: figures only"
            )
        elif split is not None:
            notes.append("requests are kept without their stage: they were given to the stages by their start times")
        return tuple(_test(stage, kind, None if split is None else split[at]) for at, stage in enumerate(stages))
    whole = stages[0] if stages else None if summary is None else Node(summary, SUMMARY)
    return (_test(whole or Node({}, SUMMARY), kind, entries or None),)


def _split(entries: Sequence[Node], counts: Sequence[int]) -> list[list[Node]] | None:
    """Return the requests of each stage: stages run one after the other. None when the counts do not add up."""
    starts = [entry.number("start_time") for entry in entries]
    known = [(start, at) for at, start in enumerate(starts) if start is not None]
    if not entries or len(known) < len(entries) or sum(counts) != len(entries):
        return None
    ordered = [entries[at] for _, at in sorted(known)]
    ends = [sum(counts[: at + 1]) for at in range(len(counts))]
    return [ordered[end - count : end] for end, count in zip(ends, counts, strict=True)]


def _sent(stage: Node) -> int:
    return (stage.node("successes").count("count") or 0) + (stage.node("failures").count("count") or 0)


def _test(report: Node, kind: str | None, entries: Sequence[Node] | None = None) -> ForeignTest:
    load, successes, rates = (
        report.node("load_summary"),
        report.node("successes"),
        report.node("successes").node("throughput"),
    )
    ok = successes.count("count") or 0
    rate, users = load.number("requested_rate"), load.count("concurrency")
    per_second = rates.number("requests_per_sec")
    shape = LoadShape(
        arrivals="closed" if users is not None else kind,
        concurrent_users=users,
        rate=None if users is not None else rate,
    )
    value = users if users is not None else rate
    goodput = successes.node("goodput_metrics")
    return ForeignTest(
        value=None if value is None else f"{value:g}",
        load=shape,
        exchanges=None if entries is None else (lambda: map(_exchange, entries)),
        seconds=report.number("benchmark_time_seconds") or (ok / per_second if per_second else None),
        ok=ok,
        failed=report.node("failures").count("count") or 0,
        errors=_errors(report.node("failures")),
        reported=_reported(successes),
        requests_per_s=per_second,
        output_tokens_per_s=rates.number("output_tokens_per_sec"),
        total_tokens_per_s=rates.number("total_tokens_per_sec"),
        rate_asked=rate,
        goodput_per_s=goodput.number("request_goodput"),
    )


def _errors(told: Node) -> Mapping[str, int]:
    labels, found = told.node("by_label"), dict[str, int]()
    for label in labels.names():
        status = int(label[:3]) if label[:3].isdigit() else None
        kind = failures.of_text(label, status) or "unknown"
        found[kind] = found.get(kind, 0) + (labels.node(label).count("count") or 0)
    return found


def _reported(successes: Node) -> Mapping[str, Reported]:
    ok = successes.count("count") or 0
    told = [(ours, successes.node("latency").node(theirs), 1e3) for ours, theirs in _METRICS]
    told.append(
        ("output_tokens", successes.node("output_tokens" if "output_tokens" in successes else "output_len"), 1.0)
    )
    told.append(
        ("prompt_tokens", successes.node("prompt_tokens" if "prompt_tokens" in successes else "prompt_len"), 1.0)
    )
    made = {}
    for ours, node, factor in told:
        mean = node.number("mean")
        if mean is None or not ok:
            continue
        known = {percent: node.number(key) for percent, key in _PERCENTS.items()}
        least, most = node.number("min"), node.number("max")
        made[ours] = Reported(
            n=ok,
            mean=mean * factor,
            least=None if least is None else least * factor,
            most=None if most is None else most * factor,
            percentiles={percent: value * factor for percent, value in known.items() if value is not None},
        )
    return made


def _exchange(entry: Node) -> Exchange:
    response = entry.node("info").node("response_metrics")
    usage = response.node("server_usage")
    key = "chunk_times" if "chunk_times" in response else "output_token_times"
    times = [as_number(mark, f"{response.place}.{key}") for mark in response.items(key)]
    failed = "error" in entry
    chunks = () if failed else tuple(mark for mark in times if mark is not None)
    error = entry.node("error")
    words = f"{error.text('error_type') or ''}: {error.text('error_msg') or ''}"
    told = usage.count("completion_tokens")
    counted = as_count(response.raw("output_tokens"), f"{response.place}.output_tokens")
    tokens = counted if told is None else told
    asked = usage.count("prompt_tokens")
    return Exchange(
        sent=entry.number("start_time"),
        first_token=chunks[0] if chunks else None,
        last_token=chunks[-1] if chunks else None,
        end=entry.number("end_time"),
        ok=not failed,
        error_class=failures.of_text(words) if failed else None,
        error_message=failures.message(words) if failed else None,
        prompt_tokens=entry.node("info").count("input_tokens") if asked is None else asked,
        cached_tokens=usage.node("prompt_tokens_details").count("cached_tokens"),
        output_tokens=None if failed else tokens,
        token_source=None if failed or tokens is None else "tokenizer" if told is None else "usage",
        text_chunks=len(chunks) or None,
        chunks=chunks,
    )


def _says_simulated(entry: Node) -> bool:
    """Return whether the stored answer came from a simulated engine of ours, which says so in its fingerprint."""
    response = entry.raw("response")
    return isinstance(response, str) and _SIMULATOR.search(response) is not None


def _kind(told: str | None) -> str | None:
    return told if told in {"constant", "poisson"} else None


def _started(text: str) -> datetime | None:
    return moment(text, "%Y%m%d-%H%M%S")


def _stages(folder: Path) -> list[Path]:
    found = [(int(match[1]), path) for path in folder.iterdir() if (match := _STAGE.fullmatch(path.name))]
    return [path for _, path in sorted(found)[:_MOST_STAGES]]


def _beside(path: Path) -> object:
    return parse(read_whole(path), path) if path.is_file() else None


def _config(path: Path) -> Node:
    """Return the configuration beside the reports, for the model's name and the address; empty where there is none."""
    if not path.is_file() or path.stat().st_size > _LARGEST_CONFIG:
        return Node({}, path.name)
    try:
        told = yaml.safe_load(read_whole(path))
    except yaml.YAMLError:
        return Node({}, path.name)
    return Node(told if isinstance(told, dict) else {}, path.name)
