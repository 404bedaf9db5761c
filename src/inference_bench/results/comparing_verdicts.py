"""From estimates to pairs with verdicts: what is not comparable and why, and what withholds a `better`.

The mathematics are those of `metrics.comparison`. Here stand the rules about the services themselves: an invalid test,
answers of unlike lengths, a service that fails, or answers nonsense, more often than the other.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final, Literal

from inference_bench.metrics.comparison import Decision, Hypothesis, decide
from inference_bench.metrics.definitions import METRICS, Better
from inference_bench.metrics.statistics import Estimate
from inference_bench.results.comparing_blocks import Question
from inference_bench.results.comparison import Pair
from inference_bench.results.fairness import lengths_differ
from inference_bench.results.summary import ServiceSummary, Validity
from inference_bench.results.values import RATES, better_of, missing_reason, value_of

POINT: Final = 0.01  # a success rate may be lower by this much
_DEPEND_ON_LENGTH: Final = frozenset({"e2e_ms", "e2e_intended_ms", "requests_per_s"})
_GRAIN: Final = 1e-9  # shares are quotients of counts: 1.0 - 0.99 is a point, not more


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two that are compared: its name, and its summary in this test (one per run, where runs are blocks)."""

    name: str
    summaries: tuple[ServiceSummary, ...]

    @property
    def good(self) -> int:
        """How many requests succeeded."""
        return sum(one.requests.ok for one in self.summaries)

    @property
    def success_rate(self) -> float | None:
        """Good ones of those that ended."""
        ended = sum(one.requests.ok + one.requests.failed for one in self.summaries)
        return self.good / ended if ended else None

    @property
    def sound_rate(self) -> float | None:
        """The share of requests that were answered with sense; None where that was not looked at."""
        sound = ended = 0.0
        for one in self.summaries:
            if one.sanity is None or one.sanity.sound_rate is None:
                return None
            of_run = one.requests.ok + one.requests.failed
            sound, ended = sound + one.sanity.sound_rate * of_run, ended + of_run
        return sound / ended if ended else None

    @property
    def median_length(self) -> float | None:
        """The median output length in tokens (over runs, the median of theirs); None where it is not known."""
        found = [one.metrics["output_tokens"].p50 for one in self.summaries if "output_tokens" in one.metrics]
        known = [value for value in found if value is not None]
        return median(known) if known else None

    def value(self, name: str) -> float | None:
        """Return the side's value as its summary has it; over runs the geometric mean, as their ratio is made of it."""
        found = [value_of(one, name) for one in self.summaries]
        known = [value for value in found if value is not None]
        if not known or len(known) < len(found):
            return None
        if len(known) == 1:
            return known[0]
        return math.exp(sum(map(math.log, known)) / len(known)) if min(known) > 0 else None


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two sides, a question, and the estimate of their ratio, or the obstacle to having one.

    `remark` is what a reader of a verdict must know of how far it reaches.
    """

    test: str
    question: Question
    a: Side
    b: Side
    estimate: Estimate | None = None
    obstacle: str | None = None
    remark: str | None = None


def obstacle(question: Question, a: Side, b: Side, validity: Sequence[Validity]) -> str | None:
    """Return why two sides cannot be compared by a metric whatever its values are; None when they can."""
    for verdict in validity:
        if verdict.verdict == "invalid":
            first = f": {verdict.reasons[0]}" if verdict.reasons else ""
            return f"the test is invalid{first}"
    for side in (a, b):
        if not side.good:
            return f"{side.name} answered no request in the steady window"
    if question.metric in _DEPEND_ON_LENGTH and lengths_differ(a.median_length, b.median_length):
        return (
            f"it depends on the output length, and the medians differ: {a.name} {a.median_length:g} tokens, "
            f"{b.name} {b.median_length:g}"
        )
    return None


def nothing_to_compare(question: Question, side: Side) -> str:
    """Say why a side that answered has no value of a metric at all."""
    if question.statistic is None:
        return f"{side.name} has no {question.metric}: {missing_reason(side.summaries[0], question.name)}"
    return f"{side.name} has no {question.metric}: {METRICS[question.metric].missing_when}"


def withheld(question: Question, winner: Side, other: Side) -> str | None:
    """Return why a side cannot be called better although its figures are; None when it can."""
    if question.metric not in RATES and _a_point_lower(winner.success_rate, other.success_rate):
        return (
            f"{winner.name} has the better figures, and fewer requests succeeded: "
            f"{_percent(winner.success_rate)} against {_percent(other.success_rate)}"
        )
    if _a_point_lower(winner.sound_rate, other.sound_rate):
        return (
            f"{winner.name} has the better figures, and fewer of its answers are sound: "
            f"{_percent(winner.sound_rate)} against {_percent(other.sound_rate)}"
        )
    return None


def judge(candidates: Sequence[Candidate], *, min_effect: float, confidence: float) -> tuple[Pair, ...]:
    """Return the candidates with their verdicts, in their order; Holm's correction over those that decide."""
    found: dict[int, Pair] = {}
    for primary in (True, False):
        chosen = [
            (position, candidate, candidate.estimate)
            for position, candidate in enumerate(candidates)
            if candidate.question.primary == primary and candidate.estimate is not None
        ]
        hypotheses = [Hypothesis(estimate, _direction(candidate.question)) for _, candidate, estimate in chosen]
        family: Literal["holm"] | None = "holm" if primary else None
        decisions = decide(hypotheses, min_effect=min_effect, confidence=confidence, multiplicity=family)
        for (position, candidate, _), decision in zip(chosen, decisions, strict=True):
            found[position] = _judged(candidate, decision)
    return tuple(
        found[position] if position in found else _not_comparable(candidate)
        for position, candidate in enumerate(candidates)
    )


