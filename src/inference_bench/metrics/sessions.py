"""What multi-turn sessions add to the figures: each turn by itself, and how long the client took between two of them.

Only requests that carry a session and a turn are looked at. Counted are those of the windows, as everywhere.
"""

from dataclasses import dataclass

import numpy as np

from inference_bench.metrics.columns import NS_PER_MS, NS_PER_S, Bools, Floats, Ints, Records, RequestColumns
from inference_bench.metrics.distribution import percentile_needs
from inference_bench.metrics.windows import Windows, in_window


@dataclass(frozen=True, slots=True)
class TurnFigures:
    """One turn (from 0) of all sessions: its `n` good requests, and medians. None where nobody told."""

    turn: int
    n: int
    ttft_ms: float | None
    prompt_tokens: float | None
    cached_tokens: float | None


@dataclass(frozen=True, slots=True)
class SessionFigures:
    """The sessions of one service in one test.

    `begun` first turns were sent in the windows; `ended_early` turns failed there, and their sessions with them.
    `turnarounds` is how many turns followed a good answer there. Their turnaround, in ms, is sent - (end of the answer
    before + think time): what the client took to make the next turn beyond the think time it had for it. p99 is
    None below the n that carries it.
    """

    begun: int
    ended_early: int
    turnarounds: int
    turnaround_p50_ms: float | None
    turnaround_p99_ms: float | None
    turns: tuple[TurnFigures, ...]


def session_figures(requests: Records, windows: Windows, *, think_seconds: float) -> SessionFigures | None:
    """Return what the sessions in these records show; None when there are none (or a version wrote them that knew
    none).
    """
    if not {"session", "turn"} <= set(requests.column_names):
        return None
    columns = RequestColumns(requests)
    session, turn = columns.whole("session"), columns.whole("turn")
    counted = in_window(columns, windows) & session.known & turn.known
    if not counted.any():
        return None
    good = columns.flag("ok") & counted
    interrupted = columns.coded("error_class").among(["interrupted"])
    gaps = _turnarounds_ms(columns, counted, round(think_seconds * NS_PER_S))
    numbers = np.unique(turn.value[good])
    return SessionFigures(
        begun=int((counted & (turn.value == 0)).sum()),
        ended_early=int((counted & ~columns.flag("ok") & ~interrupted).sum()),
        turnarounds=gaps.size,
        turnaround_p50_ms=float(np.median(gaps)) if gaps.size else None,
        turnaround_p99_ms=float(np.percentile(gaps, 99)) if gaps.size >= percentile_needs(99) else None,
        turns=tuple(_turn(columns, int(number), good & (turn.value == number)) for number in numbers),
    )


def _turn(columns: RequestColumns, number: int, rows: Bools) -> TurnFigures:
    return TurnFigures(
        turn=number,
        n=int(rows.sum()),
        ttft_ms=_median(columns.elapsed_ms("first_token_ns", "sent_ns")[rows]),
        prompt_tokens=_median(columns.number("prompt_tokens")[rows]),
        cached_tokens=_median(columns.number("cached_tokens")[rows]),
    )


def _median(values: Floats) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None


def _turnarounds_ms(columns: RequestColumns, counted: Bools, think_ns: int) -> Floats:
    """Return the turnaround of every counted turn whose turn before is there, was good, and has an end."""
    rounds, session, turn = (columns.whole(name) for name in ("round", "session", "turn"))
    sent, end = columns.whole("sent_ns"), columns.whole("end_ns")
    chosen = np.flatnonzero(session.known & turn.known & ~columns.flag("warmup"))
    order: Ints = chosen[np.lexsort((turn.value[chosen], session.value[chosen], rounds.value[chosen]))]
    before, after = order[:-1], order[1:]
    follows = (rounds.value[before] == rounds.value[after]) & (session.value[before] == session.value[after])
    follows &= turn.value[before] + 1 == turn.value[after]
    follows &= counted[after] & sent.known[after] & end.known[before] & columns.flag("ok")[before]
    gaps: Floats = (sent.value[after] - end.value[before] - think_ns)[follows] / NS_PER_MS
    return gaps
