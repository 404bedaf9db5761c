"""When a worker sends the turns of conversations: each once its time has come, the next made when the answer is known.

A turn carries the answers before it, so it cannot be rendered ahead of them. The worker says when an answer ended, the
coordinator makes the next turn and sends it here with the time it is due: the answer's end and the user's think time.
Standard library only: workers import this.
"""

import heapq
from collections.abc import Iterable

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import Stage
from inference_bench.testing.schedule import FAR_NS, LOOKAHEAD_NS


class SessionSchedule:
    """Turns in the order of their due times; a turn that comes after its time is sent at once.

    Nothing is sent from the stage's stop on, but for late first turns of an open loop: those were due before it. How
    late turns came is told by the records (see `turn_lags`). It owns no socket and no clock.
    """

    def __init__(self, stage: Stage) -> None:
        self._stop = stage.stop_ns or FAR_NS
        self._open = not stage.user_starts
        self._targets = stage.targets
        self._jobs: list[tuple[int, int, Job]] = []  # a heap by (due, number of the request)
        self._last_came = False
        self.taken = 0

    def add(self, turns: Iterable[tuple[int, int, Job]]) -> None:
        """Queue turns: (user, when it is due, the request), in any order. A user has one at a time."""
        for user, due_ns, job in turns:
            job.user = user
            heapq.heappush(self._jobs, (due_ns, job.seq, job))

    def no_more(self) -> None:
        """Say that no further turns will come."""
        self._last_came = True

    def due(self, now: int) -> Job | None:
        """Return a turn to send now; None when nothing is due."""
        while self._jobs and (self._jobs[0][0] <= now or now >= self._stop):
            due_ns, _, job = heapq.heappop(self._jobs)
            if now < self._stop or (job.intended_ns and due_ns < self._stop):
                self.taken += 1
                return job
        return None

    def starvation(self, _now: int) -> int:
        """A user who waits for its turn waits for other processes than the worker; it is told apart."""
        return 0

    def next_ns(self, now: int) -> int:
        """When to ask `due` again, FAR_NS when only an event can bring the next turn."""
        if now >= self._stop:
            return now if self._jobs else FAR_NS
        return min(self._jobs[0][0], self._stop) if self._jobs else self._stop

    def ended(self, job: Job, at_ns: int, *, refused: bool = False) -> None:
        """What follows an answer comes as a turn of its own, with its time."""

    def wanted_soon(self, now: int) -> dict[int, int]:
        """Connections wanted within the look-ahead, by target."""
        if now >= self._stop:
            return {}
        soon = sum(1 for due_ns, _, _ in self._jobs if due_ns <= now + LOOKAHEAD_NS)
        return {target: min(soon, most) if most else soon for target, most in self._targets}

    def exhausted(self, now: int) -> bool:
        """Whether nothing more will be sent."""
        return not self._jobs and (self._last_came or (now >= self._stop and not self._open))
