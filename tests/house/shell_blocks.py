"""Reads the commands of a Markdown document, and prepares a directory in which a test can run them."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from house_tree import LAUNCHER, ROOT, plain_environment

_FENCE = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# How a command of the README makes its environment: three known steps, none of which is the program itself.
INSTALLATION = re.compile(
    r"^python3 -m venv \.venv && \. \.venv/bin/activate && pip install -c constraints\.txt -e (?:\.|'\.\[test\]') && "
)
# The last step of the command that passes the tests. The test that meets it is run by it.
RUN_THE_TESTS = "python -m pytest"


@dataclass(frozen=True, slots=True)
class Command:
    """One command line of a document. `line` counts from 1."""

    document: Path
    line: int
    text: str

    @property
    def place(self) -> str:
        """Where it stands, for messages."""
        return f"{self.document.relative_to(ROOT)}:{self.line}"

    @property
    def program(self) -> str:
        """The command without the making of a virtual environment before it."""
        return INSTALLATION.sub("", self.text)


def commands_of(document: Path) -> list[Command]:
    """Return each line of the document's bash blocks, in order; empty lines and comments are none."""
    text = document.read_text("utf-8")
    found = []
    for match in _FENCE.finditer(text):
        first = text.count("\n", 0, match.start(1)) + 1
        for number, line in enumerate(match[1].splitlines(), first):
            if line.strip() and not line.lstrip().startswith("#"):
                found.append(Command(document, number, line.strip()))
    return found


def documents() -> list[Path]:
    """Return the documents whose commands a user is meant to type."""
    return [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def checkout(directory: Path) -> Path:
    """Make the directory look like a checkout: the launcher is there, and nothing that a run left behind."""
    (directory / LAUNCHER.name).symlink_to(LAUNCHER)
    return directory


def reader_environment() -> dict[str, str]:
    """Return a reader's environment: this Python is `python`, as in the activated virtual environment.

    Runs are shorter than the documents' (environment variables lie over the configuration file); a command's own
    options still decide.
    """
    shorter = {
        "VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": "4",
        "VLLM_BENCHMARK__LOAD_TESTS__0__DURATION_SECONDS": "2",
        "VLLM_BENCHMARK__COMPARISON__BUDGET": "5",
    }
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)))
    return {**plain_environment(), **shorter, "PATH": path}
