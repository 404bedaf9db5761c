"""Arrival processes: when the requests of an open loop are intended to be sent.

Each process is a small value that draws the gaps of its unit-rate form; `offsets_ns` scales them to a rate and, during
the ramp, stretches them. Closed loops have no arrival process: there, answers decide when the next request goes.
"""

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

_NANOSECONDS = 1e9


class ArrivalProcess(Protocol):
    """A stationary point process of rate one."""

    def unit_gaps(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return `count` successive gaps with mean one."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Equal gaps: the k-th arrival is at (k + 1/2) / rate, so that neither end of the window is favoured."""

    def unit_gaps(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:  # noqa: ARG002
        """Return gaps of exactly one, the first of one half."""
        gaps = np.ones(count)
        gaps[:1] = 0.5
        return gaps


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent users: gaps are exponential, P(gap > x) = exp(-x), counts in a time t are Poisson(rate * t)."""

    def unit_gaps(self, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
        """Return exponential gaps with mean one."""
        return rng.exponential(1.0, count)


PROCESSES: dict[str, ArrivalProcess] = {"constant": Constant(), "poisson": Poisson()}


def offsets_ns(
    process: ArrivalProcess, rate: float, *, ramp_seconds: float, steady_seconds: float, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Return the intended times of one turn, in ns from its start, ascending, all below ramp + steady.

    During the ramp the rate grows linearly from 0 to `rate` (requests per second). The arrivals are drawn in
    operational time s = integral of the rate and mapped back (Cinlar 1975, inversion of the mean-value function):
    t = sqrt(2 s ramp / rate) within the ramp, t = ramp/2 + s/rate after it.
    """
    total = rate * (ramp_seconds / 2 + steady_seconds)
    drawn: list[npt.NDArray[np.float64]] = []
    reached = 0.0
    while reached < total:
        batch = reached + np.cumsum(process.unit_gaps(max(16, math.ceil((total - reached) * 1.1)), rng))
        drawn.append(batch)
        reached = float(batch[-1])
    operational = np.concatenate(drawn) if drawn else np.empty(0)
    operational = operational[operational < total]
    in_ramp = operational < rate * ramp_seconds / 2
    seconds = np.where(in_ramp, np.sqrt(2 * operational * ramp_seconds / rate), ramp_seconds / 2 + operational / rate)
    return np.round(seconds * _NANOSECONDS).astype(np.int64)
