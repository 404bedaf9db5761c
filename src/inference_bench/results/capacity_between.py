"""Capacities of two sides of stored runs against each other: only answers to the same question are compared.

The question is the same where the promises, the axis (users or rate), the rule of the search, the load test (but the
load it begins with) and the workload are. The rule of the verdict is that of one run (`capacity_rows.apart`): a change
is claimed only when the intervals do not overlap. Of several runs on a side, the interval that encloses all of theirs
counts, and the median of their answers.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from statistics import median
from typing import Final

from pydantic import JsonValue

from inference_bench.results.between_sides import Chosen
from inference_bench.results.capacity import CapacityFacts, CapacityPair, ServiceCapacity
from inference_bench.results.capacity_rows import apart, capacity_open, promise_words
from inference_bench.results.folder import Run

# Of a load test: its name, the load a search begins with, and what is held against its answers are no part of its
# shape; the promises are compared as the search kept them, and its length as that of a probe.
_NO_SHAPE: Final = frozenset(
    {"name", "concurrent_users", "rate", "slo", "target_p95_ms", "workload", "rounds", "duration_seconds", "requests"}
)
_LONGEST: Final = 160  # characters of a value in a reason
_MOST: Final = 4  # settings named in a reason
Told = Mapping[str, str]


def capacities_between(a: Chosen, b: Chosen, services: Sequence[tuple[str, str]]) -> tuple[CapacityPair, ...]:
    """Return a pair for every search that a side has and every two services; none where nothing was searched."""
    names = dict.fromkeys(facts.test for side in (a, b) for run in side.runs for facts in run.manifest.capacity)
    return tuple(_pair(name, (a, b), pair) for name in names for pair in services)


def _pair(test: str, sides: tuple[Chosen, Chosen], services: tuple[str, str]) -> CapacityPair:
    facts = tuple([_facts(run, test) for run in side.runs] for side in sides)
    known = [one for one in chain(*facts) if one is not None]
    found_a, found_b = (_enclosing(of_side, name) for of_side, name in zip(facts, services, strict=True))
    a, b = (f"{side.letter}/{name}" for side, name in zip(sides, services, strict=True))
    reason = next(_obstacles(test, sides, services), None)
    pair = CapacityPair(
        test=test,
        unit=known[0].unit,
        promise=known[0].promise,
        a=a,
        b=b,
        found_a=found_a,
        found_b=found_b,
        verdict="not_comparable",
        reason=reason,
    )
    if reason is not None or found_a is None or found_b is None:
        return pair
    return _judged(pair, found_a, found_b)


def _judged(pair: CapacityPair, a: ServiceCapacity, b: ServiceCapacity) -> CapacityPair:
    """Return the pair with its verdict. An open answer says who carries more where the intervals are apart, and
    nothing else.
    """
    better = pair.b if apart(a, b) else pair.a if apart(b, a) else None
    if better is None:
        reasons = [
            f"the capacity of {name} {said}"
            for name, found in ((pair.a, a), (pair.b, b))
            if (said := capacity_open(found, pair.unit)) is not None
        ]
        if reasons:
            return pair.model_copy(update={"reason": "; ".join(reasons)})
    verdict = "not_told_apart" if better is None else "better"
    judged = pair.model_copy(update={"verdict": verdict, "better": better})
    if a.value is None or b.value is None:
        return judged  # there is no factor between a load and none
    exact = not (a.at_least or b.at_least)
    changes = {
        "change_percent": _change(a.value, b.value) if exact else None,
        "change_low_percent": _change(at_most(a, pair.unit), b.low),
        "change_high_percent": _change(a.low, at_most(b, pair.unit)),
    }
    return judged.model_copy(update=changes)


def at_most(found: ServiceCapacity, unit: str) -> float | None:
    """Return the most that an interval leaves open; None where it is open above.

    From `high` on nothing was kept: of whole users the next one below is the most, of a rate anything below.
    """
    if found.high is None or unit != "users":
        return found.high
    return found.high - 1


def _change(before: float | None, after: float | None) -> float | None:
    return None if not before or after is None else 100 * (after / before - 1)


def _facts(run: Run, test: str) -> CapacityFacts | None:
    return next((facts for facts in run.manifest.capacity if facts.test == test), None)


def _enclosing(facts: Sequence[CapacityFacts | None], service: str) -> ServiceCapacity | None:
    """Return the answer of a side, without probes: the median, and the interval that encloses those of all its runs.

    None when a run has no answer of this service at all.
    """
    answers = [one.services.get(service) for one in facts if one is not None]
    found = [one for one in answers if one is not None]
    if not found or len(found) < len(facts):
        return None
    values = [one.value for one in found if one.value is not None]
    lows = [one.low for one in found if one.low is not None]
    highs = [one.high for one in found if one.high is not None]
    limits = [one.limited_by for one in found if one.limited_by is not None]
    return ServiceCapacity(
        value=median(values) if len(values) == len(found) else None,
        low=min(lows) if len(lows) == len(found) else None,
        high=max(highs) if len(highs) == len(found) else None,
        at_least=any(one.at_least for one in found),
        limited_by=limits[0] if limits else None,
    )


def _obstacles(test: str, sides: tuple[Chosen, Chosen], services: tuple[str, str]) -> Iterator[str]:
    """Yield why two answers are none to the same question, what weighs most first."""
    for side, service in zip(sides, services, strict=True):
        for run in side.runs:
            facts, where = _facts(run, test), f"{side.letter} ({run.folder.test_id})"
            if facts is None:
                yield f"{where} holds no search of {test}"
            elif service not in facts.services:
                yield f"the search of {where} has no answer of {service}"
            elif not facts.complete:
                yield f"the search of {where} did not run to its end"
    asked: tuple[tuple[str, Callable[[CapacityFacts], str]], ...] = (
        ("the searches varied other loads", lambda facts: facts.unit),
        ("other promises were to be kept", promise_words),
        ("the searches followed other rules", lambda facts: facts.rule),
    )
    for what, read in asked:
        said = _difference([[read(facts) for run in side.runs if (facts := _facts(run, test))] for side in sides])
        if said is not None:
            yield f"{what}: {said}"
    for what, settings in (("the load tests differ", _shape), ("the workloads differ", _workload)):
        told = [[settings(run, test) for run in side.runs] for side in sides]
        keys = dict.fromkeys(key for of_side in told for one in of_side for key in one)
        parts = [
            f"{key} ({said})"
            for key in keys
            if (said := _difference([[one.get(key, "not set") for one in of_side] for of_side in told])) is not None
        ]
        if parts:
            more = f" and {len(parts) - _MOST} more" if len(parts) > _MOST else ""
            yield f"{what}: {', '.join(parts[:_MOST])}{more}"


def _difference(told: Sequence[Sequence[str]]) -> str | None:
    """Return what each side says ("A users, B requests/s"), when not all of their runs say the same."""
    if len({value for of_side in told for value in of_side}) <= 1:
        return None
    sides = zip("AB", told, strict=True)
    return ", ".join(f"{letter} {' and '.join(map(_cut, dict.fromkeys(values)))}" for letter, values in sides)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _load_test(run: Run, test: str) -> Mapping[str, JsonValue]:
    """Return a load test of a run's configuration; empty where it has none of that name."""
    configured = run.manifest.config.get("load_tests")
    tests = configured if isinstance(configured, list) else ()
    return next((one for one in tests if isinstance(one, dict) and one.get("name") == test), {})


def _shape(run: Run, test: str) -> Told:
    """Return what a load test asks for at whatever load, and how long a probe of it lasts."""
    found = _load_test(run, test)
    told = {key: _text(value) for key, value in found.items() if key not in _NO_SHAPE and value is not None}
    rounds = found.get("rounds")
    for key, what in (("duration_seconds", "seconds of a probe"), ("requests", "requests of a probe")):
        length = found.get(key)
        if isinstance(length, int | float):
            each = length / rounds if isinstance(rounds, int) and rounds > 0 else length
            told[what] = f"{each:g}"
    return told


def _workload(run: Run, test: str) -> Told:
    """Return what is asked in a load test: its own workload, else the run's."""
    own = _load_test(run, test).get("workload")
    found = own if isinstance(own, dict) else run.manifest.config.get("workload")
    return {key: _text(value) for key, value in found.items() if value is not None} if isinstance(found, dict) else {}


def _text(value: JsonValue) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
