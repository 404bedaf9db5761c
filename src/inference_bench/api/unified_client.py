"""One face over many services: the same request to all of them at once, measured as in a benchmark.

It drives the measured transport in the calling thread (run it in a thread of its own from asynchronous code) and needs
no process of its own: for a few quick requests. Load is for the workers, and answers watched as they come in for
`testing.live_session`.
"""

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inference_bench.api.clients import get_client
from inference_bench.api.clock import kernel_stamps_work
from inference_bench.api.exchange import Job, RawExchange, Timeouts
from inference_bench.api.protocols import (
    ChatRequest,
    Endpoint,
    EngineClient,
    ErrorClass,
    StreamError,
    Usage,
)
from inference_bench.api.reading import Reading, read_exchange
from inference_bench.api.targets import Target, TargetError, resolve
from inference_bench.api.transport import Transport

_MS = 1e6


@dataclass(frozen=True, slots=True)
class Answer:
    """One service's answer to one request. Times in ms by metrics.md, None when missing; stamps in ns."""

    service: str
    ok: bool
    text: str
    reasoning: str
    error: StreamError | None
    http_status: int | None
    finish_reason: str | None
    usage: Usage
    simulated: bool
    sent_ns: int | None = None
    connect_ms: float | None = None
    ttft_ms: float | None = None
    e2e_ms: float | None = None
    tpot_ms: float | None = None
    text_chunks: int = 0
    notes: tuple[str, ...] = field(default=())

    @property
    def token_source(self) -> str | None:
        """Where the output token count comes from; None when the server told none."""
        return None if self.usage.output_tokens is None else "usage"


class UnifiedClient:
    """Asks many services the same thing. Addresses are resolved once, at construction; one that cannot be resolved
    answers every request with its error.
    """

    def __init__(self, endpoints: Sequence[Endpoint], *, timeouts: Timeouts | None = None) -> None:
        self._endpoints = tuple(endpoints)
        self._clients: list[EngineClient] = [get_client(endpoint.dialect) for endpoint in endpoints]
        self._timeouts = timeouts or Timeouts()
        self._targets: list[Target] = []
        self._index: dict[int, int] = {}
        self._unreachable: dict[int, StreamError] = {}
        for number, endpoint in enumerate(self._endpoints):
            try:
                target = resolve(endpoint, timeout_seconds=self._timeouts.connect_seconds)
                target.tls_context()
            except TargetError as error:
                self._unreachable[number] = error.failure
            else:
                self._index[number] = len(self._targets)
                self._targets.append(target)
        self.kernel_stamps = kernel_stamps_work()

    def ask_all(
        self,
        request: ChatRequest,
        *,
        stop: Callable[[], bool] | None = None,
    ) -> dict[str, Answer]:
        """Send the request to every service at the same moment and wait for all answers.

        `stop` is asked about twenty times a second; once it says so, what is in flight is given up as interrupted.
        One service failing ends no other's.
        """
        return self.ask_each({endpoint.name: request for endpoint in self._endpoints}, stop=stop)

    def ask_each(
        self,
        requests: Mapping[str, ChatRequest],
        *,
        stop: Callable[[], bool] | None = None,
    ) -> dict[str, Answer]:
        """As `ask_all`, with a request of its own for each named service (conversations differ by their history)."""
        answers: dict[str, Answer] = {}
        jobs: list[Job] = []
        wired: dict[int, tuple[EngineClient, bool]] = {}
        for number, endpoint in enumerate(self._endpoints):
            request = requests.get(endpoint.name)
            if request is None:
                continue
            if number in self._unreachable:
                answers[endpoint.name] = _failed(endpoint.name, self._unreachable[number])
                continue
            if request.request_id is None:
                request = replace(request, request_id=uuid.uuid4().hex)
            wire = self._clients[number].render(request, endpoint.model)
            target = self._index[number]
            wired[number] = (get_client(wire.dialect), request.stream)
            jobs.append(Job(number, target, self._targets[target].wire_bytes(wire)))
        for raw in self._exchange(jobs, stop):
            client, stream = wired[raw.job.seq]
            name = self._endpoints[raw.job.seq].name
            reading = read_exchange(raw, client, stream=stream, keep_text=True)
            answers[name] = _answer(name, raw, reading)
        return {endpoint.name: answers[endpoint.name] for endpoint in self._endpoints if endpoint.name in answers}

    def _exchange(self, jobs: Sequence[Job], stop: Callable[[], bool] | None) -> Sequence[RawExchange]:
        transport = Transport(self._targets, self._timeouts, stamps=self.kernel_stamps)
        try:
            for job in jobs:
                transport.prepare(job.target, 1)
            # All start together: connections first, then every request in one go.
            deadline = time.monotonic_ns() + int(self._timeouts.connect_seconds * 1e9)
            while transport.opening and time.monotonic_ns() < deadline and not (stop is not None and stop()):
                transport.poll(time.monotonic_ns() + 50_000_000)
            for job in jobs:
                transport.submit(job)
            while transport.in_flight:
                if stop is not None and stop():
                    transport.abandon("interrupted")
                    break
                transport.poll(time.monotonic_ns() + 50_000_000)
            return transport.finished
        finally:
            transport.close()


def _failed(name: str, error: StreamError) -> Answer:
    return Answer(
        service=name,
        ok=False,
        text="",
        reasoning="",
        error=error,
        http_status=None,
        finish_reason=None,
        usage=Usage(),
        simulated=False,
    )


def _answer(name: str, raw: RawExchange, reading: Reading) -> Answer:
    usage = reading.usage
    ttft = e2e = tpot = None
    if reading.first_token_ns is not None and reading.last_token_ns is not None:
        ttft = (reading.first_token_ns - raw.sent_ns) / _MS
        if reading.ok:
            e2e = (reading.last_token_ns - raw.sent_ns) / _MS
            later = (usage.output_tokens or 0) - (reading.first_chunk_tokens or 1)
            if later > 0:
                tpot = (reading.last_token_ns - reading.first_token_ns) / _MS / later
    connected = raw.connected_ns and raw.connect_start_ns
    return Answer(
        service=name,
        ok=reading.ok,
        text=reading.text,
        reasoning="".join(reading.reasoning),
        error=reading.error,
        http_status=raw.status or None,
        finish_reason=reading.finish_reason,
        usage=usage,
        simulated=reading.simulated,
        sent_ns=raw.sent_ns or None,
        connect_ms=(raw.connected_ns - raw.connect_start_ns) / _MS if connected else None,
        ttft_ms=ttft,
        e2e_ms=e2e,
        tpot_ms=tpot,
        text_chunks=len(reading.chunks.arrivals),
    )


__all__ = ["Answer", "ErrorClass", "UnifiedClient"]
