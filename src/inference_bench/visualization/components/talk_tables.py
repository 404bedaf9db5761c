"""The figures of a talk as tables: those of one turn, and how prompts and waiting times grow from turn to turn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich import box
from rich.table import Table
from rich.text import Text

from inference_bench.live.board import Board
from inference_bench.live.events import Outcome
from inference_bench.live.plain import one_line
from inference_bench.visualization.components import race_words as words

MISSING: Final = "-"


def turn_table(board: Board, width: int, *, places: bool) -> Table:
    """Return the figures of the board's turn, a row for each service; with `places`, where each came in."""
    headings = ("prompt\ntokens", "TTFT,\nms", "tokens\nper s", "answer\ntokens", "E2E,\nms")
    made = _table("service", *headings, "ended", *(["place"] if places else []), width=width)
    for place, lane in enumerate(board.lanes):
        outcome = lane.outcome
        ended = MISSING if outcome is None else _ended(outcome)
        row = [Text(words.name_of(lane.facts)), *map(Text, _figures(outcome))]
        row.append(Text("takes no part" if lane.facts.down is not None else ended))
        if places:
            row.append(Text(words.place_words(board, place) or MISSING))
        made.add_row(*row)
    return made


def growth_table(names: Sequence[str], turns: Sequence[Mapping[str, Outcome]], width: int) -> Table:
    """Return the figures of all turns, service by service: how the prompt grew, and what came of it."""
    cached = any(outcome.cached_tokens is not None for turn in turns for outcome in turn.values())
    headings = ("prompt\ntokens", "TTFT,\nms", "tokens\nper s", "answer\ntokens", "E2E,\nms")
    made = _table("service", "turn", *headings, *(["of these\ncached"] if cached else []), width=width)
    for name in names:
        for number, turn in enumerate(turns, start=1):
            outcome = turn.get(name)
            cells = [one_line(name, 80) if number == 1 else "", str(number), *_figures(outcome)]
            if cached:
                told = None if outcome is None else outcome.cached_tokens
                cells.append(MISSING if told is None else f"{told:,}")
            made.add_row(*map(Text, cells), end_section=number == len(turns))
    return made


@dataclass(frozen=True, slots=True)
class Growth:
    """Two turns of one service, the first and the last that have both figures: what came on top in between."""

    first: int
    last: int
    more_tokens: int
    more_ms: float

    @property
    def ms_per_thousand(self) -> float | None:
        """TTFT that came on top, for 1,000 prompt tokens that did; missing unless the prompt grew."""
        return 1000 * self.more_ms / self.more_tokens if self.more_tokens > 0 else None


def growth_of(turns: Sequence[Outcome | None]) -> Growth | None:
    """Return a service's growth over its turns; None unless two told their prompt tokens and have a TTFT."""
    known = [
        (number, outcome.prompt_tokens, outcome.ttft_ms)
        for number, outcome in enumerate(turns, start=1)
        if outcome is not None and outcome.ok and outcome.prompt_tokens is not None and outcome.ttft_ms is not None
    ]
    if len(known) < 2:
        return None
    (first, tokens, ms), (last, later_tokens, later_ms) = known[0], known[-1]
    return Growth(first, last, later_tokens - tokens, later_ms - ms)


def growth_words(name: str, turns: Sequence[Outcome | None]) -> str:
    """Return in a sentence what a longer prompt did to a service's TTFT: plain arithmetic between two turns."""
    shown = one_line(name, 80)
    growth = growth_of(turns)
    if growth is None:
        return f"{shown}: no two turns with a told number of prompt tokens and a TTFT"
    said = (
        f"{shown}: from turn {growth.first} to turn {growth.last} {growth.more_tokens:+,} prompt tokens, "
        f"TTFT {growth.more_ms:+.1f} ms"
    )
    share = growth.ms_per_thousand
    return said if share is None else f"{said}: {share:+.1f} ms for each 1,000 tokens"


def _figures(outcome: Outcome | None) -> list[str]:
    if outcome is None:
        return [MISSING] * 5
    rate = outcome.tpot_ms
    return [
        MISSING if outcome.prompt_tokens is None else f"{outcome.prompt_tokens:,}",
        MISSING if outcome.ttft_ms is None else f"{outcome.ttft_ms:,.1f}",
        MISSING if not rate else f"{1000 / rate:,.1f}",
        MISSING if outcome.output_tokens is None else f"{outcome.output_tokens:,}",
        MISSING if outcome.e2e_ms is None else f"{outcome.e2e_ms:,.1f}",
    ]


def _ended(outcome: Outcome) -> str:
    if outcome.ok:
        return one_line(outcome.finish_reason or "well", 20)
    return one_line(outcome.error_class or outcome.error_message or "failed", 30)


def _table(*columns: str, width: int) -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0), width=width if width < 60 else None)
    for column in columns:
        words_in_it = column in ("service", "ended", "place")
        made.add_column(column, justify="left" if words_in_it else "right", overflow="fold")
    return made
