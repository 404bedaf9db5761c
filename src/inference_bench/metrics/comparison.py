"""Two services on one metric: from blocks of values to an estimate, and from all estimates of a run to verdicts.

The unit is the block: one interleaved block of a TTFT test, or one round of a load test. Requests of one block share
its luck and are never counted as independent evidence. What a block holds, and which metrics are compared, is decided
by whoever reads the records.

Paired, the difference of a block is the log ratio of its two statistics, and the ratio that is reported is what is
typical of these: their geometric mean; from 30 blocks on, for a p50, the geometric mean of the middle 60 % (a trimmed
mean, so that a few stalls do not pass for a slower median). It is not the quotient of the two percentiles over all
blocks: prompts of different lengths move both services together, which cancels within a block and does not in that
quotient. With the built-in prompts the quotient of medians would need about ten times as many blocks. Only a tail that
single blocks are too small to carry is that quotient, of all values, because there is no other way to it.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from inference_bench.metrics.block_values import BlockValues, of_side, percent_of
from inference_bench.metrics.columns import Floats
from inference_bench.metrics.definitions import Better
from inference_bench.metrics.distribution import interval_needs
from inference_bench.metrics.pooled import PooledPercentile
from inference_bench.metrics.statistics import (
    BOOTSTRAP_FROM,
    FEWEST_BLOCKS,
    Estimate,
    of_resamples,
    of_values,
    trimmed_means,
)

Blocks = Sequence[Floats] | BlockValues
Outcome = Literal["better", "equivalent", "no_difference_shown"]
POWER: Final = 0.9
_T_ON_BLOCKS: Final = "t on the log ratios of blocks"


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
    """Return the log ratio of a's statistic over b's from blocks in which both were measured, in order of time.

    `a` and `b` hold one array of finite values per block (or what is known of them), equally many; blocks where either
    is empty are left out. `statistic` is "p50", "p95", "mean", …, or None where each block holds one value (a rate of
    the round).

    Raises:
        ValueError: the services have not equally many blocks, or there is no such statistic.
    """
    if len(a) != len(b):
        raise ValueError(f"paired blocks come in pairs, not {len(a)} and {len(b)}")
    one, other = of_side(a, statistic), of_side(b, statistic)
    both = (one.sizes > 0) & (other.sizes > 0)
    left, right = one.only(both), other.only(both)
    problem = _problem(left, right, statistic)
    if problem is not None:
        return problem
    if not (left.carried and right.carried):
        return _paired_pooled(left, right, statistic, seed=seed)
    ours, theirs = left.statistics, right.statistics
    if min(ours.min(), theirs.min()) <= 0:
        return _no_ratio(statistic)
    logs = np.log(ours) - np.log(theirs)
    trims = statistic == "p50"
    if len(left) < BOOTSTRAP_FROM:
        return of_values(logs, method=_T_ON_BLOCKS, trims_later=trims)
    return _bootstrapped(logs, trims=trims, what="log ratios of blocks", rng=_rng(seed, statistic))


def unpaired(a: Blocks, b: Blocks, statistic: str | None, *, seed: int) -> Estimate | NotComparable:
    """Return the log ratio of a's statistic over b's from blocks measured apart, as in two runs.

    Below 30 blocks on either side Welch's t (Welch 1947, Biometrika 34) on the blocks' logarithms; from there a
    bootstrap of both sides, each for itself, of the statistic of all its values.

    Raises:
        ValueError: there is no such statistic.
    """
    left, right = (side.only(side.sizes > 0) for side in (of_side(a, statistic), of_side(b, statistic)))
    problem = _problem(left, right, statistic)
    if problem is not None:
        return problem
    many = min(len(left), len(right)) >= BOOTSTRAP_FROM
    carried = left.carried and right.carried
    sides: list[Estimate] = []
    for blocks, name in ((left, "a"), (right, "b")):
        side = _side(blocks, statistic, many=many, carried=carried, rng=_rng(seed, statistic, name))
        if side is None:
            return _no_ratio(statistic)
        sides.append(side)
    first, second = sides
    parts = [side.standard_error**2 for side in sides]
    total = sum(parts)
    # Degrees of freedom after Welch and Satterthwaite.
    below = sum(part**2 / side.freedom for part, side in zip(parts, sides, strict=True))
    freedom = total**2 / below if below else min(side.freedom for side in sides)
    words = ", ".join(dict.fromkeys(side.method for side in sides))
    difference = first.log_ratio - second.log_ratio
    return Estimate(difference, math.sqrt(total), freedom, min(len(left), len(right)), f"unpaired, {words}")


def decide(
    hypotheses: Sequence[Hypothesis],
    *,
    min_effect: float = 0.05,
    confidence: float = 0.95,
    multiplicity: Literal["holm"] | None = "holm",
) -> list[Decision]:
    """Return the verdict on each hypothesis; with "holm" all of them are one family (Holm 1979, Scand. J. Statist. 6).

    `better`: p_adjusted < 1 - confidence and the estimated difference is at least `min_effect`; `equivalent`: the
    interval lies inside ± ln(1 + min_effect). Both cannot hold: the interval contains the estimate.
    """
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
    if significant and abs(estimate.log_ratio) >= effect:
        verdict = "better"
        winner = "a" if (estimate.log_ratio < 0) == (hypothesis.better == "less") else "b"
    elif -effect < low and high < effect:
        verdict = "equivalent"
    else:
        needed = estimate.needed_blocks(effect, level, POWER)
        reason = _why_open(estimate, needed, effect=effect, significant=significant)
    return Decision(
        ratio=_ratio(estimate.log_ratio),
        ci_low=_ratio(low),
        ci_high=_ratio(high),
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


def _ratio(logarithm: float) -> float:
    """Return the ratio, finite and above 0: the limits for three wild blocks at a strict level are beyond a float."""
    return math.exp(min(700.0, max(-700.0, logarithm)))


def _why_open(estimate: Estimate, needed: int | None, *, effect: float, significant: bool) -> str | None:
    """Say what is special about a pair that is not decided; None where there are just too few blocks."""
    if significant:
        return f"a difference was found, smaller than the {100 * math.expm1(effect):.3g} % that is worth naming"
    if estimate.standard_error == 0:
        return "how many blocks would be needed cannot be said: all blocks are alike"
    if needed is None:
        return "how many blocks would be needed cannot be said: they differ too widely"
    if needed == 0:
        return "a difference worth naming would probably have been found already"
    return None


def _problem(a: BlockValues, b: BlockValues, statistic: str | None) -> NotComparable | None:
    """Return why these blocks carry no comparison; None when they do."""
    percent = percent_of(statistic)
    fewest = min(len(a), len(b))
    if fewest < FEWEST_BLOCKS:
        return NotComparable(f"{fewest} block{'' if fewest == 1 else 's'} with values; {FEWEST_BLOCKS} are needed")
    if percent is not None and percent != 50:
        needed = interval_needs(percent)
        n = int(min(a.sizes.sum(), b.sizes.sum()))
        if n < needed:
            return NotComparable(f"{n} values are too few to compare a {statistic}; {needed} are needed")
    return None


def _no_ratio(statistic: str | None) -> NotComparable:
    return NotComparable(f"a {statistic or 'value'} is 0 or less, so there is no ratio")


def _bootstrapped(logs: Floats, *, trims: bool, what: str, rng: np.random.Generator) -> Estimate:
    """Return the estimate of the typical value of at least 30 blocks."""
    made = of_resamples(
        lambda rows: trimmed_means(logs[rows]) if trims else logs[rows].mean(axis=1),
        logs.size,
        logs,
        method=f"bootstrap over blocks of the {'trimmed ' if trims else ''}mean of the {what}",
        rng=rng,
    )
    assert made is not None, "a mean of finite values is finite"
    return made


def _paired_pooled(a: BlockValues, b: BlockValues, statistic: str | None, *, seed: int) -> Estimate | NotComparable:
    """Return the estimate of a tail that blocks are too small to carry by themselves, from all their values."""
    percent = percent_of(statistic) or 50
    one, other = PooledPercentile(a.values(), percent), PooledPercentile(b.values(), percent)
    found = of_resamples(
        lambda rows: one.logs(rows) - other.logs(rows),
        len(a),
        one.exceedances() - other.exceedances(),
        method=f"bootstrap over blocks of the ratio of all values' {statistic}",
        rng=_rng(seed, statistic),
    )
    return _no_ratio(statistic) if found is None else found


def _side(
    blocks: BlockValues, statistic: str | None, *, many: bool, carried: bool, rng: np.random.Generator
) -> Estimate | None:
    """Return the estimate of one side's logarithm, for an unpaired comparison; None where there is none."""
    percent = percent_of(statistic)
    if percent is not None and (many or not carried):
        pooled = PooledPercentile(blocks.values(), percent)
        words = f"bootstrap over blocks of all values' {statistic}"
        return of_resamples(pooled.logs, len(blocks), pooled.exceedances(), method=words, rng=rng)
    values = blocks.statistics
    if values.min() <= 0:
        return None
    if not many:
        return of_values(np.log(values), method="Welch's t on the logarithms of blocks")
    return _bootstrapped(np.log(values), trims=False, what="logarithms of blocks", rng=rng)


def _rng(seed: int, *words: object) -> np.random.Generator:
    """Return a generator of resamples that is the same for the same seed and words, on every machine."""
    digest = hashlib.blake2b(repr((seed, "comparison", *words)).encode(), digest_size=8).digest()
    return np.random.default_rng(int.from_bytes(digest, "big"))
