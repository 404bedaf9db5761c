"""The search for the highest load at which a service still keeps its promises: which load to try next, and the answer.

A probe offers one load and says whether the promises were kept. Near the edge that is a matter of chance, so the edge
is not believed to one probe: the two loads that enclose it are tried again, and a load counts as kept when more than
half of its probes kept the promises. Pure bookkeeping; offering loads is done elsewhere.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

RESOLUTION = 0.05
REPEATS = 3
MOST_PROBES = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """The capacity of one service.

    `value` is the highest load that kept the promises in more than half of its probes, with none beyond it that did;
    None when not even the smallest load did. [`low`, `high`] is the interval of the edge: every probe up to `low` kept
    them and no probe from `high` on did (None: there is no such load among those tried). `at_least`: no load broke
    them, the search ended for another reason.
    """

    value: float | None
    low: float | None
    high: float | None
    at_least: bool


@dataclass(slots=True)
class CapacitySearch:
    """Doubles or halves the load until the edge is enclosed, halves the enclosure in proportion until it is narrower
    than `resolution` (users: one user), then tries its two ends `repeats` times each; where that moves the edge, the
    search goes on from there. Where loads send too few requests to be judged, it begins above them. `whole`: loads are
    whole numbers. No load is below `least`.
    """

    start: float
    whole: bool
    least: float
    resolution: float = RESOLUTION
    repeats: int = REPEATS
    most_probes: int = MOST_PROBES
    _outcomes: dict[float, list[bool]] = field(default_factory=dict)
    _ceiling: float = math.inf
    _floor: float = 0.0

    @property
    def probes(self) -> int:
        """How many were made."""
        return sum(map(len, self._outcomes.values()))

    def record(self, load: float, *, kept: bool) -> None:
        """Note the outcome of a probe."""
        self._outcomes.setdefault(load, []).append(kept)

    def cannot_offer(self, load: float) -> None:
        """Note that this load, and any higher, cannot be offered from here."""
        self._ceiling = min(self._ceiling, load)

    def says_too_little(self, load: float) -> bool:
        """Note that this load, and any lower, sends too few requests to be judged; return whether a higher one may be
        tried instead, which is so as long as none was kept.
        """
        if self._edge()[0] is not None:
            return False
        self._floor = max(self._floor, load)
        return True

    @property
    def held_back(self) -> bool:
        """Whether what cannot be offered keeps the edge from being found, enclosed or tried as often as it should."""
        low, high = self._edge()
        return low is None or high is None or self._ceiling <= high

    def next_load(self) -> float | None:
        """Return the load to try next; None when the answer stands, when no further load can be offered, or when
        `most_probes` were made.
        """
        if self.probes >= self.most_probes:
            return None
        load = self._wanted()
        return load if load is not None and load < self._ceiling else None

    def _wanted(self) -> float | None:
        low, high = self._edge()
        if low is None:
            return self._smaller(high)
        if high is None:
            wanted = self._rounded(2 * low)
            if wanted < self._ceiling:
                return wanted
            between = self._between(low, self._ceiling)
            return between if between is not None else self._again(low)
        between = self._between(low, min(high, self._ceiling))
        if between is not None:
            return between
        again = self._again(low)
        return again if again is not None else self._again(high)

    def answer(self) -> Answer:
        """Return what was found so far."""
        low, high = self._edge()
        return Answer(low, self._all_kept(), self._none_kept(), at_least=high is None and low is not None)

    def _edge(self) -> tuple[float | None, float | None]:
        """Return the highest load that was kept, and the lowest beyond it that was not."""
        kept = [load for load, found in self._outcomes.items() if 2 * sum(found) > len(found)]
        low = max(kept, default=None)
        beyond = [load for load in self._outcomes if low is None or load > low]
        return low, min(beyond, default=None)

    def _smaller(self, high: float | None) -> float | None:
        """Return the load to begin with, or half of the lowest that was too much, as far as it can be offered."""
        if high is not None and high <= self.least:
            return self._again(high)
        load = self._rounded(self.start if high is None else high / 2)
        if load <= self._floor:
            return self._above_floor(high)
        while load >= self._ceiling and load > self.least:
            load = self._rounded(load / 2)
        return max(self.least, load) if max(self.least, load) > self._floor else None

    def _above_floor(self, high: float | None) -> float | None:
        """Return a load that may send enough requests to be judged: twice as much, or below what was too much."""
        wanted = self._rounded(2 * self._floor)
        if high is None and wanted < self._ceiling:
            return wanted
        most = self._ceiling if high is None else min(high, self._ceiling)
        between = self._between(self._floor, most)
        return between if between is not None or high is None else self._again(high)

    def _between(self, low: float, high: float) -> float | None:
        """Return a load between two, in the middle in proportion; None when they are close enough."""
        if high <= low * (1 + self.resolution) or (self.whole and high - low <= 1):
            return None
        middle = self._rounded(math.sqrt(low * high))
        return middle if low < middle < high else None

    def _again(self, load: float) -> float | None:
        return load if len(self._outcomes[load]) < self.repeats else None

    def _rounded(self, load: float) -> float:
        """Return a load as it can be offered: whole users, rates of three figures."""
        return max(1.0, round(load)) if self.whole else float(f"{load:.3g}")

    def _all_kept(self) -> float | None:
        return max(self._while(sorted(self._outcomes), wanted=True), default=None)

    def _none_kept(self) -> float | None:
        return min(self._while(sorted(self._outcomes, reverse=True), wanted=False), default=None)

    def _while(self, loads: list[float], *, wanted: bool) -> Iterator[float]:
        for load in loads:
            if any(found is not wanted for found in self._outcomes[load]):
                return
            yield load
