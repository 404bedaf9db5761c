"""A terminal of a test's own (tmux, which obeys every sequence): keys go in, screens come out, sizes change.

Waiting is for what a screen shows, with a generous end, never for a duration.
"""

import itertools
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from front_door import LAUNCHER, PATIENCE, environment

END = "END="
_NUMBERS = itertools.count()


class Terminal:
    """A tmux session of its own, on a socket of its own."""

    def __init__(self, socket: Path) -> None:
        # A server that is ending still holds its socket: the next terminal of a test must not come to it.
        own = socket.with_name(f"{socket.name}{next(_NUMBERS)}")
        self._tmux = ["tmux", "-S", str(own), "-f", "/dev/null"]

    def open(self, words: str, *, columns: int, rows: int, cwd: Path, environ: Mapping[str, str]) -> None:
        """Open it at this size, running these words of the shell."""
        size = ["-x", str(columns), "-y", str(rows)]
        subprocess.run([*self._tmux, "new-session", "-d", *size, words], cwd=cwd, env=environ, check=True)

    def keys(self, *keys: str) -> None:
        """Press keys by tmux's names: Enter, Up, C-c, C-d."""
        subprocess.run([*self._tmux, "send-keys", *keys], check=True)

    def types(self, text: str, *, enter: bool = True) -> None:
        """Type a text, and Enter behind it."""
        subprocess.run([*self._tmux, "send-keys", "-l", text], check=True)
        if enter:
            self.keys("Enter")

    def resize(self, columns: int, rows: int) -> None:
        """Give the window another size."""
        subprocess.run([*self._tmux, "resize-window", "-x", str(columns), "-y", str(rows)], check=True)

    def lines(self, *, history: bool = False, colours: bool = False) -> list[str]:
        """Return what is on the screen, or all that has been on the normal screen and is still in the scrollback."""
        more = [*(["-S", "-"] if history else []), *(["-e"] if colours else [])]
        done = subprocess.run([*self._tmux, "capture-pane", "-p", *more], capture_output=True, text=True, check=True)
        return done.stdout.rstrip().splitlines()

    def value(self, name: str) -> str:
        """Return one of tmux's format variables: alternate_on, cursor_flag, …"""
        done = subprocess.run(
            [*self._tmux, "display-message", "-p", f"#{{{name}}}"], capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    def until(self, look: Callable[[list[str]], bool] | str, *, history: bool = False) -> list[str]:
        """Wait until the screen holds this text, or what `look` wants; return its lines."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            lines = self.lines(history=history)
            if any(look in line for line in lines) if isinstance(look, str) else look(lines):
                return lines
            time.sleep(0.05)
        raise AssertionError(f"the screen never showed {look!r}:\n" + "\n".join(self.lines(history=True)))

    def terminate(self) -> None:
        """Send SIGTERM to the command, which is the shell's one child."""
        (command,) = psutil.Process(int(self.value("pane_pid"))).children()
        command.terminate()

    def end(self) -> int:
        """Wait for the command's end and return its exit code."""
        lines = self.until(lambda shown: any(line.startswith(END) for line in shown), history=True)
        return int(next(line for line in lines if line.startswith(END)).removeprefix(END))

    def close(self) -> None:
        """End the session."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)


@contextmanager
def terminal(
    cwd: Path, args: Sequence[str], *, columns: int = 120, rows: int = 40, **environ: str
) -> Iterator[Terminal]:
    """Run the command on a terminal of this size; afterwards a shell says END=CODE and lives on."""
    made = Terminal(cwd / "tmux")
    clean = {name: value for name, value in environment().items() if name not in ("COLUMNS", "TMUX")}
    words = shlex.join([sys.executable, str(LAUNCHER), *args])
    try:
        made.open(f"{words}; echo {END}$?; exec cat", columns=columns, rows=rows, cwd=cwd, environ={**clean, **environ})
        yield made
    finally:
        made.close()


def assert_whole(screen: Terminal) -> None:
    """Check that the terminal is as it was: the normal screen, a visible cursor, keys that are seen."""
    assert screen.value("alternate_on") == "0"
    assert screen.value("cursor_flag") == "1"
    screen.types("seen")
    screen.until(lambda lines: lines[-1] == "seen" and lines[-2] == "seen")  # echoed, and said again by cat
