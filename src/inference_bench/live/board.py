"""The state of a show: the heat that runs, its lanes, and what came of it. One board for all who look at it."""

from dataclasses import dataclass, field

from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent
from inference_bench.live.lane import Lane, Phase
from inference_bench.live.podium import Podium, podium_of


@dataclass(slots=True)
class Board:
    """Fed every event; `version` rises with each, so that whoever draws knows whether there is anything new."""

    heat: Heat | None = None
    lanes: list[Lane] = field(default_factory=list)
    podium: Podium | None = None
    late_ms: float = 0.0
    version: int = 0

    def take(self, event: LiveEvent) -> None:
        """Take what happened."""
        self.version += 1
        if isinstance(event, Heat):
            self.heat = event
            self.lanes = [Lane(facts, event.start_ns) for facts in event.lanes]
            self.podium = None
            self.late_ms = 0.0
        elif isinstance(event, HeatEnded):
            self.late_ms = event.late_ms
            self.podium = podium_of(self.lanes)
        else:
            self._of_lane(event)

    def _of_lane(self, event: Chunk | Finished) -> None:
        if event.lane < len(self.lanes):
            self.lanes[event.lane].take(event)

    @property
    def running(self) -> bool:
        """Whether a heat goes on."""
        return self.heat is not None and self.podium is None

    def phase(self, lane: int, now_ns: int) -> Phase:
        """Where a lane is at this time: ready before the common start."""
        shown = self.lanes[lane]
        if shown.phase is Phase.WAITING and now_ns < shown.start_ns:
            return Phase.READY
        return shown.phase
