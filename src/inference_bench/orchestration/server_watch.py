"""Watching the servers while they are measured: what each engine's metrics page says, once a second, into the journal.

The pages are asked for by the coordinator, never by a worker, and bounded in time and size. The watch gives way first:
it skips its turn when the coordinator lags, asks a slow service less, and one without a page never again.
The samples that open and close a turn of a service make what the server counted meanwhile exact: they are taken at
once, whatever the cadence.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple, Self

from inference_bench.api.engine_metrics import LARGEST_PAGE, PAGE, read_engine_metrics
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget, Reply
from inference_bench.api.protocols import Endpoint
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import ServerJournal
from inference_bench.testing.context import Watcher

EVERY_SECONDS: Final = 1.0
_SELDOM_SECONDS: Final = 16.0
_SHARE: Final = 5  # a page that takes a second is asked for every five
_LAG_SECONDS: Final = 0.05
_KEPT_SECONDS: Final = 2.0  # how long samples wait in memory
_PATIENCE: Final = 3  # answers without a known name, or time-outs, before a service that never told is left alone
_LIMITS: Final = ProbeLimits(connect_seconds=1.0, total_seconds=2.0, body_bytes=LARGEST_PAGE)


@contextlib.asynccontextmanager
async def servers_watched(endpoints: Sequence[Endpoint], folder: RunFolder) -> AsyncIterator["ServerWatch"]:
    """Watch the servers of a run into its journal while the block runs; pages that could not be read go into its notes.

    Raises RunFolderError when the journal has such a part already.
    """
    watch = ServerWatch(endpoints, folder.journal)
    try:
        async with watch:
            yield watch
    finally:
        if watch.notes:
            folder.update(lambda so_far: so_far.model_copy(update={"notes": (*so_far.notes, *watch.notes)}))


class _Edge(NamedTuple):
    """A sample that opens ("start") or closes ("end") a turn of a test."""

    test: str
    side: str


class ServerWatch:
    """Asks every service's metrics page while the block runs; the samples go to `journal` as they come."""

    def __init__(self, endpoints: Sequence[Endpoint], journal: Path, *, every_seconds: float = EVERY_SECONDS) -> None:
        self._journal = ServerJournal(journal)
        self._lookers = {endpoint.name: _Looker(endpoint, self._journal, every_seconds) for endpoint in endpoints}
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        # Who has a page is known before the first turn; all are asked at once, so this is bounded by one time-out.
        await asyncio.gather(*(looker.look(None) for looker in self._lookers.values()))
        self._tasks = [asyncio.create_task(looker.run()) for looker in self._lookers.values()]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None or not issubclass(kind, asyncio.CancelledError):
                await asyncio.gather(*(looker.settle() for looker in self._lookers.values()))
        except TimeoutError:
            pass  # a turn without its last sample is told by the samples themselves
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for looker in self._lookers.values():
                await looker.close()
            self._journal.close()

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be said of pages that could not be read, each with the name of the service."""
        return tuple(f"{name}: {looker.note}" for name, looker in self._lookers.items() if looker.note is not None)

    def watching(self, watcher: Watcher) -> Watcher:
        """Return a watcher that passes everything on, and takes a sample at both ends of every turn."""
        return _Turns(watcher, self)

    def mark(self, test: str, service: str | None, side: str) -> None:
        """Ask one service (None: all) at once, for the sample that opens or closes a turn."""
        for name, looker in self._lookers.items():
            if service is None or name == service:
                looker.hurry(_Edge(test, side))


class _Turns:
    """A watcher that marks the ends of turns."""

    def __init__(self, inner: Watcher, watch: ServerWatch) -> None:
        self._inner = inner
        self._watch = watch
        self._service: str | None = None

    def test_began(self, test: str, kind: str, turns: int) -> None:
        self._inner.test_began(test, kind, turns)

    def turn_began(self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int) -> None:
        self._service = service
        self._watch.mark(test, service, "start")
        self._inner.turn_began(test, service, round_no, seconds, requests)

    def turn_ended(self, test: str) -> None:
        self._watch.mark(test, self._service, "end")
        self._inner.turn_ended(test)


class _Looker:
    """Looks at one service's page."""

    def __init__(self, endpoint: Endpoint, journal: ServerJournal, every_seconds: float) -> None:
        self._name = endpoint.name
        self._journal = journal
        self._every = every_seconds
        self._pause = every_seconds
        self._edges: asyncio.Queue[_Edge] = asyncio.Queue()
        self._told = False
        self._misses = 0
        self._flushed = time.monotonic()
        self.silent = False
        self.note: str | None = None
        target = ProbeTarget(
            url=endpoint.url,
            api_key=endpoint.api_key,
            headers=endpoint.headers,
            ca_file=endpoint.ca_file,
            insecure_skip_verify=endpoint.insecure_skip_verify,
        )
        self._prober = Prober(target, _LIMITS)

    def hurry(self, edge: _Edge) -> None:
        """Ask for a sample at once."""
        if not self.silent:
            self._edges.put_nowait(edge)

    async def run(self) -> None:
        """Look again and again, at edges at once; ends when there is nothing to be seen."""
        due = time.monotonic() + self._pause
        while not self.silent:
            edge = await self._edge_until(due)
            if edge is not None:
                await self.look(edge)
                self._edges.task_done()
                continue
            # Where the loop that feeds the workers could not keep up, this is the first work to be left out.
            if time.monotonic() - due <= _LAG_SECONDS:
                await self.look(None)
            due = max(due, time.monotonic() - self._pause) + self._pause

    async def _edge_until(self, due: float) -> _Edge | None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, due - time.monotonic())):
                return await self._edges.get()
        return None

    async def settle(self) -> None:
        """Wait until the samples that were asked for are there."""
        if not self.silent:
            async with asyncio.timeout(2 * _LIMITS.total_seconds):
                await self._edges.join()

    async def close(self) -> None:
        """Close the connection."""
        await self._prober.__aexit__(None, None, None)

    async def look(self, edge: _Edge | None) -> None:
        """Ask once, and keep what is told."""
        began = time.monotonic()
        reply = await self._prober.get(PAGE)
        now = time.monotonic_ns()
        told = read_engine_metrics(reply.body) if reply.outcome is ProbeOutcome.OK else {}
        if not told:
            self._missed(reply)
            return
        self._told, self._misses = True, 0
        self._pause = min(_SELDOM_SECONDS, max(self._every, _SHARE * (time.monotonic() - began)))
        test, side = edge or (None, None)
        try:
            for name, value in told.items():
                self._journal.add((self._name, now, name, value, test, side))
            if edge is not None or time.monotonic() - self._flushed > _KEPT_SECONDS:
                self._journal.flush()
                self._flushed = time.monotonic()
        except OSError as error:
            self._end(f"what its metrics page told could not be kept: {error.strerror or error}")

    def _missed(self, reply: Reply) -> None:
        """Ask less, or never again, after an answer that told nothing."""
        self._misses += 1
        self._pause = min(_SELDOM_SECONDS, 2 * self._pause)
        passing = reply.outcome in (ProbeOutcome.OK, ProbeOutcome.TIMEOUT)
        if self._told or (passing and self._misses < _PATIENCE):
            return
        worth_saying = reply.outcome in (ProbeOutcome.UNAUTHORISED, ProbeOutcome.TOO_LARGE, ProbeOutcome.TIMEOUT)
        self._end(f"its metrics page could not be read: {PAGE}: {reply.detail}" if worth_saying else None)

    def _end(self, note: str | None) -> None:
        """Look no more; nobody waits for what is not going to come."""
        self.silent, self.note = True, note
        while not self._edges.empty():
            self._edges.get_nowait()
            self._edges.task_done()
