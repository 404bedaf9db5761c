"""Two services on one metric: from blocks of values to an estimate, and from all estimates of a run to verdicts.

The unit is the block: one interleaved block of a TTFT test, or one round of a load test. Requests of one block share
its luck and are never counted as independent evidence. What a block holds, and which metrics are compared, is decided
by whoever reads the records.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from inference_bench.metrics.columns import Floats, Ints
from inference_bench.metrics.definitions import Better
from inference_bench.metrics.distribution import interval_needs, percentile_needs
from inference_bench.metrics.statistics import BOOTSTRAP_FROM, FEWEST_BLOCKS, Estimate, of_resamples, of_values

Blocks = Sequence[Floats]
Outcome = Literal["better", "equivalent", "no_difference_shown"]
POWER: Final = 0.9


@dataclass(frozen=True, slots=True)
class NotComparable:
    """Why there is no estimate."""

    reason: str


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """An estimate, and which way of the metric is better."""

    estimate: Estimate
    better: Better


@dataclass(frozen=True, slots=True)
class Decision:
    """What is said of one pair. `ratio` is a's value over b's; [ci_low, ci_high] its interval at `confidence`, which
    excludes 1 exactly when `p_adjusted` is below 1 minus the confidence that was asked for.
    """

    ratio: float
    ci_low: float
    ci_high: float
    confidence: float
    p: float
    p_adjusted: float
    verdict: Outcome
    better: Literal["a", "b"] | None
    needed_n: int | None
    reason: str | None
    blocks: int
    method: str


def paired(a: Blocks, b: Blocks, statistic: str | None, *, seed: int) -> Estimate | NotComparable:
    """Return the log ratio of a's statistic over b's from blocks in which both were measured.

    `a` and `b` hold one array of values per block, equally many; blocks where either is empty are left out.
    `statistic` is "p50", "p95", "mean", …, or None where each block holds one value (a rate of the round).

    Raises:
        ValueError: the services have not equally many blocks.
    """
    if len(a) != len(b):
        raise ValueError(f"paired blocks come in pairs, not {len(a)} and {len(b)}")
    both = [(one, other) for one, other in zip(a, b, strict=True) if one.size and other.size]
    left, right = [one for one, _ in both], [other for _, other in both]
    problem = _problem(left, right, statistic)
    if problem is not None:
        return problem
    by_block = _by_block(left, statistic), _by_block(right, statistic)
    if len(both) < BOOTSTRAP_FROM:
        if by_block[0] is None or by_block[1] is None:
            return _jackknife(left, right, statistic)
        return of_values(np.log(by_block[0]) - np.log(by_block[1]), method="t on the log ratios of blocks")
    middles = np.log([np.median(one) for one in left]) - np.log([np.median(one) for one in right])
    one, other = _Resampled(left, statistic), _Resampled(right, statistic)
    made = of_resamples(
        lambda rows: one.logs(rows) - other.logs(rows),
        len(both),
        middles,
        method="bootstrap over blocks",
        rng=_rng(seed, statistic),
    )
    return made if made is not None else NotComparable("a value is 0 or less: there is no ratio")


def unpaired(a: Blocks, b: Blocks, statistic: str | None, *, seed: int) -> Estimate | NotComparable:
    """Return the log ratio of a's statistic over b's from blocks measured apart, as in two runs.

    Below 30 blocks a side Welch's t (Welch 1947) on the blocks' logarithms, from there a bootstrap of both sides, each
    for itself.
    """
    left, right = [one for one in a if one.size], [one for one in b if one.size]
    problem = _problem(left, right, statistic)
    if problem is not None:
        return problem
    sides = [_side(blocks, statistic, seed=seed, name=name) for blocks, name in ((left, "a"), (right, "b"))]
    parts = [side.standard_error**2 for side in sides]
    total = sum(parts)
    # Welch and Satterthwaite.
    below = sum(part**2 / side.freedom for part, side in zip(parts, sides, strict=True))
    freedom = total**2 / below if below else min(side.freedom for side in sides)
    methods = dict.fromkeys(side.method for side in sides)
    return Estimate(
        sides[0].log_ratio - sides[1].log_ratio,
        math.sqrt(total),
        freedom,
        min(len(left), len(right)),
        "unpaired, " + ", ".join(methods),
    )


def decide(
    hypotheses: Sequence[Hypothesis],
    *,
    min_effect: float = 0.05,
    confidence: float = 0.95,
    multiplicity: Literal["holm"] | None = "holm",
) -> list[Decision]:
    """Return the verdict on each hypothesis; with "holm" all of them are one family (Holm 1979)."""
    alpha = 1 - confidence
    factors = _holm_factors([one.estimate.p for one in hypotheses]) if multiplicity else [1.0] * len(hypotheses)
    return [
        _decision(one, factor, alpha=alpha, effect=math.log1p(min_effect))
        for one, factor in zip(hypotheses, factors, strict=True)
    ]


def _holm_factors(p_values: Sequence[float]) -> list[float]:
    """Return by what each p is multiplied, uncapped: the adjusted p of rank k is max over j <= k of (m - j + 1) p_j.

    A factor rather than the product: it also gives the level of the matching interval, 1 - alpha / factor.
    """
    factors = [1.0] * len(p_values)
    largest = 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        p, steps = p_values[position], len(p_values) - rank
        largest = max(largest, steps * p)
        factors[position] = max(float(steps), largest / p) if p else float(steps)
    return factors


def _decision(hypothesis: Hypothesis, factor: float, *, alpha: float, effect: float) -> Decision:
    estimate = hypothesis.estimate
    level = alpha / factor
    low, high = estimate.interval(1 - level)
    significant = estimate.p < level
    verdict: Outcome = "no_difference_shown"
    winner: Literal["a", "b"] | None = None
    needed: int | None = None
    reason: str | None = None
    # Significant and large enough comes first: the two can only both hold when the estimate stands on the very edge.
    if significant and abs(estimate.log_ratio) >= effect:
        verdict = "better"
        winner = "a" if (estimate.log_ratio < 0) == (hypothesis.better == "less") else "b"
    elif -effect < low and high < effect:
        verdict = "equivalent"
    else:
        needed = estimate.needed_blocks(effect, level, POWER)
        if significant:
            reason = "a difference was found, but it is not shown to be as large as the smallest worth naming"
        elif needed is None:
            reason = "how many blocks would be needed cannot be said: no spread was seen, or it is far too wide"
    return Decision(
        ratio=math.exp(estimate.log_ratio),
        ci_low=math.exp(low),
        ci_high=math.exp(high),
        confidence=1 - level,
        p=estimate.p,
        p_adjusted=min(1.0, estimate.p * factor),
        verdict=verdict,
        better=winner,
        needed_n=needed,
        reason=reason,
        blocks=estimate.blocks,
        method=estimate.method,
    )


def _problem(a: Blocks, b: Blocks, statistic: str | None) -> NotComparable | None:
    """Return why these blocks carry no comparison; None when they do."""
    fewest = min(len(a), len(b))
    if fewest < FEWEST_BLOCKS:
        return NotComparable(f"{fewest} blocks with values; {FEWEST_BLOCKS} are needed")
    percent = percent_of(statistic)
    if percent is not None and percent != 50:
        needed = interval_needs(percent)
        n = min(sum(one.size for one in a), sum(one.size for one in b))
        if n < needed:
            return NotComparable(f"{n} values are too few to compare a {statistic}; {needed} are needed")
    if any(bool(np.any(one <= 0)) for one in (*a, *b)) and _reaches_zero(a, b, statistic):
        return NotComparable("a value is 0 or less: there is no ratio")
    return None


def _reaches_zero(a: Blocks, b: Blocks, statistic: str | None) -> bool:
    """Whether a statistic that is to be divided by, or its logarithm taken of, is not positive."""
    return any(value_of(block, statistic) <= 0 for block in (*a, *b))


def percent_of(statistic: str | None) -> int | None:
    """Return the percent of a percentile's name, None for the mean and for single values.

    Raises:
        ValueError: there is no such statistic.
    """
    if statistic is None or statistic == "mean":
        return None
    if statistic[:1] == "p" and statistic[1:].isdigit() and 0 < int(statistic[1:]) < 100:
        return int(statistic[1:])
    raise ValueError(f"there is no statistic {statistic!r}")


def value_of(values: Floats, statistic: str | None) -> float:
    """Return the statistic of some values (linear interpolation between order statistics)."""
    percent = percent_of(statistic)
    return float(np.mean(values) if percent is None else np.percentile(values, percent))


def _by_block(blocks: Blocks, statistic: str | None) -> Floats | None:
    """Return each block's statistic; None when a block is too small to carry a tail."""
    percent = percent_of(statistic)
    if percent is not None and percent != 50 and min(one.size for one in blocks) < percentile_needs(percent):
        return None
    return np.array([value_of(one, statistic) for one in blocks])


