"""The stream of an answer: a table of what came when, and all services on one line of time."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.api.protocols import StreamEvent
from inference_bench.visualization.components.payload_answer import counted, ends, left_out, status_line
from inference_bench.visualization.components.payload_columns import heading
from inference_bench.visualization.components.payload_text import visible_text
from inference_bench.visualization.components.payload_values import Piece, Specimen, kinds

STREAM_ROOM = 76  # columns of a table that shows text as well
FIRST_ROWS = 14
LAST_ROWS = 10
_MS = 1e6
_STYLES = {"text": "", "thinking": "italic"}
_HEIGHTS = "▁▂▃▄▅▆▇█"
_MARKS = (("first_token", "1"), ("last_token", "L"), ("end", "E"))
_WHAT = 11
_FIXED = 54  # columns of the table without its text
_FEWEST = 16


class Row(NamedTuple):
    """One line of the table: an event, or a read that completed none. `again`: in the same read as the line before."""

    piece: Piece
    gap_ms: float | None
    event: StreamEvent | None
    again: bool


def rows_of(specimen: Specimen) -> Iterator[Row]:
    """Yield the table's rows in the order of arrival; gaps are from read to read."""
    before: int | None = None
    for piece in specimen.pieces:
        gap = None if before is None else (piece.at_ns - before) / _MS
        before = piece.at_ns
        if not piece.events:
            yield Row(piece, gap, None, again=False)
        for place, event in enumerate(piece.events):
            yield Row(piece, gap, event, again=place > 0)


def stream_view(specimen: Specimen, width: int) -> RenderableType:
    """Return one stream: what it was made of in words, then the table of its chunks."""
    parts: list[RenderableType] = [heading(specimen.title, width), status_line(specimen)]
    if not specimen.pieces:
        return Group(*parts, Text("no byte of a body arrived", style="dim"))
    if specimen.status != 200:
        return Group(*parts, Text("an error and no stream; --theme payload shows its body", style="dim"))
    rows = list(rows_of(specimen))
    parts += [Text(line, overflow="fold") for line in _summary(specimen, rows)]
    first, last = ends(len(rows), FIRST_ROWS, LAST_ROWS)
    parts += [Text(), _table(rows, first, specimen, width)]
    if last:
        # A second table below the words: its columns have the same widths, so that it reads as one.
        parts += [left_out(last.start - first.stop, "lines"), _table(rows, last, specimen, width, header=False)]
    return Group(*parts)


def _summary(specimen: Specimen, rows: Sequence[Row]) -> Iterator[str]:
    events = [event for _, event in specimen.events()]
    texts = [event for event in events if event.text or event.reasoning]
    silent = sum(kinds(event) == ("no text",) for event in events)
    yield (
        f"{counted(len(specimen.pieces), 'read')}, {counted(len(events), 'event')}: {len(texts):,} with text, "
        f"{silent:,} empty (such as a role chunk), "
        f"{len(events) - len(texts) - silent:,} with something else (usage, end mark)"
    )
    shared = specimen.merged_reads
    if shared:
        yield (
            f"{counted(shared, 'read')} held several chunks of text, which came between the read before and the stamp"
        )
    elif texts:
        yield "each chunk of text had a read of its own"
    arrivals = [piece.at_ns for piece, event in specimen.events() if event.text or event.reasoning]
    gaps = [(later - sooner) / _MS for sooner, later in pairwise(arrivals)]
    if gaps:
        yield f"gaps between chunks of text: median {median(gaps):,.2f} ms, longest {max(gaps):,.2f} ms"
    places = {"usage": "usage", "end": "end mark"}
    for kind, name in places.items():
        found = next((row for row in rows if row.event is not None and kind in kinds(row.event)), None)
        yield (
            f"{name}: not in this answer"
            if found is None
            else f"{name}: +{found.piece.at_ms:,.2f} ms, read #{found.piece.number}"
        )


def _table(rows: Sequence[Row], places: range, specimen: Specimen, width: int, *, header: bool = True) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), show_header=header, header_style="dim")
    for name, columns in (("read", 7), ("at ms", 10), ("gap ms", 9), ("bytes", 7), ("tok", 4)):
        table.add_column(name, justify="right", width=columns, no_wrap=True)
    table.add_column("what", width=_WHAT, no_wrap=True)
    table.add_column("text", width=max(_FEWEST, width - _FIXED), no_wrap=True)
    first_token = specimen.marks.first_token
    seen = False
    for place in range(places.start):
        seen = seen or _has_text(rows[place])
    for place in places:
        row = rows[place]
        first = first_token is not None and not seen and _has_text(row)
        seen = seen or _has_text(row)
        table.add_row(*_cells(row, first=first))
    return table


