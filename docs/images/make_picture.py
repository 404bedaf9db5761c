"""Makes docs/images/quick.svg: the README's quick run as a terminal shows it. Run it from the project's root."""

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parent.parent.parent
COLUMNS = 84


def terminal_output(command: list[str], cwd: Path) -> str:
    """Run a command whose output is a terminal, and return what it wrote there."""
    ours, theirs = pty.openpty()
    environ = {**os.environ, "COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    process = subprocess.Popen(command, cwd=cwd, env=environ, stdout=theirs, stderr=subprocess.DEVNULL)
    os.close(theirs)
    written = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the terminal's other end is closed
            break
        if not piece:
            break
        written += piece
    process.wait()
    return written.decode().replace("\r\n", "\n")


def main() -> None:
    """Run the quick benchmark and draw the end of what it printed: its comparison, up to the scores."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "benchmark", "--quick", "--simulate"]
        draw(terminal_output(command, Path(folder)))


def draw(shown: str) -> None:
    """Write the picture of what a quick run printed."""
    lines = shown.rstrip().split("\n")
    start = next(number for number, line in enumerate(lines) if "Comparison" in line)
    end = next((number for number, line in enumerate(lines) if "Score (0 to 1)" in line), len(lines))
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text("$ python vllm_benchmark.py benchmark --quick --simulate\n…\n", style="bold"))
    console.print(Text.from_ansi("\n".join(lines[start:end]).rstrip()))
    svg = console.export_svg(title="vllm-benchmark")
    # No font from the network: the reader's own monospaced one is as good.
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL).replace(
        "Fira Code", "Menlo, Consolas, DejaVu Sans Mono"
    )
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    Path(__file__).with_name("quick.svg").write_text(svg)


if __name__ == "__main__":
    main()
