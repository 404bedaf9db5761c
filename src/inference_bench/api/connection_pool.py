"""The connections of one worker: set up, kept idle, taken, dropped. No request and no answer passes through here."""

import os
import ssl
from collections.abc import Collection, Sequence

from inference_bench.api.connection import Connection, State
from inference_bench.api.poller import READABLE, WRITABLE, Poller
from inference_bench.api.targets import Target


class ConnectionPool:
    """Connections by descriptor, and per target the idle ones and how many are being opened. Without a cap:
    the plan decides how many there are, and the machine's limits are checked before the run.
    """

    def __init__(self, targets: Sequence[Target], poller: Poller, *, stamps: bool) -> None:
        self._targets = targets
        self._contexts = [target.tls_context() for target in targets]
        self._poller = poller
        self._stamps = stamps
        self._idle: list[list[Connection]] = [[] for _ in targets]
        self.by_fd: dict[int, Connection] = {}
        self.opening = [0] * len(targets)

    def at_hand(self, target: int) -> int:
        """Connections to this target that are idle or being opened."""
        return len(self._idle[target]) + self.opening[target]

    def open(self, target: int, now_ns: int) -> None:
        """Begin a connection. Raises OSError when the attempt fails at once."""
        spec = self._targets[target]
        connection = Connection(target, spec, self._contexts[target], stamps=self._stamps, now_ns=now_ns)
        self.by_fd[connection.fd] = connection
        self.opening[target] += 1
        self._poller.register(connection.fd, WRITABLE)

    def set_up(self, connection: Connection, mask: int, now_ns: int) -> bool:
        """Take a connection's set-up on by what its socket is ready for; True once it is done and idle.

        Raises OSError when it cannot be made, ssl.SSLError when TLS fails.
        """
        if connection.state is State.CONNECTING:
            code = connection.connect_error()
            if code:
                raise OSError(code, os.strerror(code))
            if connection.is_tls:
                connection.state = State.HANDSHAKE
                self._poller.modify(connection.fd, READABLE)
                connection.handshake()
                return False
        else:
            if mask & WRITABLE:
                connection.flush()
            if not mask & ~WRITABLE:
                return False
            data = connection.receive()
            if not data:
                raise ssl.SSLError("the server closed during the TLS handshake")
            if not connection.feed_handshake(data):
                return False
        self.opening[connection.target] -= 1
        connection.connected_ns = now_ns
        self._poller.modify(connection.fd, READABLE)
        self.give_idle(connection)
        return True

    def give_idle(self, connection: Connection) -> None:
        """Keep a connection for the next request."""
        connection.state = State.IDLE
        self._idle[connection.target].append(connection)

    def take_idle(self, target: int) -> Connection | None:
        """Take the connection used last, the one least likely to have been closed by the server meanwhile."""
        idle = self._idle[target]
        return idle.pop() if idle else None

    def close_idle(self, except_targets: Collection[int]) -> None:
        """Close the idle connections to all other targets."""
        for target, idle in enumerate(self._idle):
            if target not in except_targets:
                for connection in list(idle):
                    self.drop(connection)

    def drop(self, connection: Connection) -> None:
        """Close a connection, whatever its state."""
        if connection.state in (State.CONNECTING, State.HANDSHAKE):
            self.opening[connection.target] -= 1
        elif connection.state is State.IDLE and connection in self._idle[connection.target]:
            self._idle[connection.target].remove(connection)
        del self.by_fd[connection.fd]
        self._poller.unregister(connection.fd)
        connection.close()
