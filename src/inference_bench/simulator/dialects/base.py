"""What the simulated engines share: routing, faults before an answer, starting and ending generations.

An engine is one server on one port. What it says is in the dialects' own modules.
"""

import asyncio
import hmac
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic_ns
from typing import ClassVar

from inference_bench.errors import UsageError
from inference_bench.simulator.answers import Answer, AnswerPool, Sampling
from inference_bench.simulator.connection import Exchange
from inference_bench.simulator.dialects.reading import BadFieldError
from inference_bench.simulator.driver import Driver
from inference_bench.simulator.faults import BEFORE_ANSWER, FAULT_HEADER, Fault, FaultPlan
from inference_bench.simulator.faulty import FaultyAnswer, FaultyStream, spoiled
from inference_bench.simulator.fixed import FixedTiming
from inference_bench.simulator.generation import Generation, KeepAlive, StreamFormat, TokenStream, WholeAnswer, Work
from inference_bench.simulator.messages import RefusedRequest, Reply, Request, text_reply
from inference_bench.simulator.options import EngineOptions
from inference_bench.simulator.scheduling import Job, Load
from inference_bench.simulator.serving import BatchModel
from inference_bench.simulator.stats import ServingStats
from inference_bench.simulator.truth import TruthRecord, TruthWriter

VERSION_MARK = "+simulator"
MAX_REQUEST_ID = 200
HTML_REPLY = Reply(
    200, b"<!DOCTYPE html><html><body><h1>Not an inference engine</h1></body></html>", (("content-type", "text/html"),)
)


@dataclass(frozen=True, slots=True)
class Call:
    """One request on its way through an engine, with the fault that will strike its answer."""

    request: Request
    exchange: Exchange
    request_id: str
    fault: Fault | None = None


RouteHandler = Callable[[Call], None]
Routes = Mapping[str, Mapping[str, RouteHandler]]


