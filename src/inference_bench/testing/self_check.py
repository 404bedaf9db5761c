"""A worker's view of its own health: did it get to run when it wanted to? Standard library only.

Two independent signs. Linux tells each thread how long it was runnable but not running (schedstat, second field): a
busy machine shows there. And the worker's own timed wake-ups come late whenever it could not run for any reason,
being stopped or saturated included, which schedstat does not count.
"""

import time
from pathlib import Path

TICK_NS = 20_000_000
TOLERANCE_NS = 2_000_000  # epoll's millisecond grain and the timer slack
SAMPLE_NS = 1_000_000_000
_SCHEDSTAT = Path("/proc/thread-self/schedstat")


def read_schedstat() -> tuple[int | None, int | None]:
    """Return (CPU time, time waiting for a CPU) of this thread in ns since it began; None where not told."""
    try:
        fields = _SCHEDSTAT.read_text().split()
    except OSError:
        return None, None
    # A thread that reads this has run: a kernel that says 0 does not count.
    return (int(fields[0]), int(fields[1])) if int(fields[0]) else (None, None)


class SelfCheck:
    """Keeps the lateness of the loop's ticks; `due_ns` is when the next one should happen."""

    __slots__ = ("_starving_ns", "due_ns", "late_ns", "longest_ns", "next_sample_ns")

    def __init__(self) -> None:
        now = time.monotonic_ns()
        self.due_ns = now + TICK_NS
        self.next_sample_ns = now
        self.late_ns = 0
        self.longest_ns = 0
        self._starving_ns = 0

    def tick(self, now: int) -> None:
        """Note a tick that was due at `due_ns` and happens now."""
        late = now - self.due_ns
        if late > TOLERANCE_NS:
            self.late_ns += late
            self.longest_ns = max(self.longest_ns, late)
        self.due_ns = now + TICK_NS

    def starved(self, waited_ns: int) -> None:
        """Note for how long of the time since the last tick a user was ready and no request was at hand."""
        self._starving_ns = self._starving_ns + waited_ns if waited_ns else 0
        if self._starving_ns > TOLERANCE_NS:
            self.late_ns += waited_ns
            self.longest_ns = max(self.longest_ns, self._starving_ns)

    def sample(self, worker: int, wall_offset_ns: int, in_flight: int, open_sockets: int) -> tuple[object, ...]:
        """Return the first values of WORKER_SAMPLE_COLUMNS, up to the open sockets, and begin a new second."""
        now = time.monotonic_ns()
        run_ns, wait_ns = read_schedstat()
        row = (worker, now, wall_offset_ns, run_ns, wait_ns, self.late_ns, self.longest_ns, in_flight, open_sockets)
        self.longest_ns = 0
        self.next_sample_ns = now + SAMPLE_NS
        return row
