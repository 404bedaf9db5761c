"""Text that servers sent, progress without a terminal, and stories that signals end."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from inference_bench.cli.utils.console_utils import (
    clean,
    display,
    foreign,
    note,
    out,
    print_json,
    progress,
    reset_display,
    table,
)

SOURCE = Path(__file__).parents[2] / "src"


@pytest.fixture(autouse=True)
def fresh_display() -> None:
    reset_display()


@given(st.text(), st.integers(1, 50))
def test_foreign_text_is_one_short_printable_line(text: str, limit: int) -> None:
    shown = clean(text, limit=limit)
    assert len(shown) <= limit
    assert shown.isprintable()
    assert clean(shown, limit=limit) == shown


def test_escape_sequences_markup_and_direction_marks_have_no_effect() -> None:
    nasty = "\x1b[31mred\x1b]0;title\x07 [bold]b[/bold] \u202edrow\u2066 a\r\nb\x9b2J"
    assert clean(nasty) == "[31mred]0;title [bold]b[/bold] drow a b2J"
    console = Console(width=100, force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(foreign(nasty))
    assert captured.get().strip() == clean(nasty)
    assert clean("x" * 500, limit=10) == "x" * 9 + "…"


def test_results_go_to_stdout_and_notes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    note("a [note]")
    print_json({"a": [1, "ü"]})
    made = table("name", "n", right=("n",))
    made.add_row("x", "1")
    out().print(made)
    shown = capsys.readouterr()
    assert shown.err == "a [note]\n"
    assert shown.out.startswith('{\n  "a": [\n    1,\n    "ü"\n  ]\n}\n')
    assert "\x1b" not in shown.out
    display.quiet = True
    note("nothing")
    assert capsys.readouterr().err == ""
    with pytest.raises(ValueError, match="Out of range"):
        print_json(float("nan"))


def test_progress_without_a_terminal_is_a_line_for_each_new_thing(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("warming up", total=4) as line:
        line.update(1)
        line.update(2, description="measuring")
        line.update(3)
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", "warming up\nmeasuring (50 %)\n")
    display.quiet = True
    with progress("warming up") as line:
        line.update(1, description="measuring")
    assert capsys.readouterr().err == ""


def test_what_is_said_beside_a_bar_is_wrapped_between_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"TERM": "xterm", "FORCE_COLOR": "1", "COLUMNS": "30"}.items():
        monkeypatch.setenv(name, value)
    said = "16.7% of first tokens came in reads that held later ones too"
    with progress("measuring", total=4) as line:
        line.say(said)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().err).replace("\r", "")
    assert "16.7% of first tokens came in \nreads that held later ones too" in shown
    assert said not in shown


STORY = """
import asyncio, sys
from inference_bench.cli.utils.async_utils import run_story

async def story(stop):
    print("ready", flush=True)
    if sys.argv[1] == "obeys":
        await stop.wait()
        return "saved"
    while True:
        try:
            await asyncio.sleep(60)
        finally:
            print("cleaned", flush=True)

try:
    print(run_story(story, stopping="saving what was measured"), flush=True)
except KeyboardInterrupt:
    sys.exit(130)
"""


def start(how: str) -> "subprocess.Popen[str]":
    """Start a story in a process of its own and wait until it runs."""
    process = subprocess.Popen(
        [sys.executable, "-c", STORY, how],
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_asks_the_story_to_stop(number: signal.Signals) -> None:
    process = start("obeys")
    process.send_signal(number)
    said, warned = process.communicate(timeout=60)
    assert (process.returncode, said) == (0, "saved\n")
    assert warned == "Warning: saving what was measured (once more: at once)\n"


def test_the_second_signal_ends_it_at_once() -> None:
    process = start("ignores")
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert process.stderr.readline().startswith("Warning: ")
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert (process.returncode, said) == (130, "cleaned\n")
