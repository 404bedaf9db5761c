"""Goodput: the rate of requests that met every promise made to their users.

A failed request and one whose metric is missing do not meet a limit. Without limits there is no goodput: None.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from inference_bench.metrics.columns import Bools, RequestColumns
from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.windows import Windows, in_window, rated, total_seconds

LIMITED = ("ttft_ms", "tpot_ms", "e2e_ms")


class PerRequestLimits(Protocol):
    """Limits in ms, None where none is set; the configuration's `slo.per_request` has this shape."""

    @property
    def ttft_ms(self) -> float | None:
        """Longest time to first token."""

    @property
    def tpot_ms(self) -> float | None:
        """Longest time per output token after the first."""

    @property
    def e2e_ms(self) -> float | None:
        """Longest time to the last token."""


@dataclass(frozen=True, slots=True)
class Goodput:
    """`met` of `of` requests sent in the window met every limit; `attainment` is their share, None of none."""

    requests_per_s: float | None
    attainment: float | None
    met: int
    of: int


def meets(columns: RequestColumns, limits: PerRequestLimits) -> Bools:
    """Return which requests are good and meet every limit that is set.

    Raises:
        ValueError: no limit is set, so that every request would meet them.
    """
    asked = {"ttft_ms": limits.ttft_ms, "tpot_ms": limits.tpot_ms, "e2e_ms": limits.e2e_ms}
    if all(limit is None for limit in asked.values()):
        raise ValueError("goodput needs at least one limit")
    met = columns.flag("ok")
    for name, limit in asked.items():
        compute = METRICS[name].compute
        if limit is not None and compute is not None:
            # NaN compares false: a missing value meets nothing.
            met = met & (compute(columns) <= limit)
    return met


def goodput(columns: RequestColumns, counted: Bools, windows: Windows, limits: PerRequestLimits) -> Goodput:
    """Return the goodput over the `counted` requests: sent (open loop: intended) in the windows."""
    good = meets(columns, limits) & counted
    met, of = int(np.count_nonzero(good)), int(np.count_nonzero(counted))
    telling = rated(columns, windows)
    seconds = total_seconds(telling)
    inside = met if len(telling) == len(windows) else int(np.count_nonzero(good & in_window(columns, telling)))
    return Goodput(inside / seconds if seconds else None, met / of if of else None, met, of)
