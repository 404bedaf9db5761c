"""Sweeps and capacities as sections of a document, and the verdict that a search for capacity gives."""

from collections.abc import Mapping, Sequence

from inference_bench.reporting.text import clean, slug
from inference_bench.reporting.text import sentence as as_sentence
from inference_bench.reporting.view import (
    CapacityView,
    Cell,
    Head,
    Point,
    Row,
    SweepView,
    Table,
    TestView,
    Tone,
    Verdict,
)
from inference_bench.results.capacity import CapacityFacts, ProbeFacts, ServiceCapacity, capacity_words
from inference_bench.results.capacity_changes import CHANGE_HEADS, CHANGE_NOTE, capacity_change, capacity_sentence
from inference_bench.results.capacity_rows import (
    HEADS,
    capacity_rows,
    comparison_sentence,
    leader,
    load_text,
    probes_by_load,
    promise_words,
)
from inference_bench.results.comparison import Comparison
from inference_bench.results.summary import Summary, TestSummary
from inference_bench.results.summary_view import MISSING, percent
from inference_bench.results.sweep_rows import SWEEP_NOTE, load_name, sweep_heads, sweep_rows, sweep_words, sweeps_of

_LONG = 500
_MOST_SAID = 4  # capacities of a comparison in its verdict; all stand below
_TONES: Mapping[str, Tone] = {"valid": "plain", "suspect": "warn", "invalid": "bad"}
_SPOILED = (
    "At a load marked * a turn says nothing: this client spoiled it or the service could not be reached, and it was "
    "made again; or it had too few requests."
)


def capacity_views(summary: Summary, numbers: Mapping[str, int]) -> tuple[CapacityView, ...]:
    """Return a section for each search."""
    return tuple(_capacity(place, facts, numbers) for place, facts in enumerate(summary.capacity, 1))


def sweep_views(summary: Summary) -> tuple[SweepView, ...]:
    """Return a section for each sweep."""
    return tuple(
        SweepView(
            name=clean(name),
            anchor=f"sweep-{place}-{slug(name)}",
            words=sweep_words(points),
            table=_sweep_table(name, points),
            note=SWEEP_NOTE,
            doubts=tuple(_doubts(points)),
            charts=(f"throughput_latency_{name}", f"goodput_{name}"),
        )
        for place, (name, points) in enumerate(sweeps_of(summary).items(), 1)
    )


def capacity_verdict(summary: Summary, numbers: Mapping[str, int], rest: Verdict | None) -> Verdict | None:
    """Return the verdict led by what the searches found; `rest` is that of the other tests, None without any.

    None when there was no search that ran to its end.
    """
    found = [facts for facts in summary.capacity if facts.complete]
    if not found:
        return None
    said = [as_sentence(clean(_answer_sentence(facts, several=len(found) > 1), limit=_LONG)) for facts in found]
    promises = Point("Promise", as_sentence(clean("; ".join(dict.fromkeys(map(promise_words, found))), limit=_LONG)))
    edges = [Point("Intervals", as_sentence(clean(_intervals(facts), limit=_LONG))) for facts in found]
    ahead = leader(found[0])
    headline = _headline(found[0], ahead)
    if rest is None:
        return Verdict(headline, "good" if ahead else "plain", tuple(said), (promises, *edges), _slot(numbers, ahead))
    return Verdict(
        headline if ahead else rest.headline,
        "good" if ahead else rest.tone,
        (*said, *rest.sentences),
        (promises, *edges, *rest.sure),
        _slot(numbers, ahead) if ahead else rest.winner,
    )


def capacity_change_views(comparison: Comparison) -> list[TestView]:
    """Return a section for each search of a comparison between runs: the table, and a sentence for each service."""
    run_to_run = comparison.design.get("run_to_run") is True
    found = []
    for place, test in enumerate(dict.fromkeys(pair.test for pair in comparison.capacities), 1):
        pairs = [pair for pair in comparison.capacities if pair.test == test]
        rows = [
            Row(change.services, tuple(Cell(text) for text in change.cells)) for change in map(capacity_change, pairs)
        ]
        heads = (Head("Service"), *(Head(text) for text in CHANGE_HEADS))
        table = Table(f"Capacities of {test}: the highest load that kept the promises", heads, tuple(rows))
        said = [capacity_sentence(pair, run_to_run=run_to_run) for pair in pairs]
        spoken = [f"{words[0].upper()}{words[1:]}" for words in said]
        remarks = tuple(as_sentence(clean(words, limit=_LONG)) for words in (*spoken, CHANGE_NOTE.rstrip(".")))
        anchor = f"capacity-change-{place}-{slug(test)}"
        found.append(TestView(clean(test), anchor, "Capacity", "", "", (), comparison=table, remarks=remarks))
    return found


def capacity_change_headline(comparison: Comparison) -> str:
    """Return what two searches show of each other in a few words; there is at least one capacity."""
    pairs = comparison.capacities
    less = sum(pair.better is not None and pair.better == pair.a for pair in pairs)
    more = sum(pair.better is not None and pair.better == pair.b for pair in pairs)
    if less or more:
        if len(pairs) == 1:
            return f"B carries {'less' if less else 'more'}"
        counts = [f"{word} in {number}" for word, number in (("less", less), ("more", more)) if number]
        return f"B carries {' and '.join(counts)} of {len(pairs)} capacities"
    told = any(pair.verdict == "not_told_apart" for pair in pairs)
    return "No difference in capacity shown" if told else "The capacities are not comparable"


