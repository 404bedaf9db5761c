"""Where a value came from, the path of a key, and a problem found with it: the words the other modules share."""

from dataclasses import dataclass
from enum import StrEnum

KeyPath = tuple[str | int, ...]


class Source(StrEnum):
    """The layers, lowest first."""

    BUILT_IN = "built-in"
    FILE = "file"
    ENVIRONMENT = "environment"
    COMMAND_LINE = "command line"


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which layer gave a value, and where in it: a file with its line, or an environment variable's name."""

    source: Source
    where: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """`config/default.yaml:12`, `VLLM_BENCHMARK__…`, `command line` or `built-in`."""
        if self.where is None:
            return str(self.source)
        return self.where if self.line is None else f"{self.where}:{self.line}"


BUILT_IN = Provenance(Source.BUILT_IN)


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong: the key's path, a sentence without its subject, and where it stands."""

    path: KeyPath
    text: str
    line: int | None = None
    provenance: Provenance | None = None

    def __str__(self) -> str:
        """`where: key: what is wrong`; keys are the user's own text, and nothing of it may move a terminal's cursor."""
        key = dotted(self.path)
        parts = [str(self.provenance) if self.provenance is not None else "", key, self.text]
        line = ": ".join(part for part in parts if part)
        return "".join(character if character.isprintable() else "?" for character in line)


def dotted(path: KeyPath) -> str:
    """Return a path as it is written: `load_tests[0].rate`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
