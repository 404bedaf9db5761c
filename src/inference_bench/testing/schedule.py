"""When a worker sends: the turns of closed-loop users, or the intended times of an open loop. Standard library only.

A schedule is asked three things: which jobs are due now, when to ask again, and how many connections it will want
soon. It owns no socket and no clock.
"""

import heapq
from collections import deque

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import Stage

FAR_NS = 1 << 62
LOOKAHEAD_NS = 250_000_000
# Who is turned away asks again after this pause at the earliest, and after twice the last one each time it happens
# again in a row. Without it, a closed loop against a server that refuses is a flood of thousands of requests a second,
# and no user.
REFUSED_PAUSE_NS = 100_000_000
LONGEST_REFUSED_PAUSE_NS = 2_000_000_000


class Patience:
    """How long each user of a closed loop waits before its next request: it thinks, or it was turned away."""

    def __init__(self, think_ns: int) -> None:
        self._think_ns = think_ns
        self._pauses: dict[int, int] = {}  # of those who were turned away: how long they waited the last time

    def pause_ns(self, user: int, *, refused: bool) -> int:
        """Return the pause after a user's request that has just ended; an answer makes it short again."""
        if not refused:
            self._pauses.pop(user, None)
            return self._think_ns
        pause = min(2 * self._pauses.get(user, REFUSED_PAUSE_NS // 2), LONGEST_REFUSED_PAUSE_NS)
        self._pauses[user] = pause
        return max(self._think_ns, pause)


class ClosedSchedule:
    """Each user sends, waits for its answer, thinks, sends again, until the stage stops or the jobs run out."""

    def __init__(self, stage: Stage) -> None:
        self._stop = stage.stop_ns or FAR_NS
        self._patience = Patience(stage.think_ns)
        self._ready: list[tuple[int, int]] = [(start, user) for user, start in stage.user_starts]
        heapq.heapify(self._ready)
        self._jobs: deque[Job] = deque()
        self._last_came = False
        self._targets = stage.targets
        self.taken = 0
        self._starved_ns = 0
        self._starved_since = 0

    def add(self, jobs: list[Job]) -> None:
        """Queue jobs, in the order in which they are to be sent."""
        self._jobs.extend(jobs)

    def no_more(self) -> None:
        """Say that no further jobs will come."""
        self._last_came = True

    def due(self, now: int) -> Job | None:
        """Return a job to send now; None when nothing is due."""
        if not self._ready or self._ready[0][0] > now or now >= self._stop:
            return None
        if not self._jobs:
            if not self._last_came and not self._starved_since:
                self._starved_since = now
            return None
        self._settle(now)
        self._starved_since = 0
        _, user = heapq.heappop(self._ready)
        job = self._jobs.popleft()
        job.user = user
        self.taken += 1
        return job

    def _settle(self, now: int) -> None:
        if self._starved_since:
            self._starved_ns += max(0, min(now, self._stop) - self._starved_since)
            self._starved_since = now

    def starvation(self, now: int) -> int:
        """Return for how long, since this was last asked, a user was ready and no request was at hand."""
        self._settle(now)
        starved, self._starved_ns = self._starved_ns, 0
        return starved

    def next_ns(self, now: int) -> int:
        """When to ask `due` again, FAR_NS when only an event can bring the next turn."""
        if now >= self._stop:
            return FAR_NS
        if not self._ready or not self._jobs:
            return self._stop
        return min(self._ready[0][0], self._stop)

    def ended(self, job: Job, at_ns: int, *, refused: bool = False) -> None:
        """A job's exchange was over then, well or (`refused`) without a proper answer: its user begins to think."""
        heapq.heappush(self._ready, (at_ns + self._patience.pause_ns(job.user, refused=refused), job.user))

    def wanted_soon(self, now: int) -> dict[int, int]:
        """Connections wanted within the look-ahead, by target."""
        soon = sum(1 for ready, _ in self._ready if ready <= now + LOOKAHEAD_NS)
        return {target: min(soon, most) for target, most in self._targets} if now < self._stop else {}

    def exhausted(self, now: int) -> bool:
        """Whether nothing more will be sent."""
        return now >= self._stop or (self._last_came and not self._jobs)


class OpenSchedule:
    """Each job is sent at its intended time, whatever became of those before it.

    With `max_in_flight` (not 0) a job whose time has come waits while so many are under way: its lateness is the
    client's doing, and is charged to it by its intended time.
    """

    def __init__(self, max_in_flight: int = 0) -> None:
        self._most = max_in_flight or FAR_NS
        self._under_way = 0
        self._jobs: deque[Job] = deque()
        self._last_came = False
        self.taken = 0

    def add(self, jobs: list[Job]) -> None:
        """Queue jobs, in the order in which they are to be sent."""
        self._jobs.extend(jobs)

    def no_more(self) -> None:
        """Say that no further jobs will come."""
        self._last_came = True

    def due(self, now: int) -> Job | None:
        """Return a job to send now; None when nothing is due."""
        if self._jobs and self._jobs[0].intended_ns <= now and self._under_way < self._most:
            self.taken += 1
            self._under_way += 1
            return self._jobs.popleft()
        return None

    def starvation(self, _now: int) -> int:
        """An open loop's lateness is the send lag of its requests."""
        return 0

    def next_ns(self, _now: int) -> int:
        """When to ask `due` again, FAR_NS when only an event can bring the next turn."""
        return self._jobs[0].intended_ns if self._jobs and self._under_way < self._most else FAR_NS

    def ended(self, job: Job, at_ns: int, *, refused: bool = False) -> None:  # noqa: ARG002
        """An open loop does not wait for answers, but for a place where these are limited."""
        self._under_way -= 1

    def wanted_soon(self, now: int) -> dict[int, int]:
        """Connections wanted within the look-ahead, by target."""
        wanted: dict[int, int] = {}
        for job in self._jobs:
            if job.intended_ns > now + LOOKAHEAD_NS:
                break
            wanted[job.target] = wanted.get(job.target, 0) + 1
        return wanted

    def exhausted(self, _now: int) -> bool:
        """Whether nothing more will be sent."""
        return self._last_came and not self._jobs


Schedule = ClosedSchedule | OpenSchedule


def schedule_for(stage: Stage) -> Schedule:
    """Return the schedule a stage asks for."""
    return ClosedSchedule(stage) if stage.user_starts else OpenSchedule(stage.max_in_flight)
