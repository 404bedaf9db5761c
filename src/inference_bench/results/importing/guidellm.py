"""GuideLLM's benchmarks.json: a report of several benchmarks, each a test; its requests where it kept all of them."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from inference_bench.metrics.columns import NS_PER_MS, NS_PER_S
from inference_bench.results.importing import failures
from inference_bench.results.importing.fields import Node, as_count, from_epoch, plain_url
from inference_bench.results.importing.model import Exchange, Foreign, ForeignTest, Reported
from inference_bench.results.manifest import LoadShape

_MS_PER_S: Final = NS_PER_S / NS_PER_MS
# Our metric, theirs, and what turns their unit into ours.
_METRICS: Final = (
    ("ttft_ms", "time_to_first_token_ms", 1.0),
    ("tpot_ms", "inter_token_latency_ms", 1.0),
    ("e2e_ms", "request_latency", _MS_PER_S),
    ("output_tokens", "output_token_count", 1.0),
    ("prompt_tokens", "prompt_token_count", 1.0),
)
_PERCENTS: Final = {1: "p01", 5: "p05", 10: "p10", 50: "p50", 90: "p90", 95: "p95", 99: "p99"}
_SCHEDULED: Final = {"constant": "constant", "async": "constant", "poisson": "poisson", "trace": "trace"}
_ENDINGS: Final = ("successful", "errored", "incomplete")


def recognises(data: object) -> bool:
    """Return whether this is a report of GuideLLM."""
    if not isinstance(data, dict) or not isinstance(data.get("benchmarks"), list):
        return False
    metadata = data.get("metadata")
    named = isinstance(metadata, dict) and "guidellm_version" in metadata
    return named or any(
        isinstance(one, dict) and str(one.get("type_", "")).endswith("generative_benchmark")
        for one in data["benchmarks"]
    )


def read(data: object, path: Path) -> Foreign:
    """Return what a report holds.

    Raises:
        ConfigError: a value is not of the kind it should be.
    """
    report = Node(data, path.name)
    benchmarks = list(report.nodes("benchmarks"))
    notes: list[str] = []
    tests = tuple(_test(one, notes) for one in benchmarks)
    backend = benchmarks[0].node("config").node("backend") if benchmarks else Node({}, path.name)
    return Foreign(
        tool="guidellm",
        path=path,
        tests=tests,
        version=report.node("metadata").text("guidellm_version"),
        started=from_epoch(benchmarks[0].number("start_time")) if benchmarks else None,
        model=backend.text("model"),
        url=plain_url(backend.text("target")),
        notes=tuple(notes),
    )


def _test(benchmark: Node, notes: list[str]) -> ForeignTest:
    metrics, totals = benchmark.node("metrics"), benchmark.node("metrics").node("request_totals")
    load, value = _load(benchmark.node("config").node("strategy"))
    ended = {ending: totals.count(ending) or 0 for ending in _ENDINGS}
    kept = {ending: len(benchmark.node("requests").items(ending)) for ending in _ENDINGS}
    sample, every = sum(kept.values()), sum(ended.values())
    whole = kept == ended and sample > 0
    if not whole and sample:
        test = f"a test of {value}" if value is not None else "a test"
        notes.append(f"{test}: the report keeps {sample} of {every} requests; its own figures are taken, no requests")
    measured = benchmark.node("scheduler_metrics")
    start, end = measured.number("measure_start_time"), measured.number("measure_end_time")
    warmed = (benchmark.number("warmup_duration") or 0) > 0 or (benchmark.number("cooldown_duration") or 0) > 0
    return ForeignTest(
        value=value,
        load=load,
        exchanges=(lambda: _exchanges(benchmark.node("requests"), load)) if whole else None,
        window=(start, end) if warmed and start is not None and end is not None and start < end else None,
        seconds=benchmark.number("duration"),
        ok=ended["successful"],
        failed=ended["errored"],
        interrupted=ended["incomplete"],
        reported=_reported(metrics),
        requests_per_s=_mean(metrics, "requests_per_second"),
        output_tokens_per_s=_mean(metrics, "output_tokens_per_second"),
        total_tokens_per_s=_mean(metrics, "tokens_per_second"),
        rate_asked=load.rate,
        concurrency_mean=metrics.node("request_concurrency").node("total").number("mean"),
        goodput_per_s=_goodput(metrics),
    )


def _load(strategy: Node) -> tuple[LoadShape, str | None]:
    """Return what a strategy asks for, and the value that tells it from others of the same kind."""
    kind = strategy.text("type_") or ""
    if kind in _SCHEDULED:
        rate = strategy.number("rate")
        shape = LoadShape(arrivals=_SCHEDULED[kind], rate=rate, max_in_flight=strategy.count("max_concurrency"))
        return shape, None if rate is None else f"{rate:g}"
    users = 1 if kind == "synchronous" else strategy.count("streams") or strategy.count("max_concurrency")
    return LoadShape(arrivals="closed", concurrent_users=users), kind if users is None else str(users)


def _exchanges(requests: Node, load: LoadShape) -> Iterator[Exchange]:
    for ending in _ENDINGS:
        for request in requests.nodes(ending):
            yield _exchange(request, ending, scheduled=load.arrivals != "closed")


def _exchange(request: Node, ending: str, *, scheduled: bool) -> Exchange:
    info = request.node("info")
    times = info.node("timings")
    told = _text_of(info)
    last = times.number("last_token_iteration")
    tokens = as_count(
        request.node("output_metrics").raw("total_tokens"), f"{request.place}.output_metrics.total_tokens"
    )
    kind = {"errored": failures.of_text(told) if told else None, "incomplete": "interrupted"}.get(ending)
    return Exchange(
        intended=times.number("targeted_start") if scheduled else None,
        sent=times.number("request_start") or times.number("resolve_start"),
        first_token=times.number("first_token_iteration"),
        first_answer_token=_reasoned(times),
        last_token=last,
        end=times.number("request_end") or times.number("resolve_end"),
        ok=ending == "successful",
        error_class=kind,
        error_message=failures.message(told) if told else None,
        prompt_tokens=request.node("input_metrics").count("total_tokens"),
        cached_tokens=request.node("input_metrics").count("cached_tokens"),
        output_tokens=tokens,
        token_source=None if tokens is None else "usage",
        text_chunks=times.count("token_iterations"),
    )


def _reasoned(times: Node) -> float | None:
    """Return when the answer began, where something (the reasoning) came before it."""
    first, answer = times.number("first_token_iteration"), times.number("first_output_token_iteration")
    return answer if first is not None and answer is not None and answer > first else None


def _text_of(info: Node) -> str | None:
    error = info.raw("error")
    return error if isinstance(error, str) else None


def _reported(metrics: Node) -> Mapping[str, Reported]:
    found = {}
    for ours, theirs, factor in _METRICS:
        told = metrics.node(theirs).node("successful")
        n = told.count("count")
        if not n:
            continue
        percentiles = {percent: told.node("percentiles").number(key) for percent, key in _PERCENTS.items()}
        mean, least, most = (_scaled(told.number(key), factor) for key in ("mean", "min", "max"))
        known = {percent: value * factor for percent, value in percentiles.items() if value is not None}
        found[ours] = Reported(n=n, mean=mean, least=least, most=most, percentiles=known)
    return found


def _scaled(value: float | None, factor: float) -> float | None:
    return None if value is None else value * factor


def _mean(metrics: Node, key: str) -> float | None:
    return metrics.node(key).node("successful").number("mean")


def _goodput(metrics: Node) -> float | None:
    told = metrics.raw("request_goodput")
    return (
        metrics.node("request_goodput").number("mean") if isinstance(told, dict) else metrics.number("request_goodput")
    )
