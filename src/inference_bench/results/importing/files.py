"""Reading foreign files: bounded, and with line and column where their JSON is broken."""

import codecs
import hashlib
import json
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from inference_bench.errors import ConfigError, UsageError

LARGEST_BYTES: Final = 512_000_000  # of a file that must be read as a whole: a parsed one needs several times that
LONGEST_LINE: Final = 64_000_000
_BLOCK: Final = 1 << 20
_COLUMNS_SHOWN: Final = 10_000_000
_TEXT: Final = "Result files are text in UTF-8: unpack it, or save it so."


def size_of(path: Path) -> int:
    """Return the size of a regular file. Raises UsageError when it is none, or cannot be looked at."""
    try:
        found = path.stat()
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", hint="Give a result file, or its folder.") from error
    if not stat.S_ISREG(found.st_mode):
        raise UsageError(f"{path} is no file", hint="Give a result file, or the folder that a tool wrote it into.")
    return found.st_size


def read_whole(path: Path) -> str:
    """Return a file's text.

    Raises:
        UsageError: it cannot be read, or is larger than `LARGEST_BYTES`.
        ConfigError: it is no UTF-8.
    """
    size = size_of(path)
    if size > LARGEST_BYTES:
        raise UsageError(
            f"{path} has {size:,} bytes; {LARGEST_BYTES:,} is the most that is read as a whole",
            hint="Import the tool's summary file, without texts and requests.",
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        where = f"line {line}, column {min(column, _COLUMNS_SHOWN)}"
        raise ConfigError(f"{path}: {where}: this is not UTF-8", file=path, line=line, hint=_TEXT) from error
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def parse(text: str, path: Path, *, first_line: int = 1) -> object:
    """Return what a JSON text holds. Raises ConfigError with line and column when it is broken."""
    try:
        parsed: object = json.loads(text)
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        raise ConfigError(
            f"{path}: line {line}, column {min(error.colno, _COLUMNS_SHOWN)}: {error.msg}",
            file=path,
            line=line,
            hint="It is no whole JSON: was the tool stopped while it wrote?",
        ) from error
    except (RecursionError, ValueError) as error:  # nested too deeply; a number of more digits than Python reads
        raise ConfigError(f"{path}: no result file is nested, or has numbers, like that", file=path) from error
    return parsed


def json_lines(path: Path) -> Iterator[tuple[int, object]]:
    """Yield (line number, value) of a file with a JSON value per line, a line at a time; empty lines are left out.

    Raises:
        UsageError: it cannot be read.
        ConfigError: a line is broken, too long, or no UTF-8.
    """
    size_of(path)
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if len(line) > LONGEST_LINE:
                    raise ConfigError(f"{path}: line {number} is longer than {LONGEST_LINE:,} bytes", file=path)
                if not line.strip():
                    continue
                try:
                    text = line.removeprefix(codecs.BOM_UTF8 if number == 1 else b"").decode()
                except UnicodeDecodeError as error:
                    where = f"line {number}, column {error.start + 1}"
                    raise ConfigError(
                        f"{path}: {where}: this is not UTF-8", file=path, line=number, hint=_TEXT
                    ) from error
                yield number, parse(text, path, first_line=number)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error


def digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    found = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from error
    return found.hexdigest()
