"""The two consoles (results on stdout, everything else on stderr), tables, progress, and text that others sent.

Nothing else in the program writes to the terminal by itself. Without a terminal the output is plain: no colours, no
moving bars, progress as an occasional line.
"""

import os
import re
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID
    from rich.table import Table
    from rich.text import Text

_PLAIN_PROGRESS_SECONDS = 10.0
_NO_TERMINAL_WIDTH = 200  # a file or a pipe has no edge at which an address would have to be folded
_ANY_WIDTH = 100_000
# What a terminal could obey, or what makes text read as other than it is: controls and marks of direction.
_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


@dataclass(slots=True)
class Display:
    """How this process talks: the global options --verbose, --quiet and --no-color."""

    verbose: bool = False
    quiet: bool = False
    no_color: bool = False


display = Display()


def reset_display() -> None:
    """Go back to the defaults; a process that runs several commands starts each of them afresh."""
    display.verbose = display.quiet = display.no_color = False


def out() -> "Console":
    """Return the console for results (stdout)."""
    return _console(stderr=False)


def err() -> "Console":
    """Return the console for progress, notes and errors (stderr)."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> "Console":
    # Made at each call, so that it writes to the stream of the moment and obeys the options of the moment.
    from rich.console import Console  # noqa: PLC0415 - keeps --help and --version fast

    stream = sys.stderr if stderr else sys.stdout
    edged = stream is None or stream.isatty() or "COLUMNS" in os.environ
    width = None if edged else _NO_TERMINAL_WIDTH
    return Console(stderr=stderr, color_system=None if display.no_color else "auto", highlight=False, width=width)


def note(message: str) -> None:
    """Say something beside the results: on stderr, not with --quiet. The message is text, not markup."""
    if not display.quiet:
        err().print(_seen(message), markup=False, soft_wrap=True)


def detail(message: str) -> None:
    """Say something that only --verbose asks for."""
    if display.verbose:
        err().print(_seen(message), markup=False, soft_wrap=True, style="dim")


def warn(message: str) -> None:
    """Say what the user must not miss: on stderr, with --quiet too."""
    from rich.text import Text  # noqa: PLC0415

    err().print(Text.assemble(("Warning: ", "bold yellow"), _seen(message)), soft_wrap=True)


def error_line(message: str, hint: str | None = None) -> None:
    """Say what is wrong and what to do about it, on stderr."""
    from rich.text import Text  # noqa: PLC0415

    err().print(Text.assemble(("Error: ", "bold red"), _seen(message)), soft_wrap=True)
    if hint:
        err().print(Text.assemble(("Hint: ", "bold"), _seen(hint)), soft_wrap=True)


def _seen(message: str) -> str:
    """Return a message of ours, lines and all, without what a name or path in it could tell the terminal to do."""
    return _UNSEEN.sub("", message)


def print_json(value: object) -> None:
    """Print plain data as JSON on stdout, without colours, for other programs. Controls are written as escapes."""
    import json  # noqa: PLC0415

    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # Outside its strings JSON holds nothing of these; inside, JSON itself escapes only the first 32.
    sys.stdout.write(_UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text) + "\n")


def clean(value: str, *, limit: int = 200) -> str:
    """Return text that a server sent, fit to show: one line, no control or direction characters, at most `limit` long.

    Escape sequences lose their escape, so that a terminal shows them instead of obeying.
    """
    shown = "".join(
        " " if character.isspace() else character
        for character in value[: 4 * limit]
        if character.isspace() or unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co", "Cn")
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(value) <= 4 * limit else shown[: limit - 1] + "…"


def foreign(value: str, *, limit: int = 200, style: str = "") -> "Text":
    """Return text that a server sent as a Rich text: cleaned, and never read as markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text(clean(value, limit=limit), style=style)


def table(*columns: str, title: str | None = None, right: Sequence[str] = ()) -> "Table":
    """Return an empty table with these columns; those in `right` are aligned right (numbers)."""
    from rich import box  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    made = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def fits(made: "Table") -> bool:
    """Say whether a table has room on stdout without a word cut in two, and its columns that do not wrap whole."""
    from rich.measure import Measurement  # noqa: PLC0415

    console = out()
    roomy = console.options.update(max_width=_ANY_WIDTH)
    return Measurement.get(console, roomy, made).minimum <= console.width


class ProgressLine(Protocol):
    """Something that goes on: tell it how far it is."""

    def update(
        self, completed: float, *, total: float | None = None, description: str | None = None, detail: str = ""
    ) -> None:
        """Say how much is done, of how much, what is being done, and a detail that changes often."""

    def say(self, message: str) -> None:
        """Say something that stays, beside what goes on. The message is text, not markup."""


@contextmanager
def progress(description: str, *, total: float | None = None) -> Iterator[ProgressLine]:
    """Show progress on stderr while the block runs: a bar on a terminal, else a plain line now and then."""
    if display.quiet:
        yield _Silent()
        return
    console = err()
    if not console.is_terminal:
        yield _PlainProgress(description, total)
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn  # noqa: PLC0415
    from rich.table import Column  # noqa: PLC0415

    # The words come last and take what is left: in a narrow terminal they are cut, and the bar and the time stay.
    words = TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True))
    columns = (BarColumn(bar_width=12), TimeElapsedColumn(), words)
    with Progress(*columns, console=console, transient=True, refresh_per_second=4, expand=True) as bar:
        yield _BarProgress(bar, bar.add_task(description, total=total))


class _Silent:
    def update(
        self, completed: float, *, total: float | None = None, description: str | None = None, detail: str = ""
    ) -> None:
        """Say nothing."""

    def say(self, message: str) -> None:
        """Say nothing."""


class _PlainProgress:
    """A line when something new begins, and one every ten seconds."""

    def __init__(self, description: str, total: float | None) -> None:
        self._description = description
        self._total = total
        self._said_at = monotonic()
        note(description)

    def update(
        self, completed: float, *, total: float | None = None, description: str | None = None, detail: str = ""
    ) -> None:
        """Say how far it is, if it is time to."""
        news = description is not None and description != self._description
        self._description = description or self._description
        self._total = total if total is not None else self._total
        if not news and monotonic() - self._said_at < _PLAIN_PROGRESS_SECONDS:
            return
        self._said_at = monotonic()
        share = f" ({100 * completed / self._total:.0f} %)" if self._total else ""
        note(f"{self._description}{detail}{share}")

    def say(self, message: str) -> None:
        """Say it on a line of its own."""
        note(message)


class _BarProgress:
    def __init__(self, bar: "Progress", task: "TaskID") -> None:
        self._bar = bar
        self._task = task
        self._description = bar.tasks[task].description

    def update(
        self, completed: float, *, total: float | None = None, description: str | None = None, detail: str = ""
    ) -> None:
        """Move the bar."""
        self._description = description or self._description
        self._bar.update(self._task, completed=completed, total=total, description=f"{self._description}{detail}")

    def say(self, message: str) -> None:
        """Say it above the bar: through the bar's own console, which would be torn by any other."""
        self._bar.console.print(_seen(message), markup=False)  # wrapped between words: a bar is only on a terminal
