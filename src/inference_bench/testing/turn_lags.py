"""How late the turns of conversations were sent, against when they were due: told by the records alone.

A turn is made of the answer before it, by two other processes than the worker that sends it. While they are busy the
user waits for this client and asks nothing: the load is lower than the test says, and TTFT, which counts from the
send, shows nothing of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from inference_bench.metrics.columns import Bools, Ints, Records, RequestColumns, Whole
from inference_bench.testing.decoder import ANSWER_CHARS
from inference_bench.testing.signs import Bounds

# So long making a turn may take: the answer is read, passed on, and made a prompt. Beyond it, the user waits.
TURNAROUND_NS: Final = 5_000_000


@dataclass(frozen=True, slots=True)
class TurnLags:
    """Of `turns` that were due in some windows: the longest lag, ms; and the share of the time from one turn of a user
    to its next that was lag beyond the turnaround.
    """

    turns: int
    longest_ms: float
    wait_share: float


def turn_lags(requests: Records, bounds: Bounds, *, think_ns: int, endless: bool) -> TurnLags | None:
    """Return how late turns were; None when the requests are no sessions, or no turn was due in the windows.

    A turn is due when the user's last answer has ended and it has thought. Those after an answer that was not good are
    left out: their pause has other rules. What a connection takes that is opened for a turn is the server's.
    `endless`: users ask until the window closes, so a turn that never came was late until then at least.
    """
    columns = RequestColumns(requests)
    session, user, rounds = (columns.whole(name) for name in ("session", "user", "round"))
    sent, end = columns.whole("sent_ns"), columns.whole("end_ns")
    connecting, connected = columns.whole("connect_start_ns"), columns.whole("connected_ns")
    left = np.where(sent.known, sent.value, connecting.value)
    rows = np.flatnonzero(session.known & user.known & (sent.known | connecting.known) & ~columns.flag("warmup"))
    if not rows.size:
        return None
    rows = rows[np.lexsort((left[rows], user.value[rows], rounds.value[rows]))]
    good = columns.flag("ok") & end.known & (columns.whole("text_chars").value <= ANSWER_CHARS)
    due = end.value + think_ns
    follows = (np.diff(user.value[rows]) == 0) & (np.diff(rounds.value[rows]) == 0)
    before, after = rows[:-1][follows], rows[1:][follows]
    opened, ready = (Whole(mark.value[after], mark.known[after]) for mark in (connecting, connected))
    came = _came(opened, ready, left[after], due[before])
    keep = good[before]
    told = [(due[before][keep], came[keep], (left[after] - left[before])[keep])]
    if endless:
        last = rows[np.append(~follows, True)]
        last = last[good[last]]
        closing = _closing(due[last], bounds)
        told.append((due[last], closing, closing - left[last]))
    dues, comes, cycles = (np.concatenate(parts) for parts in zip(*told, strict=True))
    return _summed(dues, comes, cycles, _inside(dues, bounds))


def _came(connecting: Whole, connected: Whole, left: Ints, due: Ints) -> Ints:
    """Return when turns were sent, as far as it was up to this client: what a connection takes that was not ready when
    they were due, whether it was opened then or ahead of them, is the server's.
    """
    late = connecting.known & ((connecting.value >= due) | (connected.known & (connected.value > due)))
    return np.where(late, np.maximum(connecting.value, due), left)


def _inside(times: Ints, bounds: Bounds) -> Bools:
    inside = np.zeros(times.shape, dtype=np.bool_)
    for start, end in bounds:
        inside |= (times >= start) & (times < end)
    return inside


def _closing(times: Ints, bounds: Bounds) -> Ints:
    """Return when the window closed that each time is in; the time itself outside of all."""
    closing = times.copy()
    for start, end in bounds:
        closing[(times >= start) & (times < end)] = end
    return closing


def _summed(due: Ints, came: Ints, cycles: Ints, counted: Bools) -> TurnLags | None:
    if not counted.any():
        return None
    lag = np.maximum(came - due, 0)[counted]
    cycle = int(cycles[counted].sum())
    waited = int(np.maximum(lag - TURNAROUND_NS, 0).sum())
    return TurnLags(int(counted.sum()), float(lag.max()) / 1e6, waited / cycle if cycle > 0 else 0.0)
