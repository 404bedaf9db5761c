"""Warm-up, ramp, steady window, drain: which request of a service belongs to which phase, and how long each took."""

from dataclasses import dataclass

import numpy as np

from inference_bench.metrics.columns import NS_PER_S, Records, RequestColumns
from inference_bench.metrics.windows import origin


@dataclass(frozen=True, slots=True)
class Phases:
    """Requests by phase, all rounds together; the times (s) and `in_flight_at_close` of the longest round.

    `ramp` were sent before the window of their round (or in a round that has none), `steady` in it, `after` behind it.
    """

    warmup: int
    ramp: int
    steady: int
    after: int
    ramp_s: float | None
    steady_s: float | None
    drain_s: float | None
    in_flight_at_close: int | None


def phases_of(requests: Records, windows: dict[int, tuple[int, int]]) -> Phases:
    """Return the phases of one service's requests in one test; `windows` are its steady windows by round, in ns.

    A request is placed by its intended time in an open loop, else by when it was sent.
    """
    columns = RequestColumns(requests)
    warmup = columns.flag("warmup")
    placed, rounds = origin(columns), columns.whole("round").value
    sent, ended = columns.whole("sent_ns"), columns.whole("end_ns")
    counted = placed.known & ~warmup
    ramp = steady = after = 0
    lengths: list[tuple[float, float, float, int]] = []
    for number in np.unique(rounds[counted]).tolist():
        mine = counted & (rounds == number)
        times = placed.value[mine]
        if number not in windows:
            ramp += times.size
            continue
        start, end = windows[number]
        ramp += int(np.count_nonzero(times < start))
        steady += int(np.count_nonzero((times >= start) & (times < end)))
        after += int(np.count_nonzero(times >= end))
        flown = mine & sent.known & ended.known
        left = flown & (sent.value < end) & (ended.value >= end)
        last = int(ended.value[flown].max()) if flown.any() else end
        before = max(0, start - int(times.min())) / NS_PER_S
        lengths.append((before, (end - start) / NS_PER_S, max(0, last - end) / NS_PER_S, int(np.count_nonzero(left))))
    most = [max(values) for values in zip(*lengths, strict=True)] if lengths else [None] * 4
    return Phases(
        int(np.count_nonzero(warmup)),
        ramp,
        steady,
        after,
        most[0],
        most[1],
        most[2],
        None if most[3] is None else int(most[3]),
    )
