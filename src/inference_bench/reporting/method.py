"""How a run was made, by which definitions, and what it cannot say."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from pydantic import JsonValue

from inference_bench.metrics.definitions import METRICS
from inference_bench.reporting.text import clean, count, listed
from inference_bench.reporting.text import sentence as as_sentence
from inference_bench.reporting.view import Definition, Point
from inference_bench.results.comparison import Comparison
from inference_bench.results.comparison_words import NO_RUN_TO_RUN, percent_words
from inference_bench.results.design import Sequential
from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.manifest import ImportedFrom, Manifest
from inference_bench.results.summary import Summary

_STAMPS: Final = {
    "kernel": "arrival times come from the kernel (the newest byte queued at a read), anchored to the monotonic clock",
    "read": "arrival times are those at which this client read the bytes; the kernel gave no stamps",
}


def method(manifest: Manifest, comparison: Comparison | None) -> Iterator[Point]:
    """Yield how the run was made."""
    if manifest.imported is not None:
        yield from _imported(manifest, manifest.imported)
        return
    yield Point("Same work", "Every service got the same prompts, in the same order, with the same arrivals.")
    design = {} if comparison is None else comparison.design
    yield from (Point(clean(name, limit=80), text) for name, text in _tests(design))
    yield Point(
        "Prompts", f"Nonce {clean(manifest.nonce, limit=60)}, seed {manifest.seed}: give both again to repeat the work."
    )
    yield Point("Stamps", f"{_STAMPS[manifest.stamp_source].capitalize()}.")
    if comparison is not None and comparison.primary_pairs:
        yield from verdict_method(comparison)
    if manifest.design is not None and manifest.design.sequential is not None:
        yield from _sequential(manifest.design.sequential)
    for note in manifest.notes[:20]:
        yield Point("Noted", clean(note))


def _imported(manifest: Manifest, imported: ImportedFrom) -> Iterator[Point]:
    """Yield what is known of a run that another tool measured: the file, and what its metrics mean there."""
    said = f"It was {imported_words(imported)}, {imported.bytes:,} bytes, SHA-256 {imported.sha256}."
    yield Point("Another client", clean(said, limit=500))
    if imported.with_requests:
        kept = f"By the formulas below, from the requests it kept: {listed(imported.with_requests)}."
        yield Point("Figures", clean(kept, limit=500))
    rest = [test.name for test in manifest.plan if test.name not in imported.with_requests]
    if rest:
        yield Point("Its own figures", clean(f"By its own formulas, as it gave them: {listed(rest)}.", limit=500))
    for note in manifest.notes[:40]:
        yield Point("Noted", clean(note, limit=500))


def _sequential(sequential: Sequential) -> Iterator[Point]:
    """Yield how a run that was to go on until it is decided was looked at."""
    yield Point("Until decided", as_sentence(clean(sequential.rule, limit=500)))
    for look in sequential.looks[-10:]:
        blocks = ", ".join(f"{name} {number:,}" for name, number in look.blocks.items())
        open_still = f"undecided: {listed(look.undecided)}" if look.undecided else "all decided"
        ended = f"; it was the last ({look.stopped})" if look.stopped is not None else ""
        yield Point(f"Look {look.look}", clean(f"at {percent_words(look.alpha)}: {blocks}; {open_still}{ended}."))


def verdict_method(comparison: Comparison) -> Iterator[Point]:
    """Yield how verdicts were reached."""
    design = comparison.design
    effect, confidence = design.get("min_effect"), design.get("confidence")
    known = isinstance(effect, int | float) and isinstance(confidence, int | float)
    if known and isinstance(effect, int | float) and isinstance(confidence, int | float):
        yield Point(
            "Verdicts",
            f"Better: the adjusted p is below {percent_words(1 - confidence)} and the effect at least "
            f"{percent_words(effect)}. Equivalent: the whole interval lies within {percent_words(effect)}. "
            "Everything between is no difference shown, which is not the same as equal.",
        )
    methods = design.get("methods")
    used = [f"{name}: {how}" for name, how in methods.items()] if isinstance(methods, dict) else []
    estimated = f" ({'; '.join(used)})" if used else ""
    yield Point("Estimate", clean(f"The log of the ratio of the two services{estimated}.", limit=500))
    yield Point(
        "Many questions",
        "One metric per test decides, fixed before the run. Its p values are adjusted after Holm over every pair and "
        "test, and the interval shown is at the matching level. All other metrics are exploratory.",
    )


def _tests(design: Mapping[str, JsonValue]) -> Iterator[tuple[str, str]]:
    tests = design.get("tests")
    for name, found in tests.items() if isinstance(tests, dict) else ():
        if isinstance(found, dict):
            parts = [f"decided by {found['primary']}"] if found.get("primary") else []
            unit, blocks = found.get("unit"), found.get("blocks")
            if isinstance(unit, str) and isinstance(blocks, int) and blocks:
                parts.append(f"{count(blocks, f'paired {unit}')}")
            parts += [str(found[key]) for key in ("order",) if found.get(key)]
            if found.get("prompts"):
                parts.append(f"prompts: {found['prompts']}")
            yield name, clean("; ".join(parts)) + "."


def environment(manifest: Manifest) -> Iterator[Point]:
    """Yield where and with what the run was made."""
    place = manifest.environment
    if manifest.imported is not None:
        yield Point("Client host", "not told by the file it was imported from")
        yield Point("Imported by", clean(f"vllm-benchmark {place.tool_version}"))
        return
    yield Point("Client host", clean(place.host))
    yield Point("System", clean(f"{place.os}, kernel {place.kernel}, {place.architecture}"))
    cores = count(place.usable_cores, "usable core") if place.usable_cores is not None else "cores not told"
    memory = f", {place.memory_bytes / 2**30:.1f} GiB" if place.memory_bytes else ""
    yield Point("Machine", clean(f"{place.cpu or 'CPU not told'}, {cores}{memory}"))
    yield Point("Tool", clean(f"vllm-benchmark {place.tool_version}, {place.python}"))
    yield Point(
        "Packages", clean(", ".join(f"{name} {version}" for name, version in place.packages.items()), limit=500)
    )
    if place.git is not None:
        yield Point("Checkout", clean(f"{place.git.commit[:12]}{' with changes' if place.git.dirty else ''}"))


def limits(manifest: Manifest, summary: Summary | None, comparison: Comparison | None) -> Iterator[str]:
    """Yield what this run cannot say."""
    if manifest.simulated:
        yield "Its engines were simulated: nothing here is about real ones."
    if comparison is None or comparison.design.get("run_to_run") is not True:
        yield (
            f"Its intervals describe this one run; the comparison {NO_RUN_TO_RUN}. Another hour, another node or a "
            "restart may shift both sides: repeat the run, and compare runs with `results compare`."
        )
    yield (
        "It speaks of this workload, these lengths and these loads. Nothing is extrapolated to more users, longer "
        "prompts or another model."
    )
    yield "It measured what a client sees. Why an engine is faster, it does not say."
    tests = () if summary is None else summary.tests
    short = [
        test.name for test in tests if any(_lacks_tail(found.metrics["ttft_ms"]) for found in test.services.values())
    ]
    if short:
        yield f"Tails need many requests: in {listed(short)} some percentiles are missing or have no interval."
    if manifest.imported is not None:
        yield "Another client measured it: how late that one was, and how it read its answers, nobody knows."
    elif manifest.stamp_source == "read":
        yield "The kernel gave no arrival stamps, so a busy client may have read answers late; validity looks for that."
    if not manifest.config.get("pricing") or not _priced(manifest.config):
        yield "No price was given, so it says nothing of cost or of users per replica."


def _priced(config: Mapping[str, JsonValue]) -> bool:
    pricing = config.get("pricing")
    return isinstance(pricing, dict) and bool(pricing.get("per_hour"))


def _lacks_tail(figures: object) -> bool:
    return bool(getattr(figures, "n", 0)) and getattr(figures, "p99", None) is None


def definitions(summary: Summary | None, comparison: Comparison | None = None) -> Sequence[Definition]:
    """Return the definitions of the metrics that have a figure here."""
    tests = () if summary is None else summary.tests
    used = {name for test in tests for one in test.services.values() for name, found in one.metrics.items() if found.n}
    used |= {pair.metric for pair in (() if comparison is None else comparison.pairs)}
    return [
        Definition(
            metric.id,
            metric.unit,
            "" if metric.better is None else f"{metric.better} is better",
            metric.words,
            metric.formula,
            metric.source,
            metric.missing_when,
        )
        for metric in METRICS.values()
        if metric.id in used
    ]
