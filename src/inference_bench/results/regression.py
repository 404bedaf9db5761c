"""The regression gate: whether the whole interval of B against A lies beyond so many per cent worse.

Worse by PCT means that the factor (B's value over A's where less is better, A's over B's where more is) exceeds
1 + PCT / 100: the same size in both directions.
"""

from typing import Literal, NamedTuple

from pydantic import JsonValue

from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import advantage

Outcome = Literal["held", "failed", "not_judged"]


class Regression(NamedTuple):
    """One primary pair held against the limit. `worse`, `low`, `high`: the factor by which B is worse than A."""

    pair: Pair
    outcome: Outcome
    worse: float | None
    low: float | None
    high: float | None


def regressions(comparison: Comparison, percent: float) -> tuple[Regression, ...]:
    """Return every primary pair with its outcome. A pair without an interval is not judged, except where B has no
    value and A has: nothing is worse than no answer.
    """
    limit = 1 + percent / 100
    found = []
    for pair in comparison.primary_pairs:
        factor = advantage(pair, pair.a)
        if factor is not None:
            outcome: Outcome = "failed" if factor[1] > limit else "held"
            found.append(Regression(pair, outcome, *factor))
        else:
            lost = pair.value_a is not None and pair.value_b is None and _answered_nothing(pair)
            found.append(Regression(pair, "failed" if lost else "not_judged", None, None, None))
    return tuple(found)


def _answered_nothing(pair: Pair) -> bool:
    return pair.reason is not None and pair.reason.startswith(f"{pair.b} answered no request")


def with_gate(comparison: Comparison, percent: float, judged: tuple[Regression, ...]) -> Comparison:
    """Return the comparison with what the gate said in its design (`fail_on_regression`)."""
    outcomes: list[JsonValue] = [
        {
            "test": one.pair.test,
            "a": one.pair.a,
            "b": one.pair.b,
            "outcome": one.outcome,
            "worse": one.worse,
            "low": one.low,
            "high": one.high,
        }
        for one in judged
    ]
    gate: dict[str, JsonValue] = {"percent": percent, "limit": 1 + percent / 100, "outcomes": outcomes}
    return comparison.model_copy(update={"design": {**comparison.design, "fail_on_regression": gate}})
