"""A shortcut for streams that repeat themselves: what repeats from chunk to chunk is compared and not parsed again.

What lives here: recognising a text chunk by its bytes. What does not: what a chunk means (the reader's) and the cutting
of a body into events (the framing's).

Within one answer the chunks with text differ in one JSON string and, with running usage, in the two numbers of a usage
that ends the chunk. `TextTemplate.learn` takes a chunk that was read the long way and keeps the bytes around those;
`TextTemplate.read` then reads a piece that has the same bytes around them. Whatever it accepts would have been read the
same the long way, and everything else is left to the long way. That holds because

- the place of the text is proved and not guessed: with another text put there, the reader finds that other text.
  All else in the chunk stands before or behind that place, and is the same when the bytes are the same;
- what stands there in the new piece begins and ends with a quote and parses by itself, so it is one whole JSON string
  (valid UTF-8, no bare control character and hence no end of a line) where a JSON string was;
- the numbers are whole JSON integers where JSON integers were, in the root's own and last `usage`: a quote behind a
  comma opens a string (inside one it would close it, and bare words would follow), and the two braces that end the
  chunk are the usage's and the root's.

`TextTemplate.read_run` does this for many pieces at once: it cuts out what would be their texts, writes the pieces anew
from the form, these texts and the counts to come, and what is then equal is of the form. The texts are parsed as one
JSON array, whose quotes nobody doubts:

- a line feed stands behind the quote that is to close a text. Inside a string that would be no JSON, so each such quote
  closes one, and the quote behind the next comma opens one;
- all items of the array are strings, so nothing is nested and every comma outside a string parts two items. There are
  as many items as texts: all commas are the ones put between the texts, and each text is one whole string.
"""

import re
from collections.abc import Sequence
from operator import eq, itemgetter
from typing import Final, Protocol

import orjson

from inference_bench.api.dialects.errors import JsonObject
from inference_bench.api.protocols import StreamEvent, TextRun, event_of

MAX_LESSONS: Final = 8  # this many in a row without a hit between them, and the stream is not one that repeats itself
_MAX_PLACES: Final = 4  # a short text may also stand elsewhere in its chunk (as "id" does); no more places are tried
_PROBE: Final = "another text"
_NOTHING_ELSE: Final = StreamEvent()[3:]
_LF: Final = 10
_END_OF_PIECE: Final = b"\0"  # stands in no JSON, and so in no piece that is of the form
# Nine digits at most: what is larger may be past the bound of a count, which the reader decides.
_NUMBER: Final = rb"(0|[1-9][0-9]{0,8})"
_COUNTS: Final = re.compile(_NUMBER + rb',"completion_tokens":' + _NUMBER + rb"\}\}")
_USAGE: Final = re.compile(
    rb',"usage":\{"prompt_tokens":(?:0|[1-9][0-9]{0,8}),"total_tokens":' + _COUNTS.pattern + rb"\Z"
)


class TextReader(Protocol):
    """What a template asks of the reader of whole chunks."""

    @property
    def continuous(self) -> bool:
        """Whether tokens are told by the running count in each chunk's usage; else each chunk with text tells alike."""

    def text_of(self, chunk: JsonObject) -> object:
        """Return what stands where a chunk keeps its text, None where there is no such place. Changes nothing."""

    def difference(self, running: int | None, has_text: bool) -> int | None:
        """Take a chunk's running count (None: it tells none) and return the chunk's tokens."""


