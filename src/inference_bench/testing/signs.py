"""What a run's records and samples say of its client: the values that validity is judged by, read from tables."""

from collections.abc import Sequence
from dataclasses import dataclass

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
    shares: list[float] = []
    stalls: list[float] = []
    steps: list[float] = []
    busy: list[float] = []
    told_waiting = True
    reads = unstamped = 0.0
    unsent: list[int] = []
    for worker in np.unique(samples.column("worker").to_numpy()):
        rows = samples.filter(pc.equal(samples.column("worker"), worker)).sort_by("at_ns")
        at = rows.column("at_ns").to_numpy()
        told = [(start, end) for start, end in bounds if at[0] <= start and at[-1] >= end]
        if not told:
            continue
        late, wall = rows.column("late_ns").to_numpy(), rows.column("wall_offset_ns").to_numpy()
        waited, ran = _if_told(rows, "wait_ns"), _if_told(rows, "run_ns")
        read, bare, left = (_if_told(rows, name) for name in ("reads", "unstamped", "unsent_bytes"))
        told_waiting &= waited is not None
        before = np.concatenate([at[:1], at[:-1]])
        grown = ran_in = 0.0
        for start, end in told:
            grown += max(_grown(at, late, start, end), 0.0 if waited is None else _grown(at, waited, start, end))
            ran_in += 0.0 if ran is None else _grown(at, ran, start, end)
            if read is not None and bare is not None:
                reads += _grown(at, read, start, end)
                unstamped += _grown(at, bare, start, end)
            inside = (at > start) & (before < end)
            if left is not None:
                unsent.extend(left[inside].tolist())
            stalls.extend(rows.column("longest_stall_ns").to_numpy()[inside] / 1e6)
            steps.extend(np.abs(np.diff(wall, prepend=wall[:1]))[inside] / 1e6)
        length = sum(end - start for start, end in told)
        shares.append(grown / length)
        if ran is not None:
            busy.append(ran_in / length)
    return WorkersView(
        wait_share=max(shares, default=None),
        longest_stall_ms=float(max(stalls)) if stalls else None,
        clock_step_ms=float(max(steps)) if steps else None,
        cpu_share=max(busy, default=None),
        schedstat=told_waiting if shares else None,
        unstamped_share=unstamped / reads if reads else None,
        unsent_bytes=max(unsent, default=None),
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
