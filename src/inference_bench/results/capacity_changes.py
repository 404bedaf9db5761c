"""Capacities of two sides in words and cells: the same for the terminal and for Markdown. No markup here."""

from typing import Final, NamedTuple

from inference_bench.results.capacity import CapacityPair, ServiceCapacity, capacity_words
from inference_bench.results.comparison_words import NO_RUN_TO_RUN
from inference_bench.results.summary_view import MISSING

CHANGE_HEADS: Final = ("A", "B", "Change", "Verdict")
CHANGE_NOTE: Final = (
    "A change of capacity is claimed only where the intervals do not overlap. In brackets beside an answer: its "
    "interval; beside a change: what the intervals leave open."
)


class CapacityChange(NamedTuple):
    """A pair in texts: the search, the services (one name where both are called so), cells in order of the heads."""

    test: str
    services: str
    cells: tuple[str, ...]


def capacity_change(pair: CapacityPair) -> CapacityChange:
    """Return a pair as a row."""
    names = [side.partition("/")[2] for side in (pair.a, pair.b)]
    return CapacityChange(
        pair.test,
        names[0] if names[0] == names[1] else " / ".join(names),
        (_found(pair.found_a, pair.unit), _found(pair.found_b, pair.unit), change_words(pair), _verdict(pair)),
    )


def change_words(pair: CapacityPair) -> str:
    """Return the change from A to B: "-25 % (-31 to -20)"; "-87.5 % or beyond" where an answer is open."""
    low, high = pair.change_low_percent, pair.change_high_percent
    if pair.verdict == "not_comparable":
        return MISSING
    if pair.change_percent is None:
        nearest = high if pair.better == pair.a else low if pair.better == pair.b else None
        return MISSING if nearest is None else f"{_signed(nearest)} % or beyond"
    ends = ("open" if low is None else _signed(low), "open" if high is None else _signed(high))
    return f"{_signed(pair.change_percent)} % ({ends[0]} to {ends[1]})"


def capacity_sentence(pair: CapacityPair, *, run_to_run: bool = False) -> str:
    """Return what a pair shows, in one sentence without a full stop. `run_to_run`: several runs made the intervals."""
    if pair.verdict == "not_comparable" or pair.found_a is None or pair.found_b is None:
        reason = pair.reason or "no reason is stored"
        return f"the capacities of {pair.a} and {pair.b} are not comparable: {reason}"
    answers = [capacity_words(found, pair.unit) for found in (pair.found_a, pair.found_b)]
    change = change_words(pair)
    shown = [] if change == MISSING else [f"change {change}"]
    if pair.better is None:
        both = f"the capacities of {pair.a} and {pair.b} are not told apart: {answers[0]} against {answers[1]}"
        return "; ".join([both, "their intervals overlap", *shown])
    word = "more" if pair.better == pair.b else "less"
    reach = [] if run_to_run else [NO_RUN_TO_RUN]
    said = f"{pair.b} carries {word} than {pair.a}: {answers[1]} against {answers[0]}"
    return "; ".join([said, *shown, *reach])


def _found(found: ServiceCapacity | None, unit: str) -> str:
    # A narrow column has no room for more.
    return MISSING if found is None else capacity_words(found, unit).replace(" requests/s", "/s")


def _verdict(pair: CapacityPair) -> str:
    if pair.verdict == "better":
        return "B more" if pair.better == pair.b else "B less"
    return pair.verdict.replace("_", " ")


def _signed(percent: float) -> str:
    return f"{percent:+.3g}"
