"""`vllm bench serve`: a JSON object per run, several lines with --append-result, requests with --save-detailed."""

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Final

from inference_bench.errors import ConfigError
from inference_bench.results.importing import failures
from inference_bench.results.importing.fields import Node, as_count, as_number, malformed, moment
from inference_bench.results.importing.model import Exchange, Foreign, ForeignTest, Reported
from inference_bench.results.manifest import LoadShape

_METRICS: Final = (("ttft_ms", "ttft"), ("tpot_ms", "tpot"), ("icl_ms", "itl"), ("e2e_ms", "e2el"))
_PERCENTILE: Final = re.compile(r"p(\d{1,2})_(ttft|tpot|itl|e2el)_ms")
_PER_REQUEST: Final = ("ttfts", "itls", "start_times", "output_lens", "input_lens", "errors")


def recognises(data: object) -> bool:
    """Return whether this is a run of `vllm bench serve`."""
    if not isinstance(data, dict) or not {"duration", "completed", "request_throughput"} <= data.keys():
        return False
    return bool({"backend", "endpoint_type", "mean_ttft_ms", "ttfts"} & data.keys())


def read(runs: Sequence[object], path: Path) -> Foreign:
    """Return what a file of one run or several holds.

    Raises:
        ConfigError: a value is not of the kind it should be, or the lists of requests differ in length.
    """
    nodes = [Node(run, path.name if len(runs) == 1 else f"{path.name} run {at}") for at, run in enumerate(runs, 1)]
    models = {node.text("model_id") for node in nodes}
    notes: list[str] = []
    if len(models) > 1:
        notes.append("its runs are of several models; they stand here as one service")
    tests = tuple(_test(node, notes) for node in nodes)
    if any("total_output_tokens" not in node for node in nodes):
        raise ConfigError(
            f"{path.name}: a run that generated no text (embeddings, or a reranker) has no figures of ours"
        )
    return Foreign(
        tool="vllm bench serve",
        path=path,
        tests=tests,
        started=moment(nodes[0].text("date"), "%Y%m%d-%H%M%S"),
        model=models.pop() if len(models) == 1 else None,
        notes=tuple(notes),
    )


def _test(run: Node, notes: list[str]) -> ForeignTest:
    load, value = _load(run)
    detailed = all(key in run for key in _PER_REQUEST)
    if "ttfts" in run and not detailed:
        notes.append("its requests are kept without their start times: only its own figures are taken")
    kept, told = len(run.items("ttfts")), run.count("num_prompts")
    if detailed and told is not None and kept != told:
        notes.append(f"it tells of {told:,} requests and keeps {kept:,}: the figures are of those that are kept")
    completed = run.count("completed") or 0
    failed = run.count("failed")
    if failed is None:
        failed = max(0, (run.count("num_prompts") or completed) - completed)
    return ForeignTest(
        value=value,
        load=load,
        exchanges=(lambda: _exchanges(run)) if detailed else None,
        seconds=run.number("duration"),
        ok=completed,
        failed=failed,
        errors={"unknown": failed} if failed else {},
        reported=_reported(run, completed),
        requests_per_s=run.number("request_throughput"),
        output_tokens_per_s=run.number("output_throughput"),
        total_tokens_per_s=run.number("total_token_throughput"),
        rate_asked=load.rate,
        goodput_per_s=run.number("request_goodput") or run.number("request_goodput:"),  # older ones wrote it so
    )


def _load(run: Node) -> tuple[LoadShape, str | None]:
    users, requests = run.count("max_concurrency"), run.count("num_prompts")
    told = run.raw("request_rate")
    rate = None if told is None or told == "inf" else as_number(told, f"{run.place}.request_rate")
    if rate is None:
        arrivals = None if users is None else "closed"
        return LoadShape(arrivals=arrivals, concurrent_users=users, requests=requests), None if users is None else str(
            users
        )
    burstiness = run.number("burstiness")
    arrivals = "poisson" if burstiness in {None, 1.0} else "gamma"
    shape = LoadShape(
        arrivals=arrivals,
        rate=rate,
        burstiness=burstiness if arrivals == "gamma" else None,
        max_in_flight=users,
        requests=requests,
    )
    return shape, f"{rate:g}"


def _reported(run: Node, completed: int) -> Mapping[str, Reported]:
    """Return the figures; `n` counts requests also for gaps, whose number the file does not tell."""
    percentiles: dict[str, dict[int, float]] = {}
    for key in run.names():
        found = _PERCENTILE.fullmatch(key)
        value = run.number(key) if found is not None else None
        if found is not None and value is not None:
            percentiles.setdefault(found[2], {})[int(found[1])] = value
    made = {}
    for ours, theirs in _METRICS:
        mean, median = run.number(f"mean_{theirs}_ms"), run.number(f"median_{theirs}_ms")
        if mean is None or not completed:
            continue
        known = percentiles.get(theirs, {}) | ({} if median is None else {50: median})
        made[ours] = Reported(n=completed, mean=mean, percentiles=known)
    return made


def _exchanges(run: Node) -> Iterator[Exchange]:
    lists = [run.items(key) for key in _PER_REQUEST]
    latencies = run.items("latencies") or [None] * len(lists[0])
    if len({len(values) for values in (*lists, latencies)}) != 1:
        raise ConfigError(f"{run.place}: its lists of requests differ in length: {', '.join(_PER_REQUEST)}")
    for position, values in enumerate(zip(*lists, latencies, strict=True)):
        yield _exchange(values, f"{run.place} request {position}")


def _exchange(values: Sequence[object], place: str) -> Exchange:
    told_ttft, told_gaps, told_start, output, prompt, error, told_latency = values
    ttft, start, latency = (as_number(value, place) for value in (told_ttft, told_start, told_latency))
    if not isinstance(told_gaps, list):
        raise malformed(place, told_gaps, "a list of gaps")
    gaps = [gap for gap in (as_number(told, place) for told in told_gaps) if gap is not None]
    failed = bool(error) or not ttft
    # A stamp of 0 is how the tool writes that no chunk came.
    first = None if failed or start is None or ttft is None else start + ttft
    whole = first is not None and len(gaps) == len(told_gaps)
    chunks = tuple(accumulate(gaps, initial=first)) if whole and first is not None else ()
    last = chunks[-1] if chunks else None
    tokens = as_count(output, place)
    words = error if isinstance(error, str) else ""
    return Exchange(
        sent=start or None,
        first_token=first,
        last_token=last,
        end=last if last is not None else (start + latency) if start and latency else None,
        ok=not failed,
        error_class=(failures.of_text(words) if words else "empty") if failed else None,
        error_message=failures.message(words) if failed and words else None,
        prompt_tokens=as_count(prompt, place),
        output_tokens=tokens if not failed else None,
        token_source="usage" if tokens and not failed else None,
        text_chunks=len(chunks) or None,
        chunks=chunks,
    )