def _jackknife(a: Blocks, b: Blocks, statistic: str | None) -> Estimate | NotComparable:
    """Return the estimate for few blocks too small to carry the tail by themselves: Tukey's pseudo-values.

    Each pseudo-value is n times the log ratio of everything minus n - 1 times that without one block (Miller 1974,
    The jackknife: a review); Student's t on them.
    """
    n = len(a)

    def log_ratio(left: Blocks, right: Blocks) -> float:
        return math.log(value_of(np.concatenate(left), statistic) / value_of(np.concatenate(right), statistic))

    whole = log_ratio(a, b)
    without = [log_ratio([*a[:i], *a[i + 1 :]], [*b[:i], *b[i + 1 :]]) for i in range(n)]
    pseudo = n * whole - (n - 1) * np.array(without)
    return of_values(pseudo, whole=whole, method="t on pseudo-values of blocks (jackknife)")


def _side(blocks: Blocks, statistic: str | None, *, seed: int, name: str) -> Estimate:
    """Return the estimate of one side's logarithm, for an unpaired comparison."""
    logs = _by_block(blocks, statistic)
    if len(blocks) < BOOTSTRAP_FROM and logs is not None:
        return of_values(np.log(logs), method="t on the logarithms of blocks")
    middles = np.log([np.median(one) for one in blocks])
    made = of_resamples(
        _Resampled(blocks, statistic).logs,
        len(blocks),
        middles,
        method="bootstrap over blocks",
        rng=_rng(seed, statistic, name),
    )
    assert made is not None, "values were looked at before"
    return made