class TextTemplate:
    """The bytes around the text of one stream's chunks; `opening` and `closing` are the framing's, around a payload."""

    __slots__ = (
        "_after",
        "_before",
        "_closing",
        "_counted",
        "_cut",
        "_form",
        "_lessons",
        "_limit",
        "_middle",
        "_opening",
        "_reader",
        "_running",
        "_size",
        "_tokens",
        "_total",
        "_whole",
    )

    def __init__(self, reader: TextReader, opening: bytes, closing: bytes, limit: int) -> None:
        self._reader = reader
        self._counted = reader.continuous
        self._opening = opening
        self._closing = closing
        self._limit = limit
        self._lessons = MAX_LESSONS
        self._before: bytes | None = None  # up to and with the quote that opens the text; None: nothing learned yet
        self._size = 0
        self._after = b""  # from the quote that closes the text to the end: what the next piece should end with
        self._cut = 0  # where the text's closing quote ends, counted from the end
        self._tokens: int | None = None  # of each chunk, where they are not counted
        self._middle = b""  # with running usage: from the quote that closes the text to the total
        self._form = b""  # with running usage: `_after`, to be filled in with total and running count
        self._total = 0  # with running usage: the counts that `_after` tells
        self._running: int | None = None
        self._whole = b""  # a whole piece, to be filled in with the text and, with running usage, with the two counts

    def read(self, piece: bytes) -> StreamEvent | None:
        """Return the event of a piece that is one chunk of the learned form; None leaves it to the long way."""
        size = self._size
        if piece[:size] != self._before or len(piece) > self._limit:
            return None
        # With running usage the end is foretold, one token on: a third of the price of reading the counts.
        if not piece.endswith(self._after) and not self._recount(piece):
            return None
        token = piece[size - 1 : self._cut]
        if _LF in token:
            return None  # several events in one piece
        try:
            text = orjson.loads(token)
        except orjson.JSONDecodeError:
            return None
        self._lessons = MAX_LESSONS
        tokens = self._tokens
        if self._counted:
            running = self._running
            tokens = self._reader.difference(running, text != "")
            if running is not None:
                self._running = running = running + 1
                self._total = total = self._total + 1
                self._after = after = self._form % (total, running)
                self._cut = 1 - len(after)
        return event_of((text, "", tokens, None, None, False, None, None))

    def read_run(self, pieces: Sequence[bytes]) -> TextRun | None:
        """Read the first few of these pieces, as many as are of the learned form, one token on each time.

        Equal to reading one after the other. None when the first is not such a piece, or a text among them is odd.
        """
        if self._before is None or not pieces or not pieces[0].endswith(self._after):
            return None
        sizes = [*map(len, pieces)]
        most = 2 * (self._size + len(self._after))  # a longer one is two chunks, or may well be left to `read`
        if max(sizes) > most:
            pieces = pieces[: next(at for at, size in enumerate(sizes) if size > most)]
        inner = self._inner(pieces)
        written = (self._whole * len(pieces)) % self._filling(inner)
        if written != _END_OF_PIECE.join((*pieces, b"")):
            same = [*map(eq, pieces, written.split(_END_OF_PIECE))]
            del inner[same.index(False) :]
        joined = b'"\n,"'.join(inner)
        if not inner or len(joined) + self._size + len(self._after) > self._limit:
            return None
        try:
            texts = orjson.loads(b'["' + joined + b'"\n]')
        except orjson.JSONDecodeError:
            return None
        if len(texts) != len(inner) or set(map(type, texts)) != {str}:
            return None
        return self._passed(texts)

    def _inner(self, pieces: Sequence[bytes]) -> list[bytes]:
        """Return what stands in each of these pieces where its text would be, without the quotes around it."""
        size, behind = self._size, len(self._after)
        if self._running is None:
            return [*map(itemgetter(slice(size, -behind)), pieces)]
        inner: list[bytes] = []
        behind -= len(b"%d%d" % (self._total, self._running))
        while len(inner) < len(pieces):
            total, running = self._total + len(inner), self._running + len(inner)
            digits = len(str(total)), len(str(running))
            alike = len(inner) + min(10 ** digits[0] - total, 10 ** digits[1] - running)
            end = -(behind + sum(digits))
            inner += map(itemgetter(slice(size, end)), pieces[len(inner) : alike])
        return inner

    def _filling(self, inner: list[bytes]) -> tuple[bytes | int, ...]:
        """Return what fills in one `_whole` after the other: these texts, and the counts to come if any are told."""
        if self._running is None:
            return tuple(inner)
        filling: list[bytes | int] = [0] * (3 * len(inner))
        filling[0::3] = inner
        filling[1::3] = range(self._total, self._total + len(inner))
        filling[2::3] = range(self._running, self._running + len(inner))
        return tuple(filling)

    def _passed(self, texts: list[str]) -> TextRun:
        """Be where reading these texts one after the other would have led."""
        self._lessons = MAX_LESSONS
        running = self._running
        if not self._counted:
            return TextRun(texts, self._tokens, self._tokens)
        first = self._reader.difference(running, any(texts))
        if running is None:
            return TextRun(texts, None, None)
        last = running + len(texts) - 1
        self._reader.difference(last, True)
        self._foretell(self._total + len(texts), last + 1)
        return TextRun(texts, first, 1)

    def learn(self, payload: bytes, event: StreamEvent) -> None:
        """Take the form of a chunk that was read the long way, if it told a text (and tokens) and nothing else."""
        text = event.text
        if not text or not self._lessons or text == _PROBE or event.reasoning or event[3:] != _NOTHING_ELSE:
            return
        self._lessons -= 1
        token = orjson.dumps(text)
        at = -1
        for _ in range(_MAX_PLACES):
            at = payload.find(token, at + 1)
            if at < 0:
                return
            before, after = payload[: at + 1], payload[at + len(token) - 1 :]
            try:
                chunk = orjson.loads(before + _PROBE.encode() + after)
            except orjson.JSONDecodeError:
                continue
            if self._reader.text_of(chunk) == _PROBE:
                self._tokens = event.tokens
                self._keep(before, after, chunk.get("usage") is not None)
                return

    def _keep(self, before: bytes, after: bytes, has_usage: bool) -> None:
        counts = _USAGE.search(after) if self._counted else None
        if counts is None and has_usage and self._counted:
            return  # counts told in a form that is not known here
        self._before = self._opening + before
        self._size = len(self._before)
        if counts is None:
            self._middle = b""
            self._running = None
            self._after = after + self._closing
            self._cut = 1 - len(self._after)
            form = _unfilled(self._after)
        else:
            self._middle = after[: counts.start(1)]
            self._form = _unfilled(self._middle) + b'%d,"completion_tokens":%d}}' + self._closing
            self._foretell(int(counts[1]) + 1, int(counts[2]) + 1)
            form = self._form
        self._whole = _unfilled(self._before) + b"%b" + form + _END_OF_PIECE

    def _foretell(self, total: int, running: int) -> None:
        self._total = total
        self._running = running
        self._after = self._form % (total, running)
        self._cut = 1 - len(self._after)

    def _recount(self, piece: bytes) -> bool:
        """Put right what was foretold, from the counts that end this piece; say whether such counts are there."""
        middle = self._middle
        if not middle or piece.find(_LF) != len(piece) - len(self._closing):
            return False
        at = piece.find(middle, self._size)
        counts = _COUNTS.match(piece, at + len(middle)) if at >= 0 else None
        if counts is None or piece[counts.end() :] != self._closing:
            return False
        self._foretell(int(counts[1]), int(counts[2]))
        return True


def _unfilled(form: bytes) -> bytes:
    """Return these bytes as a part of a form in which they are to stand as they are."""
    return form.replace(b"%", b"%%")
