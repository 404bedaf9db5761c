"""How sure a difference is: estimates of a log ratio from blocks, each with its standard error and degrees of freedom.

Every construction ends in Student's t around a standard error, so that the p-value and the interval of any level come
from one curve and cannot disagree. The standard error comes

- below 30 blocks from the blocks' log ratios. With 3 to 10 blocks the percentiles of a bootstrap cover only 75 to 90 %,
  Student's t what it says;
- from 30 blocks on from a bootstrap over blocks (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 6).
  Resampled blocks carry all their values along, so the statistic may be a percentile of everything; where it has to be
  (a tail that single blocks are too small to carry), fewer blocks are bootstrapped too. With t around the bootstrap's
  standard error that covers 96 to 98 % from 5 blocks on; jackknife pseudo-values of a percentile cover 91 to 93 %.

Blocks may depend on their neighbours: a service of its own that is slow for a while. What slows all services down
cancels in a paired difference; this does not. From 9 blocks on, therefore, not single blocks are taken as independent
but runs of l neighbours, overlapping and circular: their means give the standard error (overlapping batch means:
Meketon and Schmeiser 1984, with 1.5 n/l degrees of freedom), and the bootstrap resamples such runs (circular block
bootstrap: Politis and Romano 1992). A run has sqrt(n) + 1 blocks (of the order of Flegal and Jones 2010, Annals of
Statistics 38), because weak dependence that lasts cannot be seen in a correlogram of so few blocks, and more where the
first autocorrelation asks for more (the length that is best for an AR(1): Andrews 1991, Econometrica 59; Politis and
White 2004), up to n/4.
For independent blocks that costs about a tenth of width. What it gives is measured in benchmarks/README.md.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy.special import stdtr, stdtrit

from inference_bench.metrics.columns import Floats, Ints
from inference_bench.metrics.power import blocks_for

FEWEST_BLOCKS: Final = 3
RUNS_FROM: Final = 9
BOOTSTRAP_FROM: Final = 30
RESAMPLES: Final = 1000
TRIM: Final = 0.2
# Variance of the mean of the middle 60 % over that of the mean, for normal noise (Wilcox 2012, ch. 3).
TRIMMED_VARIANCE: Final = 1.145


@dataclass(frozen=True, slots=True)
class Estimate:
    """A difference on the log scale and how sure it is.

    `log_ratio` is ln(a's value / b's value). `freedom` are the degrees of freedom of `standard_error`. `blocks` is
    how many blocks it stands on, `method` how it was made. `trims_later`: from 30 blocks on, the same question is
    answered by a trimmed mean, which needs a few more blocks.
    """

    log_ratio: float
    standard_error: float
    freedom: float
    blocks: int
    method: str
    trims_later: bool = False

    @property
    def p(self) -> float:
        """Two-sided p-value of no difference."""
        if self.standard_error == 0:
            return 1.0 if self.log_ratio == 0 else 0.0
        return float(2 * stdtr(self.freedom, -abs(self.log_ratio) / self.standard_error))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Return the interval of the log ratio; it excludes 0 exactly when p < 1 - confidence."""
        half = float(stdtrit(self.freedom, (1 + confidence) / 2)) * self.standard_error if self.standard_error else 0.0
        return self.log_ratio - half, self.log_ratio + half

    def needed_blocks(self, effect: float, alpha: float, power: float = 0.9) -> int | None:
        """Return how many FURTHER blocks would find a true log ratio of `effect` (> 0) with this power at level alpha.

        Found means p < alpha with all blocks taken together. The power is averaged over the spreads that this
        estimate leaves possible (see `power`). 0 says that such a difference would already have been found that
        often. None where nothing can be said: no spread was seen, or more than a million blocks would be needed.
        """
        if self.standard_error == 0:
            return None
        one = self.standard_error * math.sqrt(self.blocks)

        def spread(blocks: int) -> float:
            trims = self.trims_later and blocks >= BOOTSTRAP_FROM
            return one * math.sqrt(TRIMMED_VARIANCE) if trims else one

        found = blocks_for(
            effect,
            spread=spread,
            freedom=lambda blocks: freedom_of(blocks, base_length(blocks)),
            pilot_freedom=self.freedom,
            pilot=self.blocks,
            alpha=alpha,
            power=power,
        )
        return None if found is None else found - self.blocks


