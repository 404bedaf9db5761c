"""AIPerf's profile_export_aiperf.json (figures) and profile_export.jsonl (a record per request), either or both."""

from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Final

from inference_bench.metrics.columns import NS_PER_S
from inference_bench.results.importing import failures
from inference_bench.results.importing.fields import Node, as_number, moment, plain_url
from inference_bench.results.importing.files import json_lines, parse, read_whole
from inference_bench.results.importing.model import Exchange, Foreign, ForeignTest, Reported, TokenSource
from inference_bench.results.manifest import LoadShape

SUMMARY: Final = "profile_export_aiperf.json"
RECORDS: Final = "profile_export.jsonl"
_MS: Final = {"ms": 1.0, "ns": 1e-6, "us": 1e-3, "sec": 1e3, "s": 1e3}
_METRICS: Final = (
    ("ttft_ms", ("time_to_first_token",)),
    ("tpot_ms", ("inter_token_latency",)),
    ("icl_ms", ("inter_chunk_latency",)),
    ("e2e_ms", ("request_latency",)),
    ("output_tok_per_s_user", ("output_token_throughput_per_user",)),
    ("output_tokens", ("usage_completion_tokens", "output_sequence_length")),
    ("prompt_tokens", ("usage_prompt_tokens", "input_sequence_length")),
)
_PERCENTS: Final = (1, 5, 10, 50, 90, 95, 99)
_ARRIVALS: Final = {"concurrency": "closed", "constant": "constant", "poisson": "poisson", "gamma": "gamma"}


def recognises(data: object) -> bool:
    """Return whether this is AIPerf's file of figures."""
    return isinstance(data, dict) and ("aiperf_version" in data or {"input_config", "request_latency"} <= data.keys())


def recognises_record(data: object) -> bool:
    """Return whether this is a line of AIPerf's file of records."""
    if not isinstance(data, dict) or not isinstance(data.get("metadata"), dict):
        return False
    return "metrics" in data and "request_start_ns" in data["metadata"]


def read(data: object, path: Path) -> Foreign:
    """Return what a file of figures holds, with the records beside it. Raises ConfigError as `Node`."""
    records = path.with_name(RECORDS if path.name == SUMMARY else f"{path.stem}.jsonl")
    return _foreign(Node(data, path.name), path, records if records.is_file() else None)


def read_records(path: Path) -> Foreign:
    """Return what a file of records holds, with the figures beside it. Raises ConfigError as `Node`."""
    summary = path.with_name(SUMMARY if path.name == RECORDS else f"{path.stem}.json")
    told: object = parse(read_whole(summary), summary) if summary.is_file() else {}
    return _foreign(Node(told if recognises(told) else {}, summary.name), path, path)


def _foreign(report: Node, path: Path, records: Path | None) -> Foreign:
    config = report.node("input_config")
    phases = [phase for phase in config.nodes("phases") if phase.text("kind") in {None, "profiling"}]
    models = list(config.node("models").nodes("items"))
    urls = config.node("endpoint").items("urls")
    url = urls[0] if len(urls) == 1 and isinstance(urls[0], str) else None
    notes = []
    if len(urls) > 1:
        notes.append(f"its load went to {len(urls)} addresses in turn; they stand here as one service")
    if report.flag("is_complete") is False or report.flag("was_cancelled"):
        notes.append("the tool says that its run was cut short")
    return Foreign(
        tool="aiperf",
        path=path,
        tests=(_test(report, phases, records),),
        version=report.text("aiperf_version"),
        started=moment(report.text("start_time")),
        model=models[0].text("name") if len(models) == 1 else None,
        url=plain_url(url),
        notes=tuple(notes),
    )


def _test(report: Node, phases: list[Node], records: Path | None) -> ForeignTest:
    ok = _average(report, "request_count")
    errors = _errors(report)
    return ForeignTest(
        value=None,
        load=_load(phases[-1]) if phases else LoadShape(),
        exchanges=None if records is None else (lambda: _exchanges(records)),
        seconds=_average(report, "benchmark_duration"),
        ok=int(ok or 0),
        failed=int(_average(report, "error_request_count") or sum(errors.values())),
        errors=errors,
        reported=_reported(report),
        requests_per_s=_average(report, "request_throughput"),
        output_tokens_per_s=_average(report, "output_token_throughput"),
        total_tokens_per_s=_average(report, "total_token_throughput"),
        rate_asked=phases[-1].number("rate") if phases else None,
        concurrency_mean=_average(report, "effective_concurrency"),
        goodput_per_s=_average(report, "goodput"),
    )


