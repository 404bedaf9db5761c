"""A statistic of all values of many blocks, for many resamples of the blocks, without copying the values.

For percentiles whose blocks are too small to carry them one by one. Percentiles interpolate linearly between order
statistics, as everywhere; a block that is drawn twice counts twice with all its values.
"""

import math
from collections.abc import Iterable

import numpy as np

from inference_bench.metrics.columns import Floats, Ints


class PooledPercentile:
    """The logarithm of a percentile over any choice of blocks."""

    def __init__(self, blocks: Iterable[Floats], percent: int) -> None:
        parts = list(blocks)
        sizes = np.array([part.size for part in parts])
        values = np.concatenate(parts)
        del parts
        order = np.argsort(values, kind="stable")
        self._share = percent / 100
        self._values = values[order]
        del values
        self._owner = np.repeat(np.arange(sizes.size, dtype=np.int32), sizes)[order]
        self._sizes = sizes
        del order
        # How many values of each block lie below the first value of each cell: finds the cell without going through
        # all values for each resample.
        self._cell = max(1, math.isqrt(self._owner.size))
        cells = -(-self._owner.size // self._cell)
        self._below = np.zeros((cells + 1, sizes.size))
        for cell in range(cells):
            owners = self._owner[cell * self._cell : (cell + 1) * self._cell]
            self._below[cell + 1] = self._below[cell] + np.bincount(owners, minlength=sizes.size)

    def logs(self, rows: Ints) -> Floats:
        """Return the logarithm for each row of block numbers; not finite where the percentile is not positive."""
        found = np.empty(rows.shape[0])
        for number, row in enumerate(rows):
            weights = np.bincount(row, minlength=self._sizes.size)
            below = self._below @ weights
            rank = self._share * (below[-1] - 1)
            low = math.floor(rank)
            first, second = (self._order_statistic(k, weights, below) for k in (low, math.ceil(rank)))
            found[number] = first + (rank - low) * (second - first)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.log(found), dtype=np.float64)

    def exceedances(self) -> Floats:
        """Return by how much each block's share of values above the percentile differs from the share that is due.

        To first order that is how much the block moves the percentile (its influence function), up to a factor.
        """
        threshold = math.exp(float(self.logs(np.arange(self._sizes.size)[None, :])[0]))
        above = np.bincount(self._owner[self._values > threshold], minlength=self._sizes.size)
        return np.asarray((above - (1 - self._share) * self._sizes) / self._sizes.mean(), dtype=np.float64)

    def _order_statistic(self, rank: int, weights: Ints, below: Floats) -> float:
        cell = int(np.searchsorted(below, rank, side="right")) - 1
        start = cell * self._cell
        within = below[cell] + np.cumsum(weights[self._owner[start : start + self._cell]])
        return float(self._values[start + int(np.searchsorted(within, rank, side="right"))])
