"""One TCP or TLS connection of the measured transport: it moves bytes and notes when they came.

No decoding, no waiting: every socket is non-blocking and driven by the transport's selector loop. TLS runs
over memory BIOs, so that the kernel stamp of the encrypted segment is still at hand when its content is read.
"""

import errno
import socket
import ssl
from enum import IntEnum

from inference_bench.api.clock import enable_kernel_stamps
from inference_bench.api.exchange import RawExchange
from inference_bench.api.framing import MAX_HEAD, Body, FramingError, ResponseHead
from inference_bench.api.targets import Target

READ_SIZE = 64 * 1024
# All reads of a process go into one buffer that stays in the cache, and the few bytes that came are copied out of it.
# A buffer of its own for each read costs more than the read: shrunk to what came, it leaves the heap full of holes.
BUFFER = bytearray(READ_SIZE)
VIEW = memoryview(BUFFER)
_REASONS = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by the server",
    errno.EPIPE: "the server had closed the connection",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network unreachable",
    errno.EMFILE: "too many open files",
    errno.EADDRNOTAVAIL: "no local port left",
    errno.ETIMEDOUT: "connection timed out",
}


class State(IntEnum):
    """Where a connection stands."""

    CONNECTING = 0
    HANDSHAKE = 1
    IDLE = 2
    BUSY = 3
    CLOSED = 4


class Connection:
    """A non-blocking socket to one target, with the exchange it carries at the moment."""

    __slots__ = (
        "_incoming",
        "_outgoing",
        "_tls",
        "between_chunks",
        "body",
        "connect_start_ns",
        "connected_ns",
        "exchange",
        "fd",
        "head",
        "keep_alive",
        "last_activity_ns",
        "requests",
        "sock",
        "stamped",
        "state",
        "target",
        "to_send",
    )

    def __init__(self, target: int, spec: Target, context: ssl.SSLContext | None, *, stamps: bool, now_ns: int) -> None:
        self.target = target
        self.sock = socket.socket(spec.family, socket.SOCK_STREAM)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stamped = stamps and enable_kernel_stamps(self.sock)
        self.fd = self.sock.fileno()
        self.state = State.CONNECTING
        self.connect_start_ns = now_ns
        self.connected_ns = 0
        self.last_activity_ns = now_ns
        self.requests = 0
        self.exchange: RawExchange | None = None
        self.body: Body | None = None
        self.between_chunks = False
        self.head = b""
        self.keep_alive = True
        self.to_send = b""
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._incoming = ssl.MemoryBIO()
            self._outgoing = ssl.MemoryBIO()
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=spec.server_name)
        result = self.sock.connect_ex(spec.sockaddr)
        if result not in (0, errno.EINPROGRESS, errno.EWOULDBLOCK):
            self.sock.close()
            raise OSError(result, errno.errorcode.get(result, "connect failed"))

    def connect_error(self) -> int:
        """Return the errno of the connection attempt, 0 when it succeeded."""
        return self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)

    @property
    def is_tls(self) -> bool:
        """Whether this connection speaks TLS."""
        return self._tls is not None

    def handshake(self) -> bool:
        """Take the handshake as far as the bytes at hand allow; True when done. Raises ssl.SSLError, OSError."""
        assert self._tls is not None
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._queue_tls_output()
            return False
        self._queue_tls_output()
        return True

    def _queue_tls_output(self) -> None:
        self.to_send += self._outgoing.read()
        self.flush()

    def write(self, payload: bytes) -> None:
        """Send what the kernel takes now; the rest waits in `to_send`. Raises OSError, ssl.SSLError."""
        if self._tls is not None:
            self._tls.write(payload)
            self._queue_tls_output()
            return
        self.to_send = payload
        self.flush()

    def flush(self) -> None:
        """Go on sending what is left. Raises OSError."""
        while self.to_send:
            try:
                sent = self.sock.send(self.to_send)
            except BlockingIOError:
                return
            self.to_send = self.to_send[sent:]

    def receive(self) -> bytes:
        """Read once, without a stamp. Empty bytes mean the peer closed. Raises BlockingIOError, OSError."""
        return bytes(VIEW[: self.sock.recv_into(BUFFER)])

    def decrypt(self, data: bytes) -> tuple[bytes, bool]:
        """Return (plain bytes, whether TLS was closed) for received bytes. Raises ssl.SSLError."""
        assert self._tls is not None
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()
        plain: list[bytes] = []
        closed = False
        while True:
            try:
                piece = self._tls.read(READ_SIZE)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                closed = True
                break
            if not piece:
                closed = True
                break
            plain.append(piece)
        return b"".join(plain), closed

    def feed_handshake(self, data: bytes) -> bool:
        """Give received bytes to the handshake; True when it is done. Raises ssl.SSLError, OSError."""
        self._incoming.write(data)
        return self.handshake()

    def take_head(self, data: bytes, exchange: RawExchange) -> bytes:
        """Collect the head of an answer; once it is whole, note it and begin the body. Returns the bytes behind it.

        Raises FramingError.
        """
        self.head += data
        while True:
            end = self.head.find(b"\r\n\r\n")
            if end < 0:
                if len(self.head) > MAX_HEAD:
                    raise FramingError("the head of the answer is too long")
                if not self.head.startswith(b"HTTP/1."[: len(self.head)]):
                    raise FramingError("the answer does not begin with an HTTP/1.1 status line")
                return b""
            head = ResponseHead(self.head[:end])
            rest = self.head[end + 4 :]
            if head.status >= 200:
                break
            self.head = rest  # an interim answer (100 Continue): the real one follows
        self.head = b""
        exchange.status = head.status
        exchange.headers = head.headers
        self.keep_alive = head.keep_alive
        self.body = Body(head)
        return rest

    def close(self) -> None:
        """Close the socket at once."""
        self.state = State.CLOSED
        self.sock.close()


def reason(error: OSError) -> str:
    """Say in plain words why a socket operation failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"TLS certificate refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"cannot resolve: {error.strerror}"
    return _REASONS.get(error.errno or 0, error.strerror or str(error))
