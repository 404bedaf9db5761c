"""When a worker sends the turns of conversations: each once its time has come, the next made when the answer is known.

A turn carries the answers before it, so it cannot be rendered ahead of them. The worker says when an answer ended, the
coordinator makes the next turn and sends it here with the time it is due: the answer's end and the user's think time.
Standard library only: workers import this.
"""

import heapq
from collections.abc import Iterable

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import Stage
from inference_bench.testing.schedule import FAR_NS, LOOKAHEAD_NS, REFUSED_PAUSE_NS

# A turn is made by two other processes after the answer before it ended. So long it may take without being called
# starvation; a user who thinks longer than this never notices.
TURNAROUND_NS = 5_000_000


class SessionSchedule:
    """Turns in the order of their due times; a turn that comes after its time is sent at once.

    Nothing is sent from the stage's stop on, but for late first turns of an open loop: those were due before it. A
    user whose turn is due and not at hand is starved: `starvation` tells for how long. It owns no socket and
    no clock.
    """

    def __init__(self, stage: Stage) -> None:
        self._stop = stage.stop_ns or FAR_NS
        self._think = stage.think_ns
        self._open = not stage.user_starts
        self._targets = stage.targets
        self._jobs: list[tuple[int, int, Job]] = []  # a heap by (due, number of the request)
        # Users whose next turn is not at hand yet, and when it is due; the same as a heap, in which some are outdated.
        self._missing = dict(stage.user_starts)
        self._order = [(start, user) for user, start in stage.user_starts]
        heapq.heapify(self._order)
        self._settled_ns = 0  # starvation is counted up to here
        self._starved_ns = 0
        self._last_came = False
        self.taken = 0

    def add(self, turns: Iterable[tuple[int, int, Job]], now: int) -> None:
        """Queue turns: (user, when it is due, the request), in any order. A user has one at a time."""
        self._settle(now)
        for user, due_ns, job in turns:
            job.user = user
            self._missing.pop(user, None)
            heapq.heappush(self._jobs, (due_ns, job.seq, job))

    def rest(self, users: Iterable[int], now: int) -> None:
        """Say that these users have nothing more to ask."""
        self._settle(now)
        for user in users:
            self._missing.pop(user, None)

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

    def _settle(self, now: int) -> None:
        """Count the time since the last look in which a turn was overdue and not at hand; the first one speaks for all,
        so that the time is never counted twice.
        """
        while self._order and self._missing.get(self._order[0][1]) != self._order[0][0]:
            heapq.heappop(self._order)
        until = min(now, self._stop)
        if self._order and not self._last_came:
            since = max(self._settled_ns, self._order[0][0] + TURNAROUND_NS)
            self._starved_ns += max(0, until - since)
        self._settled_ns = max(self._settled_ns, until)

    def starvation(self, now: int) -> int:
        """Return for how long, since this was last asked, some user's turn was overdue and not at hand."""
        self._settle(now)
        starved, self._starved_ns = self._starved_ns, 0
        return starved

    def next_ns(self, now: int) -> int:
        """When to ask `due` again, FAR_NS when only an event can bring the next turn."""
        if now >= self._stop:
            return now if self._jobs else FAR_NS
        return min(self._jobs[0][0], self._stop) if self._jobs else self._stop

    def ended(self, job: Job, at_ns: int, *, refused: bool = False) -> None:
        """A turn's exchange was over then, well or (`refused`) without a proper answer: its user begins to think."""
        due_ns = at_ns + (max(self._think, REFUSED_PAUSE_NS) if refused else self._think)
        self._missing[job.user] = due_ns
        heapq.heappush(self._order, (due_ns, job.user))

    def wanted_soon(self, now: int) -> dict[int, int]:
        """Connections wanted within the look-ahead, by target."""
        if now >= self._stop:
            return {}
        soon = sum(1 for due_ns, _, _ in self._jobs if due_ns <= now + LOOKAHEAD_NS)
        return {target: min(soon, most) if most else soon for target, most in self._targets}

    def exhausted(self, now: int) -> bool:
        """Whether nothing more will be sent."""
        return not self._jobs and (self._last_came or (now >= self._stop and not self._open))
