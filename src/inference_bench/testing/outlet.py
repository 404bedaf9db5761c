"""A pipe out of a worker that measuring never waits for. Standard library only."""

import contextlib
import fcntl
import os
import select
from collections import deque
from typing import Any, Final

from inference_bench.testing.frames import encode

PIPE_BYTES: Final = 1 << 20
# Of one worker. A thousand long answers that end together are a few hundred MiB: those must still pass.
MOST_UNSENT_BYTES: Final = 1 << 30
HOLD_SECONDS: Final = 0.1


class Outlet:
    """A pipe that is never waited for: what it does not take now is kept and sent when it can be written.

    `unsent_bytes` is what is kept. From `MOST_UNSENT_BYTES` on it is `full`: its owner should measure no more until
    the reader has caught up, for nothing that was measured may be dropped, and memory is not endless.
    """

    def __init__(self, fd: int, *, most_unsent_bytes: int = MOST_UNSENT_BYTES) -> None:
        self.fd = fd
        os.set_blocking(fd, False)
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):  # only a larger buffer: the default works too
                fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._left: deque[memoryview] = deque()
        self._limit = most_unsent_bytes
        self.unsent_bytes = 0
        self._most_unsent_bytes = 0

    @property
    def full(self) -> bool:
        """Whether no more should be kept."""
        return self.unsent_bytes >= self._limit

    def send(self, message: tuple[Any, ...]) -> None:
        """Queue a message and write what the pipe takes."""
        frame = memoryview(encode(message))
        self._left.append(frame)
        self.unsent_bytes += len(frame)
        self.flush()
        self._most_unsent_bytes = max(self._most_unsent_bytes, self.unsent_bytes)

    def flush(self) -> None:
        """Write as much as the pipe takes."""
        while self._left:
            try:
                written = os.write(self.fd, self._left[0])
            except BlockingIOError:
                return
            self.unsent_bytes -= written
            if written == len(self._left[0]):
                self._left.popleft()
            else:
                self._left[0] = self._left[0][written:]

    def wait(self, seconds: float) -> None:
        """Write as the pipe takes it, for as long as it is full and at most for about this time."""
        select.select((), (self.fd,), (), seconds)
        self.flush()

    def drain(self) -> None:
        """Write all that is left, waiting for the reader."""
        os.set_blocking(self.fd, True)
        self.flush()

    def take_most_unsent(self) -> int:
        """Return the most bytes that were kept since this was last asked."""
        most = max(self._most_unsent_bytes, self.unsent_bytes)
        self._most_unsent_bytes = self.unsent_bytes
        return most
