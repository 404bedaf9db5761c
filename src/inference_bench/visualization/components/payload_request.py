"""The request of an exchange, exactly as it was sent, and what tells the engines' requests apart."""

from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from inference_bench.visualization.components.payload_columns import Room, heading
from inference_bench.visualization.components.payload_text import json_text, visible, visible_text
from inference_bench.visualization.components.payload_values import Asked, Aspect, Field, Specimen

_VALUE_CHARACTERS = 300
_BODY_BYTES = 2000
_NAMES = 20  # columns for the names of aspects and services
_CELL = 30  # columns that a service's words need beside the others'


def request_view(specimen: Specimen, width: int) -> RenderableType:
    """Return one request under its service's name."""
    asked = specimen.asked
    parts: list[RenderableType] = [heading(specimen.title, width)]
    if specimen.remark:
        parts.append(Text(specimen.remark, style="italic"))
    parts += [
        Text.assemble((asked.method, "bold green"), " ", visible_text(asked.url, _VALUE_CHARACTERS, "bold")),
        *(field_line(field) for field in asked.fields),
        Text(),
        _body(asked),
    ]
    return Group(*parts)


def field_line(field: Field) -> Text:
    """Return one header field; a hidden value says which variable holds it."""
    line = Text(overflow="fold")
    line.append_text(visible_text(f"{field.name}: ", _VALUE_CHARACTERS, "cyan"))
    line.append_text(visible_text(field.value, _VALUE_CHARACTERS, "yellow" if field.masked else ""))
    if field.variable is not None:
        line.append(f"  (from ${field.variable})", style="dim")
    return line


def _body(asked: Asked) -> RenderableType:
    return json_text(asked.body) or visible(asked.body, _BODY_BYTES, lines=True)


def differences_view(aspects: Sequence[Aspect], services: Sequence[str], room: Room) -> RenderableType:
    """Return what each engine is asked, aspect by aspect: a table where it has room, else lines."""
    count = len(services)
    if room.beside and room.width >= _NAMES + count * _CELL:
        return Group(_table(aspects, services, room.width), Text())
    return Group(*(part for aspect in aspects for part in _lines(aspect, services, room.line)), Text())


def notes_view(specimens: Sequence[Specimen]) -> RenderableType:
    """Return what the protocols cannot do of what was asked, each note once with the services it is about."""
    about: dict[str, list[str]] = {}
    for specimen in specimens:
        for note in specimen.notes:
            about.setdefault(note, []).append(specimen.service)
    lines = [
        Padding(Text.assemble((", ".join(dict.fromkeys(names)), "bold"), f": {note}"), (0, 0, 0, 2))
        for note, names in about.items()
    ]
    return Group(*lines, Text()) if lines else Group()


def _table(aspects: Sequence[Aspect], services: Sequence[str], width: int) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0), pad_edge=False)
    grid.add_column(width=_NAMES - 2)
    for _ in services:
        grid.add_column(width=(width - _NAMES) // len(services) - 2, overflow="fold")
    grid.add_row(Text(), *(Text(service, style="bold") for service in services))
    for aspect in aspects:
        grid.add_row(
            Text(aspect.name, style="dim" if aspect.same else ""), *(_words(aspect, service) for service in services)
        )
    return grid


def _lines(aspect: Aspect, services: Sequence[str], width: int) -> list[RenderableType]:
    label = min(_NAMES + 4, width // 3)
    alike = len(services) == 1 or aspect.same
    rows = [(aspect.name, services[0])] if alike else [(f"  {service}", service) for service in services]
    grid = Table.grid(padding=(0, 1, 0, 0), pad_edge=False)
    grid.add_column(width=label, overflow="fold")
    grid.add_column(overflow="fold")
    for name, service in rows:
        words = _words(aspect, service)
        words.append("  (all alike)" if alike and len(services) > 1 else "", style="dim")
        grid.add_row(Text(name, style="" if alike else "bold"), words)
    return [grid] if alike else [Text(aspect.name), grid]


def _words(aspect: Aspect, service: str) -> Text:
    style = "yellow" if service in aspect.lacking else ""
    return visible_text(aspect.words[service], _VALUE_CHARACTERS, style)