class _Resampled:
    """The logarithm of a statistic over resampled blocks, without copying every value for every resample."""

    def __init__(self, blocks: Blocks, statistic: str | None) -> None:
        self._blocks = blocks
        self._percent = percent_of(statistic)
        self._sizes = np.array([one.size for one in blocks], dtype=np.int64)
        self._sums = np.array([float(one.sum()) for one in blocks])
        self._single = bool(np.all(self._sizes == 1))

    def logs(self, rows: Ints) -> Floats:
        """Return the logarithm for each row of block numbers, NaN where the statistic is not positive."""
        if self._percent is None:
            found = self._sums[rows].sum(axis=1) / self._sizes[rows].sum(axis=1)
        elif self._single:
            found = np.percentile(self._sums[rows], self._percent, axis=1)
        else:
            found = self._percentiles(rows, self._percent)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(found), dtype=np.float64)

    def _percentiles(self, rows: Ints, percent: int) -> Floats:
        """Return weighted percentiles: every value counts as often as its block was drawn."""
        values = np.concatenate(self._blocks)
        owner = np.repeat(np.arange(len(self._blocks)), self._sizes)
        order = np.argsort(values, kind="stable")
        values, owner = values[order], owner[order]
        found = np.empty(rows.shape[0])
        for number, row in enumerate(rows):
            counts = np.cumsum(np.bincount(row, minlength=len(self._blocks))[owner])
            rank = percent / 100 * (counts[-1] - 1)
            low, high = math.floor(rank), math.ceil(rank)
            first, second = np.searchsorted(counts, [low, high], side="right")
            found[number] = values[first] + (rank - low) * (values[second] - values[first])
        return found


def _rng(seed: int, *words: object) -> np.random.Generator:
    """Return a generator of resamples that is the same for the same seed and words, on every machine."""
    digest = hashlib.blake2b(repr((seed, "comparison", *words)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
