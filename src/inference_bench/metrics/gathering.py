"""Values that come piece by piece, as figures: exact while they are few enough to be held, beyond that in a sketch.

Up to EXACT_UP_TO values are kept and described as any others. From the first one more on, none is kept: percentiles
come from a `QuantileSketch`, which states its error, and moments are updated piece by piece (Chan, Golub and LeVeque
1979, the pairwise formula). So memory is bounded whatever the number of values.
"""

import math
from collections.abc import Sequence

import numpy as np

from inference_bench.metrics.columns import Floats
from inference_bench.metrics.definitions import Better
from inference_bench.metrics.distribution import Distribution, describe, describe_sketched
from inference_bench.metrics.sketch import EXACT_UP_TO, QuantileSketch


def joined(parts: list[Floats]) -> Floats:
    """Return the parts in one piece. The list is emptied on the way: else all of them would be there twice."""
    whole = np.empty(sum(part.size for part in parts))
    at = 0
    while parts:
        part = parts.pop(0)
        whole[at : at + part.size] = part
        at += part.size
    return whole


class Gathering:
    """Takes pooled values (gaps, in ms) in any order and describes all of them."""

    def __init__(self) -> None:
        self.n = 0
        self._held: list[Floats] = []
        self._sketch: QuantileSketch | None = None
        self._mean = 0.0
        self._squares = 0.0  # sum of squared distances from the mean
        self._low = math.inf
        self._high = -math.inf

    def add(self, values: Floats) -> None:
        """Take further finite values."""
        if not values.size:
            return
        self.n += values.size
        if self._sketch is None:
            self._held.append(values)
            if self.n <= EXACT_UP_TO:
                return
            held, self._held, self._sketch = self._held, [], QuantileSketch()
            self._fold(held, self._sketch)
        else:
            self._fold([values], self._sketch)

    def describe(self, *, missing: int, better: Better | None) -> Distribution:
        """Return the figures of everything that was taken; `missing` as for `distribution.describe`."""
        if self._sketch is None:
            return describe(self._together(), missing=missing, better=better, pooled=True)
        spread = math.sqrt(self._squares / (self.n - 1))
        return describe_sketched(
            self._sketch, missing=missing, better=better, mean=self._mean, std=spread, low=self._low, high=self._high
        )

    def percentile(self, percent: int) -> float | None:
        """Return a percentile of everything that was taken, as `describe` has it; None of nothing."""
        if self._sketch is not None:
            return self._sketch.quantile(percent / 100)
        return float(np.percentile(self._together(), percent)) if self._held else None

    def _together(self) -> Floats:
        """Return all values that are held, in one piece."""
        self._held = [joined(self._held)]
        return self._held[0]

    def _fold(self, parts: Sequence[Floats], sketch: QuantileSketch) -> None:
        for part in parts:
            before, count = sketch.n, part.size
            sketch.add(part)
            mean = float(part.mean())
            apart = mean - self._mean
            self._mean += apart * count / (before + count)
            self._squares += float(np.square(part - mean).sum()) + apart * apart * before * count / (before + count)
            self._low, self._high = min(self._low, float(part.min())), max(self._high, float(part.max()))