def of_values(values: Floats, *, method: str, trims_later: bool = False) -> Estimate:
    """Return the estimate of the mean from one value per block (log ratios), in order of time.

    Raises:
        ValueError: there are fewer than `FEWEST_BLOCKS`.
    """
    n = int(values.size)
    if n < FEWEST_BLOCKS:
        raise ValueError(f"{n} blocks carry no interval; {FEWEST_BLOCKS} do")
    length = run_length(values)
    mean = float(values.mean())
    centred = values - mean
    runs = np.concatenate([centred, centred[: length - 1]])
    sums = np.convolve(runs, np.ones(length), mode="valid")
    error = math.sqrt(float(np.dot(sums, sums)) / n / length / (n - length))
    return Estimate(mean, error, freedom_of(n, length), n, _with_runs(method, length), trims_later)


def of_resamples(
    statistic: Callable[[Ints], Floats], blocks: int, dependence: Floats, *, method: str, rng: np.random.Generator
) -> Estimate | None:
    """Return the estimate of a statistic of all blocks by a bootstrap over runs of blocks; None where it has no value.

    `statistic(rows)` gives it for each row of block numbers, shape (resamples, blocks); not finite where it has none.
    `dependence` is one value per block, in order of time: it tells how far blocks depend on each other.
    """
    length = run_length(dependence)
    whole = float(statistic(np.arange(blocks)[None, :])[0])
    drawn = statistic(resampled_blocks(blocks, length, rng))
    if not (math.isfinite(whole) and bool(np.all(np.isfinite(drawn)))):
        return None
    # As for a mean, whose bootstrap variance is too small by this factor.
    error = float(drawn.std()) * math.sqrt(blocks / (blocks - length))
    return Estimate(whole, error, freedom_of(blocks, length), blocks, _with_runs(method, length))


def trimmed_means(rows: Floats) -> Floats:
    """Return the mean of the middle 60 % of each row."""
    cut = int(TRIM * rows.shape[1])
    kept = np.sort(rows, axis=1)[:, cut : rows.shape[1] - cut]
    return np.asarray(kept.mean(axis=1), dtype=np.float64)


def resampled_blocks(blocks: int, length: int, rng: np.random.Generator, resamples: int = RESAMPLES) -> Ints:
    """Return block numbers, shape (resamples, blocks): circular runs of `length` blocks with random starts."""
    runs = -(-blocks // length)
    starts = rng.integers(0, blocks, (resamples, runs))
    rows = (starts[:, :, None] + np.arange(length)).reshape(resamples, runs * length)[:, :blocks]
    return np.asarray(rows % blocks, dtype=np.int64)


def base_length(blocks: int) -> int:
    """Return the shortest run of blocks that is taken as independent of others."""
    return math.isqrt(blocks) + 1 if blocks >= RUNS_FROM else 1


def freedom_of(blocks: int, length: int) -> float:
    """Return the degrees of freedom of a standard error from runs of blocks."""
    return blocks - 1.0 if length == 1 else 1.5 * blocks / length


def run_length(values: Floats) -> int:
    """Return the length of runs for these values of blocks: the base, more where their autocorrelation asks for it."""
    n = int(values.size)
    base = base_length(n)
    if n < RUNS_FROM:
        return base
    r = autocorrelation(values)
    automatic = 1.1447 * (4 * r**2 / (1 - r**2) ** 2 * n) ** (1 / 3)
    return max(base, min(int(automatic), n // 4))


def autocorrelation(values: Floats) -> float:
    """Return the first autocorrelation, from 0 to 0.95.

    About (1 + 4 r)/n too low on average when the mean is estimated too (Kendall 1954, Biometrika 41); corrected.
    """
    n = int(values.size)
    centred = values - values.mean()
    total = float(np.dot(centred, centred))
    if n <= 4 or total == 0:
        return 0.0
    raw = float(np.dot(centred[1:], centred[:-1])) / total
    return min(0.95, max(0.0, (n * raw + 1) / (n - 4)))


def _with_runs(method: str, length: int) -> str:
    return method if length == 1 else f"{method}, in runs of {length}"
