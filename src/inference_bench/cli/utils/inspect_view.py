"""What `inspect` prints: the chosen parts of an inspection for people, or the bytes as they came."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console, RenderableType
from rich.text import Text

from inference_bench.cli.utils.console_utils import note, out
from inference_bench.orchestration.inspect_orchestrator import Inspection
from inference_bench.visualization.components.payload_answer import answer_view, status_line
from inference_bench.visualization.components.payload_columns import Room, arrange, heading, section
from inference_bench.visualization.components.payload_errors import errors_view
from inference_bench.visualization.components.payload_request import differences_view, notes_view, request_view
from inference_bench.visualization.components.payload_stream import STREAM_ROOM, stream_view, timeline_view
from inference_bench.visualization.components.payload_text import visible
from inference_bench.visualization.components.payload_waterfall import waterfall_view

if TYPE_CHECKING:
    from inference_bench.visualization.components.payload_values import Specimen

_LEGEND = "each read of the answer: #number, +time since sending, its bytes (↵ is a line feed), → what they mean"
_FRAMING = "bodies as received, without HTTP's head and chunk framing"


def print_inspection(inspection: Inspection, theme: str | None) -> None:
    """Print the parts that belong to the theme; without one, the payloads and the stream."""
    console = out()
    room = Room.of(console)
    for part in _parts(inspection, theme, room):
        if room.beside:
            console.print(part)
            continue
        # Cells are filled up with blanks, which a file or a pipe is better without.
        with console.capture() as printed:
            console.print(part, width=room.line)
        sys.stdout.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def _parts(inspection: Inspection, theme: str | None, room: Room) -> Sequence[RenderableType]:
    specimens = inspection.specimens
    if theme == "errors":
        return [errors_view(specimens, inspection.unsent, room)]
    if theme == "performance":
        return [section("Where the time of one request went", room.line), waterfall_view(specimens, room.line)]
    parts: list[RenderableType] = []
    if theme in (None, "payload"):
        parts += _payload(inspection, room)
    if theme in (None, "streaming"):
        parts += [
            section("The streams on one line of time", room.line),
            timeline_view(specimens, room.width if room.beside else room.line),
            section("What came when", room.line),
            arrange(specimens, stream_view, room, each=STREAM_ROOM),
        ]
    return parts


def _payload(inspection: Inspection, room: Room) -> Sequence[RenderableType]:
    specimens = inspection.specimens
    services = [specimen.service for specimen in specimens]
    parts = [section("What was sent", room.line), arrange(specimens, request_view, room)]
    if specimens:
        parts += [
            section("In whose words: the same question in each engine's request", room.line),
            differences_view(inspection.aspects, services, room),
            notes_view(specimens),
        ]
    parts += [section("What came back", room.line), Text(_LEGEND, style="dim"), Text()]
    return [*parts, arrange(specimens, answer_view, room)]


def print_raw(specimens: Sequence["Specimen"]) -> None:
    """Write the bodies as they came: byte by byte into a file or a pipe, escaped on a terminal. All of them."""
    console = out()
    if not sys.stdout.isatty():
        for specimen in specimens:
            note(f"{specimen.service} ({specimen.purpose_words}): {len(specimen.body):,} bytes")
            sys.stdout.buffer.write(specimen.body)
        sys.stdout.buffer.flush()
        note(f"These are {_FRAMING}.")
        return
    for specimen in specimens:
        _print_escaped(console, specimen)
    console.print(Text(f"These are {_FRAMING}.", style="dim"))


def _print_escaped(console: Console, specimen: "Specimen") -> None:
    console.print(heading(specimen.title, console.width))
    console.print(status_line(specimen), soft_wrap=True)
    for piece in specimen.pieces:
        console.print(visible(piece.data, len(piece.data), lines=True), soft_wrap=True, end="")
    console.print()
