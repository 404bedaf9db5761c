"""What a run's records and samples say of its client: the values that validity is judged by, read from tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from inference_bench.metrics.columns import Records, RequestColumns

Bounds = Sequence[tuple[int, int]]
EDGE_NS = 10_000_000  # the send lag from which a run is invalid by that sign alone


def send_lags_ms(requests: Records, bounds: Bounds) -> npt.NDArray[np.float64]:
    """Return how late every request intended in the windows was sent, whatever became of it; empty in a closed loop."""
    columns = RequestColumns(requests)
    intended, sent = columns.whole("intended_ns"), columns.whole("sent_ns")
    counted = intended.known & sent.known & ~columns.flag("warmup")
    inside = np.zeros(counted.shape, dtype=np.bool_)
    for start, end in bounds:
        inside |= (intended.value >= start) & (intended.value < end)
    chosen = counted & inside
    return (sent.value[chosen] - intended.value[chosen]) / 1e6


def sent_over_asked(requests: Records, bounds: Bounds) -> float | None:
    """Return the share of the requests intended in the windows that were sent (or tried, where no connection came
    about: that is the server's doing) before their window closed. None in a closed loop.

    The window's edge forgives `EDGE_NS`: a last request that is sent a moment late is judged by its send lag.
    """
    columns = RequestColumns(requests)
    intended, sent, tried = (columns.whole(name) for name in ("intended_ns", "sent_ns", "connect_start_ns"))
    left = np.where(sent.known, sent.value, tried.value)
    left_known = sent.known | tried.known
    counted = intended.known & ~columns.flag("warmup")
    asked = in_time = 0
    for start, end in bounds:
        of_window = counted & (intended.value >= start) & (intended.value < end)
        asked += int(of_window.sum())
        in_time += int((of_window & left_known & (left < end + EDGE_NS)).sum())
    return in_time / asked if asked else None


@dataclass(frozen=True, slots=True)
class WorkersView:
    """What the workers' samples say of some windows: the worst worker's share of time in which it could not run, the
    longest stall, the largest clock step, the busiest worker's CPU time over the windows. None: not told.

    `unstamped_share` is of the reads of all workers together; `unsent_bytes` the most that waited for the decoder in
    one worker. `schedstat` says whether the system told how long they waited for a CPU (None: there was no sample).
    """

    wait_share: float | None = None
    longest_stall_ms: float | None = None
    clock_step_ms: float | None = None
    cpu_share: float | None = None
    schedstat: bool | None = None
    unstamped_share: float | None = None
    unsent_bytes: int | None = None


def workers_view(samples: pa.Table, bounds: Bounds) -> WorkersView:
    """Return what the workers' samples say of these windows.

    A sample speaks for the time since the one before it; a worker whose samples do not reach to the end of a window
    has not told of it, and one that told of none is not judged.
    """
    each = samples.column("worker").to_numpy()
    by_worker = (samples.filter(pc.equal(samples.column("worker"), worker)) for worker in np.unique(each))
    told = [found for rows in by_worker if (found := _told_by(rows.sort_by("at_ns"), bounds)) is not None]
    reads = sum(one.reads for one in told)
    return WorkersView(
        wait_share=max((one.wait_share for one in told), default=None),
        longest_stall_ms=max((one.longest_stall_ms for one in told), default=None),
        clock_step_ms=max((one.clock_step_ms for one in told), default=None),
        cpu_share=max((one.cpu_share for one in told if one.cpu_share is not None), default=None),
        schedstat=all(one.schedstat for one in told) if told else None,
        unstamped_share=sum(one.unstamped for one in told) / reads if reads else None,
        unsent_bytes=max((one.unsent_bytes for one in told if one.unsent_bytes is not None), default=None),
    )


class _Told(NamedTuple):
    """What the samples of one worker say, as in `WorkersView`; its reads, and those of them without a stamp."""

    wait_share: float
    longest_stall_ms: float
    clock_step_ms: float
    cpu_share: float | None
    schedstat: bool
    reads: float
    unstamped: float
    unsent_bytes: int | None


def _told_by(rows: pa.Table, bounds: Bounds) -> _Told | None:
    """Return what one worker's samples, in order, say of these windows; None when they tell of none."""
    at = rows.column("at_ns").to_numpy()
    told = [(start, end) for start, end in bounds if at[0] <= start and at[-1] >= end]
    if not told:
        return None
    late, wall = rows.column("late_ns").to_numpy(), rows.column("wall_offset_ns").to_numpy()
    waited, ran = _if_told(rows, "wait_ns"), _if_told(rows, "run_ns")
    read, bare, unsent = (_if_told(rows, name) for name in ("reads", "unstamped", "unsent_bytes"))
    before = np.concatenate([at[:1], at[:-1]])
    inside = np.zeros(at.shape, dtype=np.bool_)
    grown = ran_in = reads = unstamped = 0.0
    for start, end in told:
        inside |= (at > start) & (before < end)
        grown += max(_grown(at, late, start, end), 0.0 if waited is None else _grown(at, waited, start, end))
        ran_in += 0.0 if ran is None else _grown(at, ran, start, end)
        if read is not None and bare is not None:
            reads += _grown(at, read, start, end)
            unstamped += _grown(at, bare, start, end)
    length = sum(end - start for start, end in told)
    return _Told(
        wait_share=grown / length,
        longest_stall_ms=float(rows.column("longest_stall_ns").to_numpy()[inside].max()) / 1e6,
        clock_step_ms=float(np.abs(np.diff(wall, prepend=wall[:1]))[inside].max()) / 1e6,
        cpu_share=None if ran is None else ran_in / length,
        schedstat=waited is not None,
        reads=reads,
        unstamped=unstamped,
        unsent_bytes=None if unsent is None else int(unsent[inside].max()),
    )


def _if_told(rows: pa.Table, name: str) -> npt.NDArray[np.int64] | None:
    """Return a column; None where it was not told, as in the records of an earlier version."""
    if name not in rows.column_names:
        return None
    column = rows.column(name)
    return None if column.null_count else np.asarray(column.to_numpy(), dtype=np.int64)


def _grown(at: npt.NDArray[np.int64], counter: npt.NDArray[np.int64], start: int, end: int) -> float:
    """Return by how much a counter grew between two moments, taken as even between its samples."""
    return float(np.diff(np.interp([start, end], at, counter))[0])