def _has_text(row: Row) -> bool:
    return row.event is not None and bool(row.event.text or row.event.reasoning)


def _cells(row: Row, *, first: bool) -> list[Text]:
    event = row.event
    if row.again:
        stamp = [Text(), Text("same", style="dim"), Text("read", style="dim"), Text()]
    else:
        gap = "" if row.gap_ms is None else f"{row.gap_ms:,.2f}"
        stamp = [
            Text(f"#{row.piece.number}"),
            Text(f"{row.piece.at_ms:,.2f}"),
            Text(gap),
            Text(f"{len(row.piece.data):,}"),
        ]
    if event is None:
        return [*stamp, Text(), Text("part", style="dim"), Text("no whole event yet", style="dim")]
    word, *others = ["error"] if event.error is not None else kinds(event)
    style = "red" if event.error is not None else "dim" if word == "no text" else _STYLES.get(word, "cyan")
    what = Text("first token", style="bold green") if first else Text(word, style=style)
    told = visible_text(event.error.message if event.error is not None else "", 300)
    for text in filter(None, (event.reasoning, event.text)):
        told.append("“").append_text(visible_text(text, 200)).append("” ")
    told.append(f"+ {', '.join(others)}" if others else "", style="cyan")
    told.overflow = "ellipsis"
    return [*stamp, Text("" if event.tokens is None else str(event.tokens)), what, told]


def timeline_view(specimens: Sequence[Specimen], width: int) -> RenderableType:
    """Return all services on one scale of time from sending: how many chunks of text came where, and the marks."""
    longest = max((_end_ns(specimen) for specimen in specimens), default=0)
    if longest <= 0:
        return Group()
    label = min(24, max(len(specimen.service) for specimen in specimens))
    cells = max(10, width - label - 2)
    parts: list[RenderableType] = [
        Text(f"from sending (left) to {longest / _MS:,.1f} ms (right); one column is {longest / cells / _MS:,.1f} ms"),
        Text("heights: chunks of text in that column; 1 first token, L last token, E end of the answer", style="dim"),
    ]
    for specimen in specimens:
        name = Text(specimen.service[:label].ljust(label) + "  ", style="bold")
        parts.append(name.append_text(_heights(specimen, longest, cells)))
        parts.append(Text(" " * (label + 2) + _marks(specimen, longest, cells), style="yellow"))
    return Group(*parts, Text())


def _end_ns(specimen: Specimen) -> int:
    return max(specimen.marks.end or 0, specimen.pieces[-1].at_ns if specimen.pieces else 0)


def _place(at_ns: int, longest: int, cells: int) -> int:
    return min(cells - 1, max(0, at_ns * cells // longest))


def _heights(specimen: Specimen, longest: int, cells: int) -> Text:
    counts = [0] * cells
    others = [False] * cells
    for piece, event in specimen.events():
        place = _place(piece.at_ns, longest, cells)
        if event.text or event.reasoning:
            counts[place] += 1
        else:
            others[place] = True
    most = max(counts)
    over = _place(_end_ns(specimen), longest, cells)
    line = Text()
    for place, count in enumerate(counts):
        if count:
            line.append(_HEIGHTS[(count * len(_HEIGHTS) - 1) // most] if most > 1 else "█", style="green")
        elif others[place]:
            line.append("+", style="cyan")
        else:
            line.append("·" if place <= over else " ", style="dim")
    return line


def _marks(specimen: Specimen, longest: int, cells: int) -> str:
    line = [" "] * cells
    for name, letter in _MARKS:
        at_ns = getattr(specimen.marks, name)
        if at_ns is None:
            continue
        place = _place(at_ns, longest, cells)
        # Marks that fall into one column stand beside one another, the later one to the left of the edge if need be.
        while place < cells - 1 and line[place] != " ":
            place += 1
        while place > 0 and line[place] != " ":
            place -= 1
        line[place] = letter
    return "".join(line).rstrip()
