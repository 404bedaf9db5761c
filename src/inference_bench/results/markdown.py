"""A run's summary as Markdown, for people: what was measured, the figures per test, and whether they hold."""

import unicodedata

from inference_bench.results.importing.definitions import imported_words
from inference_bench.results.manifest import Manifest
from inference_bench.results.server_facts import server_lines
from inference_bench.results.summary import Summary, TestSummary
from inference_bench.results.summary_view import MISSING, rows, sanity_warnings

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
    lines += [f"Test id `{manifest.test_id}`, {manifest.created:%Y-%m-%d %H:%M:%S} UTC, seed {manifest.seed}.", ""]
    lines += ["| Service | Engine | Version | Model | URL |", "|---|---|---|---|---|"]
    for service in manifest.services:
        cells = (service.name, service.engine, service.version, service.model, service.url)
        lines.append("| " + " | ".join(escaped(cell or MISSING) for cell in cells) + " |")
    for test in summary.tests:
        lines += ["", *_test(test)]
    return "\n".join(lines) + "\n"


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
