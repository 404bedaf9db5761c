"""Capacities as rows and sentences: the same for the terminal, Markdown and the report. No markup here.

The figures at a capacity are medians of the probes of that load that could be judged: turns that this client spoiled
are left out of them as they are of the search.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Final, NamedTuple

from inference_bench.results.capacity import CapacityFacts, ProbeFacts, ServiceCapacity, capacity_words, interval_words
from inference_bench.results.summary_view import MISSING, number

HEADS: Final = ("Capacity", "Interval", "Requests/s", "Output tokens/s", "TTFT p50, ms", "Probes")
_FIGURES: Final = ("requests_per_s", "output_tokens_per_s", "ttft_p50_ms")
_FEW: Final = 20  # requests in a probe: below, one request more or less that kept the limits is over five percent
NOTHING_TO_RANK: Final = "only capacities were searched for, and what they show is said with them"


class CapacityRow(NamedTuple):
    """One service's answer in texts, in the order of `HEADS`, and what ended its search."""

    service: str
    cells: tuple[str, ...]
    limit: str


def promise_words(facts: CapacityFacts) -> str:
    """Return what was promised: "ttft_ms at most 250 for 0.95 of the requests; success_rate at least 0.99"."""
    return "; ".join(facts.promise)


def capacity_rows(facts: CapacityFacts) -> list[CapacityRow]:
    """Return a row for each service, in the run's order."""
    return [
        CapacityRow(
            name,
            (
                _answer(found, facts.unit).replace(" requests/s", "/s"),  # a narrow column has no room for more
                interval_words(found) or MISSING,
                *(number(at_capacity(found, field)) for field in _FIGURES),
                _probes(found),
            ),
            limit_words(found, facts),
        )
        for name, found in facts.services.items()
    ]


def at_capacity(found: ServiceCapacity, field: str) -> float | None:
    """Return the median of a figure over the judged probes at the capacity; None where there is none."""
    values = [
        value
        for probe in found.probes
        if probe.load == found.value and probe.kept is not None and (value := getattr(probe, field)) is not None
    ]
    return median(values) if values else None


def load_text(load: float, unit: str) -> str:
    """Return "1 user", "14 users", "2.5 requests/s"."""
    return f"{load:g} {'user' if unit == 'users' and load == 1 else unit}"


def limit_words(found: ServiceCapacity, facts: CapacityFacts) -> str:
    """Return what ended the search of a service: the load that broke the promises and how, or why none was found."""
    beyond = [probe for probe in found.probes if probe.kept is False and probe.load > (found.value or 0)]
    if beyond:
        edge = min(probe.load for probe in beyond)
        judged = [probe for probe in found.probes if probe.load == edge and probe.kept is not None]
        broken = [probe for probe in judged if probe.kept is False]
        why = broken[0].why[0] if broken[0].why else "the promises were broken"
        said = f"broken at {load_text(edge, facts.unit)} in {len(broken)} of {len(judged)} probes ({why})"
        said = said if found.limited_by is None else f"{said}; what ended the search: {found.limited_by}"
        fewest = min(probe.sent for probe in judged)
        return (
            f"{said}; a rough answer: {_FEW} requests or more make a probe, one had {fewest}" if fewest < _FEW else said
        )
    if not facts.complete:
        return "the search did not run to its end"
    broke = "no load broke the promises" if found.value is not None else "no load could be judged"
    return broke if found.limited_by is None else f"{broke}; what ended the search: {found.limited_by}"


def comparison_sentence(facts: CapacityFacts) -> str | None:
    """Return who carries more than whom, where the intervals do not overlap; None for one service.

    Everybody is held against the one of the highest capacity; of whom nothing is known, nothing is said but that.
    """
    if len(facts.services) < 2:
        return None
    if not facts.complete:
        return "The search did not run to its end, so nothing is said about who carries more"
    known = {name: found for name, found in facts.services.items() if _known(found)}
    unknown = [name for name in facts.services if name not in known]
    if unknown and len(known) < 2:
        return f"The capacity of {_listed(unknown)} is not known, so nothing is said about who carries more"
    said = _who_carries_more(known, facts.unit)
    return f"{said}; the capacity of {_listed(unknown)} is not known" if unknown else said


def _who_carries_more(services: Mapping[str, ServiceCapacity], unit: str) -> str:
    lead = max(services, key=lambda name: services[name].value or 0)
    others = {name: found for name, found in services.items() if name != lead}
    best = services[lead]
    behind = [name for name, found in others.items() if apart(found, best)]
    if not behind or best.value is None:
        return f"No difference in capacity shown between {_listed([*services])}: their intervals overlap"
    said = f"{lead} carries {_answer(best, unit)}, {_listed([_less(name, others[name], best) for name in behind])}"
    alike = [name for name in others if name not in behind]
    return f"{said}; no difference shown to {_listed(alike)}" if alike else said


def apart(less: ServiceCapacity, more: ServiceCapacity) -> bool:
    """Whether the intervals do not overlap: the edge of one is below `high`, that of the other at `low` or above."""
    return less.high is not None and more.low is not None and less.high <= more.low


def capacity_open(found: ServiceCapacity, unit: str) -> str | None:
    """Return what an answer leaves open: "is not known", "is only known to be at least 64 users"; None where it says
    where the edge is.
    """
    if not _known(found):
        return "is not known"
    if not found.at_least:
        return None
    why = "" if found.limited_by is None else f" ({found.limited_by})"
    return f"is only known to be {capacity_words(found, unit)}{why}"


def leader(facts: CapacityFacts) -> str | None:
    """Return the service whose interval lies above all others'; None where there is none."""
    if not facts.complete or len(facts.services) < 2:
        return None
    return next(
        (
            name
            for name, found in facts.services.items()
            if all(apart(other, found) for rival, other in facts.services.items() if rival != name)
        ),
        None,
    )


def probes_by_load(found: ServiceCapacity) -> Mapping[float, Sequence[ProbeFacts]]:
    """Return the probes of each load, in order of load and then of time."""
    loads = sorted({probe.load for probe in found.probes})
    return {load: [probe for probe in found.probes if probe.load == load] for load in loads}


def _known(found: ServiceCapacity) -> bool:
    return found.value is not None or found.high is not None


def _less(name: str, found: ServiceCapacity, best: ServiceCapacity) -> str:
    if not found.value or best.value is None:
        least = min((probe.load for probe in found.probes if probe.kept is False), default=None)
        return f"{name} {'less' if least is None else f'not even {least:g}'}"
    least_words = "at least " if best.at_least else ""
    return f"{name} {found.value:g}: {least_words}{best.value / found.value:.3g} times as many"


def _answer(found: ServiceCapacity, unit: str) -> str:
    """Return the answer without its interval, which has a column of its own."""
    if found.value is None or found.at_least:
        return capacity_words(found, unit)
    return load_text(found.value, unit)


def _probes(found: ServiceCapacity) -> str:
    """Return how many were made, and how many of them said nothing."""
    nothing = sum(probe.kept is None for probe in found.probes)
    return f"{len(found.probes)} ({nothing} void)" if nothing else f"{len(found.probes)}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
