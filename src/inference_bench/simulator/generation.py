"""One generation under way: takes the tokens of a job as they fall due and writes them as its engine's dialect wants.

Also keeps the request's truth record. When tokens are due is decided by the scheduler; what the bytes look like, by the
dialect's format; what goes wrong on purpose, in `faulty`.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic_ns
from typing import Protocol

from inference_bench.simulator.answers import Answer
from inference_bench.simulator.connection import Exchange
from inference_bench.simulator.faults import Fault
from inference_bench.simulator.messages import Headers, Reply
from inference_bench.simulator.scheduling import Job
from inference_bench.simulator.truth import TruthRecord

KeepAlive = tuple[float, bytes] | None


class StreamFormat(Protocol):
    """How one answer is streamed in one dialect. Token i of the answer is numbered from 0."""

    @property
    def headers(self) -> Headers:
        """Headers of the response."""

    @property
    def deferred_head(self) -> bool:
        """Whether the response head leaves only with the first chunk."""

    @property
    def keep_alive(self) -> KeepAlive:
        """Seconds of silence after which a comment is written, and the comment; None where there is none."""

    def opening(self) -> list[bytes]:
        """Return what precedes the first token (a role chunk)."""

    def piece(self, index: int) -> bytes:
        """Return the chunk of a token that is not the last."""

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's chunk and all that follows it; without the end mark when not `done`."""

    def error(self, message: str) -> list[bytes]:
        """Return the engine's way of telling an error inside the stream, and ending it."""

    def empty(self) -> list[bytes]:
        """Return a whole proper stream without any text."""

    def frame(self, content: bytes) -> bytes:
        """Frame a line of any content as an event."""


@dataclass(frozen=True, slots=True)
class Work:
    """One generation, planned: where its answer goes, what will be said, the job the scheduler runs, its record."""

    exchange: Exchange
    prompt_tokens: int
    answer: Answer
    job: Job
    record: TruthRecord
    fault: Fault | None = None


class Host(Protocol):
    """What a generation needs of its engine."""

    def token_out(self, gap_ns: int | None) -> None:
        """Count one token."""

    def ended(self, generation: "Generation") -> None:
        """Take back a generation that is over, and cancel what of its job is left."""


class Generation:
    """Common to streamed and whole answers: the record, and the one end."""

    def __init__(self, host: Host, work: Work) -> None:
        self.exchange = work.exchange
        self.answer = work.answer
        self.job = work.job
        self.record = work.record
        self.over = False
        self._host = host
        self._last_index = work.answer.tokens - 1
        work.job.sink = self
        work.exchange.on_lost = self._lost

    def begin(self) -> None:
        """Start the response; nothing is due yet."""

    def token(self, due_ns: int) -> None:
        """Take the next token of the job."""
        raise NotImplementedError

    def finish(self, reason: str) -> None:
        """End: complete the record and give the job back. Later calls do nothing."""
        if self.over:
            return
        self.over = True
        self.record.finish = reason
        self.record.held_back = self.exchange.held_back
        self.record.text_tokens = min(len(self.answer.pieces), self.record.tokens)
        self._host.ended(self)

    def _note(self, due_ns: int, written_ns: int) -> None:
        due = self.record.due_ns
        self._host.token_out(due_ns - due[-1] if due else None)
        due.append(due_ns)
        self.record.written_ns.append(written_ns)

    def _lost(self) -> None:
        self.finish("disconnect")


class TokenStream(Generation):
    """A streamed answer: each token is written when it falls due."""

    def __init__(self, host: Host, work: Work, fmt: StreamFormat) -> None:
        super().__init__(host, work)
        self.fmt = fmt
        self._index = 0
        self._with_end_mark = True

    def begin(self) -> None:
        """Send the response head, unless the dialect holds it back, and watch for long silence."""
        self.exchange.begin(self.fmt.headers, deferred=self.fmt.deferred_head)
        if self.fmt.keep_alive is not None:
            self._watch_silence(*self.fmt.keep_alive, self.record.received_ns)

    def token(self, due_ns: int) -> None:
        """Write the next token."""
        if self.over:
            return
        index = self._index
        self._index = index + 1
        if index == 0:
            for payload in self.fmt.opening():
                self.exchange.write(payload)
        if index < self._last_index:
            self._note(due_ns, self.exchange.write(self.fmt.piece(index)))
        else:
            self._note(due_ns, self.exchange.end(self.fmt.closing(done=self._with_end_mark)))
            self.finish(self.answer.ending)

    def _watch_silence(self, seconds: float, comment: bytes, silent_since_ns: int) -> None:
        """Write a comment once nothing was written for so long; then look again."""
        if self.over:
            return
        written = self.record.written_ns
        since_ns = max(silent_since_ns, written[-1]) if written else silent_since_ns
        left_s = seconds - (monotonic_ns() - since_ns) / 1e9
        if left_s <= 0:
            since_ns = self.exchange.write(comment)
            left_s = seconds
        asyncio.get_running_loop().call_later(left_s, self._watch_silence, seconds, comment, since_ns)


class WholeAnswer(Generation):
    """An answer in one piece: its tokens count as written when the body is."""

    def __init__(self, host: Host, work: Work, render: Callable[[Answer], Reply]) -> None:
        super().__init__(host, work)
        self._render = render
        self._due_ns: list[int] = []

    def token(self, due_ns: int) -> None:
        """Wait for the last token, then answer."""
        if self.over:
            return
        self._due_ns.append(due_ns)
        if len(self._due_ns) == self.answer.tokens:
            self._deliver()

    def _deliver(self) -> None:
        """Send the answer."""
        reply = self._render(self.answer)
        self._note_all(monotonic_ns())
        self.exchange.reply(reply)
        self.finish(self.answer.ending)

    def _note_all(self, written_ns: int) -> None:
        for due_ns in self._due_ns:
            self._note(due_ns, written_ns)
