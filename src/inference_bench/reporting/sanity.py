"""Whether the answers look like answers: counts of what was found in their text, by service."""

from collections.abc import Callable, Mapping

from inference_bench.reporting.text import clean
from inference_bench.reporting.view import Cell, Head, Row, Table
from inference_bench.results.summary import TestSummary
from inference_bench.results.summary_parts import SanityFacts
from inference_bench.results.summary_view import MISSING, percent


def sanity_table(test: TestSummary, numbers: Mapping[str, int]) -> Table | None:
    """Return what the answers looked like; None where nobody's were looked at."""
    found = [service.sanity for service in test.services.values()]
    if all(facts is None for facts in found):
        return None

    def row(name: str, cell: Callable[[SanityFacts], Cell]) -> Row:
        return Row(name, tuple(Cell(MISSING, "not looked at", "muted") if one is None else cell(one) for one in found))

    rows = (
        row("Sound, of all requests that ended", _share),
        row("Good answers looked at", lambda facts: Cell(f"{facts.checked:,}")),
        row("Garbled", lambda facts: _fault(facts.garbled, _kinds(facts))),
        row("Wildly short", lambda facts: _fault(facts.short, f"of {facts.paired:,} that could be paired")),
        row("Empty", lambda facts: _fault(facts.empty)),
        row("Truncated", lambda facts: _fault(facts.truncated)),
    )
    heads = tuple(Head(name, numbers.get(name)) for name in test.services)
    caption = f"Answers of {test.name}: whether their text looks sound"
    return Table(caption, (Head("Answers"), *heads), rows)


def _share(facts: SanityFacts) -> Cell:
    return Cell(percent(facts.sound_rate), clean(facts.reason or "", limit=160), "warn" if facts.flagged else "plain")


def _kinds(facts: SanityFacts) -> str:
    return ", ".join(f"{clean(kind, limit=40).replace('_', ' ')} {number:,}" for kind, number in facts.kinds.items())


def _fault(number: int, below: str = "") -> Cell:
    return Cell(f"{number:,}", below if number else "", "warn" if number else "muted")
