"""Coordinated omission in a closed loop: while a server is silent nobody asks, so nobody is seen to wait.

In a closed loop each user waits for its answer before it asks again. When the server stops for a second, no request is
sent in that second: those that an independent crowd would have sent, and that would have waited, are missing from the
sample, and its percentiles look better than what such a crowd would have seen. That is a property of the load, not a
weakness of the client, so it is told and never judged.

Rule. A silence is a stretch of a steady window in which nothing happened at all (no send, no chunk, no end of an
answer) while at least 90 % of the users waited. It lasts at least 250 ms, three times what is ordinary here (the
median TTFT, the 90th percentile of the gaps between chunks). Users who move in step, long prompts and long answers make
gaps between sends, and no such silence.

A silence that cut into an answer counts, however many there are: a stream that had begun stood still. Where no answer
had begun, nothing but the length tells a pause from a long prompt. Such a silence counts when it is twice as long as
the fifth longest of its kind (what happens often belongs to the service), or when several users waited three times the
90th percentile of TTFT: their prompts are not all long.

Estimate. The pace of the rest of the windows, kept up through silences of length S together, gives n = pace * S unsent
requests, spread evenly over them. One that was due at t would have waited for the end of its silence, and then as long
as any other: the median TTFT. These values are added to the measured ones and the percentile taken anew: the
correction that HdrHistogram's recordValueWithExpectedInterval makes (G. Tene, "How NOT to Measure Latency", 2015), with
the expected interval taken from the pace. It errs low: n more requests leave a queue behind the silence, and neither
their wait in it nor that of those behind them is counted. It is about, as the rest of a request's wait is a median.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from inference_bench.metrics.chunks import ChunkSource
from inference_bench.metrics.columns import NS_PER_S, Bools, Floats, Ints, Records, RequestColumns
from inference_bench.metrics.windows import Windows, known_in

LEAST_NS: Final = 250_000_000
TIMES_ORDINARY: Final = 3.0
RARE: Final = 5  # of silences before any answer began, the longest but so many is taken for ordinary
TIMES_RARE: Final = 2
WAITING_SHARE: Final = 0.9
GRAIN_NS: Final = 5_000_000  # time is looked at in steps of this: bounded memory, whatever the number of chunks
P99_FROM: Final = 100  # values that a p99 needs
SEVERAL_USERS: Final = 2
MOST_TOLD: Final = 10  # silences that are told one by one, the longest
_MOST_IN_WORDS: Final = 3


@dataclass(frozen=True, slots=True)
class SilentStretch:
    """A silence: in which window (by position), since when (s from its start), how long, how many users waited."""

    window: int
    start_s: float
    seconds: float
    users: int


@dataclass(frozen=True, slots=True)
class Omission:
    """Silences, the requests that were not sent meanwhile, and TTFT p99 (ms) without and with them.

    `silences` are the longest `MOST_TOLD`, in the order of time; `count` and `seconds` are those of all.
    """

    silences: tuple[SilentStretch, ...]
    count: int
    seconds: float
    unsent: int
    ttft_p99_ms: float | None
    ttft_p99_estimate_ms: float | None


def find_omission(
    requests: Records,
    chunks: ChunkSource | None,
    windows: Windows,
    *,
    users: int,
    ttft_ms: Floats,
    gap_p90_ms: Callable[[], float | None],
) -> Omission | None:
    """Return what a closed loop of `users` left out; None where nothing was silent, or the chunks were not kept.

    `ttft_ms` are the good values of the windows: they say what is ordinary, and are added to. `gap_p90_ms` returns the
    90th percentile of their gaps between chunks (None without any); it is asked only where there was a pause at all.
    """
    if chunks is None or not ttft_ms.size:
        return None
    columns = RequestColumns(requests)
    sent = columns.whole("sent_ns")
    sends = np.sort(sent.value[sent.known & ~columns.flag("warmup")])
    longest = max((_longest_pause(sends, window) for window in windows), default=0)
    if longest < LEAST_NS:
        return None  # the usual case: the chunks are not even read
    usual_ms = max(float(np.median(ttft_ms)), gap_p90_ms() or 0.0)
    least_ns = max(LEAST_NS, int(TIMES_ORDINARY * usual_ms * 1e6))
    if longest < least_ns:
        return None
    flights = _Flights.of(columns)
    quiet = _quiet(columns, chunks, windows)
    silences = [
        silence
        for position, window in enumerate(windows)
        for silence in _silences(quiet[position], position, window, flights, least_ns=least_ns, users=users)
    ]
    found = _told(silences, ttft_ms)
    if not found:
        return None
    counted = int(np.count_nonzero(known_in(windows, sent) & ~columns.flag("warmup")))
    return _estimate(found, counted, sum(stop - start for start, stop in windows) / NS_PER_S, ttft_ms)


def _longest_pause(sends: Ints, window: tuple[int, int]) -> int:
    """Return the longest time in a window in which nothing was sent, ns."""
    inside = sends[(sends >= window[0]) & (sends < window[1])]
    return int(np.diff(inside, prepend=window[0], append=window[1]).max())


@dataclass(frozen=True, slots=True)
class _Flights:
    """When requests that ended were sent, when their answers began (their end, where none did), and their end; ns."""

    sent: Ints
    began: Ints
    ended: Ints

    @classmethod
    def of(cls, columns: RequestColumns) -> "_Flights":
        sent, end, first = columns.whole("sent_ns"), columns.whole("end_ns"), columns.whole("first_event_ns")
        both = sent.known & end.known
        began = np.where(first.known, first.value, end.value)[both]
        return cls(sent.value[both], began, end.value[both])

    def waiting(self, begins: int, ends: int) -> tuple[int, bool]:
        """Return how many requests were on their way all that time, and whether an answer to one of them had begun."""
        through = (self.sent <= begins) & (self.ended >= ends)
        return int(np.count_nonzero(through)), bool((self.began[through] <= begins).any())


@dataclass(frozen=True, slots=True)
class _Silence:
    """A silence, and whether it cut into an answer that had begun."""

    stretch: SilentStretch
    cut_in: bool


def _told(silences: Sequence[_Silence], ttft_ms: Floats) -> list[SilentStretch]:
    """Return the silences that are not the service's ordinary ones."""
    before = sorted((one.stretch.seconds for one in silences if not one.cut_in), reverse=True)
    rare = TIMES_RARE * before[RARE - 1] if len(before) >= RARE else 0.0
    long = TIMES_ORDINARY * float(np.percentile(ttft_ms, 90)) / 1000
    return [
        one.stretch
        for one in silences
        if one.cut_in
        or one.stretch.seconds >= rare
        or (one.stretch.users >= SEVERAL_USERS and one.stretch.seconds >= long)
    ]


