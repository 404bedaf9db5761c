"""Single keys while a live screen is on: they come at once, unseen, and what was typed ahead does not spill over."""

import asyncio
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_SUSPEND = b"\x00"  # no key: a suspended program would leave the shell on its other screen


@contextmanager
def single_keys(on_key: Callable[[str], None] = lambda _: None) -> Iterator[None]:
    """While the block runs, pass on each typed character; Ctrl-C stays a signal. Without a terminal nothing happens.

    Must be entered inside a running event loop. The terminal's settings are put back, and what is left of the typing
    is dropped, whatever ends the block.
    """
    if not sys.stdin.isatty():
        yield
        return
    import termios  # noqa: PLC0415 - not on every platform
    import tty  # noqa: PLC0415

    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    loop = asyncio.get_running_loop()

    def read() -> None:
        try:
            typed = os.read(fd, 64)
        except OSError:
            typed = b""
        if not typed:  # the terminal is gone
            loop.remove_reader(fd)
        for character in typed.decode(errors="ignore"):
            on_key(character)

    try:
        tty.setcbreak(fd)
        during = termios.tcgetattr(fd)
        during[6][termios.VSUSP] = _SUSPEND
        termios.tcsetattr(fd, termios.TCSADRAIN, during)
        loop.add_reader(fd, read)
        yield
    finally:
        loop.remove_reader(fd)
        termios.tcsetattr(fd, termios.TCSAFLUSH, before)
