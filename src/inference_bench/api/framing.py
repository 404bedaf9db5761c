"""HTTP/1.1 response framing: where the head ends, how the body is delimited, when it is complete.

Nothing of the content is looked at. This is the only parsing done on the measured path between two reads, so the
common case (one whole chunk in one read) is a find, an int and a slice. Sources: RFC 9112 sections 6 and 7.
"""

from typing import Final

MAX_HEAD: Final = 64 * 1024
MAX_CHUNK_LINE: Final = 4 * 1024
_HEX: Final = frozenset(b"0123456789abcdefABCDEF")


def _is_number(text: str) -> bool:
    # str.isdigit alone is true for superscripts, which int() refuses.
    return text.isascii() and text.isdigit() and len(text) <= 18


class FramingError(Exception):
    """The bytes are not an HTTP/1.1 response."""


class ResponseHead:
    """Status and headers of one response; header names lower-case, repeated ones joined by a comma."""

    __slots__ = ("headers", "http10", "status")

    def __init__(self, raw: bytes) -> None:
        lines = raw.decode("latin-1").split("\r\n")
        parts = lines[0].split(" ", 2)
        if len(parts) < 2 or not parts[0].startswith("HTTP/1.") or not (_is_number(parts[1]) and len(parts[1]) == 3):
            raise FramingError("the answer does not begin with an HTTP/1.1 status line")
        self.http10 = parts[0] == "HTTP/1.0"
        self.status = int(parts[1])
        self.headers: dict[str, str] = {}
        for line in lines[1:]:
            if not line:
                continue
            name, colon, value = line.partition(":")
            if not colon or not name or name != name.strip():
                raise FramingError("the answer has a malformed header line")
            key = name.lower()
            value = value.strip()
            self.headers[key] = f"{self.headers[key]}, {value}" if key in self.headers else value

    @property
    def keep_alive(self) -> bool:
        """Whether the server will keep the connection open after this response."""
        tokens = {token.strip().lower() for token in self.headers.get("connection", "").split(",")}
        return "keep-alive" in tokens if self.http10 else "close" not in tokens


def one_chunk(buffer: bytearray, count: int) -> bytes:
    """Return the content when the first `count` bytes are exactly one whole chunk, else nothing.

    Only for a body that stands at the beginning of a chunk (`Body.between_chunks`). This is what nearly every read of
    a token stream brings, so it is decided with a find, an int and one copy; anything else goes to `Body.feed`.
    """
    cut = buffer.find(b"\r\n", 1, 18)
    if cut < 0 or buffer[0] not in _HEX:
        return b""
    try:
        size = int(buffer[:cut], 16)
    except ValueError:
        return b""
    if size <= 0 or count != cut + 4 + size or buffer[count - 2] != 13 or buffer[count - 1] != 10:
        return b""
    return bytes(buffer[cut + 2 : count - 2])


class Body:
    """A body whose end is told by its length, by chunks, or by the end of the connection."""

    __slots__ = ("_chunk_left", "_left", "_mode", "_rest", "_trailers", "complete")

    def __init__(self, head: ResponseHead) -> None:
        self.complete = False
        self._rest = b""  # an unfinished chunk-size line, chunk end or trailer line
        self._chunk_left = 0
        self._left = 0
        self._trailers = False
        self._mode = self._mode_of(head)

    def _mode_of(self, head: ResponseHead) -> str:
        if head.status in (204, 304):
            self.complete = True
            return "length"
        coding = head.headers.get("transfer-encoding", "").lower()
        if coding:
            if coding.split(",")[-1].strip() != "chunked":
                raise FramingError("the answer uses a transfer coding other than chunked")
            return "chunked"
        length = head.headers.get("content-length")
        if length is None:
            return "close"
        first = length.split(",")[0].strip()
        if not _is_number(first) or any(part.strip() != first for part in length.split(",")):
            raise FramingError("the answer has a malformed content-length")
        self._left = int(first)
        self.complete = self._left == 0
        return "length"

    @property
    def between_chunks(self) -> bool:
        """Whether the next byte begins a new chunk."""
        return self._mode == "chunked" and not (self._chunk_left or self._rest or self._trailers)

    @property
    def self_delimiting(self) -> bool:
        """Whether the end can be told without the connection ending."""
        return self._mode != "close"

    def feed(self, data: bytes) -> bytes:
        """Take raw bytes, return the content in them; sets `complete` at the end of the body."""
        if self._mode == "chunked":
            return self._feed_chunks(data)
        if self._mode == "close":
            return data
        if len(data) > self._left:
            raise FramingError("the answer is longer than its content-length")
        self._left -= len(data)
        self.complete = self._left == 0
        return data

    def end_of_connection(self) -> bool:
        """Say that the server closed; return whether the body was whole."""
        if self._mode == "close":
            self.complete = True
        return self.complete

    def _feed_chunks(self, data: bytes) -> bytes:
        data = self._rest + data
        self._rest = b""
        content: list[bytes] = []
        at = 0
        while at < len(data) or not self._chunk_left:
            if self._chunk_left:
                # `_chunk_left` counts the CRLF that closes the chunk as well.
                take = min(self._chunk_left, len(data) - at)
                content_end = at + max(0, min(take, self._chunk_left - 2))
                content.append(data[at:content_end])
                for offset in range(content_end, at + take):
                    if data[offset] != (13 if self._chunk_left - (offset - at) == 2 else 10):
                        raise FramingError("a chunk is not closed by CRLF")
                self._chunk_left -= take
                at += take
                continue
            end = data.find(b"\n", at)
            if end < 0:
                if len(data) - at > MAX_CHUNK_LINE:
                    raise FramingError("a chunk-size line is too long")
                self._rest = data[at:]
                break
            line = data[at:end].rstrip(b"\r")
            at = end + 1
            if self._line(line):
                if at < len(data):
                    raise FramingError("bytes follow the end of the answer")
                break
        return content[0] if len(content) == 1 else b"".join(content)

    def _line(self, line: bytes) -> bool:
        """Take one chunk-size or trailer line; True at the end of the body."""
        if self._trailers:
            self.complete = not line
            return self.complete
        size = line.split(b";", 1)[0].strip()
        if not size or not _HEX.issuperset(size) or len(size) > 15:
            raise FramingError("a chunk size is not hexadecimal")
        count = int(size, 16)
        if count:
            self._chunk_left = count + 2
        else:
            self._trailers = True
        return False
