"""One request as a waterfall: where its time went as we saw it, and as the server tells it, on one scale."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.visualization.components.payload_answer import status_line
from inference_bench.visualization.components.payload_columns import heading
from inference_bench.visualization.components.payload_values import Marks, Specimen

_MS = 1e6
_LABEL = 26
_FIGURE = 11
_FEWEST = 12
_EIGHTHS = " ▏▎▍▌▋▊▉"
# In the order in which a server goes through them; a total and a TTFT span the others.
_TOLD_IN_ORDER = ("load_ms", "queue_ms", "prefill_ms", "decode_ms")
_TOLD_SPANS = ("ttft_ms", "total_ms")
_TOLD_NAMES = {
    "load_ms": "load the model",
    "queue_ms": "wait in its queue",
    "prefill_ms": "prefill",
    "decode_ms": "decode",
    "ttft_ms": "its own TTFT",
    "total_ms": "its own total",
}


class Bar(NamedTuple):
    """One bar: from when to when, in ns since sending."""

    name: str
    start_ns: int
    end_ns: int
    style: str

    @property
    def length_ms(self) -> float:
        """How long it took."""
        return (self.end_ns - self.start_ns) / _MS


def bars_of(specimen: Specimen) -> list[Bar]:
    """Return what was measured, from mark to mark; a mark that was not reached ends the waterfall there."""
    marks = specimen.marks
    steps = (
        ("sent > first body byte", 0, marks.first_byte, "yellow"),
        ("> first event", marks.first_byte, marks.first_event, "cyan"),
        ("> first token", marks.first_event, marks.first_token, "magenta"),
        ("first > last token", marks.first_token, marks.last_token, "green"),
        ("> end of the answer" if marks.first_byte else "sent > the end", _last(marks), marks.end, "blue"),
    )
    return [
        Bar(name, start, end, style)
        for name, start, end, style in steps
        if start is not None and end is not None and end >= start
    ]


def told_bars_of(specimen: Specimen) -> list[Bar]:
    """Return the server's own times. It tells durations and no instants: the parts are laid end to end from sending."""
    times = specimen.server_times
    bars: list[Bar] = []
    at_ns = 0
    for key in _TOLD_IN_ORDER:
        value = getattr(times, key)
        if value is not None:
            length = int(value * _MS)
            bars.append(Bar(_TOLD_NAMES[key], at_ns, at_ns + length, "bright_black"))
            at_ns += length
    for key in _TOLD_SPANS:
        value = getattr(times, key)
        if value is not None:
            bars.append(Bar(_TOLD_NAMES[key], 0, int(value * _MS), "bright_black"))
    return bars


def waterfall_view(specimens: Sequence[Specimen], width: int) -> RenderableType:
    """Return the waterfalls of all services, drawn to one scale."""
    longest = max((bar.end_ns for one in specimens for bar in (*bars_of(one), *told_bars_of(one))), default=0)
    cells = max(_FEWEST, width - _LABEL - _FIGURE - 2)
    parts: list[RenderableType] = []
    if longest > 0:
        scale = f"one scale for all: {longest / _MS:,.1f} ms from sending to the right edge"
        parts += [Text(scale, style="dim", overflow="fold"), Text()]
    for specimen in specimens:
        parts += [heading(specimen.title, width), status_line(specimen), *_connection(specimen)]
        parts += [_bars(bars_of(specimen), longest, cells), *_told(specimen, longest, cells), Text()]
    return Group(*parts)


def _last(marks: Marks) -> int | None:
    reached = (marks.last_token, marks.first_token, marks.first_event, marks.first_byte)
    return next((mark for mark in reached if mark is not None), 0)


def _connection(specimen: Specimen) -> Iterator[Text]:
    marks = specimen.marks
    if specimen.reused:
        yield Text("connect: none needed, the connection was there already", style="dim")
    elif marks.connect_start is not None and marks.connected is not None:
        length = (marks.connected - marks.connect_start) / _MS
        before = -marks.connected / _MS
        yield Text(
            f"connect: {length:,.2f} ms, done {before:,.1f} ms before sending and in no other time here",
            style="dim",
            overflow="fold",
        )


def _told(specimen: Specimen, longest: int, cells: int) -> list[RenderableType]:
    told = told_bars_of(specimen)
    if not told:
        return [Text("the server told no times of its own in this answer", style="dim")]
    words = "the server's own times (durations; laid end to end from sending, for it tells no instants)"
    return [Text(words, style="dim", overflow="fold"), _bars(told, longest, cells)]


def _bars(bars: Sequence[Bar], longest: int, cells: int) -> Table:
    grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column(width=_LABEL)
    grid.add_column(width=_FIGURE, justify="right", no_wrap=True)
    grid.add_column(width=cells, no_wrap=True)
    for bar in bars:
        grid.add_row(Text(bar.name), Text(f"{bar.length_ms:,.2f} ms"), _drawn(bar, longest, cells))
    return grid


def _drawn(bar: Bar, longest: int, cells: int) -> Text:
    """Draw a bar in eighths of a column; one too short for an eighth is a thin line, so that its place is seen."""
    if longest <= 0:
        return Text()
    start = bar.start_ns * cells * 8 // longest
    end = max(start + 1, bar.end_ns * cells * 8 // longest)
    start = min(start, cells * 8 - 1)
    column, into = divmod(start, 8)
    length = end - start
    # A column can be filled from its left only: a bar begins at the column its start is in.
    whole, rest = divmod(min(length + (into if length >= 8 else 0), (cells - column) * 8), 8)
    return Text(" " * column + "█" * whole + (_EIGHTHS[rest] if rest else ""), style=bar.style)
