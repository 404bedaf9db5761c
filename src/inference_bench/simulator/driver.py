"""Drives a scheduler on the real clock: wakes at absolute times and hands each due token to its sink.

One timer for all streams, always set to the next due time itself, never to a distance from the last token: lateness
is visible and does not add up.
"""

import asyncio
from time import monotonic_ns

from inference_bench.simulator.profile import NS_PER_S
from inference_bench.simulator.scheduling import Job, Load, Scheduler


class Driver:
    """Runs one scheduler in the running event loop, whose clock must be CLOCK_MONOTONIC (asyncio's is)."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_ns = 0

    def submit(self, job: Job, *, delay_ns: int = 0) -> None:
        """Start a job now."""
        self._scheduler.submit(job, monotonic_ns(), delay_ns=delay_ns)
        self._arm()

    def cancel(self, job: Job) -> None:
        """Stop a job; its sink hears no more of it."""
        self._scheduler.cancel(job)
        job.cancelled = True

    def load(self) -> Load:
        """Return what is running and waiting."""
        return self._scheduler.load()

    def close(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self) -> None:
        due_ns = self._scheduler.next_due_ns()
        if self._timer is not None:
            if due_ns is not None and due_ns >= self._armed_ns:
                return
            self._timer.cancel()
            self._timer = None
        if due_ns is not None:
            self._armed_ns = due_ns
            self._timer = self._loop.call_at(due_ns / NS_PER_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        try:
            for due_ns, job in self._scheduler.advance(monotonic_ns()):
                if job.sink is not None and not job.cancelled:
                    job.sink.token(due_ns)
        finally:
            self._arm()  # a defect in one sink must not stop the clock of all the others
