"""A comparison as Markdown: the verdicts in sentences, the figures behind them, what makes the services unlike."""

from inference_bench.results.capacity_changes import CHANGE_HEADS, CHANGE_NOTE, capacity_change, capacity_sentence
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import (
    NO_RUN_TO_RUN,
    factor_words,
    metric_words,
    percent_words,
    sentence,
    verdict_words,
    winner_sentence,
)
from inference_bench.results.markdown import escaped
from inference_bench.results.summary_view import MISSING, number


def comparison_markdown(comparison: Comparison) -> list[str]:
    """Return the lines of the section, its heading first."""
    lines = ["## Comparison", ""]
    if comparison.simulated:
        lines += ["**SIMULATED: verdicts about simulated engines, not real ones.**", ""]
    lines += [
        f"- **{escaped(pair.test)}**: {escaped(sentence(pair, comparison.design))}."
        for pair in comparison.primary_pairs
    ]
    lines += ["", f"**{escaped(winner_sentence(comparison))}.**"]
    if comparison.pairs:
        lines += ["", *_figures(comparison)]
    if comparison.capacities:
        lines += ["", *_capacities(comparison)]
    if comparison.fairness:
        lines += ["", "### Apples and oranges", ""]
        for note in comparison.fairness:
            where = f"{escaped(note.test)}: " if note.test else ""
            lines.append(f"- {'**!** ' if note.weight == 'warning' else ''}{where}{escaped(note.text)}")
    return lines


def _figures(comparison: Comparison) -> list[str]:
    lines = ["| Test | Metric | a | b | a | b | Ratio | CI | Verdict |", "|---|---|---|---|---:|---:|---:|---:|---|"]
    for pair in comparison.pairs:
        cells = (pair.test, metric_words(pair), pair.a, pair.b, number(pair.value_a), number(pair.value_b))
        mark = "**" if pair.primary else ""
        lines.append("| " + " | ".join(f"{mark}{escaped(cell)}{mark}" for cell in (*cells, *_verdict(pair))) + " |")
    reach = "" if comparison.design.get("run_to_run") is True else f" The comparison {NO_RUN_TO_RUN}."
    return [
        *lines,
        "",
        f"Bold decides; all other rows are exploratory and name no winner. Ratio: a's value over b's.{reach}",
    ]


def _capacities(comparison: Comparison) -> list[str]:
    run_to_run = comparison.design.get("run_to_run") is True
    rows = [capacity_change(pair) for pair in comparison.capacities]
    said = [(pair.test, capacity_sentence(pair, run_to_run=run_to_run)) for pair in comparison.capacities]
    return [
        "### Capacities",
        "",
        f"| {' | '.join(('Search', 'Service', *CHANGE_HEADS))} |",
        f"|{'---|' * (2 + len(CHANGE_HEADS))}",
        *(f"| {' | '.join(map(escaped, (row.test, row.services, *row.cells)))} |" for row in rows),
        "",
        *(f"- **{escaped(test)}**: {escaped(words)}." for test, words in said),
        "",
        CHANGE_NOTE,
    ]


def _verdict(pair: Pair) -> tuple[str, str, str]:
    if pair.ratio is None or pair.ci_low is None or pair.ci_high is None:
        return MISSING, MISSING, verdict_words(pair)
    ratio, low, high = factor_words(pair.ratio, pair.ci_low, pair.ci_high)
    level = "" if pair.confidence is None else f" ({percent_words(pair.confidence)})"
    return ratio, f"{low} to {high}{level}", verdict_words(pair)
