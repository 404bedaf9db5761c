"""Questions that somebody watches: one measuring process, and what it sees told event by event while it goes on.

The exchange is the same as in a benchmark, by the same worker with the same stamps; a tap passes each stamped piece on.
Everything else, decoding included, happens in the process of whoever watches and cannot reach back: the worker never
waits for its reader. What is told at the end of an exchange is read from the same pieces by the same code as a record.
"""

import asyncio
import contextlib
import itertools
import os
import pickle
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

from inference_bench.api.clock import kernel_stamps_work
from inference_bench.api.exchange import Job, RawExchange, Timeouts
from inference_bench.api.protocols import (
    ChatRequest,
    ErrorClass,
)
from inference_bench.errors import WorkerDiedError
from inference_bench.live.events import Chunk, Finished
from inference_bench.testing.frames import FrameReader, Stage, unpack_exchange
from inference_bench.testing.processes import Process, Processes, dismiss, started, tell
from inference_bench.testing.rendering import ServiceUnderTest
from inference_bench.testing.watched import Asked, Exchanged

LEAD_NS = 300_000_000  # from the decision to the common start: time to open every connection
END_SECONDS = 10.0
SILENCE_SECONDS = 30.0  # beyond the exchange's own bounds
READ_BYTES = 1 << 18
_LATE_LONGEST = 6  # in a worker's sample: its longest stop of that second, ns
_INTERRUPTED = "interrupted"
Listener = Callable[[Chunk | Finished], None]


@dataclass(slots=True)
class _Heat:
    """What is under way: who was asked, who listens, what came back."""

    number: int
    asked: dict[int, Asked]
    listener: Listener
    exchanged: dict[int, Exchanged]
    over: asyncio.Event
    late_ns: int = 0
    told_at: float = 0.0  # when a part of an answer was last heard of, s


@dataclass(frozen=True, slots=True)
class Heard:
    """The answers of one heat by service, in the services' order. `late_ms`: the worker's longest stop meanwhile."""

    exchanged: Mapping[int, Exchanged]
    start_ns: int
    late_ms: float


