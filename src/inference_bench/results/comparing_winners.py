"""Who wins each test, and the run, by the verdicts on the primary metrics; and why, or why nobody does.

A service wins a test when it is better than every other one there. It wins the run when it alone is better on at least
one primary metric and worse on none, in a run in which no test is invalid.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from inference_bench.results.comparison import Pair

OVERALL = "overall"


class Winners(NamedTuple):
    """The winner of each test and of the run (key `overall`), None where there is none; and the reasons."""

    winners: dict[str, str | None]
    reasons: dict[str, str]


def winners(tests: Mapping[str, Sequence[str]], pairs: Sequence[Pair], *, invalid: Sequence[str] = ()) -> Winners:
    """Return who wins. `tests` maps each test to its services, `invalid` names the tests that cannot be trusted."""
    deciding = [pair for pair in pairs if pair.primary]
    found: dict[str, str | None] = {}
    reasons: dict[str, str] = {}
    for test, services in tests.items():
        of_test = [pair for pair in deciding if pair.test == test]
        found[test], reasons[test] = _of_test(services, of_test, invalid=test in invalid)
    found[OVERALL], reasons[OVERALL] = _of_run(tests, deciding, invalid)
    return Winners(found, reasons)


def _of_test(services: Sequence[str], pairs: Sequence[Pair], *, invalid: bool) -> tuple[str | None, str]:
    if len(services) < 2:
        return None, "one service: there is nothing to compare it with"
    if invalid:
        return None, "the test is invalid"
    for name in services:
        if _wins(name, pairs) == len(services) - 1:
            return name, "better than every other one" if len(services) > 2 else f"better than {_other(name, services)}"
    if len(services) == 2:
        return None, _undecided(pairs)
    return None, "none is better than every other one"


def _of_run(
    tests: Mapping[str, Sequence[str]], pairs: Sequence[Pair], invalid: Sequence[str]
) -> tuple[str | None, str]:
    services = list(dict.fromkeys(name for of_test in tests.values() for name in of_test))
    if len(services) < 2:
        return None, "one service: there is nothing to compare it with" if services else "no service was measured"
    if invalid:
        return None, f"{', '.join(invalid)} {'is' if len(invalid) == 1 else 'are'} invalid"
    candidates = [name for name in services if _wins(name, pairs) and not _losses(name, pairs)]
    if len(candidates) == 1:
        return candidates[0], _praise(candidates[0], pairs)
    if candidates:
        return None, f"{' and '.join(candidates)} are each better than another and worse than none"
    if any(pair.better for pair in pairs):
        return None, "each that is better on one primary metric is worse on another"
    return None, _undecided(pairs)


def _praise(name: str, pairs: Sequence[Pair]) -> str:
    asked = sum(name in (pair.a, pair.b) for pair in pairs)
    if asked == 1:
        return "better on the one primary metric"
    won = _wins(name, pairs)
    if won == asked:
        return f"better on {'both' if asked == 2 else f'all {asked}'} primary comparisons"
    return f"better on {won} of {asked} primary comparisons, worse on none"


def _wins(name: str, pairs: Sequence[Pair]) -> int:
    return sum(pair.better == name for pair in pairs)


def _losses(name: str, pairs: Sequence[Pair]) -> int:
    return sum(pair.better is not None and pair.better != name and name in (pair.a, pair.b) for pair in pairs)


def _other(name: str, services: Sequence[str]) -> str:
    return next(service for service in services if service != name)


def _undecided(pairs: Sequence[Pair]) -> str:
    """Say why no pair names anyone."""
    verdicts = {pair.verdict for pair in pairs}
    if verdicts == {"equivalent"}:
        return "equivalent"
    if verdicts == {"not_comparable"}:
        return "not comparable"
    if "no_difference_shown" in verdicts:
        return "no difference shown"
    return "equivalent where they are comparable" if verdicts else "nothing was compared"
