"""Quantiles of more values than are worth sorting, in bounded memory and with a stated relative error.

DDSketch (Masson, Rim and Lee, PVLDB 12(12), 2019): positive values fall into buckets whose edges grow by a constant
factor, so that any quantile is known within a constant relative error. Two sketches merge by adding their buckets.
"""

import math
from typing import Final, Self

import numpy as np

from inference_bench.metrics.columns import Floats, Ints

EXACT_UP_TO: Final = 20_000_000
RELATIVE_ERROR: Final = 0.001
_SMALLEST: Final = 1e-6  # ms: a nanosecond, the clock's own grain
_LARGEST: Final = 1e9
_SLICE: Final = 1_000_000


class QuantileSketch:
    """Counts of values per bucket. Values below a nanosecond (in ms), zero gaps above all, are counted as 0."""

    def __init__(self, relative_error: float = RELATIVE_ERROR) -> None:
        self.relative_error = relative_error
        self._log_growth = math.log((1 + relative_error) / (1 - relative_error))
        self._offset = math.ceil(math.log(_SMALLEST) / self._log_growth)
        buckets = math.ceil(math.log(_LARGEST) / self._log_growth) - self._offset + 1
        self._counts: Ints = np.zeros(buckets, dtype=np.int64)
        self._zeros = 0
        self._low = math.inf
        self._high = -math.inf

    @classmethod
    def of(cls, values: Floats) -> Self:
        """Return the sketch of these values."""
        sketch = cls()
        for start in range(0, values.size, _SLICE):
            sketch.add(values[start : start + _SLICE])
        return sketch

    def add(self, values: Floats) -> None:
        """Count further values."""
        if not values.size:
            return
        self._low = min(self._low, float(values.min()))
        self._high = max(self._high, float(values.max()))
        positive = values[values >= _SMALLEST]
        self._zeros += values.size - positive.size
        index = np.ceil(np.log(positive) / self._log_growth).astype(np.int64) - self._offset
        self._counts += np.bincount(np.clip(index, 0, self._counts.size - 1), minlength=self._counts.size)

    def merge(self, other: Self) -> None:
        """Take in the values of another sketch of the same relative error.

        Raises:
            ValueError: the errors differ, and so do the buckets.
        """
        if other.relative_error != self.relative_error:
            raise ValueError("sketches of different relative errors do not merge")
        self._counts += other._counts
        self._zeros += other._zeros
        self._low = min(self._low, other._low)
        self._high = max(self._high, other._high)

    @property
    def n(self) -> int:
        """How many values were counted."""
        return self._zeros + int(self._counts.sum())

    def quantile(self, q: float) -> float:
        """Return the q-quantile (0 <= q <= 1), within `relative_error` of the order statistic below it.

        Raises:
            ValueError: nothing was counted.
        """
        if not self.n:
            raise ValueError("an empty sketch has no quantiles")
        rank = math.floor(q * (self.n - 1)) + 1
        if rank <= self._zeros:
            return min(max(self._low, 0.0), self._high)
        bucket = int(np.searchsorted(np.cumsum(self._counts), rank - self._zeros))
        edge = math.exp((bucket + self._offset) * self._log_growth)
        middle = edge * (1 - self.relative_error)  # 2 edge / (growth + 1)
        return min(max(middle, self._low), self._high)
