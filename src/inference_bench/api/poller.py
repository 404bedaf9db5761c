"""Waiting for sockets: epoll on Linux, poll elsewhere, with time-outs finer than a millisecond."""

import select
import time
from typing import Final

READABLE: Final = 1  # POLLIN and EPOLLIN have the same value, as have the others
WRITABLE: Final = 4
_FINE_NS: Final = 3_000_000


class Poller:
    """Level-triggered readiness of many descriptors."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if hasattr(select, "epoll") else None
        self._poll = None if self._epoll is not None else select.poll()

    def register(self, fd: int, mask: int) -> None:
        """Watch a descriptor for these conditions."""
        (self._epoll or self._portable).register(fd, mask)

    def modify(self, fd: int, mask: int) -> None:
        """Change what a descriptor is watched for."""
        (self._epoll or self._portable).modify(fd, mask)

    def unregister(self, fd: int) -> None:
        """Stop watching a descriptor."""
        (self._epoll or self._portable).unregister(fd)

    @property
    def _portable(self) -> "select.poll":
        assert self._poll is not None
        return self._poll

    def wait(self, until_ns: int) -> list[tuple[int, int]]:
        """Return (descriptor, conditions) pairs as soon as there are any, at the latest at `until_ns` (monotonic).

        epoll waits in whole milliseconds and rounds up, so the last stretch is waited with select on the epoll
        descriptor itself, which takes microseconds: a send is not late by the timer's grain.
        """
        left = until_ns - time.monotonic_ns()
        if self._epoll is None:
            return self._portable.poll(max(0, left // 1_000_000))
        if left <= 0:
            return self._epoll.poll(0)
        if left < _FINE_NS:
            select.select([self._epoll], [], [], left / 1e9)
            return self._epoll.poll(0)
        return self._epoll.poll((left // 1_000_000 - 1) / 1000)

    def close(self) -> None:
        """Release the descriptor."""
        if self._epoll is not None:
            self._epoll.close()
