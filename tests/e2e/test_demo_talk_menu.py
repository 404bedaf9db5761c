"""The menu of `demo` and the question for a text: by keys on a terminal, by lines without one; every way out."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from front_door import LAUNCHER, PATIENCE, Done, environment
from talk_terminal import assert_whole, terminal

from engine_servers import Page, serving, vllm_pages

MENU = "What shall be shown?"
LEFT = f"{MENU} left"
NOWHERE = ("--url", "vllm=http://127.0.0.1:9")  # nobody listens: whatever is chosen ends with exit code 3
SIZES = [(80, 24), (120, 40), (200, 50)]


def piped(cwd: Path, typed: bytes, *args: str) -> Done:
    """Run `demo` with this standard input and no terminal."""
    return fed(cwd, [sys.executable, str(LAUNCHER), "demo", *args], input=typed)


def fed(cwd: Path, command: Sequence[str], **given: Any) -> Done:
    """Run a command whose standard input is given as subprocess takes it."""
    ran = subprocess.run(
        command, cwd=cwd, env=environment(), capture_output=True, timeout=PATIENCE, check=False, **given
    )
    return Done(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("plain", ["colours", "NO_COLOR"])
def test_the_menu_shows_four_modes_and_q_leaves(tmp_path: Path, columns: int, rows: int, plain: str) -> None:
    environ = {"NO_COLOR": "1"} if plain == "NO_COLOR" else {}
    with terminal(tmp_path, ["demo", *NOWHERE], columns=columns, rows=rows, **environ) as screen:
        shown = screen.until("4  chat")
        modes = enumerate(("race", "conversation", "interactive", "chat"), start=1)
        assert all(sum(f" {number}  {mode}: " in line for line in shown) == 1 for number, mode in modes)
        assert sum("›" in line for line in shown) == 1
        assert all(len(line) < columns for line in shown)
        screen.keys("q")
        assert screen.end() == 0
        assert screen.until(LEFT)
        assert_whole(screen)


MOVES = {
    "enter": (["Enter"], "race"),
    "down": (["Down", "Down", "Enter"], "interactive"),
    "up goes around": (["Up", "Enter"], "chat"),
    "down and up": (["Down", "Up", "Enter"], "race"),
    "digit": (["2"], "conversation"),
    "digit and enter": (["3", "Enter"], "interactive"),
    "two digits": (["2", "4", "Enter"], "chat"),
    "garbage first": (["x", "9", "F5", "4"], "chat"),
}


@pytest.mark.parametrize(("keys", "chosen"), MOVES.values(), ids=MOVES.keys())
def test_keys_choose(tmp_path: Path, keys: Sequence[str], chosen: str) -> None:
    with terminal(tmp_path, ["demo", *NOWHERE]) as screen:
        screen.until("4  chat")
        screen.keys(*keys)
        assert screen.end() == 3  # chosen, and then nobody was there
        assert f"{MENU} {chosen}" in screen.lines()
        assert_whole(screen)


def test_a_key_that_means_nothing_is_told_what_is_possible(tmp_path: Path) -> None:
    with terminal(tmp_path, ["demo", *NOWHERE], columns=80, rows=24) as screen:
        screen.until("4  chat")
        screen.keys("7")
        screen.until("'7' means nothing here: 1 to 4, arrows and Enter, q leaves")
        screen.keys("Down")
        shown = screen.until(lambda lines: not any("means nothing" in line for line in lines))
        assert any("›" in line and "2  conversation" in line for line in shown)
        screen.keys("C-d")
        assert screen.end() == 0


@pytest.mark.parametrize(("key", "code"), [("C-c", 130), ("C-d", 0)])
def test_control_keys_leave_and_the_terminal_is_whole(tmp_path: Path, key: str, code: int) -> None:
    with terminal(tmp_path, ["demo", *NOWHERE], columns=80, rows=24) as screen:
        screen.until("4  chat")
        screen.resize(60, 12)
        screen.until("q leaves")
        screen.keys(key)
        assert screen.end() == code
        assert not any("Traceback" in line for line in screen.lines(history=True))
        assert_whole(screen)


def test_a_signal_ends_a_menu_of_keys(tmp_path: Path) -> None:
    with terminal(tmp_path, ["demo", *NOWHERE], columns=80, rows=24) as screen:
        screen.until("4  chat")
        screen.terminate()
        assert screen.end() == 130
        assert_whole(screen)


LINES = {
    "a number": (b"4\n", "", 3),
    "a name": (b" Chat \n", "", 3),
    "without a line's end": (b"2", "", 3),
    "windows": (b"2\r\n", "", 3),
    "q": (b"q\n", "", 0),
    "nothing at all": (b"", "The input ended before anything was chosen.", 0),
    "garbage, then q": (
        b"\xff\x1b[2Jrce\n\n5\nq\n",
        "Possible are 1 to 4, race, conversation, interactive, chat, and q.",
        0,
    ),
    "garbage to the end": (b"5\n", "There is no '5' here.", 0),
    "nearly": (b"rade\nq\n", "did you mean race?", 0),
    "a line without an end": (b"x" * 200_000, "a line of the input is longer than 100,000 bytes", 2),
}


def test_what_is_possible_is_said_once(tmp_path: Path) -> None:
    done = piped(tmp_path, b"99\nq\n", "--mode", "interactive", "--simulate")
    assert done.code == 0, done.said()
    assert "There is no '99' here. Possible are 1 to 6, own, and q." in done.err


def test_interactive_says_who_never_answered(tmp_path: Path) -> None:
    broken = {**vllm_pages("m", "1"), "/v1/chat/completions": Page(b"no", status=500)}
    with serving(broken) as bad:
        done = piped(tmp_path, b"1\nq\n", "--mode", "interactive", "--url", f"vllm={bad.url}", "--max-tokens", "4")
    assert done.code == 3, done.said()
    assert "vllm answered not a single request" in done.err


@pytest.mark.parametrize(("typed", "said", "code"), LINES.values(), ids=LINES.keys())
def test_lines_choose_without_a_terminal(tmp_path: Path, typed: bytes, said: str, code: int) -> None:
    done = piped(tmp_path, typed, *NOWHERE)
    assert done.code == code, done.said()
    assert [f"  {number}  {mode}" in done.err for number, mode in enumerate(("race", "conv", "inter", "chat"), 1)] == [
        True
    ] * 4
    assert said in done.err
    assert "\x1b" not in done.err + done.out
    assert "Traceback" not in done.err


def test_a_file_and_a_closed_input_are_read_too(tmp_path: Path) -> None:
    (tmp_path / "typed").write_text("q\n")
    command = [sys.executable, str(LAUNCHER), "demo", *NOWHERE]
    with (tmp_path / "typed").open() as file:
        for stdin in (file, subprocess.DEVNULL):
            done = fed(tmp_path, command, stdin=stdin)
            assert done.code == 0, done.said()
    closed = fed(tmp_path, ["sh", "-c", 'exec "$@" <&-', "sh", *command])
    assert closed.code == 0, closed.said()
    assert "Traceback" not in closed.err


def test_a_signal_ends_a_menu_that_waits_for_a_line(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    command = [sys.executable, str(LAUNCHER), "demo", *NOWHERE]
    process = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdin=read_end, stderr=subprocess.PIPE)
    assert process.stderr is not None
    said = b""
    while b"q to leave" not in said:
        piece = os.read(process.stderr.fileno(), 4096)
        assert piece, said
        said += piece
    process.terminate()
    assert process.wait(PATIENCE) == 130
    process.stderr.close()
    os.close(read_end)
    os.close(write_end)
