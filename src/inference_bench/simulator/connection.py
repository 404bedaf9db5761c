"""One HTTP/1.1 connection: bytes to requests (httptools), responses to bytes, keep-alive.

Pipelining is refused: a second request before the first is answered gets 400 after that answer, and the connection
ends. Bodies and heads are bounded. What is answered is decided by the application; when tokens are written, elsewhere.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from time import monotonic_ns
from typing import Protocol

import httptools

from inference_bench.simulator.messages import Headers, Reply, Request, head_bytes, text_reply

MAX_HEAD_BYTES = 64 * 1024
LINGER_S = 2.0
LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = ("transfer-encoding", "chunked")
CLOSE = ("connection", "close")
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Application(Protocol):
    """Answers requests: an engine."""

    def accept(self) -> bool:
        """Say whether a connection just opened is kept."""

    def handle(self, request: Request, exchange: "Exchange") -> None:
        """Answer one request, now or over time."""


class Exchange:
    """The answer to one request. It outlives nothing: once ended or lost, writing to it does nothing."""

    def __init__(self, connection: "Connection", request: Request, keep_alive: bool) -> None:
        self.request = request
        self.open = True
        self.on_lost: Callable[[], None] | None = None
        self.drop_after_s: float | None = None
        self._connection = connection
        self._keep_alive = keep_alive
        self._chunked = request.http11
        self._pending_head = b""

    def reply(self, reply: Reply) -> None:
        """Send a whole response."""
        keep_alive = self._keep_alive and not reply.close
        length = ("content-length", str(len(reply.body)))
        head = head_bytes(reply.status, (*reply.headers, length, *(() if keep_alive else (CLOSE,))))
        body = b"" if self.request.method == "HEAD" else reply.body
        self._connection.write(head + body)
        self._end(keep_alive)

    def begin(self, headers: Headers, *, deferred: bool) -> None:
        """Start a streamed 200 response; a deferred head leaves with the first chunk."""
        keep_alive = self._keep_alive and self._chunked
        framing = (CHUNKED,) if self._chunked else ()
        self._pending_head = head_bytes(200, (*headers, *framing, *(() if keep_alive else (CLOSE,))))
        if not deferred:
            self.flush_head()

    def begin_raw(self, status: int, headers: Headers) -> None:
        """Hold back a head whose framing the caller has chosen; `raw` sends it."""
        self._pending_head = head_bytes(status, headers)

    def flush_head(self) -> None:
        """Send the head if it is still held back."""
        if self._pending_head and self.open:
            head, self._pending_head = self._pending_head, b""
            self._connection.write(head)

    def write(self, payload: bytes) -> int:
        """Write one chunk; return the monotonic clock just before it went to the kernel."""
        data = b"%x\r\n%b\r\n" % (len(payload), payload) if self._chunked else payload
        if self._pending_head:
            data, self._pending_head = self._pending_head + data, b""
        stamp_ns = monotonic_ns()
        if self.open:
            self._connection.write(data)
        return stamp_ns

    def end(self, payloads: list[bytes]) -> int:
        """Write the last chunks and the end of the body in one go; return the clock just before."""
        if self._chunked:
            data = b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in payloads if part]) + LAST_CHUNK
        else:
            data = b"".join(payloads)
        data, self._pending_head = self._pending_head + data, b""
        stamp_ns = monotonic_ns()
        if self.open:
            self._connection.write(data)
            self._end(self._keep_alive and self._chunked)
        return stamp_ns

    def raw(self, data: bytes) -> None:
        """Write bytes as they are, outside all framing."""
        if self.open:
            self.flush_head()
            self._connection.write(data)

    def abort(self, *, reset: bool) -> None:
        """Close the connection in the middle of the answer: FIN after what was written, or RST at once."""
        if self.open:
            self.open = False
            self.on_lost = None
            self._connection.close(reset=reset)

    def lost(self) -> None:
        """The client has gone away."""
        if self.open:
            self.open = False
            if self.on_lost is not None:
                self.on_lost()

    @property
    def held_back(self) -> bool:
        """Whether the kernel did not take everything at once: the client reads too slowly."""
        return self._connection.ever_paused

    def _end(self, keep_alive: bool) -> None:
        self.open = False
        self.on_lost = None
        self._connection.answered(keep_alive, self.drop_after_s)


class Connection(asyncio.Protocol):
    """Reads requests one after the other and hands each to the application with its Exchange."""

    def __init__(self, app: Application, open_ones: set["Connection"], max_body: int, too_large: Reply) -> None:
        """Serve `app`; `open_ones` holds this connection while it is open."""
        self._app = app
        self._open_ones = open_ones
        self._max_body = max_body
        self._too_large = too_large
        self._parser = httptools.HttpRequestParser(self)
        self._exchange: Exchange | None = None
        self._unhandled: Exchange | None = None
        self._reset_message()
        self._pipelined = False
        self._closing = False
        self.ever_paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the socket: no Nagle; tell at once when the kernel does not take all bytes."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport.set_write_buffer_limits(high=0)
        self._open_ones.add(self)
        if not self._app.accept():
            self.close(reset=True)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Tell the answer under way that nobody listens any more."""
        self._closing = True
        self._open_ones.discard(self)
        if self._exchange is not None:
            self._exchange.lost()

    def pause_writing(self) -> None:
        """Remember that the kernel's buffer was full (asyncio keeps the rest)."""
        self.ever_paused = True

    def data_received(self, data: bytes) -> None:
        """Parse; the callbacks below do the rest."""
        if self._closing:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserCallbackError:
            raise  # a defect of ours, not of the request
        except httptools.HttpParserUpgrade:
            self._refuse(text_reply(400, "upgrading the connection is not supported"))
        except httptools.HttpParserError as error:
            self._refuse(text_reply(400, f"invalid HTTP request received: {error}"[:200]))
        if self._unhandled is not None:
            exchange, self._unhandled = self._unhandled, None
            self._app.handle(exchange.request, exchange)

    # -- httptools callbacks ------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A request begins; refuse it when the one before is still unanswered."""
        if self._exchange is not None:
            self._pipelined = True
        else:
            self._reset_message()

    def on_url(self, url: bytes) -> None:
        """Collect the request target."""
        self._url += url
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        """Collect one header."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")
        self._count_head(len(name) + len(value))

    def on_headers_complete(self) -> None:
        """Answer an Expect: 100-continue; refuse a body announced as too large."""
        if self._pipelined or self._closing:
            return
        length = self._headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._max_body:
            self._refuse(self._too_large)
        elif self._headers.get("expect", "").lower() == "100-continue":
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Collect a part of the body."""
        if self._pipelined or self._closing:
            return
        self._body += body
        if len(self._body) > self._max_body:
            self._refuse(self._too_large)

    def on_message_complete(self) -> None:
        """Note the request; it is handled outside the parser, so that an error there is not taken for a bad request."""
        if self._pipelined or self._closing:
            return
        request = Request(
            method=self._parser.get_method().decode("latin-1"),
            path=self._url.split(b"?", 1)[0].decode("latin-1"),
            headers=self._headers,
            body=bytes(self._body),
            received_ns=monotonic_ns(),
            http11=self._parser.get_http_version() == "1.1",
        )
        self._exchange = self._unhandled = Exchange(self, request, self._parser.should_keep_alive())

    # -- writing ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> None:
        """Hand bytes to the kernel; what it does not take at once asyncio keeps and sends later."""
        if not self._transport.is_closing():
            self._transport.write(data)

    def answered(self, keep_alive: bool, drop_after_s: float | None) -> None:
        """The answer is complete: wait for the next request, or close."""
        self._exchange = None
        if self._pipelined:
            self._refuse(text_reply(400, "pipelining is not supported"))
        elif not keep_alive:
            self.close(reset=False)
        elif drop_after_s is not None:
            asyncio.get_running_loop().call_later(drop_after_s, self._drop_idle)

    def close(self, *, reset: bool) -> None:
        """Close the connection: FIN after what was written, or RST at once."""
        self._closing = True
        if reset:
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            self._transport.abort()
        else:
            self._transport.close()

    def _drop_idle(self) -> None:
        if self._exchange is None and not self._closing:
            self.close(reset=False)

    def _refuse(self, reply: Reply) -> None:
        """Answer a request that never became one, and close; behind an answer under way, close after it."""
        if self._closing:
            return
        if self._exchange is not None:
            self._pipelined = True
            return
        length = ("content-length", str(len(reply.body)))
        self.write(head_bytes(reply.status, (*reply.headers, length, CLOSE)) + reply.body)
        self._closing = True
        # Closing while the client still sends would reset the connection and lose the reply: end our side only.
        self._transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, self._transport.close)

    def _reset_message(self) -> None:
        self._url = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()
        self._head_bytes = 0

    def _count_head(self, size: int) -> None:
        self._head_bytes += size
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(text_reply(431, "request head too large"))