class LiveSession:
    """Asks services together, again and again, over connections that are kept. An asynchronous context manager.

    `secrets` are, for each service, what must not be seen where it repeats it: chunks and outcomes are told without.
    """

    def __init__(
        self,
        services: Sequence[ServiceUnderTest],
        timeouts: Timeouts,
        *,
        secrets: Sequence[Sequence[str]] | None = None,
    ) -> None:
        self._services = list(services)
        self._secrets = list(secrets) if secrets is not None else [()] * len(self._services)
        self._timeouts = timeouts
        self.kernel_stamps = kernel_stamps_work()
        self._family = Processes()
        self._worker: Process | None = None
        self._listeners: list[asyncio.Task[None]] = []
        self._heat: _Heat | None = None
        self._died: BaseException | None = None
        self._ending = False
        self._seq = itertools.count()
        self._stages = itertools.count(1)

    async def __aenter__(self) -> Self:
        try:
            await started(self._start())
        except BaseException:
            await self._kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending = True
        if self._worker is not None:
            dismiss(self._worker)
            with contextlib.suppress(TimeoutError):  # what does not end is killed below
                await asyncio.wait_for(self._worker.wait(), END_SECONDS)
        await self._kill()

    @property
    def services(self) -> Sequence[ServiceUnderTest]:
        """The services, in the order that numbers them."""
        return self._services

    async def ask(
        self,
        requests: Mapping[int, ChatRequest],
        listener: Listener,
        *,
        stop: asyncio.Event,
        order: Sequence[int] | None = None,
        on_start: Callable[[int], None] = lambda _: None,
    ) -> Heard:
        """Ask these services, each its request, all at the same instant, and wait until every one is over.

        They are sent right behind one another, in `order`. `on_start(start_ns)` is told the common instant before
        anything is sent. Once `stop` is set, what is in flight is given up as interrupted. Raises WorkerDiedError.
        """
        self._check()
        assert self._heat is None, "one heat at a time"
        assert self._worker is not None
        asked = {next(self._seq): self._render(service, requests[service]) for service in order or sorted(requests)}
        start = time.monotonic_ns() + LEAD_NS
        heat = self._heat = _Heat(next(self._stages), asked, listener, {}, asyncio.Event())
        try:
            on_start(start)
            stage = Stage(heat.number, (), 0, 0, tuple((one.service, 1) for one in asked.values()))
            jobs = [(seq, one.service, start, self._bytes(one), pickle.dumps(())) for seq, one in asked.items()]
            for message in (("stage", stage), ("jobs", heat.number, jobs), ("last", heat.number)):
                await self._send(message)
            await self._until_over(heat, stop)
        finally:
            self._heat = None
        return Heard(dict(sorted(heat.exchanged.items())), start, heat.late_ns / 1e6)

    def _render(self, service: int, request: ChatRequest) -> Asked:
        return Asked.of(service, self._services[service], request, self._secrets[service])

    def _bytes(self, one: Asked) -> bytes:
        return self._services[one.service].target.wire_bytes(one.wire)

    async def _until_over(self, heat: _Heat, stop: asyncio.Event) -> None:
        over = asyncio.ensure_future(heat.over.wait())
        stopped = asyncio.ensure_future(stop.wait())
        bound = self._timeouts.connect_seconds + self._timeouts.total_seconds + SILENCE_SECONDS
        try:
            await self._wait({over, stopped}, heat, bound)
            if not over.done():
                await self._send(("abort", _INTERRUPTED))
                await self._send(("mark", heat.number))  # comes back behind all that was given up
                await self._wait({over}, heat, END_SECONDS)
            self._check()
            if not over.done():
                raise WorkerDiedError("the measuring process does not answer", hint="it may be stopped")
        finally:
            over.cancel()
            stopped.cancel()

    async def _wait(self, ends: set["asyncio.Task[Literal[True]]"], heat: _Heat, seconds: float) -> None:
        """Wait for one of these, so long, and on while answers are still told: a flood is decoded after it came."""
        until = time.monotonic() + seconds
        while not any(end.done() for end in ends):
            left = max(until, heat.told_at + END_SECONDS) - time.monotonic()
            if left <= 0:
                return
            await asyncio.wait(ends, timeout=left, return_when=asyncio.FIRST_COMPLETED)

    # -- the process ---------------------------------------------------------------------------------------------

    async def _start(self) -> None:
        read_end, write_end = os.pipe()
        try:
            self._worker = await self._family.spawn("inference_bench.testing.worker", [str(write_end)], [write_end])
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=READ_BYTES)
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb"))
        targets = [service.target for service in self._services]
        tell(self._worker, ("setup", 0, targets, self._timeouts, self.kernel_stamps, True))
        await self._family.expect_ready(self._worker, "the measuring process")
        assert self._worker.stdout is not None
        self._listeners = [
            asyncio.create_task(self._listen(self._worker.stdout)),
            asyncio.create_task(self._listen(reader)),
        ]
        for listening in self._listeners:
            listening.add_done_callback(self._heard_out)

    async def _send(self, message: tuple[Any, ...]) -> None:
        assert self._worker is not None
        assert self._worker.stdin is not None
        try:
            tell(self._worker, message)
            await self._worker.stdin.drain()
        except (BrokenPipeError, ConnectionResetError) as error:
            raise self._death() from error

    async def _listen(self, pipe: asyncio.StreamReader) -> None:
        reader = FrameReader()
        while data := await pipe.read(READ_BYTES):
            for message in reader.feed(data):
                self._hear(message)
        if not self._ending:
            self._fail(self._death())

    def _heard_out(self, listening: "asyncio.Task[None]") -> None:
        """Let whoever asks have what a listener or a dialect's decoder raised, instead of waiting for the time-out."""
        failure = None if listening.cancelled() else listening.exception()
        if failure is not None:
            self._fail(failure)

    def _fail(self, failure: BaseException) -> None:
        self._died = self._died or failure
        if self._heat is not None:
            self._heat.over.set()

    def _death(self) -> WorkerDiedError:
        return WorkerDiedError(f"the measuring process ended out of turn{self._family.last_words()}")

    def _check(self) -> None:
        if self._died is not None:
            raise self._died

    async def _kill(self) -> None:
        self._ending = True
        await self._family.kill()
        for listener in self._listeners:
            listener.cancel()
        await asyncio.gather(*self._listeners, return_exceptions=True)

    # -- what it says --------------------------------------------------------------------------------------------

    def _hear(self, message: tuple[Any, ...]) -> None:
        heat = self._heat
        if heat is None:
            return
        kind = message[0]
        if kind == "mark" and message[2] == heat.number:
            self._never_sent(heat)
        elif kind == "piece":
            _, seq, sent_ns, piece, arrival_ns = message
            heat.told_at = time.monotonic()
            self._piece(heat, seq, sent_ns, piece, arrival_ns)
        elif kind == "exchange":
            self._exchange(heat, unpack_exchange(message[2]))
            heat.told_at = time.monotonic()
        elif kind == "sample":
            heat.late_ns = max(heat.late_ns, message[1][_LATE_LONGEST])
            # The worker takes a last sample of itself behind the last exchange of a stage.
            if len(heat.exchanged) == len(heat.asked):
                heat.over.set()

    def _never_sent(self, heat: _Heat) -> None:
        """Give an end to the requests that were given up before their time to be sent came."""
        for seq, one in heat.asked.items():
            if one.service not in heat.exchanged:
                raw = RawExchange(Job(seq, one.service, b""))
                raw.failure, raw.message, raw.end_ns = ErrorClass.INTERRUPTED, _INTERRUPTED, time.monotonic_ns()
                self._exchange(heat, raw)
        heat.over.set()

    def _piece(self, heat: _Heat, seq: int, sent_ns: int, piece: bytes, arrival_ns: int) -> None:
        one = heat.asked.get(seq)
        if one is None:
            return
        for chunk in one.read(piece, arrival_ns, sent_ns):
            heat.listener(chunk)

    def _exchange(self, heat: _Heat, raw: RawExchange) -> None:
        one = heat.asked.get(raw.job.seq)
        if one is None:
            return
        for chunk in one.rest(raw):
            heat.listener(chunk)
        exchanged = heat.exchanged[one.service] = one.ended(raw)
        heat.listener(Finished(one.service, raw.end_ns, exchanged.outcome))
