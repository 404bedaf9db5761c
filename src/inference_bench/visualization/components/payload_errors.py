"""What engines answer to what they cannot do: the provoked errors side by side, and what each counts as."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from inference_bench.visualization.components.payload_answer import answer_view
from inference_bench.visualization.components.payload_columns import Room, arrange, section
from inference_bench.visualization.components.payload_request import request_view
from inference_bench.visualization.components.payload_text import visible_text
from inference_bench.visualization.components.payload_values import Specimen

_PURPOSES = (
    ("unknown_model", "A model that it cannot know"),
    ("over_long_prompt", "A prompt that is too long for it"),
)
_MESSAGE_CHARACTERS = 300


def errors_view(specimens: Sequence[Specimen], unsent: Sequence[str], room: Room) -> RenderableType:
    """Return both provoked errors of every service, then all of them in one table."""
    parts: list[RenderableType] = []
    for purpose, title in _PURPOSES:
        here = [specimen for specimen in specimens if specimen.purpose == purpose]
        if not here:
            continue
        parts += [section(title, room.line), arrange(here, _exchange, room)]
    if unsent:
        parts.append(section("Not sent", room.line))
        parts += [*(Text(line) for line in unsent), Text()]
    return Group(*parts, section("What each counts as", room.line), _table(specimens))


def _exchange(specimen: Specimen, width: int) -> RenderableType:
    return Group(request_view(specimen, width), Text(), answer_view(specimen, width, titled=False))


def _table(specimens: Sequence[Specimen]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("service", overflow="fold")
    table.add_column("provoked by", overflow="fold", min_width=8)
    table.add_column("HTTP", no_wrap=True)
    table.add_column("counts as", no_wrap=True)
    table.add_column("in its own words", overflow="fold")
    for specimen in specimens:
        outcome = specimen.outcome
        table.add_row(
            Text(specimen.service),
            Text(specimen.purpose_words),
            Text("-" if specimen.status is None else str(specimen.status)),
            Text("no error", style="yellow") if outcome.ok else Text(outcome.error_class or "failed", style="red"),
            visible_text("it answered" if outcome.ok else outcome.error_message or "no message", _MESSAGE_CHARACTERS),
        )
    return table
