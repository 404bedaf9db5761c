"""What a runner works with, and what it gives back."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from inference_bench.testing.pool import WorkerPool
from inference_bench.testing.rendering import Renderer, ServiceUnderTest


class Watcher(Protocol):
    """Who wants to know how the run goes: a progress display, or nobody.

    A test that goes on until it is decided begins again for each stretch of further blocks or rounds.
    """

    def test_began(self, test: str, kind: str, turns: int) -> None:
        """A test begins; it will have so many turns (ttft: one)."""

    def turn_began(self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int) -> None:
        """A turn begins: one service in one round (None: all, interleaved), for so long or so many requests."""

    def turn_ended(self, test: str) -> None:
        """A turn is over, drained."""


@dataclass(frozen=True, slots=True)
class Window:
    """The steady part of one service's turn, in ns of the monotonic clock, [start, end).

    `cut` says that the turn was cut short; `requests` how many its workers took up, ramp included.
    """

    round_no: int
    start_ns: int
    end_ns: int
    cut: bool = False
    requests: int | None = None


class Ran(NamedTuple):
    """What became of a test: how many blocks or rounds were completed, and whether it was interrupted."""

    completed: int
    interrupted: bool


@dataclass(frozen=True, slots=True)
class RunContext:
    """The run's processes and inputs. `stop` is set by Ctrl-C: runners end as soon as what is in flight is saved.

    `record_window(test, service, window)` keeps the window of a turn that is over, so that nothing measured depends
    on the run coming to its end.
    """

    pool: WorkerPool
    services: Sequence[ServiceUnderTest]
    renderer: Renderer
    watcher: Watcher
    record_window: Callable[[str, str, Window], None]
    stop: asyncio.Event