def _judged(candidate: Candidate, decision: Decision) -> Pair:
    winner = {"a": candidate.a, "b": candidate.b}.get(decision.better or "")
    pair = _bare(candidate).model_copy(
        update={
            "ratio": _finite(decision.ratio),
            "ci_low": _finite(decision.ci_low),
            "ci_high": _finite(decision.ci_high),
            "confidence": decision.confidence,
            "p": decision.p,
            "p_adjusted": decision.p_adjusted,
            "verdict": decision.verdict,
            "better": None if winner is None else winner.name,
            "blocks": decision.blocks,
            "needed_n": decision.needed_n,
            "reason": "; ".join(filter(None, [decision.reason, candidate.remark])) or None,
            "method": decision.method,
        }
    )
    if winner is None:
        return pair
    reason = withheld(candidate.question, winner, candidate.b if winner is candidate.a else candidate.a)
    if reason is None:
        return pair
    return pair.model_copy(update={"verdict": "not_comparable", "better": None, "needed_n": None, "reason": reason})


def _not_comparable(candidate: Candidate) -> Pair:
    return _bare(candidate).model_copy(update={"reason": candidate.obstacle})


def _bare(candidate: Candidate) -> Pair:
    question, a, b = candidate.question, candidate.a, candidate.b
    return Pair(
        test=candidate.test,
        metric=question.metric,
        statistic=question.statistic,
        primary=question.primary,
        a=a.name,
        b=b.name,
        verdict="not_comparable",
        value_a=a.value(question.name),
        value_b=b.value(question.name),
        unit=METRICS[question.metric].unit if question.metric in METRICS else "1/s",
    )


def _finite(value: float) -> float | None:
    """Return a number that a file can hold; an interval so wide that it has no end in floating point has none."""
    return value if math.isfinite(value) else None


def _direction(question: Question) -> Better:
    better = better_of(question.name)
    assert better is not None, question  # only such values are asked about
    return better


def _a_point_lower(rate: float | None, other: float | None) -> bool:
    return rate is not None and other is not None and other - rate > POINT + _GRAIN


def _percent(rate: float | None) -> str:
    return "unknown" if rate is None else f"{100 * rate:.4g} %"
