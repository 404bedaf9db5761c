"""The screen that follows a show: redrawn a few times a second from its state, never by what happens in it."""

import asyncio
import contextlib
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self

from rich.console import Console, RenderableType
from rich.live import Live

FRAMES_PER_SECOND: Final = 20
# A character that is wider than thought must not push a line onto the next one.
_NO_WRAPPING: Final = "\x1b[?7l"
_WRAPPING: Final = "\x1b[?7h"
_EMPTY: Final = "\x1b[2J"  # after a resize some terminals let the other screen's last frame shine through
Render = Callable[[int, int], RenderableType]


def can_draw(console: Console) -> bool:
    """Whether there is a screen to draw on: a terminal that obeys, and not a file for which colours are forced."""
    return console.file.isatty() and console.is_terminal and not console.is_dumb_terminal


class LiveScreen:
    """Draws `render(width, height)` on the terminal's other screen while the block runs; the size is asked anew for
    each frame, so that a resized terminal is whole again with the next one. Leaves the terminal as it was, whatever
    ends the block. An asynchronous context manager.
    """

    def __init__(self, console: Console, render: Render) -> None:
        self._console = console
        self._render = render
        self._live = Live(
            console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._drawing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._live.start()
        try:
            self._console.file.write(_NO_WRAPPING)
            self.draw()
        except BaseException:
            self._leave()
            raise
        self._drawing = asyncio.create_task(self._draw_on())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            assert self._drawing is not None
            self._drawing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._drawing
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            self._console.file.write(_WRAPPING + _EMPTY)
        finally:
            self._live.stop()

    def draw(self) -> None:
        """Draw one frame now."""
        width, height = self._console.size
        self._live.update(self._render(width, height), refresh=True)

    async def _draw_on(self) -> None:
        while True:
            await asyncio.sleep(1 / FRAMES_PER_SECOND)
            self.draw()