class Engine(ABC):
    """One simulated engine: give it requests, it answers them on its scheduler's time."""

    kind: ClassVar[str]
    max_body: ClassVar[int] = 32 * 1024 * 1024
    generation_paths: ClassVar[frozenset[str]]

    def __init__(self, options: EngineOptions, truth: TruthWriter) -> None:
        """Build it; must run inside the event loop that will serve it."""
        profile = options.profile
        self.options = options
        self.profile = profile
        self.pool = AnswerPool(options.seed, profile.answer_tokens)
        self.stats = ServingStats(self.histogram_bounds())
        self.active: set[Generation] = set()
        self._truth = truth
        self._faults = FaultPlan(options.faults, seed=options.seed, everywhere=options.faults_everywhere)
        self._driver = Driver(
            FixedTiming(*options.exact_ms, jitter=profile.jitter, seed=options.seed, drift=options.drift)
            if options.exact_ms is not None
            else BatchModel(profile, options.seed, drift=options.drift)
        )
        self._routes = self.routes()

    # -- what a dialect gives -----------------------------------------------------------------------------------

    @abstractmethod
    def routes(self) -> Routes:
        """Return the handlers by path and method."""

    @abstractmethod
    def error_reply(self, status: int, message: str) -> Reply:
        """Return an error in the engine's own shape."""

    @abstractmethod
    def bad_field(self, path: str, error: BadFieldError) -> Reply:
        """Return the answer to a body in which a field is missing or of the wrong type."""

    @abstractmethod
    def not_found(self, path: str) -> Reply:
        """Return the answer to an unknown path."""

    @abstractmethod
    def wrong_method(self, allowed: Sequence[str]) -> Reply:
        """Return the answer to a known path with another method."""

    @abstractmethod
    def too_large(self) -> Reply:
        """Return the answer to a body over the limit."""

    @abstractmethod
    def unauthorised(self) -> Reply:
        """Return the answer to a missing or wrong API key."""

    @abstractmethod
    def needs_key(self, request: Request) -> bool:
        """Say whether a request is for a route behind the API key."""

    @abstractmethod
    def histogram_bounds(self) -> Mapping[str, Sequence[float]]:
        """Return the buckets of each of ServingStats' histograms."""

    def overloaded(self) -> bool:
        """Say whether another generation would be one too many: as many as the limit already wait."""
        limit = self.profile.queue_limit
        return limit is not None and self.load().waiting >= limit and not self._has_free_place()

    # -- requests -----------------------------------------------------------------------------------------------

    def accept(self) -> bool:
        """Say whether a connection just opened is kept."""
        return not self._faults.refuses_connection()

    def handle(self, request: Request, exchange: Exchange) -> None:
        """Answer one request, now or over time."""
        generates = request.method == "POST" and request.path in self.generation_paths
        try:
            fault = self._faults.pick(request.headers.get(FAULT_HEADER), generates=generates)
        except UsageError as error:
            exchange.reply(text_reply(400, error.message))
            return
        request_id = request.headers.get("x-request-id", "")[:MAX_REQUEST_ID] or uuid.uuid4().hex[:16]
        call = Call(request, exchange, request_id, fault)
        if fault is not None and fault.name in BEFORE_ANSWER:
            self._play_before_answer(call, fault)
        else:
            self._route(call)

    def _route(self, call: Call) -> None:
        request = call.request
        methods = self._routes.get(request.path)
        try:
            if methods is None:
                raise RefusedRequest(self.not_found(request.path))
            handler = methods.get(request.method)
            if handler is None:
                raise RefusedRequest(self.wrong_method(sorted(methods)))
            if self.options.api_key is not None and self.needs_key(request):
                self._check_key(request, self.options.api_key)
            handler(call)
        except RefusedRequest as refused:
            self._refuse_with(call, refused.reply)
        except BadFieldError as error:
            self._refuse_with(call, self.bad_field(request.path, error))

    def _refuse_with(self, call: Call, reply: Reply) -> None:
        self._log_unserved(call, f"http-{reply.status}")
        call.exchange.reply(reply)

    def _check_key(self, request: Request, key: str) -> None:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), key.encode()):
            raise RefusedRequest(self.unauthorised())

    def _play_before_answer(self, call: Call, fault: Fault) -> None:
        if fault.name == "slow-first-byte":
            asyncio.get_running_loop().call_later(fault.number(0, 1.0), self._answer_late, call)
            return
        self._log_unserved(call, fault.name)
        if fault.name == "refuse":
            call.exchange.abort(reset="reset" in fault.words)
        elif fault.name == "html":
            call.exchange.reply(HTML_REPLY)
        else:
            status = int(fault.name.removeprefix("http-"))
            call.exchange.reply(self.error_reply(status, f"the simulator was asked to answer {status}"))

    def _answer_late(self, call: Call) -> None:
        if call.exchange.open:
            self._route(call)
        else:
            self._log_unserved(call, "disconnect")

    # -- generations --------------------------------------------------------------------------------------------

    def plan(
        self,
        call: Call,
        prompt: str,
        prompt_tokens: int,
        sampling: Sampling,
        *,
        streamed: bool,
        reserve_tokens: int | None = None,
    ) -> Work:
        """Plan the answer to a prompt whose length and limits have been checked.

        `reserve_tokens` is the KV room set aside for the answer where that is not its longest length.
        """
        answer = spoiled(self.pool.plan(prompt, sampling), call.fault)
        record = self._record(call, streamed=streamed)
        record.prompt_tokens = prompt_tokens
        reserve = sampling.max_tokens if reserve_tokens is None else reserve_tokens
        job = Job(prompt_tokens, answer.tokens, reserve)
        self.stats.histograms["max_tokens"].observe(sampling.max_tokens)
        return Work(call.exchange, prompt_tokens, answer, job, record, call.fault)

    def stream(self, work: Work, fmt: StreamFormat, *, delay_ns: int = 0) -> None:
        """Start a streamed answer."""
        fault = work.fault
        self._start(TokenStream(self, work, fmt) if fault is None else FaultyStream(self, work, fmt, fault), delay_ns)

    def whole(self, work: Work, render: Callable[[Answer], Reply], *, delay_ns: int = 0) -> None:
        """Start an answer in one piece."""
        if work.fault is None:
            self._start(WholeAnswer(self, work, render), delay_ns)
            return
        error = self.error_reply(500, "the simulator was asked for an error")
        self._start(FaultyAnswer(self, work, render, work.fault, error), delay_ns)

    def _start(self, generation: Generation, delay_ns: int) -> None:
        self.stats.received += 1
        self.active.add(generation)
        generation.begin()
        self._driver.submit(generation.job, delay_ns=delay_ns)

    def token_out(self, gap_ns: int | None) -> None:
        """Count one token that was written."""
        self.stats.token(gap_ns)

    def ended(self, generation: Generation) -> None:
        """Take back a generation that is over: cancel what is left of its job, count it, log the truth."""
        self.active.discard(generation)
        self._driver.cancel(generation.job)
        record, job = generation.record, generation.job
        if record.finish == generation.answer.ending:
            self._count_finished(record, job)
        else:
            self.stats.fail(record.finish)
        self._truth.add(record)

    def _count_finished(self, record: TruthRecord, job: Job) -> None:
        stats = self.stats
        now_ns = monotonic_ns()
        scheduled_ns = job.scheduled_ns or job.arrival_ns
        first_ns, last_ns = job.first_ns or now_ns, job.last_ns or now_ns
        stats.finish(record.finish)
        stats.prompt_tokens += record.prompt_tokens
        stats.histograms["prompt_tokens"].observe(record.prompt_tokens)
        stats.histograms["output_tokens"].observe(record.tokens)
        stats.histograms["batch_size"].observe(max(1, self.load().running))
        stats.observe_ns("queue", scheduled_ns - job.arrival_ns)
        stats.observe_ns("prefill", first_ns - scheduled_ns)
        stats.observe_ns("decode", last_ns - first_ns)
        stats.observe_ns("inference", last_ns - scheduled_ns)
        stats.observe_ns("ttft", first_ns - record.received_ns)
        stats.observe_ns("e2e", last_ns - record.received_ns)
        if record.tokens > 1:
            stats.observe_ns("tpot", (last_ns - first_ns) // (record.tokens - 1))

    def load(self) -> Load:
        """Return what is running and waiting."""
        return self._driver.load()

    def shutdown(self) -> None:
        """End every generation under way; each leaves its record."""
        for generation in list(self.active):
            generation.finish("shutdown")
        self._driver.close()

    def keep_alive(self, default_s: float, comment: bytes) -> KeepAlive:
        """Return how long a stream may be silent before a comment, and the comment; None when it may for ever."""
        seconds = self.options.keep_alive_s
        seconds = default_s if seconds is None else seconds
        return (seconds, comment) if seconds > 0 else None

    def _has_free_place(self) -> bool:
        load = self.load()
        return load.running + load.waiting < self.profile.max_batch

    def _record(self, call: Call, *, streamed: bool) -> TruthRecord:
        return TruthRecord(
            request_id=call.request_id,
            engine=self.kind,
            service=self.options.name,
            route=call.request.path,
            streamed=streamed,
            received_ns=call.request.received_ns,
            fault=call.fault.name if call.fault is not None else None,
        )

    def _log_unserved(self, call: Call, finish: str) -> None:
        """Leave a record of a generation request that got no generation."""
        if call.request.method != "POST" or call.request.path not in self.generation_paths:
            return
        record = self._record(call, streamed=False)
        record.finish = finish
        self.stats.fail(finish)
        self._truth.add(record)
