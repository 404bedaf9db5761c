"""Finds the elements of a JSON array in a file that may be larger than memory, without reading them as JSON.

Only quotes and brackets are looked at: where an object begins and ends is known from them. Whether it is JSON is the
business of whoever reads it.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from inference_bench.workloads.opened import wrong

MAX_ELEMENT_BYTES = 64 * 1024 * 1024
_CHUNK = 4 * 1024 * 1024
# A whole string, a bracket, or a quote whose string goes on in the next chunk.
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*+"|[{}\[\]]|"', re.DOTALL)
_SPACE = re.compile(rb"[ \t\r\n]*")
_BOM = b"\xef\xbb\xbf"
_EXPECTED = 'a list of conversations is expected: [{"conversations": [{"from": "human", "value": "…"}, …]}, …]'


@dataclass(frozen=True, slots=True)
class Element:
    """One object of the array: its bytes, its first byte in the file, and where it stands (line and column from 1)."""

    data: bytes
    start: int
    line: int
    column: int


class _Window:
    """The part of the file that is looked at; counts lines as it moves on."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self.data = b""
        self.offset = 0  # of the window in the file
        self.at = 0  # within the window
        self.line = 1
        self.line_start = 0  # in the file

    def more(self) -> bool:
        """Read on, forgetting what lies before `at`; False at the end of the file."""
        try:
            chunk = self._stream.read(_CHUNK)
        except OSError as error:
            raise wrong(self._path, f"cannot read the file: {error.strerror or error}") from error
        self.data = self.data[self.at :] + chunk
        self.offset += self.at
        self.at = 0
        return bool(chunk)

    def move(self, to: int) -> None:
        """Move on to a place in the window."""
        lines = self.data.count(b"\n", self.at, to)
        if lines:
            self.line += lines
            self.line_start = self.offset + self.data.rindex(b"\n", self.at, to) + 1
        self.at = to

    def next_byte(self) -> bytes:
        """Skip white space and return the byte behind it; nothing at the end of the file."""
        while True:
            match = _SPACE.match(self.data, self.at)
            self.move(match.end() if match else self.at)
            if self.at < len(self.data):
                return self.data[self.at : self.at + 1]
            if not self.more():
                return b""

    @property
    def column(self) -> int:
        """The column, from 1, in bytes."""
        return self.offset + self.at - self.line_start + 1


def elements(path: Path, stream: BinaryIO) -> Iterator[Element]:
    """Yield the objects of the array that the file consists of. ConfigError names line and column of what is none."""
    stream.seek(0)
    window = _Window(path, stream)
    window.more()
    if window.data.startswith(_BOM):
        window.at = window.line_start = len(_BOM)
    _expect(path, window, b"[")
    byte = window.next_byte()
    while byte != b"]":
        if byte != b"{":
            raise _unexpected(path, window, byte, "an object")
        yield _element(path, window)
        byte = window.next_byte()
        if byte == b",":
            window.move(window.at + 1)
            byte = window.next_byte()
            if byte == b"]":
                raise _unexpected(path, window, byte, "an object")
        elif byte != b"]":
            raise _unexpected(path, window, byte, "a comma or the end of the list")
    window.move(window.at + 1)
    if (byte := window.next_byte()) != b"":
        raise _unexpected(path, window, byte, "the end of the file")


def _element(path: Path, window: _Window) -> Element:
    """Return the object that begins where the window stands, and move behind it."""
    start, line, column = window.offset + window.at, window.line, window.column
    depth, seen = 0, 0  # how far the object has been looked at, from its start
    while True:
        for token in _TOKEN.finditer(window.data, window.at + seen):
            kind = token.group()[:1]
            if kind == b'"' and token.end() - token.start() == 1:
                seen = token.start() - window.at
                break
            seen = token.end() - window.at
            if kind != b'"':
                depth += 1 if kind in b"{[" else -1
                if depth == 0:
                    data = window.data[window.at : token.end()]
                    window.move(token.end())
                    return Element(data, start, line, column)
        if len(window.data) - window.at > MAX_ELEMENT_BYTES:
            problem = f"this object is longer than {MAX_ELEMENT_BYTES // 1024**2} MiB"
            raise wrong(path, problem, line=line, column=column, hint="is a quote or a bracket not closed?")
        if not window.more():
            raise wrong(path, "the file ends inside this object", line=line, column=column, hint=_EXPECTED)


def _expect(path: Path, window: _Window, wanted: bytes) -> None:
    byte = window.next_byte()
    if byte != wanted:
        raise _unexpected(path, window, byte, repr(wanted.decode()))
    window.move(window.at + 1)


def _unexpected(path: Path, window: _Window, byte: bytes, wanted: str) -> Exception:
    found = "the end of the file" if not byte else f"byte {byte[0]:#04x}" if byte[0] > 126 else repr(byte.decode())
    problem = f"{wanted} should stand here, not {found}"
    return wrong(path, problem, line=window.line, column=window.column, hint=_EXPECTED)
