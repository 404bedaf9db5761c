"""What stays on the screen after a heat: places, the times they rest on, the rule, and all that limits them."""

from typing import Final

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.live.board import Board
from inference_bench.live.plain import one_line
from inference_bench.live.podium import Finish, Podium
from inference_bench.visualization.components import race_words as words
from inference_bench.visualization.theme import BAD

LEAST_WHOLE: Final = 60  # columns that all figures of a result need; narrower ones show what decided
_MISSING: Final = "-"


def race_result(board: Board, width: int, *, recording: str | None) -> RenderableType:
    """Return the result of the board's heat in `width` columns; for one that is not over, how far it came.

    `recording` says when it was recorded and by what; None for a heat that was run just now.
    """
    lines: list[RenderableType] = [_title(board, recording)]
    if recording is not None:
        lines.append(Text(one_line(recording, 400)))
    if board.podium is None:
        return Group(*lines, Text("it did not end; there are no places"))
    lines += [_table(board, board.podium, width), _sentence(_capital(board.podium.rule))]
    lines += [_sentence(note) for note in _notes(board, board.podium)]
    late = words.late_words(board)
    if late is not None:
        lines.append(_sentence(_capital(late), style=f"bold {BAD}"))
    return Group(*lines)


def result_line(board: Board) -> str:
    """Return the result of the board's heat on one line: places, names and times."""
    if board.podium is None:
        return "it did not end"
    parts: list[str] = []
    for finish in board.podium.finishes:
        name = words.name_of(board.lanes[finish.lane].facts)
        place = words.placed(finish)
        parts.append(f"{name}: {finish.reason}" if place is None else f"{place} {name} {finish.to_tokens_ms:,.1f} ms")
    tokens = board.podium.tokens
    return "; ".join(parts) + ("" if tokens is None else f" (to {tokens:,} tokens)")


def _title(board: Board, recording: str | None) -> Text:
    title = Text(words.kind_of(board), style="bold")
    if board.heat is not None:
        which = words.heat_words(board.heat)
        title.append(f" {which}" if which else "")
        if board.heat.simulated:
            title.append(f"  {words.SIMULATED}", style="bold")
    if recording is not None:
        title.append(f"  {words.RECORDING}", style="bold")
    return title


def _table(board: Board, podium: Podium, width: int) -> Table:
    to_tokens = "to the same\ntokens, ms" if podium.tokens is None else f"to {podium.tokens:,}\ntokens, ms"
    narrow = width < LEAST_WHOLE
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, width=width if narrow else None)
    made.add_column("place", no_wrap=True)
    made.add_column("service", overflow="fold")
    further = () if narrow else ("tokens\nper s", "tokens", "E2E,\nms")
    for heading in (to_tokens, "TTFT,\nms", *further):
        made.add_column(heading, justify="right", overflow="fold")
    for finish in podium.finishes:
        made.add_row(*_row(board, finish)[: len(made.columns)])
    return made


def _row(board: Board, finish: Finish) -> list[Text]:
    lane = board.lanes[finish.lane]
    outcome = lane.outcome
    tokens = None if outcome is None else outcome.output_tokens
    e2e = None if outcome is None else outcome.e2e_ms
    estimated = "~" if finish.estimated else ""
    return [
        Text(words.placed(finish) or _MISSING),
        Text(words.name_of(lane.facts)),
        Text(_MISSING if finish.to_tokens_ms is None else f"{estimated}{finish.to_tokens_ms:,.1f}"),
        Text(_figure(lane.ttft_ms)),
        Text(_figure(lane.tokens_per_second())),
        Text(_MISSING if tokens is None else f"{tokens:,}"),
        Text(_figure(e2e)),
    ]


def _notes(board: Board, podium: Podium) -> list[str]:
    """Return what must be said of single lanes, in the order of the lanes."""
    said: list[str] = []
    if any(finish.estimated for finish in podium.finishes):
        said.append(
            "~ estimated: the chunks did not say how many tokens they carry; the total is spread evenly over them"
        )
    for place, lane in enumerate(board.lanes):
        name = words.name_of(lane.facts)
        trouble = words.trouble_words(lane)
        reason = podium.of(place).reason
        if trouble is not None:
            said.append(f"{name} {trouble}")
        elif reason is not None:
            said.append(f"{name} has no place: {reason}")
        thinking = words.thinking_words(lane)
        if thinking is not None:
            said.append(f"{name}: {thinking}")
    if board.heat is not None and len(board.lanes) > 1:
        late = words.sent_late_words(board)
        said += [_capital(words.SAME_INSTANT)] if late is None else [_capital(late), _capital(words.SHARED_HOST)]
    return said


def _sentence(said: str, style: str = "") -> Text:
    return Text(said + ("" if said.endswith((".", "…")) else "."), style=style)


def _capital(said: str) -> str:
    return said[:1].upper() + said[1:]


def _figure(value: float | None) -> str:
    return _MISSING if value is None else f"{value:,.1f}"
