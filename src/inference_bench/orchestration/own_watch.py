"""Watches our own processes while tests run: memory, open files, connections, beside what the machine allows.

Once a second, from outside: nothing in the measured path looks at itself for this. What was the most is kept in the
manifest by test, where the validity of a run finds it.
"""

import asyncio
import os
import resource
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import Manifest
from inference_bench.results.trust import WatchFacts
from inference_bench.testing.context import Watcher
from inference_bench.testing.machine import (
    local_ports,
    memory_available,
    open_files,
    ports_in_time_wait,
    process_memory,
)
from inference_bench.testing.pool import WorkerPool

LOOK_SECONDS = 1.0


class OwnWatch:
    """Looks at the processes of one pool; `facts` are the peaks so far, by test."""

    def __init__(self, pool: WorkerPool, folder: RunFolder) -> None:
        self._pool = pool
        self._folder = folder
        self._test: str | None = None
        self._resting = {state.pid: open_files(state.pid) or 0 for state in pool.workers}
        self._ports = local_ports()
        self.facts: dict[str, WatchFacts] = {}

    def watching(self, watcher: Watcher) -> Watcher:
        """Return a watcher that passes everything on, and tells this watch which test runs."""
        return _Listening(self, watcher)

    def began(self, test: str) -> None:
        """From now on this test runs; what was seen of the one before is written down."""
        if self._test is not None and test != self._test:
            self.keep()
        self._test = test
        self.look()

    def look(self) -> None:
        """Look once, and keep what is more than before."""
        if self._test is None:
            return
        now = look_at([state.pid for state in self._pool.workers], self._pool.decoder_pid, self._resting)
        now = now.model_copy(update={"ports": self._ports})
        before = self.facts.get(self._test)
        self.facts[self._test] = now if before is None else most_of(before, now)

    def keep(self) -> None:
        """Write what was seen so far into the manifest."""

        def add(manifest: Manifest) -> Manifest:
            watch = dict(manifest.trust.watch)  # of an interrupted run that goes on, it has peaks already
            watch |= {test: most_of(watch[test], now) if test in watch else now for test, now in self.facts.items()}
            return manifest.model_copy(update={"trust": manifest.trust.model_copy(update={"watch": watch})})

        if self.facts:
            self._folder.update(add)


class _Listening:
    def __init__(self, watch: OwnWatch, watcher: Watcher) -> None:
        self._watch = watch
        self._watcher = watcher

    def test_began(self, test: str, kind: str, turns: int) -> None:
        self._watch.began(test)
        self._watcher.test_began(test, kind, turns)

    def turn_began(self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int) -> None:
        self._watcher.turn_began(test, service, round_no, seconds, requests)

    def turn_ended(self, test: str) -> None:
        self._watch.look()
        self._watcher.turn_ended(test)


@asynccontextmanager
async def own_processes_watched(pool: WorkerPool, folder: RunFolder) -> AsyncIterator[OwnWatch]:
    """Watch a running pool until the block is left, and write down what was seen."""
    watch = OwnWatch(pool, folder)

    async def go_on() -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            watch.look()

    looking = asyncio.create_task(go_on())
    try:
        yield watch
    finally:
        looking.cancel()
        watch.keep()


def look_at(workers: Sequence[int], decoder: int, resting: dict[int, int]) -> WatchFacts:
    """Return what these processes and this one hold now. `resting` is how many files each worker had open without a
    connection.
    """
    pids = (os.getpid(), decoder, *workers)
    memory = [held for pid in pids if (held := process_memory(pid)) is not None]
    files = {pid: count for pid in pids if (count := open_files(pid)) is not None}
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return WatchFacts(
        memory=sum(own for own, _ in memory) + max(shared for _, shared in memory) if memory else None,
        memory_left=memory_available(),
        files=max(files.values(), default=None),
        files_limit=None if soft == resource.RLIM_INFINITY else soft,
        sockets=sum(max(0, files[pid] - resting.get(pid, 0)) for pid in workers if pid in files) if files else None,
        time_wait=ports_in_time_wait(),
    )


def most_of(before: WatchFacts, now: WatchFacts) -> WatchFacts:
    """Return the peaks of both; of what was left, the least."""
    found: dict[str, int | None] = {}
    for name in WatchFacts.model_fields:
        values = [value for value in (getattr(before, name), getattr(now, name)) if value is not None]
        choose = min if name == "memory_left" else max
        found[name] = choose(values) if values else None
    return WatchFacts(**found)
