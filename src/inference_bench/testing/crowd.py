"""Background users: a closed loop on every service at once, equally many on each, while something else is watched.

They are real requests by measuring workers of their own, one worker for each service, so that a slow service cannot
take users from a quick one. What they measure is counted and thrown away: they are there to be in the way.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from inference_bench.api.exchange import Timeouts
from inference_bench.errors import ResourceLimitError
from inference_bench.testing.frames import Stage, Tally
from inference_bench.testing.limits import Need, check_limits
from inference_bench.testing.pool import JobTuple, WorkerPool
from inference_bench.testing.rendering import Renderer, ServiceUnderTest, TestShape
from inference_bench.testing.stages import LEAD_NS, run_stage

CROWD: Final = "crowd"
RAMP_NS: Final = 1_000_000_000
SETTLE_SECONDS: Final = 8.0  # a crowd that has not had its answers by then is as settled as it gets
_LOOK_SECONDS: Final = 0.05


@dataclass(frozen=True, slots=True)
class CrowdCount:
    """How many of a service's background requests were answered, and how many failed."""

    ok: int = 0
    failed: int = 0


def check_crowd(users: int, services: int) -> None:
    """Raise ResourceLimitError when this machine cannot carry so many users on each of so many services."""
    try:
        check_limits([Need(CROWD, users * services, users)])
    except ResourceLimitError as error:
        raise ResourceLimitError(error.message, hint="raise the limit, or bring a smaller crowd") from None


class Crowd:
    """`users` background users on each service, from entering to leaving the block. `counts` grows meanwhile.

    `number` keeps the prompts of several crowds apart; `journal` is a folder for what nobody reads. Raises
    ResourceLimitError when this machine cannot carry them, WorkerDiedError.
    """

    def __init__(
        self,
        services: Sequence[ServiceUnderTest],
        timeouts: Timeouts,
        shape: TestShape,
        renderer: Renderer,
        *,
        users: int,
        number: int,
        journal: Path,
    ) -> None:
        check_crowd(users, len(services))
        self.users = users
        self.counts: dict[str, CrowdCount] = {service.name: CrowdCount() for service in services}
        self._services = services
        self._shape = shape
        self._renderer = renderer
        self._number = number
        self._leave = asyncio.Event()
        self._loop: asyncio.Task[object] | None = None
        self._pool = WorkerPool(
            [service.target for service in services],
            timeouts,
            count=len(services),
            journal=journal,
            stamps=False,  # nothing of it is read
            keep_text=False,
            on_counts=self._count,
        )

    async def __aenter__(self) -> Self:
        await self._pool.__aenter__()
        start = time.monotonic_ns() + LEAD_NS
        running = run_stage(self._pool, self._stage, self._jobs, start_ns=start, stop=self._leave)
        self._loop = asyncio.create_task(running)
        self._start = start
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave.set()
        try:
            if self._loop is not None:
                await self._loop
        finally:
            await self._pool.end()

    async def settled(self, stop: asyncio.Event, tell: Callable[[], None] = lambda: None) -> bool:
        """Wait until all users have come and every service has ended as many requests as it has users.

        At most `SETTLE_SECONDS`; False when it did not come to that. Ends early when `stop` is set.
        """
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and not stop.is_set():
            come = time.monotonic_ns() > self._start + RAMP_NS
            if come and all(count.ok + count.failed >= self.users for count in self.counts.values()):
                return True
            self._pool.check()
            tell()
            await asyncio.sleep(_LOOK_SECONDS)
        return False

    def _stage(self, worker: int, number: int) -> Stage:
        start = time.monotonic_ns() + LEAD_NS
        starts = tuple((user, start + RAMP_NS * user // self.users) for user in range(self.users))
        return Stage(number, starts, 0, 0, ((worker, self.users),))

    def _jobs(self, worker: int, _start: int) -> Iterator[JobTuple]:
        index = 0
        while True:
            yield self._renderer.job(self._shape, worker, index, round_no=self._number)
            index += 1

    def _count(self, tallies: Mapping[tuple[str, str], Tally]) -> None:
        for (_, service), tally in tallies.items():
            self.counts[service] = CrowdCount(tally.ok, tally.failed)
