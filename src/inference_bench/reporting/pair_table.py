"""The comparisons of a test as a table: what decides stands first, the rest is exploratory and names no winner."""

from collections.abc import Mapping

from inference_bench.reporting.text import clean, p_words
from inference_bench.reporting.view import Cell, Head, Row, Table, Tone
from inference_bench.results.comparison import Comparison, Pair, ServiceScore
from inference_bench.results.comparison_words import factor_words, metric_words, percent_words, verdict_words
from inference_bench.results.summary_view import MISSING, number

_TONES: Mapping[str, Tone] = {
    "better": "good",
    "equivalent": "plain",
    "no_difference_shown": "warn",
    "not_comparable": "muted",
}


def pair_table(comparison: Comparison, test: str) -> Table | None:
    """Return every comparison of a test, the primary metric first, each two services as a group; None without any."""
    pairs = [pair for pair in comparison.pairs if pair.test == test]
    if not pairs:
        return None
    heads = tuple(Head(text) for text in ("Metric", "Verdict", "Ratio", "Interval", "p", "Left", "Right"))
    rows: list[Row] = []
    for both in dict.fromkeys((pair.a, pair.b) for pair in pairs):
        rows.append(Row(f"{clean(both[0])} (left) against {clean(both[1])} (right)"))
        mine = [pair for pair in pairs if (pair.a, pair.b) == both]
        rows += [_row(pair) for pair in sorted(mine, key=lambda pair: not pair.primary)]
    caption = f"Comparisons of {test}: the ratio is the left service's value over the right one's"
    return Table(caption, heads, tuple(rows))


def _row(pair: Pair) -> Row:
    ratio, interval, level = MISSING, MISSING, ""
    if pair.ratio is not None and pair.ci_low is not None and pair.ci_high is not None:
        ratio, low, high = factor_words(pair.ratio, pair.ci_low, pair.ci_high)
        interval = f"{low} – {high}"
        level = f"{percent_words(pair.confidence)}" if pair.confidence is not None else ""
    unit = " ms" if pair.unit == "ms" else ""
    return Row(
        f"{metric_words(pair)} – decides" if pair.primary else metric_words(pair),
        (
            _verdict(pair),
            Cell(ratio, f"{pair.blocks:,} blocks" if pair.blocks else ""),
            Cell(interval, level),
            Cell(p_words(pair.p_adjusted), "adjusted" if pair.primary and pair.p_adjusted is not None else ""),
            Cell(f"{number(pair.value_a)}{unit if pair.value_a is not None else ''}"),
            Cell(f"{number(pair.value_b)}{unit if pair.value_b is not None else ''}"),
        ),
        strong=pair.primary,
    )


def _verdict(pair: Pair) -> Cell:
    words = clean(verdict_words(pair))
    below = clean(pair.reason or "", limit=160)
    if pair.primary:
        return Cell(words, below, _TONES[pair.verdict])
    if pair.verdict == "better":  # exploratory: a difference, and no winner
        words = "difference shown"
    return Cell(words, below or "exploratory", "muted")


def score_table(comparison: Comparison) -> tuple[Table | None, tuple[str, ...]]:
    """Return the scores per test and service, and why some have no overall score."""
    rows: list[Row] = []
    reasons: dict[str, None] = {}
    for test, services in comparison.scores.items():
        if services:
            rows.append(Row(clean(test)))
        for name, score in services.items():
            rows.append(Row(clean(name), _parts(score), strong=False))
            if score.reason:
                reasons[f"{clean(test)}: {clean(score.reason)}"] = None
    if not any(cell.text != MISSING for row in rows for cell in row.cells):
        return None, tuple(reasons)
    heads = tuple(Head(text) for text in ("Service", "Latency", "Throughput", "Reliability", "Overall"))
    return Table("Scores from 0 to 1 by test and service", heads, tuple(rows)), tuple(reasons)


def _parts(score: ServiceScore) -> tuple[Cell, ...]:
    parts = (score.latency, score.throughput, score.reliability, score.overall)
    return tuple(Cell(MISSING, tone="muted") if part is None else Cell(f"{part:.2f}") for part in parts)
