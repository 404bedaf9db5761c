"""From a run folder (or a comparison alone) to what its document shows.

Read are the manifest, summary.json, comparison.json and gates.json. A run that was made before there were comparisons
is compared here, from its tables; nothing is written.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inference_bench.reporting.capacity import capacity_change_views, capacity_views, sweep_views
from inference_bench.reporting.cost import cost_view
from inference_bench.reporting.drawing import bar_group, contests
from inference_bench.reporting.method import definitions, environment, limits, method, verdict_method
from inference_bench.reporting.pair_table import pair_table, score_table
from inference_bench.reporting.services import service_view
from inference_bench.reporting.test_facts import gate_row, test_view
from inference_bench.reporting.text import clean, count, slug
from inference_bench.reporting.trust import trust_points
from inference_bench.reporting.verdict import banners, comparison_verdict, run_verdict
from inference_bench.reporting.view import Banner, BarGroup, Cell, Head, Note, Point, Report, Row, Table, TestView, Tone
from inference_bench.results.comparing import compare_run
from inference_bench.results.comparing_design import settings_of
from inference_bench.results.comparison import Comparison, read_comparison
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run, shown_status
from inference_bench.results.gates import Gates, read_gates
from inference_bench.results.manifest import Manifest
from inference_bench.results.summary import Summary, TestSummary, read_summary
from inference_bench.results.sweep_rows import measured_tests


@dataclass(frozen=True, slots=True)
class Stored:
    """What a run folder holds of the results. `remark` says why there is no comparison where one was expected."""

    summary: Summary | None
    comparison: Comparison | None
    gates: Gates | None
    remark: str | None = None


def read_stored(run: Run) -> Stored:
    """Read a run's results; a comparison that is not there is made.

    Raises:
        RunFolderError: a file is damaged.
    """
    summary, comparison = read_summary(run.folder), read_comparison(run.folder)
    remark = None
    several = summary is not None and any(len(test.services) > 1 for test in summary.tests)
    if comparison is None and several:
        if run.folder.file(REQUESTS).is_file():
            comparison = compare_run(run.folder)
        else:
            remark = f"The run holds no {REQUESTS}, so its services could not be compared."
    return Stored(summary, comparison, read_gates(run.folder), remark)


def numbered(manifest: Manifest) -> dict[str, int]:
    """Return each service's number, in the manifest's order: its colour everywhere."""
    return {service.name: position for position, service in enumerate(manifest.services)}


def run_report(run: Run, stored: Stored | None = None) -> Report:
    """Return a run's document. Raises RunFolderError when a file of the run is damaged."""
    manifest = run.manifest
    stored = stored or read_stored(run)
    summary, comparison = stored.summary, stored.comparison
    numbers = numbered(manifest)
    simulated = manifest.simulated or (summary is not None and summary.simulated)
    said = banners(manifest, summary, shown_status(manifest), simulated)
    if stored.remark is not None:
        said.append(Banner("note", "No comparison", stored.remark))
    fought, axis = contests(comparison, numbers) if comparison is not None else ((), None)
    scores, score_notes = score_table(comparison) if comparison is not None else (None, ())
    gates_said, gates = _gates(stored.gates)
    tests = () if summary is None else summary.tests
    measured = () if summary is None else measured_tests(summary)
    return Report(
        title=clean(manifest.name),
        subtitle=_subtitle(manifest, summary),
        test_id=run.folder.test_id,
        simulated=simulated,
        banners=tuple(said),
        verdict=run_verdict(summary, comparison, numbers),
        numbers=numbers,
        contests=fought,
        axis=axis,
        bars=_deciding_bars(manifest, summary, comparison, numbers),
        fairness=() if comparison is None else _notes(comparison),
        capacities=() if summary is None else capacity_views(summary, numbers),
        sweeps=() if summary is None else sweep_views(summary),
        validity=None if not measured else _validity(measured),
        gates_said=gates_said,
        gates=gates,
        cost=None if summary is None else cost_view(summary, manifest.config, numbers),
        scores=scores,
        score_notes=score_notes,
        services=tuple(service_view(facts, numbers[facts.name]) for facts in manifest.services),
        tests=tuple(test_view(place, test, comparison, stored.gates, numbers) for place, test in enumerate(tests, 1)),
        method=(*method(manifest, comparison), *trust_points(measured)),
        environment=tuple(environment(manifest)),
        limits=tuple(limits(manifest, summary, comparison)),
        definitions=tuple(definitions(summary)),
    )


