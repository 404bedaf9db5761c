"""`benchmark` on a real terminal (tmux, which obeys every sequence): the screen is whole during and after the run."""

import itertools
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from front_door import LAUNCHER, PATIENCE, environment, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

BAR = "━"


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    serve = ["vllm,name=a,ttft-ms=80,itl-ms=40", "tgi,name=b,ttft-ms=80,itl-ms=40,fault=http-503/2"]
    with SimulatorProcess(serve) as simulator:
        yield ["--url", f"vllm/a={simulator.urls['a']}", "--url", f"tgi/with-long-name={simulator.urls['b']}"]


def write_small(cwd: Path) -> None:
    ttft = {"iterations": 2, "warmup_requests": 0, "max_tokens": 3}
    tests = [users("standard-load", 2, duration_seconds=3, max_tokens=6)]
    write_config(cwd / "c.yaml", ttft_test=ttft, load_tests=tests)


_NUMBERS = itertools.count()


class Screen:
    """A tmux session of its own, on a socket of its own."""

    def __init__(self, socket: Path) -> None:
        # A server that is ending still holds its socket: the next screen of a test must not come to it.
        own = socket.with_name(f"{socket.name}{next(_NUMBERS)}")
        self._tmux = ["tmux", "-S", str(own), "-f", "/dev/null"]

    def open(self, words: str, *, columns: int, cwd: Path) -> None:
        size = ["-x", str(columns), "-y", "240"]
        clean = {name: value for name, value in environment().items() if name not in ("COLUMNS", "TMUX")}
        subprocess.run([*self._tmux, "new-session", "-d", *size, words], cwd=cwd, env=clean, check=True)

    def lines(self) -> list[str]:
        done = subprocess.run([*self._tmux, "capture-pane", "-p"], capture_output=True, text=True, check=True)
        return done.stdout.rstrip().splitlines()

    def until(self, look: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.lines()
            if look(lines):
                return lines
            time.sleep(0.1)
        raise AssertionError("the screen never showed it:\n" + "\n".join(self.lines()))

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@contextmanager
def screen(socket: Path) -> Iterator[Screen]:
    made = Screen(socket)
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("columns", [80, 160])
def test_the_screen_is_whole_during_the_run_and_after_it(urls: list[str], tmp_path: Path, columns: int) -> None:
    write_small(tmp_path)
    words = " ".join([sys.executable, str(LAUNCHER), "benchmark", "-c", "c.yaml", *urls])
    with screen(tmp_path / "tmux") as shown:
        # The shell stays until the session is closed, or the screen would go with the command.
        shown.open(f"{words}; echo END=$?; cat", columns=columns, cwd=tmp_path)
        during = shown.until(lambda lines: any("standard-load: tgi-with-long-name, round" in line for line in lines))
        after = shown.until(lambda lines: any(line.startswith("END=") for line in lines))
    moving = [line for line in during if BAR in line]
    assert len(moving) == 1  # redrawn in place, on one line
    assert moving[0] == during[-1]
    assert re.search(r"\d:\d\d:\d\d standard-load: ", moving[0])
    assert after[-1] == "END=0"
    assert not any(BAR in line for line in after)
    assert "SIMULATED: figures of simulated engines, not of real ones" in after
    counts = [line.split() for line in after if line.startswith(" Requests good / sent")]
    assert len(counts) == 2  # one for each test, both services side by side
    assert counts[0][4:] == ["2", "/", "2", "1", "/", "2"]
    assert all(line.count("─") <= columns for line in after)
    assert any(re.match(r" vllm-a +vLLM ", line) for line in after)


def on_terminal(cwd: Path, *args: str, **environ: str) -> str:
    """Run the command with a pseudo-terminal for all its streams; return every byte it wrote, as text."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, str(LAUNCHER), *args],
        cwd=cwd,
        env=environment(TERM="xterm-256color", **environ),
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the last writer has gone
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    assert process.wait(PATIENCE) == 0
    return written.decode()


COLOUR = re.compile(r"\x1b\[[0-9;]*[1-9][0-9;]*m")
PLAIN = {"option": (["--no-color"], {}), "variable": ([], {"NO_COLOR": "1"})}


@pytest.mark.parametrize(("args", "environ"), PLAIN.values(), ids=PLAIN.keys())
def test_colours_can_be_switched_off(urls: list[str], tmp_path: Path, args: list[str], environ: dict[str, str]) -> None:
    write_small(tmp_path)
    written = on_terminal(tmp_path, *args, "benchmark", "-c", "c.yaml", "--ttft-only", *urls[:2], **environ)
    assert not [found for found in COLOUR.findall(written) if "3" in found or "4" in found]
    assert "SIMULATED" in written


def test_a_terminal_gets_colours(urls: list[str], tmp_path: Path) -> None:
    write_small(tmp_path)
    written = on_terminal(tmp_path, "benchmark", "-c", "c.yaml", "--ttft-only", *urls[:2])
    assert COLOUR.search(written)
