"""Exact timing: each job's tokens at fixed distances from its arrival, whatever else runs.

This is no model of serving. It exists so that a client's measurements can be held against a known truth.
"""

import heapq
import random

from inference_bench.simulator.drift import NO_DRIFT, Drift
from inference_bench.simulator.profile import NS_PER_MS
from inference_bench.simulator.scheduling import Emission, Job, Load


class FixedTiming:
    """A scheduler where token i of a job is due at arrival + ttft + i * itl, moved by up to ± jitter/2 * itl.

    The move is drawn for each token anew and does not accumulate; with `jitter` at most 1 the order is kept.
    The first token is never moved. With a `drift` all distances of a job are as many times as long as the drift says
    at its arrival.
    """

    def __init__(
        self, ttft_ms: float, itl_ms: float, *, jitter: float = 0.0, seed: int = 0, drift: Drift = NO_DRIFT
    ) -> None:
        self._ttft_ns = round(ttft_ms * NS_PER_MS)
        self._itl_ns = itl_ms * NS_PER_MS
        self._spread_ns = jitter * self._itl_ns
        self._drift = drift
        self._rng = random.Random(f"fixed/{seed}")
        self._heap: list[tuple[int, int, Job]] = []
        self._serial = 0
        self._active = 0

    def submit(self, job: Job, now_ns: int, *, delay_ns: int = 0) -> None:
        """Take a job; its first token is due `delay_ns` + TTFT from now."""
        job.arrival_ns = now_ns
        job.ready_ns = job.scheduled_ns = now_ns + delay_ns
        self._serial += 1
        self._active += 1
        heapq.heappush(self._heap, (job.ready_ns + self._first_ns(job), self._serial, job))

    def cancel(self, job: Job) -> None:
        """Forget a job; its pending token is dropped when its time comes."""
        if not job.cancelled and not job.finished:
            job.cancelled = True
            self._active -= 1

    def next_due_ns(self) -> int | None:
        """Return when the next token of any job is due."""
        return self._heap[0][0] if self._heap else None

    def advance(self, now_ns: int) -> list[Emission]:
        """Return all tokens due up to now."""
        emissions: list[Emission] = []
        heap = self._heap
        while heap and heap[0][0] <= now_ns:
            due_ns, serial, job = heap[0]
            if job.cancelled:
                heapq.heappop(heap)
                continue
            job.emit(due_ns)
            emissions.append(Emission(due_ns, job))
            if job.finished:
                self._active -= 1
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (self._due_ns(job), serial, job))
        return emissions

    def load(self) -> Load:
        """Return the jobs under way; nothing ever waits."""
        return Load(self._active, 0, 0, 0)

    def _due_ns(self, job: Job) -> int:
        moved_ns = self._spread_ns * (self._rng.random() - 0.5) if self._spread_ns else 0.0
        after_ns = (job.emitted * self._itl_ns + moved_ns) * self._drift.factor(job.arrival_ns)
        return job.ready_ns + self._first_ns(job) + round(after_ns)

    def _first_ns(self, job: Job) -> int:
        return round(self._ttft_ns * self._drift.factor(job.arrival_ns))