def _quiet(columns: RequestColumns, chunks: ChunkSource, windows: Windows) -> list[Bools]:
    """Return, for each window, which of its grains saw nothing: no send, no chunk, no end."""
    quiet = [np.ones(-(-(stop - start) // GRAIN_NS), dtype=np.bool_) for start, stop in windows]

    def mark(times: Ints) -> None:
        for still, (start, stop) in zip(quiet, windows, strict=True):
            inside = times[(times >= start) & (times < stop)]
            still[(inside - start) // GRAIN_NS] = False

    for name in ("sent_ns", "first_event_ns", "end_ns"):
        marks = columns.whole(name)
        mark(marks.value[marks.known])
    for batch in chunks.batches():
        mark(np.asarray(batch.column(1).to_numpy(), dtype=np.int64))
    return quiet


def _runs(quiet: Bools) -> tuple[Ints, Ints]:
    """Return where each run of quiet grains begins, and where it has ended."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    return edges[::2], edges[1::2]


def _silences(
    quiet: Bools, position: int, window: tuple[int, int], flights: _Flights, *, least_ns: int, users: int
) -> list[_Silence]:
    """Return the long enough runs of quiet grains through which nearly all users waited."""
    firsts, lasts = _runs(quiet)
    found: list[_Silence] = []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        if (last - first) * GRAIN_NS < least_ns:
            continue
        begins, ends = window[0] + first * GRAIN_NS, min(window[1], window[0] + last * GRAIN_NS)
        waiting, cut_in = flights.waiting(begins, ends)
        if waiting >= WAITING_SHARE * users:
            stretch = SilentStretch(position, first * GRAIN_NS / NS_PER_S, (ends - begins) / NS_PER_S, waiting)
            found.append(_Silence(stretch, cut_in))
    return found


def _estimate(found: Sequence[SilentStretch], sent: int, seconds: float, ttft_ms: Floats) -> Omission | None:
    lengths = np.array([stretch.seconds for stretch in found])
    silent = float(lengths.sum())
    pace = sent / (seconds - silent) if seconds > silent else 0.0
    unsent = round(pace * silent)
    if not unsent:
        return None
    longest = sorted(found, key=lambda stretch: -stretch.seconds)[:MOST_TOLD]
    told = tuple(sorted(longest, key=lambda stretch: (stretch.window, stretch.start_s)))
    if ttft_ms.size < P99_FROM:
        return Omission(told, len(found), silent, unsent, None, None)
    # Spread over all silences end to end: each may be too short for a request of its own.
    over = np.cumsum(lengths)
    due = (np.arange(unsent) + 0.5) * (silent / unsent)
    left = over[np.minimum(np.searchsorted(over, due, side="right"), len(over) - 1)] - due
    whole = np.concatenate([ttft_ms, 1000 * left + float(np.median(ttft_ms))])
    p99 = float(np.percentile(ttft_ms, 99)), float(np.percentile(whole, 99))
    return Omission(told, len(found), silent, unsent, *p99)


def omission_words(found: Omission) -> str:
    """Say it in a sentence, for people."""
    users = max(stretch.users for stretch in found.silences)
    longest = sorted((stretch.seconds for stretch in found.silences), reverse=True)[:_MOST_IN_WORDS]
    times = ""
    if found.count > 1:
        times = f", {found.count:,} times (the longest {', '.join(f'{one:.1f}' for one in longest)} s)"
    text = (
        f"closed loop: for {found.seconds:.1f} s{times} no request was sent and nothing came while "
        f"{users} {'user' if users == 1 else 'users'} waited; an open loop at this pace would have sent about "
        f"{found.unsent:,} more, and its percentiles would be worse"
    )
    before, after = found.ttft_p99_ms, found.ttft_p99_estimate_ms
    if before is not None and after is not None and after > before:
        text += f" (TTFT p99 at least about {after:,.0f} ms instead of {before:,.0f} ms)"
    return text
