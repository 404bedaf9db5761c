"""From bytes and stamps to marks and counts: what one finished exchange says, read with its dialect's decoder.

This is the one place where the marks of metrics.md are taken. It runs off the measured path (in the decoder process,
or after a live request); nothing in it looks at a clock.
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field

from inference_bench.api.exchange import RawExchange
from inference_bench.api.protocols import (
    EngineClient,
    ErrorClass,
    ResponseDecoder,
    ServerTimes,
    StreamError,
    StreamEvent,
    Usage,
)

SIMULATED_HEADER = "x-simulated-engine"
UNKNOWN_TOKENS = -1
MAX_MESSAGE = 300
_NO_FACTS = [*StreamEvent()][3:]


@dataclass(slots=True)
class TextChunks:
    """The chunks with generated text, as parallel columns: stamps in ns, characters, tokens (-1 unknown), merged."""

    arrivals: "array[int]" = field(default_factory=lambda: array("q"))
    reads: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("i"))
    tokens: "array[int]" = field(default_factory=lambda: array("h"))
    merged: bytearray = field(default_factory=bytearray)


@dataclass(slots=True)
class Reading:
    """Marks (ns, None when not reached), counts and outcome of one exchange."""

    ok: bool = False
    error: StreamError | None = None
    simulated: bool = False
    first_event_ns: int | None = None
    first_token_ns: int | None = None
    first_token_read_ns: int | None = None
    first_token_after_ns: int | None = None
    first_token_merged: bool | None = None
    first_answer_token_ns: int | None = None
    last_token_ns: int | None = None
    last_token_read_ns: int | None = None
    first_chunk_tokens: int | None = None
    text_chars: int = 0
    merged_reads: int = 0
    stall_ns: int | None = None
    finish_reason: str | None = None
    usage: Usage = field(default_factory=Usage)
    server_times: ServerTimes = field(default_factory=ServerTimes)
    chunks: TextChunks = field(default_factory=TextChunks)
    texts: list[str] = field(default_factory=list)
    reasoning: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The answer without its reasoning."""
        return "".join(self.texts)


def read_exchange(raw: RawExchange, client: EngineClient, *, stream: bool = True, keep_text: bool = False) -> Reading:
    """Decode a finished exchange. Never raises on what a server sent."""
    reading = Reading(simulated=SIMULATED_HEADER in raw.headers)
    if raw.status == 200:
        _Reader(raw, client.decoder(stream=stream), reading, keep_text).run()
    elif raw.status:
        body = b"".join(raw.pieces)
        reading.error = client.read_error(raw.status, raw.headers, body)
    if raw.failure is not None and not (raw.failure is ErrorClass.TRUNCATED and reading.ok):
        reading.ok = False
        if reading.error is None or reading.error.error_class in (ErrorClass.TRUNCATED, ErrorClass.EMPTY):
            reading.error = StreamError(raw.failure, raw.message[:MAX_MESSAGE])
    return reading


class _Reader:
    """Walks the pieces of one 200 answer."""

    def __init__(self, raw: RawExchange, decoder: ResponseDecoder, reading: Reading, keep_text: bool) -> None:
        self._raw = raw
        self._decoder = decoder
        self._reading = reading
        self._keep_text = keep_text
        self._carried_tokens = 0  # tokens of textless events; they belong to the next chunk that shows text
        self._done = False
        self._answered = False  # answer text was seen (to tell reasoning first from answer first)

    def run(self) -> None:
        raw = self._raw
        reading = self._reading
        feed = self._decoder.feed
        previous_read = raw.sent_ns
        for piece, arrival, read in zip(raw.pieces, raw.arrivals, raw.reads, strict=True):
            events = feed(piece)
            if events:
                self._take(events, arrival, read, previous_read)
            previous_read = read
        tail = self._decoder.finish()
        if tail and raw.arrivals:
            self._take(tail, raw.arrivals[-1], raw.reads[-1], previous_read)
        chunks = reading.chunks
        if chunks.arrivals:
            reading.last_token_ns = chunks.arrivals[-1]
            reading.last_token_read_ns = chunks.reads[-1]
            reading.stall_ns = _longest_gap(chunks.arrivals)
        self._judge()

    def _take(self, events: Sequence[StreamEvent], arrival: int, read: int, previous_read: int) -> None:
        reading = self._reading
        chunks = reading.chunks
        if reading.first_event_ns is None:
            reading.first_event_ns = arrival
        texts = 0
        for event in events:
            text, thought, tokens, *facts = event
            if text or thought:
                texts += 1
                if reading.first_token_ns is None:
                    reading.first_token_ns = arrival
                    reading.first_token_read_ns = read
                    reading.first_token_after_ns = previous_read
                if not self._answered and text:
                    self._answered = True
                    if chunks.arrivals or thought:
                        reading.first_answer_token_ns = arrival
                size = len(text) + len(thought)
                reading.text_chars += size
                chunks.arrivals.append(arrival)
                chunks.reads.append(read)
                chunks.sizes.append(size)
                chunks.tokens.append(UNKNOWN_TOKENS if tokens is None else tokens + self._carried_tokens)
                chunks.merged.append(0)
                self._carried_tokens = 0
                if self._keep_text:
                    reading.texts.append(text)
                    reading.reasoning.append(thought)
            elif tokens:
                self._carried_tokens += tokens
            if facts != _NO_FACTS:
                self._note(event)
        if texts > 1:
            reading.merged_reads += 1
            chunks.merged[-texts:] = b"\x01" * texts
        if texts and reading.first_token_merged is None:
            reading.first_token_merged = texts > 1

    def _note(self, event: StreamEvent) -> None:
        """Keep what an event says beside its text; of several errors the first stands."""
        reading = self._reading
        if event.finish_reason is not None:
            reading.finish_reason = event.finish_reason
        if event.usage is not None:
            reading.usage = event.usage
        if event.server_times is not None:
            reading.server_times = event.server_times
        if event.error is not None and reading.error is None:
            reading.error = event.error
        self._done = self._done or event.done

    def _judge(self) -> None:
        """Whether the answer counts as good, by metrics.md's error classes."""
        reading = self._reading
        chunks = reading.chunks
        if chunks.tokens and chunks.tokens[0] >= 0:
            reading.first_chunk_tokens = chunks.tokens[0]
        if reading.error is not None:
            return
        # A body cut off by the connection is whole only when the protocol's own end mark had come before.
        ended = self._done if self._raw.failure is not None else self._decoder.ended
        if not ended:
            reading.error = StreamError(ErrorClass.TRUNCATED, "the stream ended without its end mark")
        elif not chunks.arrivals:
            reading.error = StreamError(ErrorClass.EMPTY, "the answer ended well but held no text")
        else:
            reading.ok = True


def _longest_gap(stamps: "array[int]") -> int | None:
    if len(stamps) < 2:
        return None
    return max(map(int.__sub__, stamps[1:], stamps[:-1]))