def _load(phase: Node) -> LoadShape:
    arrivals = _ARRIVALS.get(phase.text("type") or "")
    closed = arrivals == "closed"
    users = phase.count("concurrency")
    return LoadShape(
        arrivals=arrivals,
        concurrent_users=users if closed else None,
        rate=phase.number("rate"),
        burstiness=phase.number("smoothness"),
        max_in_flight=None if closed else users,
        requests=phase.count("requests"),
    )


def _average(report: Node, key: str) -> float | None:
    return report.node(key).number("avg")


def _errors(report: Node) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for one in report.nodes("error_summary"):
        kind = _error_class(one.node("error_details")) or "unknown"
        found[kind] = found.get(kind, 0) + (one.count("count") or 0)
    return found


def _error_class(error: Node) -> str | None:
    return failures.of_text(f"{error.text('type') or ''}: {error.text('message') or ''}", error.count("code"))


def _reported(report: Node) -> Mapping[str, Reported]:
    found = {}
    for ours, names in _METRICS:
        name = next((name for name in names if name in report), None)
        if name is None:
            continue
        told = report.node(name)
        n = told.count("count") or int(_average(report, "request_count") or 0)
        factor = _MS.get(told.text("unit") or "ms", 1.0) if ours.endswith("_ms") else 1.0
        percentiles = {percent: told.number(f"p{percent}") for percent in _PERCENTS}
        mean, least, most = (told.number(key) for key in ("avg", "min", "max"))
        found[ours] = Reported(
            n=n,
            mean=None if mean is None else mean * factor,
            least=None if least is None else least * factor,
            most=None if most is None else most * factor,
            percentiles={percent: value * factor for percent, value in percentiles.items() if value is not None},
        )
    return found


def _exchanges(path: Path) -> Iterator[Exchange]:
    base: float | None = None
    for number, value in json_lines(path):
        record = Node(value, f"{path.name} line {number}")
        start = record.node("metadata").number("request_start_ns")
        # Seen from the first: of ns since 1970 a float holds only quarters of a microsecond.
        base = start if base is None else base
        yield _exchange(record, base)


def _exchange(record: Node, base: float | None) -> Exchange:
    metadata, metrics = record.node("metadata"), record.node("metrics")
    start, ended = metadata.number("request_start_ns"), metadata.number("request_end_ns")
    sent = None if start is None or base is None else (start - base) / NS_PER_S
    first = _after(sent, metrics, "time_to_first_token")
    chunks = _chunks(metrics.node("inter_chunk_latency"), first)
    last = chunks[-1] if len(chunks) > 1 else _after(sent, metrics, "request_latency")
    end = None if ended is None or base is None else (ended - base) / NS_PER_S
    cancelled = bool(metadata.flag("was_cancelled"))
    failed = "error" in record or cancelled
    error = record.node("error")
    tokens, source = _tokens(metrics)
    return Exchange(
        sent=sent,
        first_token=first,
        last_token=last,
        # The end was taken from another difference of clocks than the chunks: rounding may put it before the last.
        end=max(filter(None, (end, last)), default=None),
        ok=not failed,
        error_class="interrupted" if cancelled else _error_class(error) if failed else None,
        error_message=failures.message(error.text("message") or "") if failed else None,
        warmup=metadata.text("benchmark_phase") == "warmup",
        prompt_tokens=_value(metrics, "usage_prompt_tokens") or _value(metrics, "input_sequence_length"),
        output_tokens=tokens,
        token_source=source,
        text_chunks=len(chunks) or None,
        chunks=chunks,
        reused=metrics.node("http_req_connection_reused").number("value") == 1,
    )


def _chunks(gaps: Node, first: float | None) -> tuple[float, ...]:
    """Return when the chunks with text came; the first alone where it had no successors, none with a gap unknown."""
    factor = _MS.get(gaps.text("unit") or "ms", 1.0) / 1e3
    told = [as_number(gap, f"{gaps.place}.value") for gap in gaps.items("value")]
    steps = [gap * factor for gap in told if gap is not None]
    return tuple(accumulate(steps, initial=first)) if first is not None and len(steps) == len(told) else ()


def _after(sent: float | None, metrics: Node, name: str) -> float | None:
    told = metrics.node(name)
    value = told.number("value")
    return None if sent is None or value is None else sent + value * _MS.get(told.text("unit") or "ms", 1.0) / 1e3


def _value(metrics: Node, name: str) -> int | None:
    return metrics.node(name).count("value")


def _tokens(metrics: Node) -> tuple[int | None, TokenSource | None]:
    usage = _value(metrics, "usage_completion_tokens")
    if usage is not None:
        return usage, "usage"
    counted = _value(metrics, "output_sequence_length")
    return counted, None if counted is None else "tokenizer"
