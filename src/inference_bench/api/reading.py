"""From bytes and stamps to marks and counts: what one finished exchange says, read with its dialect's decoder.

This is the one place where the marks of metrics.md are taken. It runs off the measured path (in the decoder process,
or after a live request); nothing in it looks at a clock.
"""

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import sub

from inference_bench.api.exchange import RawExchange
from inference_bench.api.protocols import (
    EngineClient,
    ErrorClass,
    ResponseDecoder,
    ServerTimes,
    StreamError,
    StreamEvent,
    TextRun,
    Usage,
    event_of,
)

SIMULATED_HEADER = "x-simulated-engine"
UNKNOWN_TOKENS = -1
MOST_TOKENS = 2**15 - 1  # what the column holds
MAX_MESSAGE = 300
_Piece = tuple[Sequence[StreamEvent], int, int]  # the events one read completed, its arrival and read stamps
_FeedTexts = Callable[[Sequence[bytes]], TextRun | None]
# Pieces are tried as a run of texts, many at a time, and fed one by one between two trials. Both lengths follow what
# came of the last trial: a stream of one form is read in a few runs, and one that has none pays for few trials.
_FIRST_DETOUR = 2  # a role and a text
_MOST_DETOUR = 64
_FIRST_TRIAL = 64
_LEAST_TRIAL = 8
_MOST_TRIAL = 256
_WORTH_IT = 8  # fewer pieces are as cheap one by one
_LAST_WORDS = 3  # finish reason, usage and end mark: seldom of the form, and a run that is equal as a whole is cheaper


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
        self._sizes: list[int] = []
        self._counts: list[int] = []
        self._samples: list[str] = []
        self._room = sample_chars
        self._carried = 0  # tokens of textless events; they belong to the next chunk that shows text
        self._answered = False  # answer text was seen (to tell reasoning first from answer first)
        self._previous_read = raw.sent_ns

    def run(self) -> None:
        raw = self._raw
        size = len(raw.pieces)
        feed_texts: _FeedTexts | None = getattr(self._decoder, "feed_texts", None)
        at, detour, trial = 0, _FIRST_DETOUR, _FIRST_TRIAL
        while at < size:
            stop = size if feed_texts is None or size - at < detour + _WORTH_IT else at + detour
            feeding = map(self._decoder.feed, raw.pieces[at:stop])
            self._walk(zip(feeding, raw.arrivals[at:stop], raw.reads[at:stop], strict=True))
            at = stop
            if feed_texts is not None and at < size - _LAST_WORDS:
                taken = self._take(feed_texts(raw.pieces[at : min(at + trial, size - _LAST_WORDS)]), at)
                detour = 1 if taken >= _WORTH_IT else min(2 * detour, _MOST_DETOUR)
                trial = min(max(2 * taken, _LEAST_TRIAL), _MOST_TRIAL)
                at += taken
        # What the decoder still held when the pieces were over has the stamps of the last one.
        events = self._decoder.finish()
        if size:
            self._walk([(events, raw.arrivals[-1], raw.reads[-1])])
        self._close()
        self._judge()

    def _take(self, run: TextRun | None, start: int) -> int:
        """Fill the columns with a run of texts, the first of them piece `start`; return how many there are.

        As `_walk` does with events that tell a text alone, after the first answer text and with no tokens carried.
        """
        if run is None:
            return 0
        raw, reading, texts = self._raw, self._reading, run.texts
        stop = start + len(texts)
        if self._carried or not self._answered or "" in texts:
            self._walk(zip(_events(run), raw.arrivals[start:stop], raw.reads[start:stop], strict=True))
            return len(texts)
        sizes = list(map(len, texts))
        reading.chunks.arrivals += raw.arrivals[start:stop]
        reading.chunks.reads += raw.reads[start:stop]
        self._sizes += sizes
        self._counts.append(UNKNOWN_TOKENS if run.first_tokens is None else run.first_tokens)
        self._counts += [UNKNOWN_TOKENS if run.tokens is None else run.tokens] * (len(texts) - 1)
        if self._room > 0:
            self._samples += texts
            self._room -= sum(sizes)
        if self._keep_text:
            reading.texts += texts
            reading.reasoning += [""] * len(texts)
        return len(texts)

    def _walk(self, pieces: Iterable[_Piece]) -> None:
        """Fill the columns, and take the marks that hang on order. Many tokens come by here: locals, and few calls."""
        reading = self._reading
        keep_text = self._keep_text
        arrivals: list[int] = []
        reads: list[int] = []
        sizes, counts = self._sizes, self._counts
        room, carried, answered, previous_read = self._room, self._carried, self._answered, self._previous_read
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
                        self._samples.append(thought + text)
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
        reading.chunks.arrivals.fromlist(arrivals)
        reading.chunks.reads.fromlist(reads)
        self._room, self._carried, self._answered, self._previous_read = room, carried, answered, previous_read

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

    def _close(self) -> None:
        """Keep the columns and take the marks that they tell."""
        reading = self._reading
        chunks, sizes, counts = reading.chunks, self._sizes, self._counts
        reading.sample = "".join(self._samples)[: self._sample_chars]
        if not sizes:
            reading.first_token_after_ns = None
            return
        chunks.sizes.fromlist(sizes)
        try:
            chunks.tokens.fromlist(counts)
        except OverflowError:  # a server that counts wildly: no chunk holds more tokens than the column
            counts = [tokens if tokens <= MOST_TOKENS else UNKNOWN_TOKENS for tokens in counts]
            chunks.tokens.fromlist(counts)
        merged = chunks.merged
        merged.extend(bytes(len(sizes) - len(merged)))
        reading.text_chars = sum(sizes)
        reading.first_token_ns = chunks.arrivals[0]
        reading.first_token_read_ns = chunks.reads[0]
        reading.first_token_merged = merged[0] == 1
        reading.last_token_ns = chunks.arrivals[-1]
        reading.last_token_read_ns = chunks.reads[-1]
        if counts[0] >= 0:
            reading.first_chunk_tokens = counts[0]
        if len(sizes) > 1:
            reading.stall_ns = max(map(sub, chunks.arrivals[1:], chunks.arrivals))

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


def _events(run: TextRun) -> Iterator[Sequence[StreamEvent]]:
    """Yield the events of a run as the pieces brought them."""
    for number, text in enumerate(run.texts):
        yield (event_of((text, "", run.tokens if number else run.first_tokens, None, None, False, None, None)),)
