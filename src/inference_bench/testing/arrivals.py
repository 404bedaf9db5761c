"""Arrival processes: when the requests of an open loop are intended to be sent.

Each process is a small value that draws the gaps of its unit-rate form. A `RateProfile` says how the rate goes during
a turn; `offsets_ns` maps the unit-rate arrivals through it. Closed loops have no arrival process: there, answers
decide when the next request goes. A trace has its own times.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

_NANOSECONDS = 1e9
Floats = npt.NDArray[np.float64]


class ArrivalProcess(Protocol):
    """A stationary point process of rate one."""

    def unit_gaps(self, count: int, rng: np.random.Generator, *, first: bool) -> Floats:
        """Return `count` successive gaps with mean one; `first`: the first of them begins at the start, not at an
        arrival.
        """


@dataclass(frozen=True, slots=True)
class Constant:
    """Equal gaps: the k-th arrival is at (k + 1/2) / rate, so that neither end of the window is favoured."""

    def unit_gaps(self, count: int, rng: np.random.Generator, *, first: bool) -> Floats:  # noqa: ARG002
        """Return gaps of exactly one, the first of one half."""
        gaps = np.ones(count)
        if first:
            gaps[:1] = 0.5
        return gaps


@dataclass(frozen=True, slots=True)
class Poisson:
    """Independent users: gaps are exponential, P(gap > x) = exp(-x), counts in a time t are Poisson(rate * t)."""

    def unit_gaps(self, count: int, rng: np.random.Generator, *, first: bool) -> Floats:  # noqa: ARG002
        """Return exponential gaps with mean one; without memory, the first is like the others."""
        return rng.exponential(1.0, count)


@dataclass(frozen=True, slots=True)
class Gamma:
    """Bursts, or steadier than chance: gaps are Gamma(shape, scale 1/shape), mean 1, variance 1/shape.

    `shape` 1 is Poisson; below 1 arrivals come in bursts (coefficient of variation 1/sqrt(shape)), above 1 they are
    steadier, towards constant. The time to the first arrival has the equilibrium distribution of the renewal process,
    density (1 - F(x)) / mean (Cox, Renewal Theory, 1962, 5.2), so that the expected count in a time t is rate * t from
    the start on. It is drawn as U * L: U uniform, L a gap drawn with probability in proportion to its length, which
    for Gamma(k, theta) is Gamma(k + 1, theta).
    """

    shape: float

    def unit_gaps(self, count: int, rng: np.random.Generator, *, first: bool) -> Floats:
        """Return gamma gaps with mean one."""
        gaps = rng.gamma(self.shape, 1 / self.shape, count)
        if first and count:
            gaps[0] = rng.uniform() * rng.gamma(self.shape + 1, 1 / self.shape)
        return gaps


def process_of(arrivals: str, burstiness: float | None) -> ArrivalProcess:
    """Return the process of these words of the configuration; steps and ramp are poisson unless a shape is given."""
    if arrivals == "constant":
        return Constant()
    return Poisson() if burstiness is None else Gamma(burstiness)


@dataclass(frozen=True, slots=True)
class Piece:
    """A stretch in which the rate goes linearly from `start` to `end`, in requests per second."""

    seconds: float
    start: float
    end: float

    @property
    def expected(self) -> float:
        """How many arrivals are expected in it: the integral of the rate."""
        return self.seconds * (self.start + self.end) / 2


@dataclass(frozen=True, slots=True)
class RateProfile:
    """How the rate goes during a turn: linear pieces, one after the other.

    Its mean-value function is M(t), the integral of the rate from 0 to t. The arrivals of a process of rate one, taken
    as times of M and mapped back, have that rate: t = M^-1(s) (Cinlar, Introduction to Stochastic Processes, 1975,
    4.7).
    """

    pieces: tuple[Piece, ...]

    @property
    def seconds(self) -> float:
        """How long it is."""
        return math.fsum(piece.seconds for piece in self.pieces)

    @property
    def expected(self) -> float:
        """How many arrivals are expected: M of the whole."""
        return math.fsum(piece.expected for piece in self.pieces)

    def times(self, operational: Floats) -> Floats:
        """Return M^-1 of ascending values below `expected`, in seconds.

        Within a piece of rate a to b over d seconds, s = a t + (b - a) t^2 / (2 d); the root that is stable for a = b
        and for a = 0 is t = 2 s / (a + sqrt(a^2 + 2 (b - a) s / d)).
        """
        found = np.empty_like(operational)
        began, reached = 0.0, 0.0
        for number, piece in enumerate(self.pieces):
            last = number == len(self.pieces) - 1
            low = np.searchsorted(operational, reached)
            high = len(operational) if last else np.searchsorted(operational, reached + piece.expected)
            s = operational[low:high] - reached
            root = np.sqrt(np.maximum(0.0, piece.start**2 + 2 * (piece.end - piece.start) * s / (piece.seconds or 1.0)))
            within = np.divide(2 * s, piece.start + root, out=np.zeros_like(s), where=s > 0)
            found[low:high] = began + np.minimum(within, piece.seconds)
            began += piece.seconds
            reached += piece.expected
        return found


def steady(rate: float, seconds: float, *, ramp_seconds: float = 0.0) -> RateProfile:
    """Return one rate for `seconds`, after a ramp that grows linearly from 0 to it."""
    return RateProfile((Piece(ramp_seconds, 0.0, rate), Piece(seconds, rate, rate)))


def steps(rates: Sequence[float], seconds: float) -> RateProfile:
    """Return these rates one after the other, each for an equal part of `seconds`."""
    return RateProfile(tuple(Piece(seconds / len(rates), rate, rate) for rate in rates))


def ramp(first: float, last: float, seconds: float) -> RateProfile:
    """Return a rate that goes linearly from the first to the last in `seconds`."""
    return RateProfile((Piece(seconds, first, last),))


def offsets_ns(process: ArrivalProcess, profile: RateProfile, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Return the intended times of one turn, in ns from its start, ascending, all below the profile's end."""
    total = profile.expected
    drawn: list[Floats] = []
    reached = 0.0
    while reached < total:
        count = max(16, math.ceil((total - reached) * 1.1))
        batch = reached + np.cumsum(process.unit_gaps(count, rng, first=not drawn))
        drawn.append(batch)
        reached = float(batch[-1])
    operational = np.concatenate(drawn) if drawn else np.empty(0)
    operational = operational[operational < total]
    return np.round(profile.times(operational) * _NANOSECONDS).astype(np.int64)
