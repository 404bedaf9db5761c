"""One lane of a race as lines of a screen: a box where lanes stand side by side, a band where they are stacked."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from inference_bench.live.board import Board
from inference_bench.live.lane import Lane, Phase
from inference_bench.visualization.components import race_words as words
from inference_bench.visualization.components.wrapping import cut, fitted, head_lines, tail_lines
from inference_bench.visualization.theme import BAD, ServiceStyle, service_styles

_SIGNS: Final = {
    "circle": "●", "square": "■", "diamond": "◆", "triangle-up": "▲", "x": "✖", "cross": "✚",
}  # fmt: skip
_BAD: Final = f"bold {BAD}"
_COLUMN: Final = 18  # cells of each figure on a band's line, so that they stay where they are while they grow
_MOST_TROUBLE: Final = 4  # lines that an error message may take from the answer
_FACT_LINES: Final = 2
_LEAST_TEXT: Final = 3  # lines of the answer that facts may not take


@dataclass(frozen=True, slots=True)
class LaneView:
    """A lane to be drawn: its place on the board, and the time of the frame."""

    board: Board
    place: int
    now_ns: int

    @property
    def lane(self) -> Lane:
        """The lane itself."""
        return self.board.lanes[self.place]

    @property
    def style(self) -> ServiceStyle:
        """Its look, by its place: in a recording, names may be equal."""
        places = [str(place) for place in range(len(self.board.lanes))]
        return service_styles(places)[str(self.place)]

    @property
    def title(self) -> str:
        """Its sign and name; the sign says without colour what the colour says."""
        return f"{_SIGNS[self.style.marker]} {words.name_of(self.lane.facts)}"

    @property
    def state(self) -> Text:
        """Where it is, in words."""
        phase = self.board.phase(self.place, self.now_ns)
        style = _BAD if phase in (Phase.FAILED, Phase.DOWN) else "bold"
        return Text(words.state_words(self.board, self.place, self.now_ns), style=style)

    @property
    def place_mark(self) -> Text:
        """Its place, marked, when the heat is over and it has one."""
        place = words.place_words(self.board, self.place)
        return Text() if place is None else Text(f" {place} ", style="bold reverse")

    @property
    def figures(self) -> list[Text]:
        """TTFT, tokens, rate and elapsed; when the heat is over, the time that places it instead of the last."""
        lane = self.lane
        placed_by = words.time_words(self.board, self.place)
        elapsed = placed_by or f"{words.seconds(lane.elapsed_ms(self.now_ns))} elapsed"
        first = Text(words.ttft_words(lane), style="bold")
        return [first, Text(words.count_words(lane)), Text(words.rate_words(lane)), Text(elapsed)]

    def answer(self, width: int, rows: int) -> list[Text]:
        """Return `rows` lines: the end of the answer, and below it why it went wrong if it did."""
        trouble = words.trouble_words(self.lane)
        lines: list[Text] = []
        if trouble is not None:
            lines = [Text(line, style=_BAD) for line in head_lines(trouble, width, min(rows, _MOST_TROUBLE))]
        above = [Text(line) for line in tail_lines(self.lane.text, width, rows - len(lines))]
        lines = above + lines
        return lines + [Text()] * (rows - len(lines))


def boxed(view: LaneView, width: int, height: int) -> list[Text]:
    """Return `height` lines of exactly `width` cells: the lane in a frame, its facts above, its figures below."""
    colour = view.style.colour
    inner = max(0, width - 4)
    figures = _paired(view.figures, inner)
    room = height - 3 - len(figures)  # without the frame and the state
    facts = _facts(view, inner, min(_FACT_LINES, room - _LEAST_TEXT))
    within = [
        *facts,
        _apart(view.state, view.place_mark, inner),
        *view.answer(inner, max(0, room - len(facts))),
        *figures,
    ]
    edge = Text("│", style=colour)
    name = cut(f" {view.title} ", max(0, width - 4))
    top = Text.assemble(("╭─", colour), (name, f"bold {colour}"), ("─" * (width - 3 - cell_len(name)) + "╮", colour))
    bottom = Text("╰" + "─" * max(0, width - 2) + "╯", style=colour)
    return _exactly([top, *(Text.assemble(edge, " ", fitted(line, inner), " ", edge) for line in within), bottom],
                    width, height)  # fmt: skip


def banded(view: LaneView, width: int, height: int) -> list[Text]:
    """Return `height` lines of exactly `width` cells: name, facts and state on a rule, the figures, the answer."""
    columns = [fitted(part, max(part.cell_len, _COLUMN)) for part in view.figures]
    place = view.place_mark
    whole = sum(part.cell_len for part in (*columns, place)) <= width
    figures = Text.assemble(*columns, place) if whole or not place else Text.assemble(place, " ", *columns)
    return _exactly([_rule(view, width), figures, *view.answer(width, max(0, height - 2))], width, height)


def _rule(view: LaneView, width: int) -> Text:
    colour = view.style.colour
    state = view.state
    state.truncate(max(0, width // 2), overflow="ellipsis")
    room = width - state.cell_len - 6
    name = cut(view.title, room)
    line = Text.assemble(("─ ", colour), (name, f"bold {colour}"), " ")
    for fact in words.facts_words(view.lane.facts):
        if line.cell_len + cell_len(fact) + state.cell_len + 6 > width:
            break
        line.append(f"{'' if line.plain.endswith('  ') else '· '}{fact} ", style="dim")
    line.append("─" * max(0, width - line.cell_len - state.cell_len - 3) + " ", style=colour)
    return Text.assemble(line, state, (" ─", colour))


def _facts(view: LaneView, width: int, rows: int) -> list[Text]:
    facts = [Text(cut(fact, width)) for fact in words.facts_words(view.lane.facts)]
    return [Text(line.plain, style="dim") for line in _packed(facts, width, " · ")[: max(0, rows)]]


def _packed(parts: Sequence[Text], width: int, gap: str) -> list[Text]:
    """Return the parts on as few lines as hold them in order, none broken in two."""
    lines: list[Text] = []
    for part in parts:
        if lines and lines[-1].cell_len + len(gap) + part.cell_len <= width:
            lines[-1] = Text.assemble(lines[-1], gap, part)
        else:
            lines.append(part)
    return lines


def _paired(parts: Sequence[Text], width: int) -> list[Text]:
    """Return the parts two on a line, always on as many lines, so that nothing jumps while they grow."""
    return [_apart(left, right, width) for left, right in zip(parts[::2], parts[1::2], strict=True)]


def _apart(left: Text, right: Text, width: int) -> Text:
    """Return both on one line, at its two ends; what does not fit is cut from the right one."""
    return Text.assemble(left, " " * max(1, width - left.cell_len - right.cell_len), right)


def _exactly(lines: Sequence[Text], width: int, height: int) -> list[Text]:
    kept = [fitted(line, width) for line in lines[:height]]
    return kept + [Text(" " * width)] * (height - len(kept))
