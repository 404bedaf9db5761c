"""A set of values as figures: moments, percentiles with the n that can carry them, and their intervals.

Percentiles interpolate linearly between order statistics (NumPy's default; Hyndman and Fan 1996, type 7). The
interval of a percentile is distribution-free, from order statistics (David and Nagaraja, Order Statistics, 3rd ed.,
section 7.1; Hahn and Meeker, Statistical Intervals, section 5.2). The interval of the mean is Student's.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy.special import bdtr, stdtrit

from inference_bench.metrics.columns import Floats
from inference_bench.metrics.definitions import Better
from inference_bench.metrics.sketch import EXACT_UP_TO, QuantileSketch

CONFIDENCE = 0.95
LESS_IS_BETTER = (50, 90, 95, 99)
MORE_IS_BETTER = (1, 5, 10, 50)
POOLED_REASON = "gaps of one answer are not independent of each other"
_SLICE = 1_000_000
# The definitions' own figures where they ask for more than the exact bound (which is 72 for p95).
_STATED_CI_N = {5: 73, 95: 73, 1: 368, 99: 368}

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Distribution:
    """The figures of one metric. `percentiles` maps percent to value, None below the n that can carry it.

    `missing` counts the requests that gave no value. `needed_n` tells, for each percentile that is None, the n it
    would need; `ci_needed_n` likewise for each interval. `ci` maps "mean" and "p50", ... to 95 % intervals.
    `relative_error` is None where the percentiles are exact, else the bound of the sketch they came from.
    """

    n: int
    missing: int
    mean: float | None = None
    std: float | None = None
    min: float | None = None
    max: float | None = None
    percentiles: Mapping[int, float | None] = field(default_factory=dict)
    needed_n: Mapping[str, int] = field(default_factory=dict)
    ci: Mapping[str, Interval | None] = field(default_factory=dict)
    ci_needed_n: Mapping[str, int] = field(default_factory=dict)
    ci_reason: str | None = None
    relative_error: float | None = None


def percentile_needs(percent: int) -> int:
    """Return the smallest n that carries a percentile: 1/(1-p), or 1/p in the lower half; in whole numbers."""
    return math.ceil(100 / min(percent, 100 - percent))


def interval_needs(percent: int) -> int:
    """Return the smallest n from which a percentile has an interval at `CONFIDENCE`."""
    tail = (1 - CONFIDENCE) / 2
    exact = math.ceil(math.log(tail) / math.log(max(percent, 100 - percent) / 100))
    return max(exact, _STATED_CI_N.get(percent, 0))


def interval_ranks(n: int, percent: int) -> tuple[int, int] | None:
    """Return the 1-based ranks (l, u) of the order statistics that enclose a percentile; None when n is too small.

    With B ~ Binomial(n, p), P(X_(l) <= x_p <= X_(u)) >= P(l <= B <= u - 1): l is the largest rank with
    P(B <= l - 1) <= (1 - confidence)/2, u the smallest with P(B <= u - 1) >= (1 + confidence)/2.
    """
    if n < interval_needs(percent):
        return None
    p = percent / 100
    tail = (1 - CONFIDENCE) / 2
    # The ranks lie within a few standard deviations of n p; six hold them for any n.
    spread = 6 * math.sqrt(n * p * (1 - p)) + 2
    ranks = np.arange(max(0, math.floor(n * p - spread)), min(n, math.ceil(n * p + spread)) + 1)
    below = bdtr(ranks, n, p)
    lower = int(ranks[np.searchsorted(below, tail, side="right")])
    upper = int(ranks[np.searchsorted(below, 1 - tail, side="left")]) + 1
    return (lower, upper) if lower >= 1 and upper <= n else None


def mean_interval(mean: float, std: float, n: int) -> Interval:
    """Return Student's interval of the mean of n >= 2 values."""
    half = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(n)
    return mean - half, mean + half


def describe(values: Floats, *, missing: int, better: Better | None, pooled: bool = False) -> Distribution:
    """Return the figures of `values` (finite, in any order; the array is the function's to reorder).

    Pooled values (gaps) get no intervals: the gaps of one answer depend on each other, and an interval that takes
    them as independent would be far too narrow.
    """
    percents = MORE_IS_BETTER if better == "more" else LESS_IS_BETTER
    n = int(values.size)
    carried = tuple(percent for percent in percents if n >= percentile_needs(percent))
    needed = {f"p{percent}": percentile_needs(percent) for percent in percents if percent not in carried}
    if n == 0:
        return Distribution(0, missing, percentiles=dict.fromkeys(percents), needed_n=needed)
    low, high = float(values.min()), float(values.max())
    mean = min(max(float(values.mean()), low), high)  # rounding may push a mean of equal values past them
    std = _spread(values, mean) if n >= 2 else None
    ci, ci_needs = ({}, {}) if pooled else _intervals(values, percents, mean, std)
    found, error = _percentiles(values, carried)
    return Distribution(
        n,
        missing,
        mean,
        std,
        low,
        high,
        percentiles={**dict.fromkeys(percents), **dict(zip(carried, found, strict=True))},
        needed_n=needed,
        ci=ci,
        ci_needed_n=ci_needs,
        ci_reason=POOLED_REASON if pooled else None,
        relative_error=error,
    )


def describe_sketched(
    sketch: QuantileSketch, *, missing: int, better: Better | None, mean: float, std: float, low: float, high: float
) -> Distribution:
    """Return the figures of pooled values that are known by their sketch and moments alone: more than EXACT_UP_TO."""
    percents = MORE_IS_BETTER if better == "more" else LESS_IS_BETTER
    return Distribution(
        sketch.n,
        missing,
        min(max(mean, low), high),
        std,
        low,
        high,
        percentiles={percent: sketch.quantile(percent / 100) for percent in percents},
        ci_reason=POOLED_REASON,
        relative_error=sketch.relative_error,
    )


def _percentiles(values: Floats, percents: tuple[int, ...]) -> tuple[list[float], float | None]:
    """Return the percentiles, and their relative error where there are too many values to be exact. Reorders them."""
    if values.size > EXACT_UP_TO:
        sketch = QuantileSketch.of(values)
        return [sketch.quantile(percent / 100) for percent in percents], sketch.relative_error
    return [float(value) for value in np.percentile(values, percents, overwrite_input=True)], None


def _spread(values: Floats, mean: float) -> float:
    """Return the sample standard deviation of n >= 2 values, without a second array as large as theirs."""
    parts = (values[start : start + _SLICE] - mean for start in range(0, values.size, _SLICE))
    return math.sqrt(sum(float(np.dot(part, part)) for part in parts) / (values.size - 1))


def _intervals(
    values: Floats, percents: tuple[int, ...], mean: float, std: float | None
) -> tuple[dict[str, Interval | None], dict[str, int]]:
    ordered = np.sort(values)
    n = int(ordered.size)
    ci: dict[str, Interval | None] = {"mean": None if std is None else mean_interval(mean, std, n)}
    needs = {"mean": 2} if std is None else {}
    for percent in percents:
        ranks = interval_ranks(n, percent)
        name = f"p{percent}"
        if ranks is None:
            ci[name] = None
            needs[name] = interval_needs(percent)
        else:
            ci[name] = (float(ordered[ranks[0] - 1]), float(ordered[ranks[1] - 1]))
    return ci, needs
