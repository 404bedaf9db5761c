"""The regression gate: whether the whole interval of B against A lies beyond so many per cent worse.

Worse by PCT means that the factor (B's value over A's where less is better, A's over B's where more is) exceeds
1 + PCT / 100: the same size in both directions. Of a capacity the factor is A's over B's, and its interval what the
intervals of the two answers leave open.
"""

from collections.abc import Iterator
from typing import Literal, NamedTuple

from pydantic import JsonValue

from inference_bench.results.capacity import CapacityPair
from inference_bench.results.capacity_between import at_most
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import advantage, metric_words

Outcome = Literal["held", "failed", "not_judged"]


class Regression(NamedTuple):
    """One primary pair, or capacity, held against the limit. `worse`, `low`, `high`: the factor by which B is worse
    than A; `worse` is None where an answer is open, `high` where an interval is.
    """

    pair: Pair | CapacityPair
    outcome: Outcome
    worse: float | None
    low: float | None
    high: float | None

    @property
    def what(self) -> str:
        """What was held against the limit: "TTFT p95", "capacity"."""
        return "capacity" if isinstance(self.pair, CapacityPair) else metric_words(self.pair)


def regressions(comparison: Comparison, percent: float) -> tuple[Regression, ...]:
    """Return every primary pair and every capacity with its outcome. A pair without an interval is not judged, except
    where B has no value and A has: nothing is worse than no answer.
    """
    limit = 1 + percent / 100
    found: list[Regression] = []
    for pair in comparison.primary_pairs:
        factor = advantage(pair, pair.a)
        if factor is not None:
            outcome: Outcome = "failed" if factor[1] > limit else "held"
            found.append(Regression(pair, outcome, *factor))
        else:
            lost = pair.value_a is not None and pair.value_b is None and _answered_nothing(pair)
            found.append(Regression(pair, "failed" if lost else "not_judged", None, None, None))
    return (*found, *_capacities(comparison, limit))


def _capacities(comparison: Comparison, limit: float) -> Iterator[Regression]:
    """Yield every capacity with its outcome: less is worse, and an interval open below shows no loss."""
    for pair in comparison.capacities:
        a, b = pair.found_a, pair.found_b
        if pair.verdict == "not_comparable" or a is None or b is None:
            yield Regression(pair, "not_judged", None, None, None)
            continue
        if a.value is None or b.value is None:  # nothing is worse than to carry not even the smallest load
            yield Regression(pair, "failed" if pair.better == pair.a else "held", None, None, None)
            continue
        worse = None if a.at_least or b.at_least else _factor(a.value, b.value)
        low, high = _factor(a.low, at_most(b, pair.unit)), _factor(at_most(a, pair.unit), b.low)
        # B's interval does not hold its upper end: where the two touch, the loss of a rate is beyond that factor.
        lost = pair.better == pair.a and low is not None and (low > limit or (low >= limit and pair.unit != "users"))
        yield Regression(pair, "failed" if lost else "held", worse, low, high)


def _factor(before: float | None, after: float | None) -> float | None:
    return None if before is None or not after else before / after


def _answered_nothing(pair: Pair) -> bool:
    return pair.reason is not None and pair.reason.startswith(f"{pair.b} answered no request")


def with_gate(comparison: Comparison, percent: float, judged: tuple[Regression, ...]) -> Comparison:
    """Return the comparison with what the gate said in its design (`fail_on_regression`)."""
    outcomes: list[JsonValue] = [
        {
            "test": one.pair.test,
            "what": one.what,
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
