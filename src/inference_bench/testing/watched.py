"""One question whose answer is watched: from pieces to chunks as they come, from the whole to an outcome at its end.

Both are read from the same bytes and stamps by the same decoder, so that what was shown is what is stored.
"""

import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from inference_bench.api.clients import get_client
from inference_bench.api.exchange import RawExchange
from inference_bench.api.protocols import ChatRequest, EngineClient, ResponseDecoder, StreamEvent, WireRequest
from inference_bench.api.reading import Reading, read_exchange
from inference_bench.live.events import Chunk, Outcome
from inference_bench.live.veil import Veil
from inference_bench.testing.rendering import ServiceUnderTest


@dataclass(frozen=True, slots=True)
class Exchanged:
    """One exchange, whole: what was asked, the bytes and stamps of the answer, and what they say."""

    request: ChatRequest
    wire: WireRequest
    raw: RawExchange
    reading: Reading
    outcome: Outcome


@dataclass(slots=True)
class Asked:
    """A question to the service with this number, rendered, and the reading of its answer so far."""

    service: int
    request: ChatRequest
    wire: WireRequest
    client: EngineClient
    decoder: ResponseDecoder
    secrets: Sequence[str]
    text: Veil
    reasoning: Veil
    carried: int = 0  # tokens of textless events: they belong to the next chunk that shows text

    @classmethod
    def of(cls, service: int, sut: ServiceUnderTest, request: ChatRequest, secrets: Sequence[str]) -> "Asked":
        """Render a question; one without a request id gets one."""
        if request.request_id is None:
            request = replace(request, request_id=uuid.uuid4().hex)
        wire = sut.client.render(request, sut.endpoint.model)
        client = get_client(wire.dialect)
        decoder = client.decoder(stream=request.stream)
        return cls(service, request, wire, client, decoder, secrets, Veil(secrets), Veil(secrets))

    def read(self, piece: bytes, at_ns: int, sent_ns: int) -> Iterator[Chunk]:
        """Yield the chunks of text that a piece of the answer's body completes."""
        return self._chunks(self.decoder.feed(piece), at_ns, sent_ns)

    def rest(self, raw: RawExchange) -> Iterator[Chunk]:
        """Yield what a missing final newline had held back, under the last stamp."""
        if raw.status == 200 and raw.arrivals:
            yield from self._chunks(self.decoder.finish(), raw.arrivals[-1], raw.sent_ns)

    def ended(self, raw: RawExchange) -> Exchanged:
        """Return the exchange that is over, read as a record is read."""
        reading = read_exchange(raw, self.client, stream=self.request.stream, keep_text=True)
        outcome = outcome_of(raw, reading)
        message = outcome.error_message
        outcome = replace(
            outcome,
            request_id=self.request.request_id,
            error_message=None if message is None else Veil(self.secrets).over(message),
        )
        return Exchanged(self.request, self.wire, raw, reading, outcome)

    def _chunks(self, events: Sequence[StreamEvent], at_ns: int, sent_ns: int) -> Iterator[Chunk]:
        for event in events:
            if event.text or event.reasoning:
                tokens = None if event.tokens is None else event.tokens + self.carried
                self.carried = 0
                text, reasoning = self.text.over(event.text), self.reasoning.over(event.reasoning)
                yield Chunk(self.service, at_ns, sent_ns, text, reasoning, tokens)
            elif event.tokens:
                self.carried += event.tokens


def outcome_of(raw: RawExchange, reading: Reading) -> Outcome:
    """Return what a finished exchange says, as an event carries it."""
    usage, error = reading.usage, reading.error
    connected = raw.connected_ns and raw.connect_start_ns
    return Outcome(
        ok=reading.ok,
        error_class=None if error is None else error.error_class.value,
        error_message=None if error is None else error.message,
        http_status=raw.status or None,
        finish_reason=reading.finish_reason,
        prompt_tokens=usage.prompt_tokens,
        output_tokens=usage.output_tokens,
        cached_tokens=usage.cached_tokens,
        token_source=None if usage.output_tokens is None else "usage",
        first_chunk_tokens=reading.first_chunk_tokens,
        text_chunks=len(reading.chunks.arrivals),
        sent_ns=raw.sent_ns or None,
        first_token_ns=reading.first_token_ns,
        last_token_ns=reading.last_token_ns,
        end_ns=raw.end_ns or None,
        connect_ms=(raw.connected_ns - raw.connect_start_ns) / 1e6 if connected else None,
        doubt_ns=_doubt(reading),
        simulated=reading.simulated,
    )


def _doubt(reading: Reading) -> int:
    """By how much the first or the last token may have come sooner than its mark says, in ns.

    A chunk alone in its read came at its stamp. One that shared its read came after the read before it.
    """
    chunks = reading.chunks
    if not chunks.arrivals:
        return 0
    doubt = 0
    if chunks.merged[0] and reading.first_token_after_ns is not None:
        doubt = chunks.arrivals[0] - reading.first_token_after_ns
    if chunks.merged[-1]:
        before = [read for read in chunks.reads if read < chunks.reads[-1]]
        doubt = max(doubt, chunks.arrivals[-1] - (before[-1] if before else chunks.arrivals[0]))
    return max(0, doubt)
