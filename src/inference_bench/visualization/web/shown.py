"""What a page is about and what stays the same while it is served: the lanes, the prompts, the recording, the clock."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from inference_bench.live.events import LaneFacts
from inference_bench.workloads.canned import CannedPrompt

LONGEST_PROMPT: Final = 8_000  # characters


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording that is shown instead of a race: `words` say what it is, `simulated` if any lane of it was."""

    words: str
    speed: float
    simulated: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """What stays the same while the page is served.

    `lanes` are who is there before the first race. `first` is the prompt that is chosen at the beginning. `clock` tells
    the time of the board's events, in ns. With `played` there is nothing to ask: `canned` and `first` are empty.
    """

    lanes: tuple[LaneFacts, ...]
    clock: Callable[[], int]
    canned: tuple[CannedPrompt, ...] = ()
    first: str = ""
    played: Recorded | None = None

    @property
    def simulated(self) -> bool:
        """Whether what is seen comes from a simulated engine, in any lane."""
        recorded = self.played is not None and self.played.simulated
        return recorded or any(lane.simulated for lane in self.lanes)
