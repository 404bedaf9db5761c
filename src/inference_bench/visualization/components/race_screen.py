"""The race on a terminal: the whole screen at one moment, from the board. It draws and knows nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.console import RenderableType
from rich.text import Text

from inference_bench.live.board import Board
from inference_bench.live.plain import one_line
from inference_bench.visualization.components import race_words as words
from inference_bench.visualization.components.frame import Frame
from inference_bench.visualization.components.lane_view import LaneView, banded, boxed
from inference_bench.visualization.components.wrapping import cut, fitted
from inference_bench.visualization.theme import BAD

LEAST_LANE: Final = 34  # columns that a lane needs to stand beside another
LEAST_BOX: Final = 8  # rows that a frame is worth from
LEAST_BAND: Final = 2  # rows of a stacked lane: its rule and its figures


@dataclass(frozen=True, slots=True)
class RaceMarks:
    """What a screen says beside the race: which heat this is, the keys, and whether it is a recording.

    `recording` says when it was made and by what; None for a race that is happening. `kernel_stamps`: whether arrivals
    are the kernel's stamps, or were taken at the read.
    """

    headline: str = ""
    footer: str = ""
    recording: str | None = None
    kernel_stamps: bool = True


def race_screen(board: Board, now_ns: int, width: int, height: int, *, marks: RaceMarks) -> RenderableType:
    """Return the frame of this moment: `height` lines of `width` cells, neither more nor less."""
    header = _header(board, width, marks)
    room = max(0, height - len(header) - 1)
    above = [[fitted(line, width)] for line in header[: height - 1]]
    return Frame([*above, *_lanes(board, now_ns, width, room), [fitted(_footer(width, marks), width)]][:height])


def _header(board: Board, width: int, marks: RaceMarks) -> list[Text]:
    """Return what stands above the lanes: what this is, what is asked, and what must be known to read it."""
    title = Text()
    if board.heat is not None and board.heat.simulated:
        title.append(f" {words.SIMULATED} ", style="bold reverse").append(" ")
    if marks.recording is not None:
        title.append(f" {words.RECORDING} ", style="bold reverse").append(" ")
    title.append(words.kind_of(board), style="bold")
    if marks.headline:
        title.append(f": {one_line(marks.headline, 400)}")
    lines = [title]
    if marks.recording is not None:
        lines.append(Text(cut(one_line(marks.recording, 400), width)))
    if board.heat is not None:
        lines.append(Text.assemble(("Prompt: ", "bold"), cut(one_line(board.heat.prompt, 2_000), width - 8)))
    lines.append(_note(board, width))
    return lines


def _note(board: Board, width: int) -> Text:
    late = words.late_words(board)
    rule = None if board.podium is None else board.podium.rule
    if late is not None:
        return Text(cut("; ".join(filter(None, (late, rule))), width), style=f"bold {BAD}")
    if rule is not None:
        return Text(cut(rule, width), style="dim")
    return Text(cut(words.SAME_INSTANT, width), style="dim")


def _footer(width: int, marks: RaceMarks) -> Text:
    """Return the keys, and at the other end whose clock the times are of, where there is room for it."""
    keys = Text(cut(one_line(marks.footer, 400), width), style="dim")
    stamps = "arrivals stamped by the kernel" if marks.kernel_stamps else "arrivals stamped at the read"
    room = width - keys.cell_len - cell_len(stamps)
    return keys if room < 2 else keys.append(" " * room + stamps)


def _lanes(board: Board, now_ns: int, width: int, height: int) -> list[list[Text]]:
    """Return the rows of the lanes: side by side where each gets room enough, else stacked."""
    views = [LaneView(board, place, now_ns) for place in range(len(board.lanes))]
    if views and height >= LEAST_BOX and width // len(views) >= LEAST_LANE:
        boxes = [boxed(view, share, height) for view, share in zip(views, _shares(width, len(views)), strict=True)]
        return [list(row) for row in zip(*boxes, strict=True)]
    return [[fitted(line, width)] for line in _stacked(views, width, height)]


def _stacked(views: Sequence[LaneView], width: int, height: int) -> list[Text]:
    if not views or height <= 0:
        return [Text()] * height
    shown = views if height >= LEAST_BAND * len(views) else views[: max(1, (height - 1) // LEAST_BAND)]
    left = len(views) - len(shown)
    rows = _shares(height - (1 if left else 0), len(shown))
    lines = [line for view, share in zip(shown, rows, strict=True) for line in banded(view, width, share)]
    return lines + ([Text(cut(f"and {left} more: this screen is too low for them", width))] if left else [])


def _shares(whole: int, parts: int) -> list[int]:
    return [whole // parts + (place < whole % parts) for place in range(parts)]
