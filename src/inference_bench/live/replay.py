"""A recording played again, with its own timing or faster, for whoever looks at events."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from inference_bench.errors import InterruptedRunError, UsageError
from inference_bench.live.events import Finished, Heat, HeatEnded, LiveEvent
from inference_bench.live.recording import Recording

LONGEST_PAUSE_NS: Final = 2_000_000_000  # between heats: people talked, and nobody wants to wait for it again
READY_NS: Final = 300_000_000  # before its start a heat's lanes are there; until then the last one's places are seen
_AT_A_TIME: Final = 1_000  # lines read before others get their turn


@dataclass(frozen=True, slots=True)
class Survey:
    """What a recording holds. `whole`: its last heat came to its end; `simulated`: any lane or any answer was."""

    heats: int
    simulated: bool
    whole: bool


async def surveyed(recording: Recording, stop: asyncio.Event) -> Survey:
    """Read a recording through before it is shown, so that damage is told at the beginning and not in the middle.

    Raises UsageError for a damaged one and for one without a heat, InterruptedRunError once `stop` is set.
    """
    heats, simulated, last = 0, recording.head.simulated, None
    for number, event in enumerate(recording.events()):
        if isinstance(event, Heat):
            heats += 1
            simulated = simulated or event.simulated
        elif isinstance(event, Finished):
            simulated = simulated or event.outcome.simulated
        last = event
        if number % _AT_A_TIME == 0:
            await asyncio.sleep(0)
            if stop.is_set():
                raise InterruptedRunError("interrupted while the recording was read")
    if not heats:
        raise UsageError(f"{recording.path} holds no heat; there is nothing to play")
    return Survey(heats, simulated, isinstance(last, HeatEnded))


class Replay:
    """Plays a recording with its own timing, `speed` times as fast. `clock` tells the show's time while it plays."""

    def __init__(self, recording: Recording, *, speed: float = 1.0) -> None:
        self._recording = recording
        self._speed = speed
        self._began: int | None = None
        self._skipped = 0  # of the recording's time: pauses between heats that were too long

    def clock(self) -> int:
        """Return the show's present time, in the recording's nanoseconds; 0 before it is played."""
        if self._began is None:
            return 0
        return int((time.monotonic_ns() - self._began) * self._speed) + self._skipped

    async def play(self, take: Callable[[LiveEvent], None]) -> None:
        """Hand on each event when its time has come."""
        async for event in self._timed():
            take(event)

    async def _timed(self) -> AsyncIterator[LiveEvent]:
        self._began = time.monotonic_ns()
        for number, event in enumerate(self._recording.events()):
            if isinstance(event, Heat):
                self._skipped += max(0, event.start_ns - self.clock() - LONGEST_PAUSE_NS)
                due = event.start_ns - READY_NS
            else:
                due = event.at_ns
            left = (due - self.clock()) / 1e9 / self._speed
            # Late or not, others must get their turn: a long answer's chunks may all be due at once.
            if left > 0 or number % _AT_A_TIME == 0:
                await asyncio.sleep(max(0.0, left))
            yield event
