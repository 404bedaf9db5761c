"""The answer of an exchange: its head, what it said of itself, and its bytes beside what they mean."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inference_bench.api.protocols import ServerTimes, StreamEvent, Usage
from inference_bench.visualization.components.payload_columns import ROOMY, heading, labelled
from inference_bench.visualization.components.payload_request import field_line
from inference_bench.visualization.components.payload_text import (
    LEFT_OUT_STYLE,
    folded,
    json_text,
    visible,
    visible_text,
)
from inference_bench.visualization.components.payload_values import Piece, Specimen, kinds

FIRST_PIECES = 4
LAST_PIECES = 3
_MOST_HEADERS = 30
_PIECE_BYTES = 800
_BODY_BYTES = 4000
_MOST_EVENTS = 5
_TEXT_CHARACTERS = 160
_SAID_CHARACTERS = 300
_LABEL = 9


def answer_view(specimen: Specimen, width: int, *, titled: bool = True) -> RenderableType:
    """Return one answer, under its service's name: head, figures, and the bytes with the events they became."""
    parts: list[RenderableType] = [heading(specimen.title, width)] if titled else []
    parts.append(status_line(specimen))
    parts += [field_line(field) for field in specimen.headers[:_MOST_HEADERS]]
    if len(specimen.headers) > _MOST_HEADERS:
        parts.append(left_out(len(specimen.headers) - _MOST_HEADERS, "headers", where="--save has"))
    parts += [Text(), *_told(specimen), *_hidden(specimen), Text()]
    parts += _body(specimen) if specimen.status not in (None, 200) else _pieces(specimen, width)
    return Group(*parts)


def status_line(specimen: Specimen) -> Text:
    """Return the status, and how the answer counts."""
    outcome = specimen.outcome
    line = Text(f"HTTP {specimen.status}" if specimen.status is not None else "no answer", style="bold")
    line.append("  ")
    if outcome.ok:
        return line.append("ok", style="green")
    line.append(outcome.error_class or "failed", style="bold red")
    line.append(": ", style="red")
    return line.append_text(visible_text(outcome.error_message or "no message", 400))


def _told(specimen: Specimen) -> list[RenderableType]:
    """What the answer said: reason, counts, the server's times; and the times that were measured."""
    outcome = specimen.outcome
    size = f"{len(specimen.body):,} bytes of body in {counted(len(specimen.pieces), 'read')}"
    rows: list[tuple[str, RenderableType]] = [("size", Text(size))]
    measured = [(name, value) for name, value in (("TTFT", outcome.ttft_ms), ("E2E", outcome.e2e_ms)) if value]
    if measured:
        rows.append(("measured", Text(", ".join(f"{name} {value:,.1f} ms" for name, value in measured))))
    if specimen.status == 200:
        said = "".join(event.reasoning + event.text for _, event in specimen.events())
        rows.append(("said", visible_text(said, _SAID_CHARACTERS) if said else Text("no text")))
        rows.append(("finish", visible_text(outcome.finish_reason or "not told", 60)))
        rows.append(("usage", Text(usage_words(specimen.usage))))
        rows.append(("server", Text(times_words(specimen.server_times))))
    return [labelled(rows, label=_LABEL)]


def counted(count: int, what: str) -> str:
    """Say a number of things: 1 read, 2 reads."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def usage_words(usage: Usage) -> str:
    """Say the counts as the server told them."""
    counts = (
        ("prompt", usage.prompt_tokens),
        ("output", usage.output_tokens),
        ("cached", usage.cached_tokens),
        ("reasoning", usage.reasoning_tokens),
    )
    told = [f"{name} {count:,}" for name, count in counts if count is not None]
    return f"tokens told: {', '.join(told)}" if told else "no token counts told"


def times_words(times: ServerTimes) -> str:
    """Say the times that the server told of itself."""
    told = [
        f"{name.removesuffix('_ms')} {value:,.1f} ms"
        for name, value in zip(times._fields, times, strict=True)
        if value is not None
    ]
    return f"times told: {', '.join(told)}" if told else "no times told in the answer"


def event_line(event: StreamEvent) -> Text:
    """Return one decoded event on a line."""
    line = Text("→ ", style="dim", overflow="fold")
    line.append(", ".join(kinds(event)), style="bold red" if event.error is not None else "bold")
    for text, style in ((event.reasoning, "italic green"), (event.text, "green")):
        if text:
            line.append(" “").append_text(visible_text(text, _TEXT_CHARACTERS, style)).append("”")
    if event.tokens is not None:
        line.append(f"  {counted(event.tokens, 'token')}", style="dim")
    if event.finish_reason is not None:
        line.append("  finish ").append_text(visible_text(event.finish_reason, 60))
    if event.usage is not None:
        line.append(f"  {usage_words(event.usage)}")
    if event.server_times is not None:
        line.append(f"  {times_words(event.server_times)}")
    if event.error is not None:
        line.append(f"  {event.error.error_class.value}: ")
        line.append_text(visible_text(event.error.message, _TEXT_CHARACTERS))
    return line


def left_out(count: int, what: str, *, where: str = "--raw and --save have") -> Text:
    """Say what is not shown, and where it is."""
    return Text(f"… {count:,} {what} left out here; {where} all …", style=LEFT_OUT_STYLE)


def ends(count: int, first: int, last: int) -> tuple[range, range]:
    """Return the places of the first and the last of so many; the second is empty when the first has all."""
    if count <= first + last + 1:  # to leave one out takes a line as well
        return range(count), range(count, count)
    return range(first), range(count - last, count)


def _body(specimen: Specimen) -> list[RenderableType]:
    body = specimen.body
    if not body:
        return [Text("the answer has no body", style="dim")]
    return [json_text(body) or visible(body, _BODY_BYTES, lines=True)]


def _pieces(specimen: Specimen, width: int) -> list[RenderableType]:
    pieces = specimen.pieces
    if not pieces:
        return [Text("no byte of a body arrived", style="dim")]
    first, last = ends(len(pieces), FIRST_PIECES, LAST_PIECES)
    shown: list[RenderableType] = [_piece(pieces[place], width) for place in first]
    if last:
        shown += [left_out(last.start - first.stop, "reads"), *(_piece(pieces[place], width) for place in last)]
    return shown


def _piece(piece: Piece, width: int) -> RenderableType:
    """One read: its bytes, and what they mean beside them or, where there is no room, below."""
    head = Text(f"#{piece.number}  +{piece.at_ms:,.2f} ms  {len(piece.data):,} bytes", style="cyan")
    raw = visible(piece.data, _PIECE_BYTES)
    events = _events(piece.events)
    if width < 2 * ROOMY:
        below = Group(folded(raw, width - 2), *events)
        return Group(head, Padding(below, (0, 0, 0, 2)))
    columns = width * 3 // 5 - 4
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(width=columns)
    grid.add_column(width=width - columns - 4, overflow="fold")
    grid.add_row(folded(raw, columns), Group(*events))
    return Group(head, Padding(grid, (0, 0, 0, 2)))


def _events(events: Sequence[StreamEvent]) -> list[RenderableType]:
    if not events:
        return [Text("→ no whole event yet", style="dim")]
    shown: list[RenderableType] = [event_line(event) for event in events[:_MOST_EVENTS]]
    if len(events) > _MOST_EVENTS:
        shown.append(left_out(len(events) - _MOST_EVENTS, "events of this read"))
    return shown


def _hidden(specimen: Specimen) -> list[RenderableType]:
    if not specimen.hidden:
        return []
    places = counted(specimen.hidden, "place")
    return [Text(f"the server repeated a secret in {places}: shown and kept as asterisks", style="yellow")]