def comparison_report(comparison: Comparison, title: str) -> Report:
    """Return the document of a comparison that stands alone: its verdicts and figures, no test's own tables."""
    names = dict.fromkeys(name for pair in comparison.pairs for name in (pair.a, pair.b))
    numbers = {name: position for position, name in enumerate(names)}
    fought, axis = contests(comparison, numbers)
    scores, score_notes = score_table(comparison)
    said = banners(None, None, "complete", comparison.simulated)
    return Report(
        title=clean(title),
        subtitle="Between runs" if comparison.scope == "between_runs" else "Within one run",
        test_id=clean(comparison.test_id),
        simulated=comparison.simulated,
        banners=tuple(said),
        verdict=comparison_verdict(comparison, numbers),
        numbers=numbers,
        contests=fought,
        axis=axis,
        fairness=_notes(comparison),
        scores=scores,
        score_notes=score_notes,
        tests=(*_compared_tests(comparison), *capacity_change_views(comparison)),
        method=(*_sides(comparison), *(verdict_method(comparison) if comparison.pairs else ())),
        definitions=tuple(definitions(None, comparison)),
    )


def _compared_tests(comparison: Comparison) -> list[TestView]:
    found = []
    for place, test in enumerate(dict.fromkeys(pair.test for pair in comparison.pairs), 1):
        table = pair_table(comparison, test)
        found.append(TestView(clean(test), f"test-{place}-{slug(test)}", "Test", "", "", (), comparison=table))
    return found


def _sides(comparison: Comparison) -> list[Point]:
    sides = comparison.design.get("sides")
    found = []
    for letter, side in sides.items() if isinstance(sides, dict) else ():
        runs = side.get("runs") if isinstance(side, dict) else None
        if isinstance(runs, list):
            found.append(
                Point(f"Side {clean(letter, limit=60)}", clean(", ".join(str(run) for run in runs), limit=500))
            )
    return found


def _subtitle(manifest: Manifest, summary: Summary | None) -> str:
    parts = [f"{manifest.created:%d %B %Y, %H:%M} UTC".lstrip("0"), count(len(manifest.services), "service")]
    if summary is not None and summary.tests:
        tests, probes = (
            measured_tests(summary),
            [probe for facts in summary.capacity for one in facts.services.values() for probe in one.probes],
        )
        sent = sum(service.requests.sent for test in tests for service in test.services.values())
        sent += sum(probe.sent for probe in probes)
        parts += [count(len(tests), "test")] if tests else []
        parts += [f"{count(len(probes), 'probe')} for capacity"] if probes else []
        parts += [count(sent, "measured request")]
    return " · ".join(part.replace(" ", "\N{NO-BREAK SPACE}") for part in parts)  # a line breaks between them only


def _deciding_bars(
    manifest: Manifest, summary: Summary | None, comparison: Comparison | None, numbers: dict[str, int]
) -> tuple[BarGroup, ...]:
    """Return, for every test, the services' values of the metric that decides it."""
    decided: dict[str, str] = {}
    for pair in () if comparison is None else comparison.primary_pairs:
        decided.setdefault(pair.test, pair.metric if pair.statistic is None else f"{pair.metric}.{pair.statistic}")
    settings, found = settings_of(manifest.config), []
    own = None if settings.problem else settings.primary
    for test in () if summary is None else measured_tests(summary):
        name = decided.get(test.name) or own or ("ttft_ms.p50" if test.kind == "ttft" else "ttft_ms.p95")
        target = {"ttft_ms.p50": test.load.target_ms, "e2e_ms.p95": test.load.target_p95_ms}.get(name)
        try:
            group = bar_group(test, name, numbers, target)
        except KeyError:  # a file of a later version may be decided by more
            group = None
        if group is not None:
            found.append(group)
    return tuple(found)


def _validity(tests: Sequence[TestSummary]) -> Table:
    tones: dict[str, Tone] = {"valid": "good", "suspect": "warn", "invalid": "bad"}
    rows = []
    for test in tests:
        reasons = "; ".join(test.validity.reasons) or "no sign of a disturbed measurement"
        verdict = Cell(test.validity.verdict, tone=tones[test.validity.verdict])
        rows.append(Row(clean(test.name), (verdict, Cell(clean(reasons, limit=600)))))
    heads = (Head("Test"), Head("Validity"), Head("Why"))
    return Table("Whether the measurement of each test can be trusted", heads, tuple(rows), numeric=False)


def _gates(gates: Gates | None) -> tuple[str, Table | None]:
    """Return what became of the gates in a sentence, and those that failed or span several tests as a table."""
    if gates is None or not gates.results:
        return "", None
    failed, many = len(gates.failed), count(len(gates.results), "gate")
    said = f"{failed} of {many} failed." if failed else f"None of {many} failed."
    shown = [result for result in gates.results if result.failed or result.test is None]
    rows = []
    for result in sorted(shown, key=lambda result: not result.failed):
        row = gate_row(result)
        rows.append(Row(row.label, (*row.cells, Cell(clean(result.test or "several")))))
    heads = tuple(Head(text) for text in ("Gate", "Outcome", "Values", "Kind", "Test"))
    return said, Table("Gates and promises that failed", heads, tuple(rows), numeric=False) if rows else None


def _notes(comparison: Comparison) -> tuple[Note, ...]:
    return tuple(
        Note(note.weight, clean(note.text, limit=500), None if note.test is None else clean(note.test))
        for note in sorted(comparison.fairness, key=lambda note: note.weight != "warning")[:100]
    )
