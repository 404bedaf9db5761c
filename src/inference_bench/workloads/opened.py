"""A file of the user's own, opened once: what happens to its name afterwards changes nothing."""

import os
import stat
from pathlib import Path
from typing import BinaryIO

from inference_bench.errors import ConfigError

KEY = "workload.path"
_COLUMN_LIMIT = 10**9
_PACKED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh91AY&SY": "bzip2",
    b"\xfd7zXZ\0": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
}
"""First bytes of compressed files, which no text begins with."""


def shown_path(path: Path) -> str:
    """Return a path fit for one line of a message."""
    return str(path) if str(path).isprintable() else repr(str(path))


def wrong(
    path: Path, problem: str, *, line: int | None = None, column: int | None = None, hint: str | None = None
) -> ConfigError:
    """Return the error that says what is wrong with a file, and where: `FILE:LINE:COLUMN: …`, both from 1."""
    where = shown_path(path)
    if line is not None:
        where += f":{line}"
        if column is not None:
            where += f":{min(column, _COLUMN_LIMIT)}"
    return ConfigError(f"{where}: {problem}", file=path, line=line, key=KEY, hint=hint)


def _packed(stream: BinaryIO) -> str | None:
    """Return how a file is compressed, None for one that is not; the stream stays at its start."""
    try:
        head = os.pread(stream.fileno(), max(len(magic) for magic in _PACKED), 0)
    except OSError:
        return None  # whoever reads the file meets the same error, and says so
    return next((name for magic, name in _PACKED.items() if head.startswith(magic)), None)


def open_once(path: Path, what: str) -> BinaryIO:
    """Open a regular, non-empty file for reading; ConfigError says of `what` why that is impossible.

    The file is kept open by whoever holds the result: replaced or removed afterwards, it still reads the same.
    """
    try:
        # Without blocking: to open a pipe that nobody writes to would wait for ever. Regular files are read as usual.
        stream = os.fdopen(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")
    except OSError as error:
        raise wrong(path, f"cannot read the {what}: {error.strerror or error}") from error
    facts = os.fstat(stream.fileno())
    problem = None
    if not stat.S_ISREG(facts.st_mode):
        problem = f"the {what} is no regular file; it is read more than once"
    elif facts.st_size == 0:
        problem = f"the {what} is empty"
    elif packed := _packed(stream):
        problem = f"the {what} is compressed ({packed}); unpack it first"
    if problem is not None:
        stream.close()
        raise wrong(path, problem)
    return stream
