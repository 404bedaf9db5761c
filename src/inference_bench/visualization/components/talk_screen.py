"""A talk on a terminal: the whole screen while answers come in, and what stays of a turn when they are there."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.console import Group, RenderableType
from rich.text import Text

from inference_bench.live.board import Board
from inference_bench.live.plain import one_line, plain
from inference_bench.visualization.components import race_words as words
from inference_bench.visualization.components.bubbles import (
    asked_bubble,
    beside,
    finished_bubbles,
    per_row,
    shares,
    streaming_bubble,
)
from inference_bench.visualization.components.frame import Frame
from inference_bench.visualization.components.lane_view import LaneView
from inference_bench.visualization.components.talk_tables import turn_table
from inference_bench.visualization.components.wrapping import cut, fitted, head_lines

ANSWER_ROWS: Final = 12  # of each answer that stay on the normal screen
ASKED_ROWS: Final = 8
PLAIN_CHARACTERS: Final = 6_000  # of each answer where there is no terminal
_LEAST_ROWS: Final = 3  # of a bubble: its frame and one line
_LOW: Final = 8  # rows from which anything but the bubbles has room
_ROOMY: Final = 16  # rows from which the question may take more than one


@dataclass(frozen=True, slots=True)
class TalkMarks:
    """What a screen says beside the talk. `note`: what its times mean; `places`: whether they compare.

    `pasts` is what each lane's service was given as said before, fit to show.
    """

    note: str = ""
    footer: str = ""
    places: bool = False
    pasts: tuple[str, ...] = ()


def talk_screen(board: Board, now_ns: int, width: int, height: int, *, marks: TalkMarks) -> RenderableType:
    """Return the frame of this moment: `height` lines of `width` cells, neither more nor less."""
    header = [headline(board)]
    if height >= _LOW:
        header += [Text(cut(marks.note, width), style="dim"), *_question(board, width, height)]
    footer = [Text(cut(marks.footer, width), style="dim")] if marks.footer else []
    room = max(0, height - len(header) - len(footer))
    above = [[fitted(line, width)] for line in header[: max(0, height - len(footer))]]
    below = [[fitted(line, width)] for line in footer]
    return Frame([*above, *_bubbles(board, now_ns, width, room, marks), *below][:height])


def turn_shown(board: Board, width: int, *, marks: TalkMarks) -> RenderableType:
    """Return what stays of the board's turn in `width` columns: question, bubbles, figures. Bounded in height."""
    asked = "" if board.heat is None else plain(board.heat.prompt).strip()
    views = [LaneView(board, place, 0) for place in range(len(board.lanes))]
    bubbles = [*asked_bubble(asked, width, ASKED_ROWS), *finished_bubbles(views, width, ANSWER_ROWS)]
    return Group(headline(board), Frame(bubbles), *_figures(board, width, marks))


def plain_turn(board: Board, print_line: Callable[[str], None], width: int, *, marks: TalkMarks) -> RenderableType:
    """Print the board's turn line by line, for where there is no terminal; return its figures, to be printed below."""
    print_line(headline(board).plain)
    print_line(f"You: {'' if board.heat is None else plain(board.heat.prompt).strip()}")
    for lane in board.lanes:
        print_line(f"--- {words.name_of(lane.facts)}")
        text = lane.text.strip()
        kept = text[-PLAIN_CHARACTERS:] if lane.cut else text[:PLAIN_CHARACTERS]
        if lane.cut:
            print_line(f"(only the end of {lane.written:,} characters)")
        for line in kept.splitlines():
            print_line(line)
        if len(kept) < len(text) and not lane.cut:
            print_line(f"(and {len(text) - len(kept):,} characters more)")
        trouble = words.trouble_words(lane)
        if trouble is not None:
            print_line(trouble)
    return Group(*_figures(board, width, marks))


def headline(board: Board) -> Text:
    """Return what this is: simulated or not, the kind of talk, its title, which turn."""
    line = Text()
    heat = board.heat
    if heat is None:
        return line
    if heat.simulated:
        line.append(f" {words.SIMULATED} ", style="bold reverse").append(" ")
    numbered = f"turn {heat.number} of {heat.of}" if heat.kind == "conversation" else f"turn {heat.number}"
    titled = f": {one_line(heat.title, 60)}" if heat.title else ""
    return line.append(f"{words.kind_of(board)}{titled}", style="bold").append(f", {numbered}")


def _question(board: Board, width: int, height: int) -> list[Text]:
    asked = "" if board.heat is None else plain(board.heat.prompt).strip()
    lines = head_lines(asked, max(1, width - 5), 3 if height >= _ROOMY else 1)
    return [
        Text.assemble(("You: " if not place else "     ", "bold"), line, style="italic")
        for place, line in enumerate(lines)
    ]


def _bubbles(board: Board, now_ns: int, width: int, height: int, marks: TalkMarks) -> list[list[Text]]:
    """Return the bubbles as `height` rows of pieces; those without room are counted."""
    views = [LaneView(board, place, now_ns) for place in range(len(board.lanes))]
    if not views or height <= 0:
        return [[Text(" " * width)]] * height
    side = per_row(width, len(views))
    rows = [views[at : at + side] for at in range(0, len(views), side)]
    kept = rows
    if height < _LEAST_ROWS * len(rows):
        kept = rows[: max(1, (height - 1) // _LEAST_ROWS)]
    left = len(views) - sum(map(len, kept))
    heights = shares(height - (1 if left else 0), len(kept))
    made: list[list[Text]] = []
    for row, rows_high in zip(kept, heights, strict=True):
        widths = shares(width, side)
        drawn = [
            streaming_bubble(view, share, rows_high, "".join(marks.pasts[view.place : view.place + 1]))
            for view, share in zip(row, widths, strict=False)
        ]
        unused = sum(widths[len(row) :])
        made += beside([*drawn, *([[Text(" " * unused)] * rows_high] if unused else [])])
    more = [[fitted(Text(f"and {left} more: this screen is too low for them"), width)]] if left else []
    return made + more


def _figures(board: Board, width: int, marks: TalkMarks) -> list[RenderableType]:
    made: list[RenderableType] = [turn_table(board, width, places=marks.places)]
    if marks.places and board.podium is not None:
        made.append(Text(f"{board.podium.rule}; one turn proves nothing", style="dim"))
    late = words.late_words(board)
    if late is not None:
        made.append(Text(late, style="bold"))
    return made
