"""HTTP messages as values: a request that has been read, a reply that will be sent, the bytes of a response head.

No socket and no engine's JSON here.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus

import orjson

from inference_bench import __version__

SIMULATED_HEADER = ("x-simulated-engine", f"inference-bench-simulator/{__version__}")
JSON_TYPE = ("content-type", "application/json")
TEXT_TYPE = ("content-type", "text/plain; charset=utf-8")
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """One HTTP request, read completely. Header names are lower-case; `received_ns` is when its last byte was read."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    received_ns: int
    http11: bool = True

    @property
    def content_type(self) -> str:
        """The media type of the body, lower-case and without parameters; empty when there is none."""
        return self.headers.get("content-type", "").split(";", 1)[0].strip().lower()


@dataclass(frozen=True, slots=True)
class Reply:
    """One whole HTTP response; content-length, date and the simulator's header are added when it is sent."""

    status: int
    body: bytes = b""
    headers: Headers = ()
    close: bool = field(default=False, kw_only=True)


class RefusedRequest(Exception):  # noqa: N818 - it is control flow towards a reply, not a defect
    """Ends the handling of a request with a reply in the engine's own error shape."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(f"HTTP {reply.status}")
        self.reply = reply


def json_reply(status: int, value: object, headers: Headers = ()) -> Reply:
    """Return a JSON reply; key order is kept."""
    return Reply(status, orjson.dumps(value), (JSON_TYPE, *headers))


def text_reply(status: int, text: str, headers: Headers = ()) -> Reply:
    """Return a plain-text reply."""
    return Reply(status, text.encode(), (TEXT_TYPE, *headers))


_date_cache: tuple[int, str] = (0, "")


def http_date() -> str:
    """Return the Date header of this second."""
    global _date_cache  # noqa: PLW0603 - one formatted date per second serves every connection
    second = int(time.time())
    if _date_cache[0] != second:
        _date_cache = (second, formatdate(second, usegmt=True))
    return _date_cache[1]


def head_bytes(status: int, headers: Headers) -> bytes:
    """Return status line and headers, with date and the simulator's own header, up to the empty line."""
    lines = [f"HTTP/1.1 {status} {_phrase(status)}", f"date: {http_date()}"]
    lines += [f"{name}: {value}" for name, value in (*headers, SIMULATED_HEADER)]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
