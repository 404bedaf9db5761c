"""Framing of streamed answers: incremental SSE and NDJSON decoders working on bytes.

What lives here: cutting a body that arrives in arbitrary pieces into events (SSE) or lines (NDJSON), within a bound
of memory. What does not: JSON, engines, text; UTF-8 is never decoded here, so a character cut in the middle is whole
again by the time anyone looks at it. Any split of the same bytes yields the same frames.

SSE follows the WHATWG specification (HTML standard, 9.2 Server-sent events) with two deliberate differences: a last
event without its blank line is delivered by `finish` instead of being dropped, and a line that cannot be SSE at all
(HTML, bare JSON, binary rubbish) is told as malformed, once, instead of being silently ignored.
"""

import re
from typing import Final, NamedTuple

DEFAULT_LIMIT: Final = 8 * 1024 * 1024
_BOM: Final = b"\xef\xbb\xbf"
_KEPT_OF_FOREIGN: Final = 64 * 1024
_LF: Final = 10
_CR: Final = 13
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:")
_TOKEN: Final = re.compile(rb"[A-Za-z0-9_-]+")


class SseEvent(NamedTuple):
    """One SSE event: its data (multi-line data joined by a newline) and its type, "" where none was given.

    When `malformed` is set the event is a complaint and not an answer: `data` then holds the first bytes of what was
    refused (nothing for an oversized line).
    """

    data: bytes
    event: str = ""
    malformed: str = ""


class NdjsonLine(NamedTuple):
    """One non-blank line without the white space around it; `malformed` as in SseEvent."""

    data: bytes
    malformed: str = ""


class _Lines:
    """Cuts bytes into lines, holding at most `limit` bytes of an unfinished one.

    A line longer than the limit comes out as None, as soon as it is known to be too long, and once.
    """

    __slots__ = ("_after_cr", "_bare_cr", "_fresh", "_held", "_limit", "_too_long")

    def __init__(self, limit: int, *, bare_cr: bool) -> None:
        self._limit = limit
        self._bare_cr = bare_cr  # SSE ends lines with LF, CRLF or CR; NDJSON with LF alone
        self._held = bytearray()
        self._too_long = False
        self._after_cr = False
        self._fresh = True

    @property
    def clean(self) -> bool:
        """Whether the next byte begins a line and nothing is remembered of the last one."""
        return not (self._held or self._fresh or self._too_long or self._after_cr)

    @property
    def pending(self) -> bool:
        return bool(self._held or self._too_long)

    def split(self, data: bytes) -> list[bytes | None]:
        """Return the lines these bytes complete, without their terminators."""
        if self._bare_cr:
            data = self._unify(data)
        if self.clean and len(data) <= self._limit:
            # Nothing to join and nothing to measure: most pieces, at a third of the price.
            found: list[bytes | None] = [*data.split(b"\n")]
            self._held += found.pop() or b""
            return found
        *ended, rest = data.split(b"\n")
        lines: list[bytes | None] = []
        for piece in ended:
            self._hold(piece, lines)
            if not self._too_long:
                lines.append(self._first(bytes(self._held)))
            self._held.clear()
            self._too_long = False
            self._fresh = False
        self._hold(rest, lines)
        return lines

    def rest(self) -> bytes | None:
        """Return the last line, which no terminator ended; None when there is none."""
        line = self._first(bytes(self._held)) if self._held else None
        self._held.clear()
        return line or None

    def _unify(self, data: bytes) -> bytes:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if _CR in data:
            # The CR ends its line now; whether an LF still belongs to it is only known with the next byte.
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        return data

    def _hold(self, piece: bytes, lines: list[bytes | None]) -> None:
        if self._too_long:
            return
        if len(self._held) + len(piece) > self._limit:
            self._too_long = True
            self._held.clear()
            lines.append(None)
        else:
            self._held += piece

    def _first(self, line: bytes) -> bytes:
        return line.removeprefix(_BOM) if self._fresh else line


