"""One clock for all marks: the host's monotonic clock in integer nanoseconds, and kernel stamps anchored to it.

Linux stamps every received TCP segment in its receive path. A reader that asks for SO_TIMESTAMPNS gets, with each
recvmsg, the stamp of the *newest* byte that was queued, on the wall clock. `WallAnchor` turns such a stamp into
monotonic time; it is re-sampled once a second, so that a stepping or slewing wall clock moves stamps by no more than
what it did within that second, and the samples themselves show a step (see validity).
"""

import socket
import struct
import time
from typing import Final

SO_TIMESTAMPNS: Final = 35  # asm-generic/socket.h; not exported by the socket module before Python 3.14
STAMP_FORMAT: Final = struct.Struct("@qq")  # struct timespec: seconds, nanoseconds
STAMP_SPACE: Final = socket.CMSG_SPACE(STAMP_FORMAT.size) if hasattr(socket, "CMSG_SPACE") else 0

_PATIENCE_NS: Final = 1_000_000_000

monotonic_ns = time.monotonic_ns


def wall_offset_ns() -> int:
    """Return wall clock minus monotonic clock in ns, by the tightest of five bracketed readings."""
    best_width = 1 << 62
    best_offset = 0
    for _ in range(5):
        before = time.monotonic_ns()
        wall = time.time_ns()
        after = time.monotonic_ns()
        if after - before < best_width:
            best_width = after - before
            best_offset = wall - (before + after) // 2
    return best_offset


class WallAnchor:
    """The present difference between the wall clock and the monotonic clock."""

    __slots__ = ("offset_ns",)

    def __init__(self) -> None:
        self.offset_ns = wall_offset_ns()

    def resample(self) -> int:
        """Read both clocks again; return the new offset in ns."""
        self.offset_ns = wall_offset_ns()
        return self.offset_ns


def enable_kernel_stamps(sock: socket.socket) -> bool:
    """Ask for receive stamps on this socket; False where the platform has none."""
    if not STAMP_SPACE:
        return False
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    except OSError:
        return False
    return True


class KernelStamps:
    """Keeps the kernel's receive stamps on for as long as it is open: a socket that asks for them and is never used.

    Linux stamps only while some socket asks, and turns stamping on and off in the background, some milliseconds after
    the first asks or the last is closed. Without one that stays, the first answers of a test bring no stamp.
    `ready` says whether stamps were seen to come.
    """

    __slots__ = ("_keeper", "ready")

    def __init__(self) -> None:
        self._keeper: socket.socket | None = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.ready = enable_kernel_stamps(self._keeper) and _stamps_come()

    def close(self) -> None:
        """Let go of the stamps."""
        if self._keeper is not None:
            self._keeper.close()
            self._keeper = None


def kernel_stamps_work() -> bool:
    """Try it over a loopback TCP connection: whether recvmsg really brings a plausible stamp here."""
    stamps = KernelStamps()
    stamps.close()
    return stamps.ready


def _stamps_come() -> bool:
    """Send segments over a loopback TCP connection until one brings a stamp; False when none has after a second."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as left:
        right, _ = server.accept()
        with right:
            if not enable_kernel_stamps(left):
                return False
            patience = time.monotonic_ns() + _PATIENCE_NS
            while True:
                right.send(b"x")
                _, ancillary, _, _ = left.recvmsg(16, STAMP_SPACE)
                if ancillary and ancillary[0][1] == SO_TIMESTAMPNS and len(ancillary[0][2]) == STAMP_FORMAT.size:
                    seconds, nanoseconds = STAMP_FORMAT.unpack(ancillary[0][2])
                    return bool(abs(seconds * 1_000_000_000 + nanoseconds - time.time_ns()) < 1_000_000_000)
                if time.monotonic_ns() > patience:
                    return False
                time.sleep(0.005)
