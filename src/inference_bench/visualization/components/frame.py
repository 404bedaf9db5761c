"""A whole screen as rows of pieces, drawn so that it holds even where a terminal thinks differently about a width.

Terminals and tables disagree about some characters (vowel signs of Indian scripts, counting rods). On a terminal each
row is therefore erased before it is drawn, and each edge goes to its own column whatever stands before it; with the
terminal's wrapping off (`live_screen`) a wrong width costs a character at an edge, and never a line.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from rich.console import Console, ConsoleOptions, RenderResult
from rich.control import Control
from rich.segment import ControlType, Segment
from rich.text import Text

_TO_THE_WHOLE_LINE = 2
_ERASE = Control((ControlType.ERASE_IN_LINE, _TO_THE_WHOLE_LINE))


class Frame:
    """Rows of pieces that stand side by side. Where a row has several, the last character of each is its edge."""

    def __init__(self, rows: Sequence[Sequence[Text]]) -> None:
        self._rows = rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the rows; to what is no terminal, without the cursor's movements."""
        for row in self._rows:
            yield _ERASE
            ends = list(accumulate(piece.cell_len for piece in row))
            for piece, end in zip(row, ends, strict=True):
                if len(row) == 1 or not piece:
                    yield from _segments(piece, console)
                    continue
                within, edge = piece.divide([len(piece) - 1])
                yield from _segments(within, console)
                yield Control.move_to_column(end - 1)
                yield from _segments(edge, console)
            yield Segment.line()


def _segments(piece: Text, console: Console) -> Iterable[Segment]:
    """Return what draws a piece; a text without spans would render without its own style."""
    if piece.spans:
        return piece.render(console)
    return (Segment(piece.plain, console.get_style(piece.style)),)
