"""The blocks of one side of a comparison: how many values each holds and its statistic, the values only where needed.

Where every block carries its statistic, a comparison needs no more than that. A tail that single blocks are too small
to carry is taken of all values; then these are made again by whoever made them first.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from inference_bench.metrics.columns import Bools, Floats, Ints
from inference_bench.metrics.distribution import percentile_needs

Read = Callable[[], Iterable[Floats]]


@dataclass(frozen=True, slots=True)
class BlockValues:
    """`sizes` and `statistics` by block, NaN where a block cannot carry its statistic; `values` makes the values."""

    statistic: str | None
    sizes: Ints
    statistics: Floats
    values: Read

    @classmethod
    def of(cls, values: Read, statistic: str | None) -> "BlockValues":
        """Return what blocks show; `values` is called now, and again when all values are needed. They are not held.

        Raises:
            ValueError: there is no such statistic.
        """
        fewest = fewest_values(statistic)
        sizes: list[int] = []
        found: list[float] = []
        for block in values():
            sizes.append(block.size)
            found.append(value_of(block, statistic) if block.size >= fewest else np.nan)
        return cls(statistic, np.array(sizes, dtype=np.int64), np.array(found, dtype=np.float64), values)

    def __len__(self) -> int:
        return self.sizes.size

    @property
    def carried(self) -> bool:
        """Whether every block has a statistic of its own: a tail needs its number of values."""
        return bool(self.sizes.min() >= fewest_values(self.statistic))

    def only(self, chosen: Bools) -> "BlockValues":
        """Return the chosen blocks."""

        def values() -> Iterable[Floats]:
            return (block for block, wanted in zip(self.values(), chosen.tolist(), strict=True) if wanted)

        return BlockValues(self.statistic, self.sizes[chosen], self.statistics[chosen], values)


def of_side(side: Sequence[Floats] | BlockValues, statistic: str | None) -> BlockValues:
    """Return a side's blocks for a statistic, whether they come as arrays or as what is known of them.

    Raises:
        ValueError: there is no such statistic, or the blocks were read for another one.
    """
    if not isinstance(side, BlockValues):
        return BlockValues.of(lambda: side, statistic)
    if side.statistic != statistic:
        raise ValueError(f"the blocks are known by their {side.statistic}, not by their {statistic}")
    return side


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


def fewest_values(statistic: str | None) -> int:
    """Return how many values carry a statistic: one for a median or a mean."""
    percent = percent_of(statistic)
    return 1 if percent in (None, 50) else percentile_needs(percent or 50)


def value_of(values: Floats, statistic: str | None) -> float:
    """Return the statistic of some values (linear interpolation between order statistics)."""
    percent = percent_of(statistic)
    return float(np.mean(values) if percent is None else np.percentile(values, percent))
