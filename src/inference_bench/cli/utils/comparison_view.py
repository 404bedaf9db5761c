"""How a comparison looks in the terminal: the verdicts in words, who wins, the figures, scores, fairness notes.

Nothing is judged here; the sentences come from `results.comparison_words`. Names and notes may come from servers: they
are cleaned, and never read as markup.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import Final

from rich.table import Table
from rich.text import Text

from inference_bench.cli.utils.capacity_view import capacity_changes
from inference_bench.cli.utils.console_utils import clean, foreign, out, table
from inference_bench.results.comparison import Comparison, Pair, ServiceScore
from inference_bench.results.comparison_words import (
    NO_RUN_TO_RUN,
    block_words,
    factor_words,
    metric_words,
    percent_words,
    sentence,
    verdict_words,
    winner_sentence,
)
from inference_bench.results.summary_view import MISSING, number

_LONGEST: Final = 600  # characters of a sentence or note that others had a hand in
_TEST_WIDTH: Final = 40
_EXPLORATORY: Final = (
    "* decides; other rows are exploratory: a name in brackets has the better figures and wins nothing. "
)
_SHORT: Final = {"equivalent": "equivalent", "no_difference_shown": "not shown", "not_comparable": MISSING}
_VERDICT_STYLE: Final = {
    "better": "bold green",
    "equivalent": "cyan",
    "no_difference_shown": "yellow",
    "not_comparable": "dim",
}


def print_comparison(comparison: Comparison, *, exploratory: bool = True) -> None:
    """Print a comparison on stdout: verdicts first, then the figures behind them.

    Without `exploratory` only the metrics that decide have their figures, as at the end of a run.
    """
    console = out()
    console.print(Text.assemble(("\nComparison", "bold"), _simulated(comparison)))
    for label, side in _sides(comparison):
        console.print(Text(f"{label}  {clean(side, limit=_LONGEST)}"), soft_wrap=True)
    if comparison.primary_pairs:
        console.print(_verdicts(comparison))
    console.print(_winner(comparison))
    shown = comparison
    if not exploratory:
        shown = comparison.model_copy(update={"pairs": comparison.primary_pairs})
    for block in (*_figures(shown), *_scores(comparison)):
        console.print(block)
    for line in capacity_changes(comparison):
        console.print(line)
    if len(shown.pairs) < len(comparison.pairs):
        hidden = len(comparison.pairs) - len(shown.pairs)
        console.print(Text(f"{hidden} further pairs are exploratory: --verbose, results show, the report", style="dim"))
    if comparison.fairness:
        console.print(Text("\nFairness: apples and oranges", style="bold"))
        console.print(_notes(comparison))


def _simulated(comparison: Comparison) -> tuple[str, str]:
    text = "  SIMULATED: verdicts about simulated engines, not real ones" if comparison.simulated else ""
    return text, "bold magenta"


def _sides(comparison: Comparison) -> Iterable[tuple[str, str]]:
    """Yield (letter, what stands on that side) of a comparison between runs."""
    sides = comparison.design.get("sides")
    for letter, side in sides.items() if isinstance(sides, dict) else ():
        runs = side.get("runs") if isinstance(side, dict) else None
        if isinstance(side, dict) and isinstance(runs, list):
            service = f"/{side['service']}" if side.get("service") else ""
            yield clean(letter), ",".join(map(str, runs)) + service


def _verdicts(comparison: Comparison) -> Table:
    """The primary metric of every test and pair, a sentence each; a long one goes on under itself."""
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(overflow="fold", max_width=24)
    made.add_column(overflow="fold")
    test = None
    for pair in comparison.primary_pairs:
        said = clean(sentence(pair, comparison.design), limit=_LONGEST)
        style = _VERDICT_STYLE[pair.verdict].replace("dim", "yellow")
        made.add_row(foreign(pair.test if pair.test != test else "", style="bold"), Text(f"{said}.", style=style))
        test = pair.test
    return made


def _winner(comparison: Comparison) -> Text:
    found = comparison.winners.get("overall") is not None
    said = clean(winner_sentence(comparison), limit=_LONGEST)
    return Text(f"{said}.", style="bold green" if found else "bold")


def _figures(comparison: Comparison) -> Iterable[Table | Text]:
    """Yield a table for each two services; what decides stands first in each test and is marked."""
    for a, b in dict.fromkeys((pair.a, pair.b) for pair in comparison.pairs):
        names = clean(a), clean(b)
        made = table("", *names, "Ratio", "CI", "Verdict", right=(*names, "Ratio", "CI"))
        for position in (0, 3, 4):
            made.columns[position].no_wrap = True  # figures are read in one piece; the names give way
        for column in made.columns[1:3]:
            column.min_width = 7
        for test, pairs in groupby((p for p in comparison.pairs if (p.a, p.b) == (a, b)), lambda pair: pair.test):
            made.add_row(foreign(test, limit=_TEST_WIDTH, style="bold"))
            for pair in pairs:
                made.add_row(*_cells(pair))
        yield made
    if comparison.pairs:
        yield Text(_legend(comparison), style="dim")
    for reason, metrics in _obstacles(comparison).items():
        yield Text(f"Not comparable: {', '.join(metrics)} ({clean(reason, limit=_LONGEST)}).", style="dim")


def _obstacles(comparison: Comparison) -> dict[str, dict[str, None]]:
    """Return why exploratory rows say nothing, each reason once with what it is about; the verdicts told the others."""
    found: dict[str, dict[str, None]] = {}
    for pair in comparison.pairs:
        if pair.verdict == "not_comparable" and not pair.primary and pair.reason:
            what = f"{clean(pair.test, limit=_TEST_WIDTH)} {metric_words(pair)}"
            found.setdefault(pair.reason, {})[what] = None
    return found


def _cells(pair: Pair) -> list[Text]:
    strong = "bold" if pair.primary else ""
    ratio, interval = MISSING, MISSING
    if pair.ratio is not None and pair.ci_low is not None and pair.ci_high is not None:
        ratio, low, high = factor_words(pair.ratio, pair.ci_low, pair.ci_high)
        interval = f"{low} – {high}"
    verdict = clean(_SHORT.get(pair.verdict) or (verdict_words(pair) if pair.primary else f"({pair.better})"))
    return [
        Text(f"{'*' if pair.primary else ' '} {metric_words(pair)}", style=strong),
        Text(number(pair.value_a), style=strong),
        Text(number(pair.value_b), style=strong),
        Text(ratio, style=strong),
        Text(interval, style=strong),
        Text(verdict, style=_VERDICT_STYLE[pair.verdict] if pair.primary else ""),
    ]


def _legend(comparison: Comparison) -> str:
    levels = sorted({pair.confidence for pair in comparison.primary_pairs if pair.confidence is not None})
    adjusted = f", adjusted for {len(comparison.primary_pairs)} comparisons" if len(levels) > 1 else ""
    spread = " to ".join(percent_words(level) for level in dict.fromkeys((levels[0], levels[-1]))) if levels else ""
    shown = f" (* at {spread}{adjusted})" if levels else ""
    blocks = ", ".join(f"{clean(test)} {said}" for test, said in block_words(comparison))
    reach = "" if comparison.design.get("run_to_run") is True else f" The comparison {NO_RUN_TO_RUN}."
    return (
        f"Ratio: the left one's value over the right one's, block by block. CI: its confidence interval{shown}. "
        f"Blocks: {blocks}. "
        f"{_EXPLORATORY if len(comparison.pairs) > len(comparison.primary_pairs) else ''}"
        f"Not shown: no difference is shown.{reach}"
    )


def _scores(comparison: Comparison) -> Iterable[Table | Text]:
    if not any(comparison.scores.values()):
        return
    made = table("Score (0 to 1)", "Service", "Latency", "Throughput", "Reliability", "Overall")
    for column in made.columns[2:]:
        column.justify = "right"
    reasons: dict[str, None] = {}
    for test, services in comparison.scores.items():
        for position, (name, score) in enumerate(services.items()):
            made.add_row(foreign(test if not position else ""), foreign(name), *_parts(score))
            if score.reason:
                reasons[f"{test}: {score.reason}"] = None
    yield made
    for reason in reasons:
        yield foreign(f"No overall score, {reason}", limit=_LONGEST, style="dim")


def _parts(score: ServiceScore) -> list[Text]:
    parts = (score.latency, score.throughput, score.reliability, score.overall)
    return [Text(MISSING if part is None else f"{part:.2f}") for part in parts]


def _notes(comparison: Comparison) -> Table:
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column()
    made.add_column(overflow="fold")
    for note in comparison.fairness:
        mark = Text("!", style="bold yellow") if note.weight == "warning" else Text("-")
        where = f"{clean(note.test)}: " if note.test else ""
        made.add_row(mark, Text(f"{where}{clean(note.text, limit=_LONGEST)}"))
    return made
