"""The words the simulator's two ways of timing share: a job, an emission, a scheduler.

A scheduler knows no socket and no clock: it is told the time and says which tokens are due, so that it can be stepped
on a virtual clock. All times are integer nanoseconds of one monotonic clock.
"""

from dataclasses import dataclass
from typing import NamedTuple, Protocol


class Sink(Protocol):
    """Takes the tokens of one job, in order, each with the time it was due."""

    def token(self, due_ns: int) -> None:
        """Take the next token."""


@dataclass(slots=True, eq=False)
class Job:
    """One sequence to be generated.

    `output_tokens` is how many tokens it will produce, `reserve_tokens` the most it might (what a reserving engine
    sets aside). The rest is filled in by the scheduler: when it arrived, first left the queue, produced its first
    and its latest token.
    """

    prompt_tokens: int
    output_tokens: int
    reserve_tokens: int
    sink: Sink | None = None
    arrival_ns: int = 0
    ready_ns: int = 0
    scheduled_ns: int | None = None
    first_ns: int | None = None
    last_ns: int | None = None
    emitted: int = 0
    prefill_left: int = 0
    cancelled: bool = False

    @property
    def finished(self) -> bool:
        """Whether all its tokens are out."""
        return self.emitted >= self.output_tokens

    def emit(self, due_ns: int) -> None:
        """Note one more token, due at that time."""
        self.emitted += 1
        if self.first_ns is None:
            self.first_ns = due_ns
        self.last_ns = due_ns


class Emission(NamedTuple):
    """One token of one job, and when it is due."""

    due_ns: int
    job: Job


class Load(NamedTuple):
    """What a scheduler holds now: sequences running and waiting, KV tokens used, preemptions so far."""

    running: int
    waiting: int
    kv_used: int
    preemptions: int


class Scheduler(Protocol):
    """Decides when the tokens of many jobs are due."""

    def submit(self, job: Job, now_ns: int, *, delay_ns: int = 0) -> None:
        """Take a job that arrived now and may start `delay_ns` later at the earliest."""

    def cancel(self, job: Job) -> None:
        """Forget a job; it produces no further token."""

    def next_due_ns(self) -> int | None:
        """Return when `advance` next has something to do, or None while idle."""

    def advance(self, now_ns: int) -> list[Emission]:
        """Return all tokens due up to now, in the order of their times."""

    def load(self) -> Load:
        """Return what is running and waiting."""
