"""Who is first, by one stated rule: the time from sending to the same number of tokens, the most that all reached.

Services stop where they like (an end-of-sequence token comes sooner in one answer than in another), so the time of a
whole answer would reward the shorter one. Differences within what can be measured are ties. One heat places lanes; it
proves nothing: that is for several heats and the comparison engine.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from inference_bench.live.lane import Lane, Phase

TIE_NS: Final = 1_000_000  # what the clock at a read, a timer and a loop turn can differ by on a quiet machine
FEWEST_TOKENS: Final = 2
_MS = 1e6


@dataclass(frozen=True, slots=True)
class Finish:
    """A lane at the end of a heat. `place` is None, with the `reason`, for one that has no place.

    `to_tokens_ms` is the time from sending to the arrival of the podium's number of tokens; it may be too long by
    `doubt_ms`, for chunks that shared a read came somewhere after the read before. `estimated` says that the tokens of
    its chunks were not told, and its answer's tokens are spread evenly over them.
    """

    lane: int
    place: int | None
    tied: bool = False
    to_tokens_ms: float | None = None
    estimated: bool = False
    reason: str | None = None
    doubt_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Podium:
    """The lanes in order of their places, those without one last. `tokens` is what the times are to."""

    tokens: int | None
    tolerance_ms: float
    finishes: tuple[Finish, ...]

    def of(self, lane: int) -> Finish:
        """Return one lane's finish."""
        return next(finish for finish in self.finishes if finish.lane == lane)

    @property
    def rule(self) -> str:
        """The rule in words."""
        if self.tokens is None:
            return "no places: fewer than two services gave a text of two tokens or more that could be counted"
        doubted = any(finish.doubt_ms > 0 for finish in self.finishes)
        more = ", and where chunks shared a read, orders that nobody can tell" if doubted else ""
        return (
            f"placed by the time from sending to {self.tokens} tokens, the most that all reached; "
            f"ties are differences up to {self.tolerance_ms:.1f} ms{more}"
        )


def podium_of(lanes: Sequence[Lane]) -> Podium:
    """Place the lanes of a heat that is over."""
    paces = {place: _pace(lane) for place, lane in enumerate(lanes)}
    counted = {place: pace for place, pace in paces.items() if isinstance(pace, _Pace)}
    reasons = {place: pace for place, pace in paces.items() if isinstance(pace, str)}
    if len(counted) < 2:
        reasons |= dict.fromkeys(counted, "there is nobody to compare it with")
        return Podium(None, TIE_NS / _MS, tuple(Finish(lane, None, reason=reasons[lane]) for lane in sorted(reasons)))
    tokens = min(pace.tokens for pace in counted.values())
    doubts = {place: max(_doubt(lanes[place]), pace.doubt_at(tokens)) for place, pace in counted.items()}
    times = {place: pace.time_to(tokens) for place, pace in counted.items()}
    places = _places(times, doubts)
    taken = list(places.values())
    placed = [
        Finish(
            lane,
            place,
            tied=taken.count(place) > 1,
            to_tokens_ms=times[lane] / _MS,
            estimated=counted[lane].estimated,
            doubt_ms=doubts[lane] / _MS,
        )
        for lane, place in sorted(places.items(), key=lambda one: (one[1], times[one[0]]))
    ]
    left = [Finish(lane, None, reason=reasons[lane]) for lane in sorted(reasons)]
    return Podium(tokens, TIE_NS / _MS, (*placed, *left))


def _places(times: Mapping[int, int], doubts: Mapping[int, int]) -> dict[int, int]:
    """Return each lane's place: that of the first leader it is not certainly later than, else one of its own.

    A mark may be late by its lane's doubt and never early, so the later lane's doubt alone can turn two around.
    """
    places: dict[int, int] = {}
    leaders: list[int] = []
    for order, lane in enumerate(sorted(times, key=times.__getitem__), start=1):
        soonest = times[lane] - doubts[lane] - TIE_NS
        leader = next((one for one in leaders if soonest <= times[one]), None)
        places[lane] = order if leader is None else places[leader]
        if leader is None:
            leaders.append(lane)
    return places


@dataclass(frozen=True, slots=True)
class _Pace:
    """When how many tokens had come: `totals[i]` after chunk i, at `times[i]` ns after sending."""

    times: Sequence[int]
    totals: Sequence[float]
    estimated: bool

    @property
    def tokens(self) -> int:
        return int(self.totals[-1])

    def time_to(self, tokens: int) -> int:
        return self.times[self._reached(tokens)]

    def doubt_at(self, tokens: int) -> int:
        """By how much these tokens may have come sooner: a chunk that shared its read came after the read before it."""
        at = self._reached(tokens)
        time = self.times[at]
        if time not in (*self.times[at + 1 : at + 2], *self.times[max(0, at - 1) : at]):
            return 0
        before = next((other for other in reversed(self.times[:at]) if other != time), time)
        return max(0, time - before)

    def _reached(self, tokens: int) -> int:
        return next(at for at, total in enumerate(self.totals) if total >= tokens)


def _pace(lane: Lane) -> _Pace | str:
    """Return a lane's pace, or why it has none."""
    outcome = lane.outcome
    if lane.phase is Phase.DOWN:
        return "it takes no part"
    if outcome is None or not outcome.ok or outcome.sent_ns is None:
        return "its answer did not end well"
    times = [arrival - outcome.sent_ns for arrival in lane.arrivals]
    told = outcome.output_tokens
    if lane.tokens_told:
        totals: list[float] = list(accumulate(lane.counts))
        estimated = False
    elif told is None:
        return "it did not say how many tokens its answer has"
    else:
        estimated = told != len(times)
        totals = [told * count / len(times) for count in range(1, len(times) + 1)]
    if not totals or totals[-1] < FEWEST_TOKENS:
        return "its text has fewer than two tokens"
    return _Pace(times, totals, estimated)


def _doubt(lane: Lane) -> int:
    return lane.outcome.doubt_ns if lane.outcome is not None else 0
