"""A trace cut to what is replayed: which of its rows each round sends, and when. Reading files is done elsewhere."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from inference_bench.config.models import LoadTestSettings
from inference_bench.config.quantities import LONGEST_SECONDS
from inference_bench.errors import ConfigError


@runtime_checkable
class Timed(Protocol):
    """A workload whose items have times of their own."""

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """The times, in seconds from the first, ascending."""


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of a trace that one round replays: rows from `first` on, at `offsets` (ns from the round's start), in
    `seconds`.
    """

    first: int
    seconds: float
    offsets: npt.NDArray[np.int64]

    @property
    def count(self) -> int:
        """How many requests it has."""
        return len(self.offsets)


def slices_of(times: npt.NDArray[np.float64], settings: LoadTestSettings, rounds: int) -> tuple[Slice, ...]:
    """Return the rounds' parts of a trace: equal stretches of its time, `settings.speed` times as fast.

    `times` are seconds from the trace's start, ascending. A trace lasts for one mean gap after its last row; it is
    cut after `settings.duration_seconds` of replay, or after `settings.requests` rows. Raises ConfigError when nothing
    is left, or when the replay would take longer than a test may.
    """
    with np.errstate(over="ignore"):  # what is infinite is too long, and refused below
        replayed = times / (settings.speed or 1.0)
    if settings.requests is not None:
        replayed = replayed[: settings.requests]
    beyond = 0  # rows that a duration cuts off: without any it cuts nothing, and the trace ends when it ends
    if settings.duration_seconds is not None:
        beyond = int(np.count_nonzero(replayed >= settings.duration_seconds))
        replayed = replayed[: len(replayed) - beyond]
    if not len(replayed):
        raise ConfigError(f"the trace of load test {settings.name} has no request in what is to be replayed")
    gap = float(replayed[-1]) / (len(replayed) - 1) if len(replayed) > 1 else 1.0
    whole = float(replayed[-1]) + (gap or 1.0)
    if settings.duration_seconds is not None:
        whole = settings.duration_seconds if beyond else min(whole, settings.duration_seconds)
    if not whole <= LONGEST_SECONDS:
        raise ConfigError(
            f"the trace of load test {settings.name} takes longer than {LONGEST_SECONDS / 86_400:.0f} days to replay",
            hint="cut it with duration_seconds or requests, or raise speed",
        )
    found = []
    for number in range(rounds):
        start, end = whole * number / rounds, whole * (number + 1) / rounds
        first, last = np.searchsorted(replayed, [start, end])
        offsets = np.round((replayed[first:last] - start) * 1e9).astype(np.int64)
        found.append(Slice(int(first), whole / rounds, offsets))
    return tuple(found)
