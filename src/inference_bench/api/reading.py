"""From bytes and stamps to marks and counts: what one finished exchange says, read with its dialect's decoder.

This is the one place where the marks of metrics.md are taken. It runs off the measured path (in the decoder process,
or after a live request); nothing in it looks at a clock.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import sub

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
MOST_TOKENS = 2**15 - 1  # what the column holds
MAX_MESSAGE = 300
_Piece = tuple[Sequence[StreamEvent], int, int]  # the events one read completed, its arrival and read stamps


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
    sample: str = ""

    @property
    def text(self) -> str:
        """The answer without its reasoning."""
        return "".join(self.texts)


def read_exchange(
    raw: RawExchange, client: EngineClient, *, stream: bool = True, keep_text: bool = False, sample_chars: int = 0
) -> Reading:
    """Decode a finished exchange. Never raises on what a server sent.

    `keep_text` keeps all of the text; `sample_chars` as much of its beginning, reasoning included, in one string.
    """
    reading = Reading(simulated=SIMULATED_HEADER in raw.headers)
    if raw.status == 200:
        _Reader(raw, client.decoder(stream=stream), reading, keep_text, sample_chars).run()
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

    def __init__(
        self, raw: RawExchange, decoder: ResponseDecoder, reading: Reading, keep_text: bool, sample_chars: int
    ) -> None:
        self._raw = raw
        self._decoder = decoder
        self._reading = reading
        self._keep_text = keep_text
        self._sample_chars = sample_chars
        self._done = False

    def run(self) -> None:
        raw = self._raw
        pieces = zip(map(self._decoder.feed, raw.pieces), raw.arrivals, raw.reads, strict=True)
        self._walk(chain(pieces, self._tail()))
        self._judge()

    def _tail(self) -> Iterator[_Piece]:
        """Yield what the decoder still held when the pieces were over, under the stamps of the last one."""
        events = self._decoder.finish()
        if self._raw.arrivals:
            yield events, self._raw.arrivals[-1], self._raw.reads[-1]

    def _walk(self, pieces: Iterable[_Piece]) -> None:
        """Fill the columns, and take the marks that hang on order. Every token comes by here: locals, and few calls."""
        reading = self._reading
        keep_text = self._keep_text
        arrivals: list[int] = []
        reads: list[int] = []
        sizes: list[int] = []
        counts: list[int] = []
        sample: list[str] = []
        room = self._sample_chars
        carried = 0  # tokens of textless events; they belong to the next chunk that shows text
        answered = False  # answer text was seen (to tell reasoning first from answer first)
        previous_read = self._raw.sent_ns
        for events, arrival, read in pieces:
            if not sizes and events:
                self._begin(arrival, previous_read)
            for text, thought, tokens, finish, usage, done, error, times in events:
                if text or thought:
                    if text and not answered:
                        answered = True
                        if sizes or thought:
                            reading.first_answer_token_ns = arrival
                    arrivals.append(arrival)
                    reads.append(read)
                    sizes.append(len(text) + len(thought))
                    counts.append(UNKNOWN_TOKENS if tokens is None else tokens + carried)
                    carried = 0
                    if room > 0:
                        sample.append(thought + text)
                        room -= sizes[-1]
                    if keep_text:
                        reading.texts.append(text)
                        reading.reasoning.append(thought)
                elif tokens:
                    carried += tokens
                if done or finish is not None or usage is not None or error is not None or times is not None:
                    self._note(finish, usage, done, error, times)
            if len(events) > 1:
                self._merge(events, len(sizes))
            previous_read = read
        reading.sample = "".join(sample)[: self._sample_chars]
        self._close(arrivals, reads, sizes, counts)

    def _begin(self, arrival: int, previous_read: int) -> None:
        """Take the marks of a piece that may be the first with text; a later one then puts the second mark right."""
        reading = self._reading
        if reading.first_event_ns is None:
            reading.first_event_ns = arrival
        reading.first_token_after_ns = previous_read

    def _merge(self, events: Sequence[StreamEvent], chunks_so_far: int) -> None:
        """Note the chunks that shared their read with others."""
        texts = len([event for event in events if event[0] or event[1]])
        if texts > 1:
            self._reading.merged_reads += 1
            merged = self._reading.chunks.merged
            merged.extend(bytes(chunks_so_far - texts - len(merged)))
            merged.extend(b"\x01" * texts)

    def _close(self, arrivals: list[int], reads: list[int], sizes: list[int], counts: list[int]) -> None:
        """Keep the columns and take the marks that they tell."""
        reading = self._reading
        if not sizes:
            reading.first_token_after_ns = None
            return
        chunks = reading.chunks
        chunks.arrivals.fromlist(arrivals)
        chunks.reads.fromlist(reads)
        chunks.sizes.fromlist(sizes)
        try:
            chunks.tokens.fromlist(counts)
        except OverflowError:  # a server that counts wildly: no chunk holds more tokens than the column
            counts = [tokens if tokens <= MOST_TOKENS else UNKNOWN_TOKENS for tokens in counts]
            chunks.tokens.fromlist(counts)
        merged = chunks.merged
        merged.extend(bytes(len(sizes) - len(merged)))
        reading.text_chars = sum(sizes)
        reading.first_token_ns = arrivals[0]
        reading.first_token_read_ns = reads[0]
        reading.first_token_merged = merged[0] == 1
        reading.last_token_ns = arrivals[-1]
        reading.last_token_read_ns = reads[-1]
        if counts[0] >= 0:
            reading.first_chunk_tokens = counts[0]
        if len(arrivals) > 1:
            reading.stall_ns = max(map(sub, arrivals[1:], arrivals))

    def _note(
        self,
        finish: str | None,
        usage: Usage | None,
        done: bool,
        error: StreamError | None,
        times: ServerTimes | None,
    ) -> None:
        """Keep what an event says beside its text; of several errors the first stands."""
        reading = self._reading
        if finish is not None:
            reading.finish_reason = finish
        if usage is not None:
            reading.usage = usage
        if times is not None:
            reading.server_times = times
        if error is not None and reading.error is None:
            reading.error = error
        self._done = self._done or done

    def _judge(self) -> None:
        """Whether the answer counts as good, by metrics.md's error classes."""
        reading = self._reading
        if reading.error is not None:
            return
        # A body cut off by the connection is whole only when the protocol's own end mark had come before.
        ended = self._done if self._raw.failure is not None else self._decoder.ended
        if not ended:
            reading.error = StreamError(ErrorClass.TRUNCATED, "the stream ended without its end mark")
        elif not reading.chunks.arrivals:
            reading.error = StreamError(ErrorClass.EMPTY, "the answer ended well but held no text")
        else:
            reading.ok = True
