"""How sweeps and capacities look in the terminal: one compact table each. They are read and judged elsewhere.

Names and reasons may come from servers: they are cleaned, and never read as markup.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from inference_bench.cli.utils.console_utils import clean, foreign, out, table
from inference_bench.results.capacity import CapacityFacts
from inference_bench.results.capacity_changes import CHANGE_HEADS, CHANGE_NOTE, capacity_change, capacity_sentence
from inference_bench.results.capacity_rows import capacity_rows, comparison_sentence, leader, promise_words
from inference_bench.results.comparison import Comparison
from inference_bench.results.summary import TestSummary
from inference_bench.results.summary_view import sanity_warnings
from inference_bench.results.sweep_rows import SWEEP_NOTE, load_name, sweep_heads, sweep_rows, sweep_words

VERDICT_STYLE: Final = {"valid": "green", "suspect": "yellow", "invalid": "bold red"}
_REASONS: Final = 2  # of a point in the compact table; --verbose has them all
_LONGEST: Final = 500
_NAME_WIDTH: Final = 16  # columns that a name of a service gets before the words beside it
_HEADS: Final = ("Capacity", "Interval", "Req/s", "Tok/s", "TTFT p50", "Probes")


def print_sweep(name: str, points: Sequence[TestSummary], *, simulated: bool) -> None:
    """Print a sweep: a row for each load and service; below it why points are not to be trusted."""
    console = out()
    console.print(_title(f"{clean(name)} (sweep: {sweep_words(points)})", simulated))
    heads = [head.replace(" ", "\n", 1) for head in sweep_heads(points)]
    made = table(load_name(points[0]), "Service", *heads, "Verdict", right=(load_name(points[0]), *heads))
    for position, column in enumerate(made.columns):
        column.no_wrap = position != 1  # figures are read in one piece; the names give way
    before = None
    for row in sweep_rows(points):
        load = row.load if row.load != before else ""
        verdict = Text(row.verdict, style=VERDICT_STYLE[row.verdict])
        made.add_row(load, foreign(row.service), *row.cells, verdict)
        before = row.load
    console.print(made)
    console.print(Text(SWEEP_NOTE, style="dim"))
    for point in points:
        _print_doubts(console, point)


def print_capacity(facts: CapacityFacts, *, simulated: bool) -> None:
    """Print the answers of a search: the promise, a row for each service, what ended each search, who carries more."""
    console = out()
    console.print(_title(f"Capacity under the promises: {clean(facts.test)}", simulated))
    console.print(Text(f"Promise: {clean(promise_words(facts), limit=_LONGEST)}."))
    if not facts.complete:
        said = "The search did not run to its end: these are no answers yet."
        console.print(Text(said, style="bold yellow"))
    made = table("Service", *_HEADS, right=_HEADS[2:])
    found = capacity_rows(facts)
    for column in made.columns[3:6]:
        column.no_wrap = True  # figures are read in one piece; the words give way
    made.columns[0].min_width = min(_NAME_WIDTH, max((len(clean(row.service)) for row in found), default=1))
    for row in found:
        made.add_row(foreign(row.service, style="bold"), *(Text(cell) for cell in row.cells))
    console.print(made)
    for row in found:
        console.print(Text(f"{clean(row.service)}: {clean(row.limit, limit=_LONGEST)}"))
    sentence = comparison_sentence(facts)
    if sentence is not None:
        style = "bold green" if leader(facts) is not None else "bold"
        console.print(Text(f"{clean(sentence, limit=_LONGEST)}.", style=style))


def capacity_changes(comparison: Comparison) -> Iterator[Table | Text]:
    """Yield the capacities of a comparison between runs: a row for each, then a sentence for each, then the rule."""
    if not comparison.capacities:
        return
    yield Text("\nCapacities", style="bold")
    made = table("Search", "Service", *CHANGE_HEADS)
    for pair in comparison.capacities:
        row = capacity_change(pair)
        made.add_row(foreign(row.test, style="bold"), foreign(row.services), *(Text(cell) for cell in row.cells))
    yield made
    styles = {"not_told_apart": "yellow", "not_comparable": "yellow"}
    for pair in comparison.capacities:
        gain = "bold green" if pair.better == pair.b else "bold red"
        said = capacity_sentence(pair, run_to_run=comparison.design.get("run_to_run") is True)
        text = f"{clean(pair.test)}: {clean(said, limit=_LONGEST)}."
        yield Text(text, style=styles.get(pair.verdict, gain))
    yield Text(CHANGE_NOTE, style="dim")


def _title(text: str, simulated: bool) -> Text:
    mark = "  SIMULATED" if simulated else ""
    return Text.assemble(("\n" + text, "bold"), (mark, "bold magenta"))


def _print_doubts(console: Console, point: TestSummary) -> None:
    """Print why a point is not valid, shortly, and which answers do not look sound."""
    verdict, reasons = point.validity.verdict, point.validity.reasons
    if verdict != "valid":
        more = f"; and {len(reasons) - _REASONS} more" if len(reasons) > _REASONS else ""
        said = clean("; ".join(reasons[:_REASONS]), limit=_LONGEST)
        style = VERDICT_STYLE[verdict].removeprefix("bold ")
        console.print(Text(f"{clean(point.name)} {verdict}: {said}{more}", style=style))
    for warning in sanity_warnings(point):
        text = f"{clean(point.name)} NOT SOUND  {clean(warning, limit=_LONGEST)}"
        console.print(Text(text, style="bold red"))
