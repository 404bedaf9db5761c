"""Makes docs/images/race.svg: the shipped recording in its middle, as a terminal shows it. Run from the root."""

import io
import re
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from inference_bench.live.board import Board
from inference_bench.live.events import Heat
from inference_bench.live.recording import Recording
from inference_bench.visualization.components.race_screen import RaceMarks, race_screen

COLUMNS, ROWS = 110, 26
AT_NS = 1_300_000_000  # of the recording: all lanes stream


def main() -> None:
    """Draw the board as it was at that moment of the recording."""
    recording = Recording(Path(str(files("inference_bench.live").joinpath("data", "race.jsonl"))))
    board = Board()
    for event in recording.events():
        if isinstance(event, Heat) or event.at_ns <= AT_NS:
            board.take(event)
    marks = RaceMarks(footer="q leaves · Ctrl-C stops", kernel_stamps=recording.head.stamp_source == "kernel")
    console = Console(record=True, width=COLUMNS, height=ROWS, file=io.StringIO(), force_terminal=True)
    console.print(race_screen(board, AT_NS, COLUMNS, ROWS, marks=marks))
    svg = console.export_svg(title="vllm-benchmark demo --mode race --simulate")
    # No font from the network: the reader's own monospaced one is as good.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code", "Menlo, Consolas, DejaVu Sans Mono")
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    Path(__file__).with_name("race.svg").write_text(svg)


if __name__ == "__main__":
    main()