def capacity_change_sentences(comparison: Comparison) -> tuple[str, ...]:
    """Return what the first capacities of a comparison show, those that differ before the others."""
    run_to_run = comparison.design.get("run_to_run") is True
    pairs = sorted(comparison.capacities, key=lambda pair: pair.better is None)[:_MOST_SAID]
    said = [f"{pair.test}: {capacity_sentence(pair, run_to_run=run_to_run)}" for pair in pairs]
    return tuple(as_sentence(clean(words, limit=_LONG)) for words in said)


def _slot(numbers: Mapping[str, int], name: str | None) -> int | None:
    return None if name is None else numbers.get(name)


def _headline(facts: CapacityFacts, ahead: str | None) -> str:
    if ahead is not None:
        return f"{clean(ahead, limit=60)} carries the most: {capacity_words(facts.services[ahead], facts.unit)}"
    if len(facts.services) == 1:
        name, found = next(iter(facts.services.items()))
        return _carries(clean(name, limit=60), found, facts.unit)
    return "No service is shown to carry the most" if comparison_sentence(facts) else "Capacity"


def _answer_sentence(facts: CapacityFacts, *, several: bool) -> str:
    where = f"In {facts.test}: " if several else ""
    sentence = comparison_sentence(facts)
    if sentence is not None:
        return f"{where}{sentence}"
    name, found = next(iter(facts.services.items()))
    return f"{where}{_carries(name, found, facts.unit)} under its promises"


def _carries(name: str, found: ServiceCapacity, unit: str) -> str:
    words = capacity_words(found, unit)
    return f"The capacity of {name} is not known" if words == "not known" else f"{name} carries {words}"


def _intervals(facts: CapacityFacts) -> str:
    return ", ".join(f"{name} {capacity_words(found, facts.unit)}" for name, found in facts.services.items())


def _capacity(place: int, facts: CapacityFacts, numbers: Mapping[str, int]) -> CapacityView:
    rows = capacity_rows(facts)
    heads = (Head("Service"), *(Head(text) for text in HEADS))
    table = Table(
        f"Capacities of {facts.test}: the highest load that kept the promises, and medians of the probes at it",
        heads,
        tuple(Row(row.service, tuple(Cell(text) for text in row.cells), strong=True) for row in rows),
    )
    sentence = comparison_sentence(facts)
    return CapacityView(
        name=clean(facts.test),
        anchor=f"capacity-{place}-{slug(facts.test)}",
        promise=as_sentence(clean(promise_words(facts), limit=_LONG)),
        sentence="" if sentence is None else as_sentence(clean(sentence, limit=_LONG)),
        table=table,
        limits=tuple(Point(row.service, as_sentence(clean(row.limit, limit=_LONG))) for row in rows),
        rule=as_sentence(clean(f"How it was searched: {facts.rule}", limit=_LONG)),
        probes=_probe_table(facts, numbers),
        note=_SPOILED if any(probe.kept is None for one in facts.services.values() for probe in one.probes) else "",
        chart=f"capacity_{facts.test}",
    )


def _probe_table(facts: CapacityFacts, numbers: Mapping[str, int]) -> Table:
    """Every load that was tried: how many of its probes kept the promises, and the share of requests that did."""
    loads = sorted({probe.load for found in facts.services.values() for probe in found.probes})
    by_service = {name: probes_by_load(found) for name, found in facts.services.items()}
    rows = [
        Row(
            load_text(load, facts.unit),
            tuple(_tried(found, by_service[name].get(load, ())) for name, found in facts.services.items()),
        )
        for load in loads
    ]
    heads = (Head("Load"), *(Head(name, numbers.get(name)) for name in facts.services))
    return Table(f"Every load that was tried for {facts.test}, by service", heads, tuple(rows))


def _tried(found: ServiceCapacity, probes: Sequence[ProbeFacts]) -> Cell:
    judged = [probe for probe in probes if probe.kept is not None]
    spoiled = " *" if len(judged) < len(probes) else ""
    if not judged:
        return Cell(f"{'not judged' if probes else MISSING}{spoiled}", tone="muted")
    kept = sum(probe.kept is True for probe in judged)
    shares = [probe.attainment for probe in judged if probe.attainment is not None]
    below = ["the capacity"] if probes[0].load == found.value else []
    below += [", ".join(percent(share) for share in shares)] if shares else []
    tone: Tone = "good" if 2 * kept > len(judged) else "bad"
    return Cell(f"{kept} of {len(judged)} kept{spoiled}", ": ".join(below), tone)


def _sweep_table(name: str, points: Sequence[TestSummary]) -> Table:
    heads = (Head(load_name(points[0])), Head("Service"), *map(Head, sweep_heads(points)))
    rows = [
        Row(row.load, (Cell(row.service, _doubt(row.verdict), _TONES[row.verdict]), *map(Cell, row.cells)))
        for row in sweep_rows(points)
    ]
    return Table(f"The sweep {name}: a row for each load and service", heads, tuple(rows))


def _doubt(verdict: str) -> str:
    return "" if verdict == "valid" else verdict


def _doubts(points: Sequence[TestSummary]) -> list[str]:
    return [
        as_sentence(
            clean(f"{point.name} is {point.validity.verdict}: {'; '.join(point.validity.reasons)}", limit=_LONG)
        )
        for point in points
        if point.validity.verdict != "valid"
    ]
