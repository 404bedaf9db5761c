"""A menu and a line of text on a terminal, by prompt_toolkit. Signals stay with whoever runs the program."""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.data_structures import Point
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import FormattedTextControl, Layout, Window
from prompt_toolkit.output import ColorDepth
from prompt_toolkit.output.vt100 import Vt100_Output
from prompt_toolkit.utils import get_cwidth

from inference_bench.cli.utils.console_utils import display
from inference_bench.errors import InterruptedRunError

SETTLE_SECONDS: Final = 0.5  # a digit chooses after this, so that an Enter typed behind it is not the next menu's


class _Interrupted(Exception):  # noqa: N818 - a way out, not an error: prompt_toolkit wants a class to raise
    """Ctrl-C, or the program's own stop."""


class _Menu:
    """The state of one menu: where the bar is, and what was said about a key that means nothing."""

    def __init__(self, title: str, labels: Sequence[str]) -> None:
        self.title = title
        self.labels = labels
        self.place = 0
        self.hint = ""
        self._settling: asyncio.TimerHandle | None = None

    def fragments(self, width: int) -> StyleAndTextTuples:
        """Return the lines, each cut to the width."""
        made: StyleAndTextTuples = [("bold", f"{_cut(self.title, width)}\n")]
        for place, label in enumerate(self.labels):
            mark = "›" if place == self.place else " "
            style = "reverse" if place == self.place else ""
            made += [(style, _cut(f" {mark} {place + 1}  {label} ", width)), ("", "\n")]
        keys = f"arrows and Enter, or 1 to {len(self.labels)}; q leaves"
        made.append(("bold" if self.hint else "", _cut(self.hint or f" {keys}", width)))
        return made

    def move(self, by: int) -> None:
        """Move the bar, around the ends."""
        self.settled()
        self.place = (self.place + by) % len(self.labels)
        self.hint = ""

    def digit(self, typed: str, app: Application[int | None]) -> None:
        """Go to this number, and choose it when no Enter and no other key comes soon."""
        self.settled()
        if not 1 <= int(typed) <= len(self.labels):
            self.refuse(typed)
            return
        self.place = int(typed) - 1
        self.hint = ""
        self._settling = asyncio.get_running_loop().call_later(SETTLE_SECONDS, _leave, app, self.place)

    def refuse(self, typed: str) -> None:
        """Say what is possible."""
        self.settled()
        said = repr(typed) if typed.isprintable() and typed else "this key"
        self.hint = f" {said} means nothing here: 1 to {len(self.labels)}, arrows and Enter, q leaves"

    def settled(self) -> None:
        """Forget a digit that waits for its Enter."""
        if self._settling is not None:
            self._settling.cancel()


async def choose_by_keys(title: str, options: Sequence[tuple[str, str]], stop: asyncio.Event) -> str | None:
    """Show the menu until something is chosen; nothing of it stays on the screen. Raises InterruptedRunError."""
    menu = _Menu(title, [label for _, label in options])
    output = _output()
    control = FormattedTextControl(
        lambda: menu.fragments(output.get_size().columns),
        get_cursor_position=lambda: Point(0, menu.place + 1),
        show_cursor=False,
        focusable=True,
    )
    app: Application[int | None] = Application(
        Layout(Window(control, dont_extend_height=True)),
        key_bindings=_menu_keys(menu),
        erase_when_done=True,
        color_depth=_colours(),
        output=output,
    )
    try:
        async with _ended_by(stop, app):
            place = await app.run_async(handle_sigint=False)
    except _Interrupted:
        raise InterruptedRunError("interrupted") from None
    finally:
        menu.settled()
    return None if place is None else options[place][0]


async def text_by_keys(prompt: str, stop: asyncio.Event) -> str | None:
    """Ask for a line, which can be edited; it stays on the screen. None: the input ended.

    Raises InterruptedRunError.
    """
    session: PromptSession[str] = PromptSession(
        color_depth=_colours(), output=_output(), interrupt_exception=_Interrupted, reserve_space_for_menu=0
    )
    try:
        async with _ended_by(stop, session.app):
            return await session.prompt_async(prompt, handle_sigint=False)
    except EOFError:
        return None
    except _Interrupted:
        raise InterruptedRunError("interrupted") from None


def _menu_keys(menu: _Menu) -> KeyBindings:
    keys = KeyBindings()

    @keys.add("up")
    @keys.add("k")
    @keys.add("s-tab")
    def up(_event: KeyPressEvent) -> None:
        menu.move(-1)

    @keys.add("down")
    @keys.add("j")
    @keys.add("tab")
    def down(_event: KeyPressEvent) -> None:
        menu.move(1)

    @keys.add("enter")
    def enter(event: KeyPressEvent) -> None:
        menu.settled()
        _leave(event.app, menu.place)

    @keys.add("q")
    @keys.add("Q")
    @keys.add("c-d")
    def leave(event: KeyPressEvent) -> None:
        menu.settled()
        _leave(event.app, None)

    @keys.add("c-c")
    def interrupt(event: KeyPressEvent) -> None:
        _interrupt(event.app)

    @keys.add(Keys.Any)
    def other(event: KeyPressEvent) -> None:
        if len(event.data) == 1 and event.data in "0123456789":
            menu.digit(event.data, event.app)
        else:
            menu.refuse(event.data)

    return keys


@asynccontextmanager
async def _ended_by(stop: asyncio.Event, app: Application[Any]) -> AsyncIterator[None]:
    """While the block runs, let `stop` end the application as Ctrl-C does."""

    async def watch() -> None:
        await stop.wait()
        _interrupt(app)

    if stop.is_set():
        raise _Interrupted
    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()


def _leave(app: Application[Any], result: int | None) -> None:
    if app.is_running and app.future is not None and not app.future.done():
        app.exit(result=result)


def _interrupt(app: Application[Any]) -> None:
    if app.is_running and app.future is not None and not app.future.done():
        app.exit(exception=_Interrupted())


def _output() -> Vt100_Output:
    output = Vt100_Output.from_pty(sys.stdout)
    # Asking where the cursor is would make the terminal type an answer, into whatever reads next.
    output.enable_cpr = False
    return output


def _colours() -> ColorDepth | None:
    """Return no colours where none are wanted; else what the terminal and NO_COLOR say."""
    return ColorDepth.DEPTH_1_BIT if display.no_color else None


def _cut(text: str, width: int) -> str:
    """Return as much of the text as fits, by the cells that its characters take."""
    room = max(1, width - 1)  # the last column is left free: a full line would wrap on some terminals
    if get_cwidth(text) <= room:
        return text
    kept = ""
    for character in text:
        if get_cwidth(kept) + get_cwidth(character) > room - 1:
            break
        kept += character
    return f"{kept}…"
