"""Coordinated omission in a closed loop: while a server is silent nobody asks, so nobody is seen to wait.

In a closed loop each user waits for its answer before it asks again. When the server stops for a second, no request is
sent in that second: those that an independent crowd would have sent, and that would have waited, are missing from the
sample, and its percentiles look better than what such a crowd would have seen. That is a property of the load, not a
weakness of the client, so it is told and never judged.

Rule. A silence is a stretch of a steady window in which nothing happened at all (no send, no chunk, no end of an
answer) while at least 90 % of the users waited. It lasts at least 250 ms, three times what is ordinary here (the
median TTFT, the 90th percentile of the gaps between chunks), and twice as long as the fifth longest quiet stretch: what
happens often belongs to the service. Users who move in step, long prompts and long answers make gaps between sends, and
no such silence.

Estimate. The pace of the rest of the windows, kept up through a silence of length S, gives n = pace * S unsent
requests, spread evenly over it. One that was due at t would have waited for the end of the silence, S - t, and then as
long as any other: the median TTFT. These values are added to the measured ones and the percentile taken anew: the
correction that HdrHistogram's recordValueWithExpectedInterval makes (G. Tene, "How NOT to Measure Latency", 2015), with
the expected interval taken from the pace. It errs low: n more requests leave a queue behind the silence, and neither
their wait in it nor that of those behind them is counted. It is about, as the rest of a request's wait is a median.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from inference_bench.metrics.chunks import ChunkSource
from inference_bench.metrics.columns import NS_PER_S, Bools, Floats, Ints, RequestColumns
from inference_bench.metrics.windows import Windows, known_in

LEAST_NS: Final = 250_000_000
TIMES_ORDINARY: Final = 3.0
RARE: Final = 5  # the longest quiet stretch but so many is taken for ordinary
TIMES_RARE: Final = 2
WAITING_SHARE: Final = 0.9
GRAIN_NS: Final = 5_000_000  # time is looked at in steps of this: bounded memory, whatever the number of chunks
P99_FROM: Final = 100  # values that a p99 needs


@dataclass(frozen=True, slots=True)
class SilentStretch:
    """A silence: in which window (by position), since when (s from its start), how long, how many users waited."""

    window: int
    start_s: float
    seconds: float
    users: int


@dataclass(frozen=True, slots=True)
class Omission:
    """Silences, the requests that were not sent meanwhile, and TTFT p99 (ms) without and with them."""

    silences: tuple[SilentStretch, ...]
    unsent: int
    ttft_p99_ms: float | None
    ttft_p99_estimate_ms: float | None


def find_omission(
    requests: pa.Table,
    chunks: ChunkSource | None,
    windows: Windows,
    *,
    users: int,
    ttft_ms: Floats,
    gaps_ms: Floats,
) -> Omission | None:
    """Return what a closed loop of `users` left out; None where nothing was silent, or the chunks were not kept.

    `ttft_ms` and `gaps_ms` are the good values of the windows: they say what is ordinary, and what to add to.
    """
    if chunks is None or not ttft_ms.size:
        return None
    usual_ms = max(float(np.median(ttft_ms)), float(np.percentile(gaps_ms, 90)) if gaps_ms.size else 0.0)
    least_ns = max(LEAST_NS, int(TIMES_ORDINARY * usual_ms * 1e6))
    columns = RequestColumns(requests)
    sent, end = columns.whole("sent_ns"), columns.whole("end_ns")
    both = sent.known & end.known
    flights = np.sort(sent.value[sent.known & ~columns.flag("warmup")]), sent.value[both], end.value[both]
    if not any(_longest_pause(flights[0], window) >= least_ns for window in windows):
        return None  # the usual case: the chunks are not even read
    quiet = _quiet(columns, chunks, windows)
    runs = np.sort(np.concatenate([last - first for first, last in map(_runs, quiet)]))
    if runs.size >= RARE:
        least_ns = max(least_ns, TIMES_RARE * int(runs[-RARE]) * GRAIN_NS)
    found = tuple(
        stretch
        for position, window in enumerate(windows)
        for stretch in _silent(quiet[position], position, window, flights, least_ns=least_ns, users=users)
    )
    if not found:
        return None
    counted = int(np.count_nonzero(known_in(windows, sent) & ~columns.flag("warmup")))
    return _estimate(found, counted, sum(stop - start for start, stop in windows) / NS_PER_S, ttft_ms)


def _longest_pause(sends: Ints, window: tuple[int, int]) -> int:
    inside = sends[(sends >= window[0]) & (sends < window[1])]
    return int(np.diff(inside, append=window[1]).max()) if inside.size else 0


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


def _silent(
    quiet: Bools,
    position: int,
    window: tuple[int, int],
    flights: tuple[Ints, Ints, Ints],
    *,
    least_ns: int,
    users: int,
) -> list[SilentStretch]:
    """Return the long enough runs of quiet grains through which nearly all users waited."""
    firsts, lasts = _runs(quiet)
    found: list[SilentStretch] = []
    for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True):
        if (last - first) * GRAIN_NS < least_ns:
            continue
        begins, ends = window[0] + first * GRAIN_NS, min(window[1], window[0] + last * GRAIN_NS)
        waiting = int(np.count_nonzero((flights[1] <= begins) & (flights[2] >= ends)))
        if waiting >= WAITING_SHARE * users:
            found.append(SilentStretch(position, first * GRAIN_NS / NS_PER_S, (ends - begins) / NS_PER_S, waiting))
    return found


def _estimate(found: Sequence[SilentStretch], sent: int, seconds: float, ttft_ms: Floats) -> Omission | None:
    silent = sum(stretch.seconds for stretch in found)
    pace = sent / (seconds - silent) if seconds > silent else 0.0
    unsent = round(pace * silent)
    if not unsent:
        return None
    if ttft_ms.size < P99_FROM:
        return Omission(tuple(found), unsent, None, None)
    median = float(np.median(ttft_ms))
    added: list[Floats] = []
    for stretch in found:
        due = (np.arange(round(pace * stretch.seconds)) + 0.5) / pace
        added.append(np.asarray(1000 * (stretch.seconds - due) + median, dtype=np.float64))
    whole = np.concatenate([ttft_ms, *added])
    return Omission(tuple(found), unsent, float(np.percentile(ttft_ms, 99)), float(np.percentile(whole, 99)))


def omission_words(found: Omission) -> str:
    """Say it in a sentence, for people."""
    seconds = sum(stretch.seconds for stretch in found.silences)
    users = max(stretch.users for stretch in found.silences)
    times = "" if len(found.silences) == 1 else f", {len(found.silences)} times"
    text = (
        f"closed loop: for {seconds:.1f} s{times} no request was sent and nothing came while "
        f"{users} {'user' if users == 1 else 'users'} waited; an open loop at this pace would have sent about "
        f"{found.unsent:,} more, and its percentiles would be worse"
    )
    before, after = found.ttft_p99_ms, found.ttft_p99_estimate_ms
    if before is not None and after is not None and after > before:
        text += f" (TTFT p99 at least about {after:,.0f} ms instead of {before:,.0f} ms)"
    return text
