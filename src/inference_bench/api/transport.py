"""The measured exchange: a selector loop that sends prepared requests and notes when which bytes came back.

Between a read and its stamp nothing is parsed; after it only HTTP framing is. What the bytes mean is for a decoder in
another process. The loop knows no schedule: it sends what it is given, now. Connections are kept and reused; a reset
of a reused connection before any response byte is re-sent once on a fresh one, and nothing else is ever retried.
"""

import ssl
import time
from collections import deque
from collections.abc import Callable, Collection, Sequence

from inference_bench.api.clock import SO_TIMESTAMPNS, STAMP_FORMAT, STAMP_SPACE, KernelStamps, WallAnchor
from inference_bench.api.connection import BUFFER, VIEW, Connection, State, reason
from inference_bench.api.connection_pool import ConnectionPool
from inference_bench.api.deadlines import expired
from inference_bench.api.exchange import Job, RawExchange, Timeouts
from inference_bench.api.framing import FramingError, one_chunk
from inference_bench.api.poller import READABLE, WRITABLE, Poller
from inference_bench.api.protocols import ErrorClass
from inference_bench.api.targets import Target

SWEEP_NS = 200_000_000
RESAMPLE_NS = 1_000_000_000
SET_UP_PAUSE_NS = 100_000_000
_NANOSECONDS = 1_000_000_000
_BUFFERS = [BUFFER]
_unpack_stamp = STAMP_FORMAT.unpack

Tap = Callable[[RawExchange, bytes, int], None]
Watch = Callable[[], None]


