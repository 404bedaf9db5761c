"""Lines from standard input without a terminal's keys: from a pipe, a file, or a terminal that cannot do more."""

import asyncio
import os
from typing import Final

from inference_bench.errors import UsageError

LONGEST_LINE: Final = 100_000  # bytes; more is no question that somebody typed
_STDIN: Final = 0


async def typed_line(stop: asyncio.Event) -> str | None:
    """Return the next line without its end; None at the end of the input, and once `stop` is set.

    Only this line is taken: what follows stays for whoever asks next. Bytes that are no UTF-8 become U+FFFD. A line
    longer than LONGEST_LINE raises UsageError.
    """
    line = bytearray()
    while await _readable(stop):
        try:
            byte = os.read(_STDIN, 1)
        except OSError:  # closed, or a terminal that is no longer ours
            byte = b""
        if byte in (b"", b"\n"):
            ended = not byte and not line
            return None if ended else line.decode(errors="replace").rstrip("\r")
        line += byte
        if len(line) > LONGEST_LINE:
            raise UsageError(f"a line of the input is longer than {LONGEST_LINE:,} bytes")
    return None


async def _readable(stop: asyncio.Event) -> bool:
    """Wait until something can be read (True) or `stop` is set (False)."""
    if stop.is_set():
        return False
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    try:
        loop.add_reader(_STDIN, ready.set)
    except OSError:  # a file or /dev/null, which never let anybody wait; or closed, as the read will find
        return True
    waiting = [asyncio.ensure_future(event.wait()) for event in (ready, stop)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(_STDIN)
        for one in waiting:
            one.cancel()
    return not stop.is_set()
