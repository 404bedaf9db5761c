"""What was said, in frames: a bubble for each speaker, side by side where there is room, else below one another."""

from collections.abc import Sequence
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from inference_bench.live.lane import Lane
from inference_bench.visualization.components import race_words as words
from inference_bench.visualization.components.lane_view import LaneView
from inference_bench.visualization.components.wrapping import cut, fitted, head_lines, tail_lines
from inference_bench.visualization.theme import BAD

LEAST_BUBBLE: Final = 38  # columns that a bubble needs to stand beside another
_TROUBLE_ROWS: Final = 3
_LEAST_NAME: Final = 18  # cells of a name that a long state may not take
_NOTHING: Final = Text()


def per_row(width: int, bubbles: int) -> int:
    """Return how many bubbles stand side by side: all of them, or two and two, or one below the other."""
    fitting = max(1, min(bubbles, width // LEAST_BUBBLE))
    rows = -(-bubbles // fitting)
    return -(-bubbles // rows)  # spread evenly: four of which three would fit stand two and two


def bubble(
    title: str, lines: Sequence[Text], width: int, *, colour: str, state: Text = _NOTHING, foot: str = ""
) -> list[Text]:
    """Return a frame of exactly `width` cells around the lines; the title and the state above, the foot below."""
    inner = max(0, width - 4)
    said = state.copy()
    said.truncate(max(0, width - 8 - min(_LEAST_NAME, cell_len(title))), overflow="ellipsis")
    name = cut(title, max(0, width - 8 - said.cell_len))
    rule = "─" * max(0, width - 6 - cell_len(name) - said.cell_len - (1 if said.plain else -1))
    shown = [Text(" "), said, Text(" ")] if said.plain else []
    top = Text.assemble(("╭─ ", colour), (name, f"bold {colour}"), (f" {rule}", colour), *shown, ("╮", colour))
    below = cut(f" {foot} ", max(0, width - 3)) if foot else ""
    bottom = Text.assemble(("╰─", colour), below, ("─" * max(0, width - 3 - cell_len(below)), colour), ("╯", colour))
    edge = Text("│", style=colour)
    within = [Text.assemble(edge, " ", fitted(line, inner), " ", edge) for line in lines]
    return [fitted(line, width) for line in (top, *within, bottom)]


def streaming_bubble(view: LaneView, width: int, height: int, past: str = "") -> list[Text]:
    """Return `height` lines: a lane's bubble while its answer comes in, the end of it in sight.

    What was said before fills the room above it, as far as there is any.
    """
    inner, rows = max(1, width - 4), max(0, height - 2)
    body = view.answer(inner, rows)
    blank = 0
    while blank < len(body) and not body[-1 - blank].plain:
        blank += 1
    before = tail_lines(past, inner, blank - 1) if past else ()
    if before:
        said = body[: len(body) - blank]
        body = [*(Text(line, style="dim") for line in before), Text("─" * inner, style="dim"), *said]
        body += [Text()] * (rows - len(body))
    made = _lane_bubble(view, body, width)
    return [*made, *[Text(" " * width)] * (height - len(made))][:height]


def finished_bubbles(views: Sequence[LaneView], width: int, most_rows: int) -> list[list[Text]]:
    """Return the bubbles of a turn that is over, as rows of pieces: how each answer begins, or what went wrong."""
    made: list[list[Text]] = []
    side = per_row(width, len(views))
    for at in range(0, len(views), side):
        row = views[at : at + side]
        widths = shares(width, side)[: len(row)]
        bodies = [_body(view.lane, max(1, share - 4), most_rows) for view, share in zip(row, widths, strict=True)]
        height = max(map(len, bodies))
        drawn = [
            _lane_bubble(view, [*body, *[Text()] * (height - len(body))], share)
            for view, body, share in zip(row, bodies, widths, strict=True)
        ]
        made += beside(drawn)
    return made


def asked_bubble(text: str, width: int, most_rows: int) -> list[list[Text]]:
    """Return the bubble of whoever asked, on the right, as rows of pieces."""
    room = max(1, width * 3 // 4 if width >= LEAST_BUBBLE else width)
    lines = head_lines(text, max(1, room - 4), most_rows)
    own = min(room, max(12, *(cell_len(line) + 4 for line in lines)))
    drawn = bubble("You", [Text(line) for line in lines], own, colour="bold")
    return [[Text(" " * (width - own)), line] for line in drawn]


def beside(blocks: Sequence[Sequence[Text]]) -> list[list[Text]]:
    """Return blocks of lines of one height side by side, as rows of pieces."""
    return [list(row) for row in zip(*blocks, strict=True)]


def shares(whole: int, parts: int) -> list[int]:
    """Return the widths of so many parts of a whole, as even as whole numbers can be."""
    return [whole // parts + (place < whole % parts) for place in range(parts)]


def figures(lane: Lane, width: int) -> str:
    """Return what stands below a bubble, the most wanted first and as much as fits; nothing for one that is down."""
    if lane.facts.down is not None:
        return ""
    shown = words.ttft_words(lane)
    for more in (words.rate_words(lane), words.count_words(lane)):
        if cell_len(shown) + 3 + cell_len(more) <= width:
            shown = f"{shown} · {more}"
    return shown


def _lane_bubble(view: LaneView, lines: Sequence[Text], width: int) -> list[Text]:
    foot = figures(view.lane, width - 6)
    return bubble(view.title, lines, width, colour=view.style.colour, state=view.state, foot=foot)


def _body(lane: Lane, width: int, most_rows: int) -> list[Text]:
    trouble = words.trouble_words(lane)
    bad = [] if trouble is None else head_lines(trouble, width, _TROUBLE_ROWS)
    text = lane.text.strip()
    if lane.cut:  # its beginning is gone
        said = ("…", *tail_lines(text, width, most_rows - 1))
    else:
        said = head_lines(text, width, most_rows) if text else ()
    return [*map(Text, said), *(Text(line, style=f"bold {BAD}") for line in bad)]
