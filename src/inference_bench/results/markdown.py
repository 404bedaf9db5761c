"""A run's summary as Markdown, for people: what was measured, the figures per test, and whether they hold."""

import unicodedata
from collections.abc import Sequence

from inference_bench.results.capacity import CapacityFacts
from inference_bench.results.capacity_rows import HEADS, capacity_rows, comparison_sentence, promise_words
from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.manifest import Manifest
from inference_bench.results.server_facts import server_lines
from inference_bench.results.summary import Summary, TestSummary
from inference_bench.results.summary_view import MISSING, rows, sanity_warnings
from inference_bench.results.sweep_rows import (
    SWEEP_NOTE,
    load_name,
    single_tests,
    sweep_heads,
    sweep_rows,
    sweep_words,
    sweeps_of,
)

_SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_{}[]<>()#|~!"})


def run_markdown(manifest: Manifest, summary: Summary) -> str:
    """Return the document."""
    lines = [f"# {escaped(manifest.name)}", ""]
    if summary.simulated:
        lines += ["**SIMULATED: these figures come from simulated engines and say nothing about real ones.**", ""]
    if manifest.imported is not None:
        said = escaped(imported_words(manifest.imported))
        lines += [f"**IMPORTED: measured by another client, which nobody watched; {said}.**", ""]
        lines += [*(f"- {escaped(text)}" for text in manifest.notes), ""]
    if manifest.status != "complete":
        lines += [f"**This run is {manifest.status}: it did not run to its end.**", ""]
    seed = f", seed {manifest.seed}" if manifest.imported is None else ""
    lines += [f"Test id `{manifest.test_id}`, {manifest.created:%Y-%m-%d %H:%M:%S} UTC{seed}.", ""]
    lines += ["| Service | Engine | Version | Model | URL |", "|---|---|---|---|---|"]
    for service in manifest.services:
        cells = (service.name, service.engine, service.version, service.model, service.url)
        lines.append("| " + " | ".join(escaped(cell or MISSING) for cell in cells) + " |")
    for facts in summary.capacity:
        lines += ["", *_capacity(facts)]
    for name, points in sweeps_of(summary).items():
        lines += ["", *_sweep(name, points)]
    for test in single_tests(summary):
        lines += ["", *_test(test)]
    return "\n".join(lines) + "\n"


def _capacity(facts: CapacityFacts) -> list[str]:
    found = capacity_rows(facts)
    cells = [(f"**{escaped(row.service)}**", *map(escaped, row.cells)) for row in found]
    lines = [
        f"## Capacity under the promises: {escaped(facts.test)}",
        "",
        f"Promise: {escaped(promise_words(facts))}.",
        "",
    ]
    lines += [] if facts.complete else ["**The search did not run to its end: these are no answers yet.**", ""]
    lines += [*_table(("Service", *HEADS), cells), ""]
    lines += [f"- {escaped(row.service)}: {escaped(row.limit)}" for row in found]
    sentence = comparison_sentence(facts)
    return [*lines, "", f"{escaped(sentence)}."] if sentence is not None else lines


def _sweep(name: str, points: Sequence[TestSummary]) -> list[str]:
    heads = (load_name(points[0]), "Service", *sweep_heads(points), "Validity")
    cells = [
        (row.load, escaped(row.service), *map(escaped, row.cells), escaped(row.verdict)) for row in sweep_rows(points)
    ]
    lines = [f"## Sweep: {escaped(name)}", "", f"{escaped(sweep_words(points))}. {escaped(SWEEP_NOTE)}", ""]
    doubts = [
        f"- {escaped(point.name)}: **{point.validity.verdict.upper()}** {escaped('; '.join(point.validity.reasons))}"
        for point in points
        if point.validity.verdict != "valid"
    ]
    return [*lines, *_table(heads, cells), *(["", *doubts] if doubts else [])]


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = ["| " + " | ".join(map(escaped, heads)) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    return lines + ["| " + " | ".join(row) + " |" for row in rows]


def _test(test: TestSummary) -> list[str]:
    lines = [f"## {escaped(test.name)}", ""]
    if test.validity.verdict != "valid":
        lines += [f"**{test.validity.verdict.upper()}: {escaped('; '.join(test.validity.reasons))}**", ""]
    for warning in sanity_warnings(test):
        lines += [f"**NOT SOUND: {escaped(warning)}**", ""]
    names = [escaped(name) for name in test.services]
    lines += ["| | " + " | ".join(names) + " |", "|---|" + "---:|" * len(names)]
    for label, cells in rows(test):
        lines.append("| " + " | ".join(escaped(cell) for cell in (label, *cells)) + " |")
    told = server_lines({name: service.server for name, service in test.services.items()})
    return lines + (["", *(f"- {escaped(line)}" for line in told)] if told else [])


def escaped(text: str) -> str:
    """Return text, a server's perhaps, that Markdown shows as it is: one line, no control characters, no markup."""
    shown = "".join(" " if unicodedata.category(character).startswith("C") else character for character in text)
    return " ".join(shown.split()).translate(_SPECIAL)
