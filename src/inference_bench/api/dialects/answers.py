"""Decoders of 200 answers: a framing (SSE, NDJSON, none) joined to a dialect's reading of one JSON object.

Nothing here knows an engine: what an object means is the `Reader` a dialect gives. The long way of a plain streamed
event is one framing check, one JSON parse, one read, one StreamEvent; a `TextTemplate` shortens it where chunks repeat.
"""

from collections.abc import Callable, Sequence
from typing import Final

import orjson

from inference_bench.api.dialects.errors import JsonObject, excerpt, malformed, odd_chunk, told_error
from inference_bench.api.dialects.template import TextTemplate
from inference_bench.api.protocols import ErrorClass, StreamError, StreamEvent, TextRun
from inference_bench.api.streaming import DEFAULT_LIMIT, NdjsonDecoder, NdjsonLine, SseDecoder, SseEvent

Reader = Callable[[JsonObject], StreamEvent]

DONE_WORD: Final = b"[DONE]"
_DONE: Final = StreamEvent(done=True)


class StreamedAnswer:
    """Decodes a streamed answer.

    The stream ends with an event whose `done` is set, with [DONE] if `done_word`, and, if `finish_ends`, also with
    the end of a body that came after a finish reason and was not cut inside an event. A `template` changes no event,
    only what it costs.
    """

    __slots__ = (
        "_closed",
        "_done_word",
        "_finish_ends",
        "_finished",
        "_framing",
        "_over",
        "_quick",
        "_read",
        "_template",
        "_told",
    )

    def __init__(
        self,
        framing: SseDecoder | NdjsonDecoder,
        read: Reader,
        template: TextTemplate | None = None,
        *,
        done_word: bool = False,
        finish_ends: bool = False,
    ) -> None:
        self._framing = framing
        self._read = read
        self._template = template
        self._quick: TextTemplate | None = None  # the template while a piece may be an event by itself
        self._done_word = done_word
        self._finish_ends = finish_ends
        self._finished = False  # a finish reason was seen
        self._closed = False  # the body ended between two events
        self._over = False  # the protocol's own end was seen; what follows is not read
        self._told = False  # a body that is not of the protocol was told

    @property
    def ended(self) -> bool:
        """Whether the answer ended properly; read it after `finish`."""
        return self._over or (self._finish_ends and self._finished and self._closed)

    def feed(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the events completed by these bytes."""
        quick = self._quick
        if quick is not None:
            event = quick.read(data)
            if event is not None:
                return (event,)
        if self._over:
            return ()
        payload = self._framing.single(data)
        if payload is None:
            return self._parts(data)
        event = self._event(payload)
        if event is None:
            return ()
        if quick is not None:
            quick.learn(payload, event)
        return (event,)

    def feed_texts(self, pieces: Sequence[bytes]) -> TextRun | None:
        """Take the first few of these pieces at once, if they are alike; `feed` would make the same events of them.

        None when the first has to be fed; what is behind the pieces that were taken is not touched.
        """
        return None if self._quick is None else self._quick.read_run(pieces)

    def finish(self) -> Sequence[StreamEvent]:
        """Say that the body has ended; return the event a missing final newline held back.

        What is held back and is not whole JSON was cut: it is dropped, and the answer has not ended.
        """
        if self._over:
            return ()
        pending = self._framing.pending
        frames = self._framing.finish()
        whole = [frame for frame in frames if not _cut(frame)]
        self._closed = len(whole) == len(frames) and (bool(frames) or not pending)
        return self._events(whole)

    def _parts(self, data: bytes) -> Sequence[StreamEvent]:
        """Read a piece that is not one plain event: cut it where plain events end, and most of its parts are one.

        Where other things than plain events are cut does not matter: any split yields the same events.
        """
        size = len(self._framing.closing)  # line feeds, all of it
        end = data.find(b"\n") + size
        if not size <= end < len(data):
            events = self._events(self._framing.feed(data))
            self._quick = self._template if self._framing.idle and not self._over else None
            return events
        start = 0
        events = []
        while start < len(data):
            events += self.feed(data[start:end])
            start = end
            end = data.find(b"\n", start) + size
            if end < size:
                end = len(data)
        return events

    def _events(self, frames: Sequence[SseEvent | NdjsonLine]) -> list[StreamEvent]:
        events = []
        for frame in frames:
            if frame.malformed:
                event = self._refused(frame)
            elif isinstance(frame, SseEvent) and frame.event == "error":
                event = _error_frame(frame.data)
            else:
                event = self._event(frame.data)
            if event is not None:
                events.append(event)
            if self._over:
                break
        return events

    def _event(self, payload: bytes) -> StreamEvent | None:
        if self._done_word and payload == DONE_WORD:
            self._end()
            return _DONE
        try:
            chunk = orjson.loads(payload)
        except orjson.JSONDecodeError:
            return self._not_json(payload)
        if type(chunk) is not dict:
            return self._tell(f"JSON that is not an object: {excerpt(payload)}")
        if chunk.get("error"):
            return _error_event(chunk)
        event = self._read(chunk)
        if event.finish_reason is not None:
            self._finished = True
        if event.done:
            self._end()
        return event

    def _not_json(self, payload: bytes) -> StreamEvent | None:
        words = payload.strip()
        if not words:
            return None
        if self._done_word and words.startswith(DONE_WORD):
            self._end()
            return _DONE
        return self._tell(f"not JSON: {excerpt(payload)}")

    def _end(self) -> None:
        self._over = True
        self._quick = None

    def _refused(self, frame: SseEvent | NdjsonLine) -> StreamEvent | None:
        """A line the framing refused; a bare JSON object may be an error told inside a 200."""
        if frame.data[:1] == b"{":
            try:
                error = told_error(orjson.loads(frame.data))
            except orjson.JSONDecodeError:
                error = None
            if error is not None:
                return StreamEvent(error=error)
        return self._tell(f"{frame.malformed}: {excerpt(frame.data)}" if frame.data else frame.malformed)

    def _tell(self, message: str) -> StreamEvent | None:
        if self._told:
            return None
        self._told = True
        return malformed(message)


class WholeAnswer:
    """Decodes an answer that comes as one JSON object; it ends when that object is whole.

    Its one event carries all tokens the server counted, so that nothing of it is taken for a cadence.
    """

    __slots__ = ("_body", "_limit", "_over", "_read", "_too_long")

    def __init__(self, read: Reader, limit: int = DEFAULT_LIMIT) -> None:
        self._read = read
        self._limit = limit
        self._body = bytearray()
        self._too_long = False
        self._over = False

    @property
    def ended(self) -> bool:
        """Whether a whole answer was read; read it after `finish`."""
        return self._over

    def feed(self, data: bytes) -> Sequence[StreamEvent]:
        """Keep the bytes; an event comes only when they exceed the limit."""
        if self._too_long:
            return ()
        if len(self._body) + len(data) > self._limit:
            self._too_long = True
            self._body.clear()
            return (malformed(f"an answer longer than {self._limit} bytes"),)
        self._body += data
        return ()

    def finish(self) -> Sequence[StreamEvent]:
        """Say that the body has ended; return the answer as one event."""
        if self._too_long or not self._body:
            return ()
        body = bytes(self._body)
        self._body.clear()
        try:
            answer = orjson.loads(body)
        except orjson.JSONDecodeError:
            # Cut JSON is a truncated answer, which `ended` says; anything else was never an answer.
            return () if body.lstrip()[:1] == b"{" else (malformed(f"not JSON: {excerpt(body)}"),)
        if type(answer) is not dict:
            return (malformed(f"JSON that is not an object: {excerpt(body)}"),)
        if answer.get("error"):
            return (_error_event(answer),)
        event = self._read(answer)
        if event.error is not None:
            return (event,)
        self._over = True
        tokens = event.usage.output_tokens if event.usage is not None else None
        return (event._replace(done=True, tokens=tokens),)


def _cut(frame: SseEvent | NdjsonLine) -> bool:
    """Whether the last frame of a body is the beginning of an object or of [DONE] whose rest never came."""
    if frame.malformed:
        return False
    if frame.data[:1] != b"{":
        return frame.data != DONE_WORD and DONE_WORD.startswith(frame.data)
    try:
        orjson.loads(frame.data)
    except orjson.JSONDecodeError:
        return True
    return False


def _error_event(chunk: JsonObject) -> StreamEvent:
    error = told_error(chunk)
    return odd_chunk(chunk) if error is None else StreamEvent(error=error)


def _error_frame(data: bytes) -> StreamEvent:
    """An SSE event of type `error`: its data is an error in whatever words."""
    try:
        chunk = orjson.loads(data)
    except orjson.JSONDecodeError:
        chunk = {"error": excerpt(data) or "no message"}
    if not isinstance(chunk, dict) or told_error(chunk) is None:
        return StreamEvent(error=StreamError(ErrorClass.STREAM_ERROR, excerpt(data) or "no message"))
    return _error_event(chunk)
