"""One stage on the workers: begun everywhere on one clock, fed a little ahead, waited for, or given up.

The feeder renders as late as is safe: an open loop is a few seconds ahead of its intended times, a closed loop a few
requests ahead of its users. Bodies of a whole run are never held at once.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from inference_bench.errors import WorkerDiedError
from inference_bench.testing.frames import Stage
from inference_bench.testing.pool import JobTuple, WorkerPool

LEAD_NS = 200_000_000  # from the decision to the first send: time to open connections and to feed
# Users who all begin at once need their first requests at hand: rendering one takes about half as long as this.
RENDERING_NS = 250_000
AHEAD_NS = 3_000_000_000
BATCH = 32
POLL_SECONDS = 0.1
# Requests a closed loop has at hand beside two for each user, until its pace is known: a quick service answers many
# between two looks of the feeder, and a user who waits for the feeder is measured as one who could not send.
RESERVE = 128
SILENCE_NS = 60_000_000_000
stage_numbers = itertools.count(1)


@dataclass(slots=True)
class StageResult:
    """When a stage really sent, how many requests its workers took up, and whether it was cut short."""

    first_sent_ns: int
    last_sent_ns: int
    ended_ns: int
    interrupted: bool
    taken: int = 0


@dataclass(slots=True)
class _Feed:
    """One worker's share: its jobs, how many went out, and what is rendered but not due yet."""

    worker: int
    jobs: Iterator[JobTuple]
    users: int
    fed: int = 0
    finished: bool = False
    held: JobTuple | None = None
    _rate: tuple[int, int, float] = field(default=(0, 0, 0.0))

    def wanted(self, taken: int, now: int) -> int:
        """Jobs of a closed loop to send on: two for each user and a reserve, or two seconds of its observed pace."""
        last_ns, last_taken, pace = self._rate
        if now - last_ns > 500_000_000:
            pace = (taken - last_taken) / ((now - last_ns) / 1e9) if last_ns else 0.0
            self._rate = (now, taken, pace)
        return max(2 * self.users + RESERVE, int(2 * pace)) - (self.fed - taken)


async def run_stage(
    pool: WorkerPool,
    stage_of: Callable[[int, int], Stage | None],
    jobs_of: Callable[[int, int], Iterator[JobTuple]],
    *,
    start_ns: int,
    stop: asyncio.Event,
) -> StageResult:
    """Run one stage that starts at `start_ns` (monotonic).

    `stage_of(worker, number)` gives each worker's stage, None for a worker that sits this one out; `jobs_of(worker,
    start_ns)` its jobs in order. `stop` gives up what is in flight. Raises WorkerDiedError.
    """
    number = next(stage_numbers)
    feeds: list[_Feed] = []
    for worker in range(pool.count):
        stage = stage_of(worker, number)
        if stage is not None:
            await pool.begin(worker, stage)
            feeds.append(_Feed(worker, jobs_of(worker, start_ns), len(stage.user_starts)))
    interrupted = False
    while not all(pool.workers[feed.worker].done.is_set() for feed in feeds):
        if stop.is_set() and not interrupted:
            interrupted = True
            await pool.abort("interrupted")
        if not interrupted:
            for feed in feeds:
                await _feed(pool, feed, number)
        check_pulse(pool, [feed.worker for feed in feeds])
        await pool.pulse(POLL_SECONDS)
    return result_of(pool, [feed.worker for feed in feeds], interrupted=interrupted)


async def idle_until(pool: WorkerPool, at_ns: int, stop: asyncio.Event) -> bool:
    """Wait for the end of a window in which nothing more is due: traffic with a quiet end, or none at all. Return
    whether the run was interrupted before.
    """
    while (left_ns := at_ns - time.monotonic_ns()) > 0:
        if stop.is_set():
            return True
        await pool.pulse(min(POLL_SECONDS, left_ns / 1e9))
    return False


def result_of(pool: WorkerPool, workers: Sequence[int], *, interrupted: bool) -> StageResult:
    """Return what these workers say of a stage that has just ended."""
    states = [pool.workers[worker] for worker in workers]
    return StageResult(
        first_sent_ns=min((state.first_sent_ns for state in states if state.first_sent_ns), default=0),
        last_sent_ns=max((state.last_sent_ns for state in states), default=0),
        ended_ns=time.monotonic_ns(),
        interrupted=interrupted,
        taken=sum(state.taken for state in states),
    )


async def _feed(pool: WorkerPool, feed: _Feed, number: int) -> None:
    while not feed.finished and not pool.workers[feed.worker].done.is_set():
        batch = _next_batch(feed, pool.workers[feed.worker].taken)
        if batch:
            feed.fed += len(batch)
            await pool.send(feed.worker, ("jobs", number, batch))
        if feed.finished:
            await pool.send(feed.worker, ("last", number))
        if len(batch) < BATCH:
            return


def _next_batch(feed: _Feed, taken: int) -> list[JobTuple]:
    now = time.monotonic_ns()
    room = BATCH if not feed.users else min(BATCH, feed.wanted(taken, now))
    batch: list[JobTuple] = []
    while len(batch) < room:
        job = feed.held if feed.held is not None else next(feed.jobs, None)
        feed.held = None
        if job is None:
            feed.finished = True
            break
        if not feed.users and job[2] > now + AHEAD_NS:
            feed.held = job
            break
        batch.append(job)
    return batch


def check_pulse(pool: WorkerPool, workers: Sequence[int]) -> None:
    """Raise WorkerDiedError when a worker that should report many times a second has been silent for a minute."""
    now = time.monotonic_ns()
    for worker in workers:
        state = pool.workers[worker]
        if not state.done.is_set() and now - state.heard_ns > SILENCE_NS:
            raise WorkerDiedError(
                f"worker {worker} (pid {state.pid}) has not been heard of for {SILENCE_NS / 1e9:g} s",
                hint="it may be stopped; what was measured until then is kept",
            )