class SseDecoder:
    """Incremental SSE decoder. `limit` bounds the bytes of one line and of one event's data.

    `opening` and `closing` are the bytes around the data of a plain event. `idle` is True between two events once the
    first was seen; only then may a piece be taken for a plain event without asking the line machine.
    """

    opening: Final = b"data: "
    closing: Final = b"\n\n"

    __slots__ = ("_data", "_event", "_foreign", "_ignored", "_lines", "_poisoned", "_seen", "_size", "idle", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self.idle = False
        self._lines = _Lines(limit, bare_cr=True)
        self._data: list[bytes] = []
        self._size = 0
        self._event = ""
        self._poisoned = False  # the event being read was refused: drop it up to its blank line
        self._foreign = False  # a line that is not SSE was told already
        self._ignored = b""
        self._seen = False

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished line or event are held."""
        return self._lines.pending or bool(self._data or self._event or self._poisoned)

    def single(self, data: bytes) -> bytes | None:
        """Return the data of the one plain event that this piece is, exactly, or None when it is anything else.

        The common case of a stream (one write, one read, one event) for the price of three slices; on None nothing
        was consumed and `feed` must be given the same piece.
        """
        if self.idle and data[:6] == b"data: " and data[-2:] == b"\n\n":
            payload = data[6:-2]
            if _LF not in payload and _CR not in payload and len(data) <= self.limit:
                return payload
        return None

    def feed(self, data: bytes) -> list[SseEvent]:
        """Return the events these bytes complete."""
        events: list[SseEvent] = []
        for line in self._lines.split(data):
            self._line(line, events)
        self.idle = self._seen and self._lines.clean and not self.pending
        return events

    def finish(self) -> list[SseEvent]:
        """Say that the body has ended; return the event that a missing final newline or blank line held back.

        A body in which no line was SSE yields one malformed event.
        """
        events: list[SseEvent] = []
        rest = self._lines.rest()
        # "da" is the beginning of a field that was cut, not a word of another protocol.
        if rest is not None and not any(field.startswith(rest) and field != rest for field in _FIELDS):
            self._line(rest, events)
        self._line(b"", events)
        if self._ignored and not self._seen and not self._foreign:
            events.append(SseEvent(self._ignored, "", "not an event stream"))
            self._foreign = True
        return events

    def _line(self, line: bytes | None, events: list[SseEvent]) -> None:
        if line is None:
            self._refuse(events)
        elif not line:
            self._dispatch(events)
        elif line.startswith(b"data:"):
            self._append(line[6:] if line[5:6] == b" " else line[5:], events)
        elif line.startswith(b"event:"):
            self._event = line[6:].removeprefix(b" ")[:100].decode("utf-8", "replace")
        elif line == b"data":
            self._append(b"", events)
        elif line == b"event":
            self._event = ""
        elif not line.startswith((b":", b"id:", b"retry:")) and line not in (b"id", b"retry"):
            self._unknown(line, events)

    def _append(self, value: bytes, events: list[SseEvent]) -> None:
        if self._poisoned:
            return
        self._data.append(value)
        self._size += len(value) + 1
        if self._size - 1 > self.limit:
            self._refuse(events)

    def _refuse(self, events: list[SseEvent]) -> None:
        """Drop the event being read; its size is told once, however many of its lines are too long."""
        if not self._poisoned:
            events.append(SseEvent(b"", "", f"an event longer than {self.limit} bytes"))
        self._poisoned = True
        self._data.clear()
        self._size = 0

    def _dispatch(self, events: list[SseEvent]) -> None:
        if self._data:
            events.append(SseEvent(self._data[0] if len(self._data) == 1 else b"\n".join(self._data), self._event))
            self._seen = True
            self._data.clear()
        self._size = 0
        self._event = ""
        self._poisoned = False

    def _unknown(self, line: bytes, events: list[SseEvent]) -> None:
        """A field the specification does not know is ignored; what cannot be a field is told once."""
        if _TOKEN.fullmatch(line.partition(b":")[0]):
            self._ignored = self._ignored or line[:_KEPT_OF_FOREIGN]
        elif not self._foreign:
            self._foreign = True
            events.append(SseEvent(line[:_KEPT_OF_FOREIGN], "", "not an event stream"))


class NdjsonDecoder:
    """Incremental decoder of newline-delimited JSON: one object per line, blank lines skipped.

    `opening`, `closing` and `idle` as in SseDecoder.
    """

    opening: Final = b""
    closing: Final = b"\n"

    __slots__ = ("_lines", "idle", "limit")

    def __init__(self, limit: int = DEFAULT_LIMIT) -> None:
        self.limit = limit
        self._lines = _Lines(limit, bare_cr=False)
        self.idle = False

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished line are held."""
        return self._lines.pending

    def single(self, data: bytes) -> bytes | None:
        """Return the one line that this piece is, exactly, or None when it is anything else (then use `feed`)."""
        if self.idle and data[:1] == b"{" and data[-2:] == b"}\n":
            line = data[:-1]
            if _LF not in line and len(line) <= self.limit:
                return line
        return None

    def feed(self, data: bytes) -> list[NdjsonLine]:
        """Return the lines these bytes complete."""
        found = [self._made(one) for one in self._lines.split(data)]
        self.idle = self._lines.clean
        return [one for one in found if one.data or one.malformed]

    def finish(self) -> list[NdjsonLine]:
        """Say that the body has ended; return the line that a missing final newline held back."""
        rest = self._lines.rest()
        line = self._made(rest) if rest is not None else None
        return [line] if line is not None and line.data else []

    def _made(self, line: bytes | None) -> NdjsonLine:
        if line is None:
            return NdjsonLine(b"", f"a line longer than {self.limit} bytes")
        return NdjsonLine(line.strip())
