"""Where things stand: side by side when each has room, else one below the other; headings between them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.live.plain import one_line

ROOMY: Final = 56  # columns that a request or an answer needs to be read beside another
STACKED_MOST: Final = 120  # wider lines than these are hard to follow
_GAP: Final = 3
_TITLE = 200  # characters; the engine's version is its server's word
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Room:
    """How much room there is: the width in columns, and whether things may stand side by side at all."""

    width: int
    beside: bool

    @classmethod
    def of(cls, console: Console) -> "Room":
        """Return a console's room; what is not a terminal gets everything one below the other."""
        return cls(console.width, console.is_terminal)

    @property
    def line(self) -> int:
        """The width of something that stands alone."""
        return min(self.width, STACKED_MOST)


def arrange(
    things: Sequence[T], draw: Callable[[T, int], RenderableType], room: Room, *, each: int = ROOMY
) -> RenderableType:
    """Draw things side by side when each can have `each` columns, else stacked; `draw(thing, width)` draws one."""
    count = len(things)
    width = (room.width - _GAP * (count - 1)) // max(1, count)
    if not room.beside or count < 2 or width < each:
        return Group(*(part for thing in things for part in (draw(thing, room.line), Text())))
    grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for _ in things:
        grid.add_column(width=width, overflow="fold")
    grid.add_row(*(draw(thing, width) for thing in things))
    return Group(grid, Text())


def heading(title: str, width: int, *, style: str = "bold") -> Text:
    """Return a title with a line behind it, `width` columns in all."""
    shown = Text(one_line(title, _TITLE), style=style, no_wrap=True, overflow="ellipsis")
    shown.truncate(width, overflow="ellipsis")
    rest = width - shown.cell_len - 1
    if rest > 1:
        shown.append(" " + "─" * rest, style="dim")
    return shown


def section(title: str, width: int) -> Group:
    """Return the title of a part of the output."""
    return Group(Text(f"{title}\n{'═' * min(width, len(title))}", style="bold cyan"), Text())


def labelled(rows: Sequence[tuple[str, RenderableType]], *, label: int) -> Table:
    """Return rows of a label of so many columns and what stands beside it."""
    grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column(width=label, style="dim", overflow="fold")
    grid.add_column(overflow="fold")
    for name, shown in rows:
        grid.add_row(Text(name), shown)
    return grid