class Transport:
    """A single-threaded loop over all connections of one worker.

    `finished` collects exchanges that ended, well or badly, in the order they ended. `tap`, when set, is called with
    (exchange, piece, arrival_ns) after each piece of body content was stamped. `reads` counts what was read of answers;
    `unstamped` those of them that should have brought a kernel stamp and did not: the clock at the read stood in.
    """

    def __init__(self, targets: Sequence[Target], timeouts: Timeouts, *, stamps: bool, tap: Tap | None = None) -> None:
        self._timeouts = timeouts
        self._tap = tap
        self._poller = Poller()
        self._stamps = KernelStamps() if stamps else None
        self._pool = ConnectionPool(targets, self._poller, stamps=stamps)
        self._watches: dict[int, Watch] = {}
        self._waiting: list[deque[RawExchange]] = [deque() for _ in targets]
        self._next_sweep = 0
        self._next_resample = time.monotonic_ns() + RESAMPLE_NS
        self._set_up_failed = [-SET_UP_PAUSE_NS] * len(targets)
        self.anchor = WallAnchor()
        self.finished: list[RawExchange] = []
        self.in_flight = 0
        self.reads = 0
        self.unstamped = 0

    # -- what the owner of the loop calls ------------------------------------------------------------------------

    def submit(self, job: Job) -> None:
        """Send this request now, on an idle connection or a new one."""
        exchange = RawExchange(job)
        self.in_flight += 1
        self._dispatch(exchange)

    def prepare(self, target: int, count: int) -> None:
        """Have at least `count` connections to this target idle or being opened.

        Not for a moment after a set-up to it failed: a server that refuses is not to be flooded with attempts.
        """
        if time.monotonic_ns() - self._set_up_failed[target] < SET_UP_PAUSE_NS:
            return
        for _ in range(count - self._pool.at_hand(target)):
            self._open(target)

    def active_since(self, since_ns: int) -> int:
        """Connections that carry an answer and have read something since then."""
        connections = self._pool.by_fd.values()
        return sum(one.state is State.BUSY and one.last_activity_ns >= since_ns for one in connections)

    def at_hand(self, target: int) -> int:
        """Connections to this target that are idle or being opened."""
        return self._pool.at_hand(target)

    def close_idle(self, *, except_targets: Collection[int] = ()) -> None:
        """Close the connections that carry nothing, but for those to the targets still in use."""
        self._pool.close_idle(except_targets)

    def watch(self, fd: int, callback: Watch) -> None:
        """Call back from `poll` whenever this descriptor can be read."""
        self._watches[fd] = callback
        self._poller.register(fd, READABLE)

    def unwatch(self, fd: int) -> None:
        """Stop watching a descriptor."""
        if self._watches.pop(fd, None) is not None:
            self._poller.unregister(fd)

    @property
    def open_sockets(self) -> int:
        """Connections open or being opened."""
        return len(self._pool.by_fd)

    @property
    def opening(self) -> int:
        """Connections being opened."""
        return sum(self._pool.opening)

    def poll(self, until_ns: int) -> None:
        """Wait for and handle what happens, at the latest until `until_ns`; returns early when anything happened."""
        events = self._poller.wait(until_ns)
        connections = self._pool.by_fd
        for fd, mask in events:
            connection = connections.get(fd)
            if connection is None:
                watch = self._watches.get(fd)
                if watch is not None:
                    watch()
            elif connection.state is State.BUSY and mask == READABLE:
                self._read(connection)
            else:
                self._advance(connection, mask)
        now = time.monotonic_ns()
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP_NS
            self._sweep(now)

    def abandon(self, message: str) -> None:
        """Give up everything in flight (class `interrupted`) and close all connections."""
        now = time.monotonic_ns()
        for connection in list(self._pool.by_fd.values()):
            if connection.exchange is not None:
                self._finish(connection, ErrorClass.INTERRUPTED, message, now, close=True)
            else:
                self._pool.drop(connection)
        for waiting in self._waiting:
            while waiting:
                self._end(waiting.popleft(), ErrorClass.INTERRUPTED, message, now)

    def close(self) -> None:
        """Close everything; what was in flight is reported as interrupted."""
        self.abandon("closed")
        self._poller.close()
        if self._stamps is not None:
            self._stamps.close()

    # -- connections ---------------------------------------------------------------------------------------------

    def _dispatch(self, exchange: RawExchange) -> None:
        target = exchange.job.target
        connection = None if exchange.reconnected else self._pool.take_idle(target)
        if connection is not None:
            self._send(connection, exchange)
            return
        self._waiting[target].append(exchange)
        # A connection already being opened ahead of need serves the first that waits.
        if self._pool.opening[target] < len(self._waiting[target]):
            self._open(target)

    def _open(self, target: int) -> None:
        now = time.monotonic_ns()
        try:
            self._pool.open(target, now)
        except OSError as error:
            self._fail_waiting(target, ErrorClass.CONNECT, reason(error), now, started_ns=now)

    def _advance(self, connection: Connection, mask: int) -> None:
        """Everything but the plain read of an answer."""
        now = time.monotonic_ns()
        try:
            if connection.state in (State.CONNECTING, State.HANDSHAKE):
                if self._pool.set_up(connection, mask, now):
                    self._ready(connection)
            elif connection.state is State.BUSY:
                if mask & WRITABLE and connection.to_send:
                    self._send_more(connection)
                if mask & ~WRITABLE:
                    self._read(connection)
            else:
                self._idle_event(connection)
        except ssl.SSLError as error:
            self._broken(connection, ErrorClass.TLS, reason(error), now)
        except OSError as error:
            self._broken(connection, ErrorClass.CONNECT, reason(error), now)

    def _ready(self, connection: Connection) -> None:
        """A new connection is idle: the first exchange that waits goes on it."""
        waiting = self._waiting[connection.target]
        if waiting:
            idle = self._pool.take_idle(connection.target)
            assert idle is connection
            self._send(connection, waiting.popleft())

    def _broken(self, connection: Connection, failure: ErrorClass, message: str, now: int) -> None:
        """The connection failed; its exchange, or the first that waits for it, fails with it."""
        if connection.exchange is not None:
            self._finish(connection, failure, message, now, close=True)
            return
        opening = connection.state in (State.CONNECTING, State.HANDSHAKE)
        self._pool.drop(connection)
        if opening:
            self._fail_waiting(connection.target, failure, message, now, started_ns=connection.connect_start_ns)

    def _fail_waiting(self, target: int, failure: ErrorClass, message: str, now: int, *, started_ns: int) -> None:
        """A set-up failed: an exchange fails with it, unless enough other connections are still being set up."""
        self._set_up_failed[target] = now
        waiting = self._waiting[target]
        if len(waiting) > self._pool.opening[target]:
            exchange = waiting.popleft()
            exchange.connect_start_ns = started_ns
            self._end(exchange, failure, message, now)

    def _idle_event(self, connection: Connection) -> None:
        """An idle connection became readable: the server closed it, or talks out of turn; or TLS sent a ticket."""
        data = connection.receive()
        if connection.is_tls and data:
            plain, closed = connection.decrypt(data)
            if not plain and not closed:
                return
        self._pool.drop(connection)

    # -- exchanges -----------------------------------------------------------------------------------------------

    def _send(self, connection: Connection, exchange: RawExchange) -> None:
        connection.exchange = exchange
        connection.state = State.BUSY
        connection.head = b""
        connection.body = None
        connection.between_chunks = False
        if connection.requests:
            exchange.reused = True
        else:
            exchange.connect_start_ns = connection.connect_start_ns
            exchange.connected_ns = connection.connected_ns
        connection.requests += 1
        now = time.monotonic_ns()
        connection.last_activity_ns = now
        if not exchange.sent_ns:
            exchange.sent_ns = now
        self._write(connection, exchange.job.payload)

    def _write(self, connection: Connection, payload: bytes) -> None:
        try:
            connection.write(payload)
        except ssl.SSLError as error:
            self._broken(connection, ErrorClass.TLS, reason(error), time.monotonic_ns())
        except OSError:
            # The server stopped reading. It may have answered before (too large a request): the next read tells.
            connection.to_send = b""
        else:
            if connection.to_send:
                self._poller.modify(connection.fd, READABLE | WRITABLE)

    def _send_more(self, connection: Connection) -> None:
        try:
            connection.flush()
        except OSError:
            connection.to_send = b""
        if not connection.to_send:
            self._poller.modify(connection.fd, READABLE)

    def _read(self, connection: Connection) -> None:
        """Read once and stamp; the whole of what happens for nearly every chunk of a stream is in this function."""
        exchange = connection.exchange
        assert exchange is not None
        ancillary = None
        try:
            if connection.stamped:
                count, ancillary, _, _ = connection.sock.recvmsg_into(_BUFFERS, STAMP_SPACE)
            else:
                count = connection.sock.recv_into(BUFFER)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(connection, reason(error), time.monotonic_ns())
            return
        arrival = now = time.monotonic_ns()
        if ancillary and ancillary[0][1] == SO_TIMESTAMPNS:
            seconds, nanoseconds = _unpack_stamp(ancillary[0][2])
            arrival = seconds * _NANOSECONDS + nanoseconds - self.anchor.offset_ns
        elif count and connection.stamped:
            self.unstamped += 1
        connection.last_activity_ns = now
        self.reads += 1
        exchange.bytes_received += count
        if connection.between_chunks:
            piece = one_chunk(BUFFER, count)
            if piece:
                self._keep(exchange, piece, arrival, now)
                return
        self._take(connection, exchange, bytes(VIEW[:count]), arrival, now)

    def _keep(self, exchange: RawExchange, piece: bytes, arrival: int, now: int) -> None:
        exchange.pieces.append(piece)
        exchange.arrivals.append(arrival)
        exchange.reads.append(now)
        if self._tap is not None:
            self._tap(exchange, piece, arrival)

    def _take(self, connection: Connection, exchange: RawExchange, data: bytes, arrival: int, now: int) -> None:
        """Take a read that was not simply the next chunk: head, pieces of chunks, TLS, the end."""
        closed = not data
        try:
            if connection.is_tls:
                data, closed_tls = connection.decrypt(data)
                closed = closed or closed_tls
            if data and connection.body is None:
                data = connection.take_head(data, exchange)
            body = connection.body
            if body is not None:
                piece = body.feed(data) if data else b""
                if piece:
                    self._keep(exchange, piece, arrival, now)
                connection.between_chunks = body.between_chunks and not connection.is_tls
        except ssl.SSLError as error:
            self._finish(connection, ErrorClass.TLS, reason(error), now, close=True)
            return
        except FramingError as error:
            self._finish(connection, ErrorClass.MALFORMED, str(error), now, close=True)
            return
        if body is not None and body.complete:
            self._finish(connection, None, "", arrival, close=closed)
        elif closed:
            self._closed(connection, now)

    def _closed(self, connection: Connection, now: int) -> None:
        exchange = connection.exchange
        assert exchange is not None
        if connection.body is not None:
            if connection.body.end_of_connection():
                self._finish(connection, None, "", now, close=True)
            else:
                self._finish(connection, ErrorClass.TRUNCATED, "the connection closed mid-answer", now, close=True)
        else:
            self._lost(connection, "the server closed the connection without an answer", now)

    def _lost(self, connection: Connection, message: str, now: int) -> None:
        """A reset or close: re-send once when an idle reused connection died under us, else fail."""
        exchange = connection.exchange
        assert exchange is not None
        answered = connection.body is not None or connection.head
        if exchange.reused and not exchange.reconnected and not answered:
            exchange.reconnected = True
            exchange.reused = False
            connection.exchange = None
            self._pool.drop(connection)
            self._dispatch(exchange)
            return
        self._finish(connection, ErrorClass.RESET, message, now, close=True)

    def _finish(
        self, connection: Connection, failure: ErrorClass | None, message: str, at_ns: int, *, close: bool
    ) -> None:
        exchange = connection.exchange
        assert exchange is not None
        body = connection.body
        reusable = not close and failure is None and body is not None and body.self_delimiting
        connection.exchange = None
        if reusable and connection.keep_alive and not connection.to_send:
            self._pool.give_idle(connection)
        else:
            self._pool.drop(connection)
        self._end(exchange, failure, message, at_ns)

    def _end(self, exchange: RawExchange, failure: ErrorClass | None, message: str, at_ns: int) -> None:
        exchange.end_ns = at_ns
        exchange.failure = failure
        exchange.message = message
        self.in_flight -= 1
        self.finished.append(exchange)

    # -- time-outs -----------------------------------------------------------------------------------------------

    def _sweep(self, now: int) -> None:
        """Give up what has outlived its bounds: a time-out is late by a sweep's interval at most."""
        if now >= self._next_resample:
            self._next_resample = now + RESAMPLE_NS
            self.anchor.resample()
        for connection in list(self._pool.by_fd.values()):
            over = expired(connection, self._timeouts, now)
            if over is not None:
                self._broken(connection, *over, now)
