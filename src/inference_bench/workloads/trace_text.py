"""Reads the traces that are text, row by row: Mooncake (JSONL), Azure LLM inference and BurstGPT (both CSV).

Where the formats are from: Mooncake, FAST '25 (github.com/kvcache-ai/Mooncake); Azure LLM inference traces of 2023
and 2024 (github.com/Azure/AzurePublicDataset); BurstGPT (github.com/HPMLL/BurstGPT).
"""

import codecs
import csv
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import orjson

from inference_bench.workloads.choices import shown
from inference_bench.workloads.opened import wrong
from inference_bench.workloads.trace_columns import KNOWN_FORMATS, Columns, Part, RowError, Trace

MAX_LINE_BYTES = 8 * 1024 * 1024
_MS = 1e-3
_KEYS: Mapping[Part, str] = {"time": "timestamp", "prompt": "input_length", "output": "output_length"}
# Stricter than int() and float(), which take 1_0 and the digits of every script.
_WHOLE = re.compile(r"\s*[+-]?[0-9]{1,19}(\.0*)?\s*")
_NUMBER = re.compile(
    r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*|\s*[+-]?(nan|inf|infinity)\s*", re.IGNORECASE
)
_SECONDS_DIGITS = 19  # of 2023-11-16 18:15:46

ReadRow = Callable[[bytes], None]


def read_text_trace(path: Path, stream: BinaryIO) -> Trace:
    """Read a trace of text lines. ConfigError names line and column of what is wrong."""
    lines = _lines(path, stream)
    number, first = next(lines, (1, b""))
    columns = Columns()
    reader: _Mooncake | _Csv
    if first.lstrip().startswith(b"{"):
        reader = _Mooncake(columns)
        _read(path, number, first, reader.read)
    else:
        reader = _csv_reader(path, number, first, columns)
    for number, line in lines:
        _read(path, number, line, reader.read)
    return columns.trace(path, reader.kind, reader.notes)


def _lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Yield the number (from 1) and the bytes of each line that is not empty."""
    number = 0
    try:
        while line := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise wrong(path, f"this line is longer than {MAX_LINE_BYTES // 1024**2} MiB", line=number)
            line = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            line = line.rstrip(b"\r\n")
            if line.strip():
                yield number, line
    except OSError as error:
        raise wrong(path, f"cannot read the trace: {error.strerror or error}") from error


def _read(path: Path, number: int, line: bytes, read: ReadRow) -> None:
    try:
        read(line)
    except RowError as error:
        raise wrong(path, str(error), line=number, column=error.column, hint=error.hint or KNOWN_FORMATS) from None


class _Mooncake:
    """{"timestamp": ms, "input_length": tokens, "output_length": tokens, "hash_ids": [blocks of 512 tokens]}."""

    kind = "Mooncake"
    notes = ()

    def __init__(self, columns: Columns) -> None:
        self._columns = columns

    def read(self, line: bytes) -> None:
        """Add the row of a line."""
        try:
            row: object = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise RowError(f"this line is not JSON: {error.msg}", error.colno) from None
        if not isinstance(row, dict):
            raise RowError("this line is JSON but not an object")
        time = row.get("timestamp")
        if not isinstance(time, int | float) or isinstance(time, bool):
            raise self._missing(row, line, "timestamp", "a number of milliseconds")
        if time < 0:
            raise RowError(f"the time is negative: {time:g} ms", _place(line, "timestamp"))
        prompt, output = self._length(row, line, "input_length"), self._length(row, line, "output_length")
        ids = row.get("hash_ids", ())
        if not isinstance(ids, list | tuple) or not all(type(one) is int and abs(one) < 2**63 for one in ids):
            raise self._missing(row, line, "hash_ids", "a list of whole numbers")
        try:
            self._columns.add(time * _MS, prompt, output, ids)
        except RowError as error:
            raise RowError(str(error), _place(line, _KEYS[error.part or "time"])) from None

    def _length(self, row: dict[str, object], line: bytes, key: str) -> int:
        value = row.get(key)
        if type(value) is not int:
            raise self._missing(row, line, key, "a whole number of tokens")
        return value

    @staticmethod
    def _missing(row: dict[str, object], line: bytes, key: str, what: str) -> RowError:
        if key not in row:
            return RowError(f'"{key}" is missing; it must be {what}', len(line))
        return RowError(f'"{key}" must be {what}', _place(line, key))


def _place(line: bytes, key: str) -> int:
    """Return the column (from 1) where a key stands in a line of JSON; 1 when it is written in another way."""
    return max(line.find(b'"' + key.encode() + b'"'), 0) + 1


@dataclass(frozen=True, slots=True)
class _Form:
    """A CSV format: its columns for time, prompt and output length, and how its times are written."""

    kind: str
    time: str
    prompt: str
    output: str
    clock: Callable[[], Callable[[str], float]]


class _Csv:
    """Rows of comma-separated values under a header line."""

    def __init__(self, form: _Form, header: Sequence[str], columns: Columns) -> None:
        self.kind = form.kind
        self.notes: tuple[str, ...] = ()
        self._form = form
        self._parse_time = form.clock()
        self._width = len(header)
        self._columns = columns
        self._places = tuple(header.index(name) for name in (form.time, form.prompt, form.output))

    def read(self, line: bytes) -> None:
        """Add the row of a line."""
        cells = _cells(line)
        if len(cells) != self._width:
            raise RowError(f"this line has {len(cells)} columns and the header {self._width}", len(line))
        time, prompt, output = self._places
        at = 0
        try:
            seconds = self._parse_time(cells[at := time])
            lengths = _whole(cells[at := prompt]), _whole(cells[at := output])
        except ValueError as error:
            name = {time: self._form.time, prompt: self._form.prompt, output: self._form.output}[at]
            raise RowError(f"{name} {error}, not {shown(cells[at])}", _start(cells, at)) from None
        try:
            self._columns.add(seconds, *lengths)
        except RowError as error:
            at = {"time": time, "prompt": prompt, "output": output}[error.part or "time"]
            raise RowError(str(error), _start(cells, at)) from None


def _csv_reader(path: Path, number: int, line: bytes, columns: Columns) -> _Csv:
    try:
        header = [cell.strip() for cell in _cells(line)]
    except RowError as error:
        raise wrong(path, str(error), line=number, column=error.column, hint=error.hint or KNOWN_FORMATS) from None
    for form in _FORMS:
        wanted = (form.time, form.prompt, form.output)
        missing = [name for name in wanted if name not in header]
        if not missing:
            twice = next((name for name in wanted if header.count(name) > 1), None)
            if twice is not None:
                place = _start(header, len(header) - 1 - header[::-1].index(twice))
                raise wrong(path, f"the header names the column {twice} twice", line=number, column=place)
            return _Csv(form, header, columns)
        if len(missing) < len(wanted):
            problem = f"the {form.kind} format needs the column{'s' if missing[1:] else ''} {', '.join(missing)}"
            raise wrong(path, problem, line=number, column=len(line), hint=KNOWN_FORMATS)
    raise wrong(path, "this is no trace of a known format", line=number, column=1, hint=KNOWN_FORMATS)


def _cells(line: bytes) -> list[str]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        problem = f"byte 0x{line[error.start]:02x} is no UTF-8"
        raise RowError(problem, error.start + 1, hint="save the file as UTF-8") from None
    if '"' not in text:
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise RowError(f"this line is no CSV: {error}") from None


def _start(cells: Sequence[str], place: int) -> int:
    return sum(len(cell) + 1 for cell in cells[:place]) + 1


def _whole(cell: str) -> int:
    """Return a whole number, also one that was written as 12.0. ValueError says what it must be."""
    if _WHOLE.fullmatch(cell) is None:
        raise ValueError("must be a whole number of tokens")
    return int(cell.partition(".")[0])


def _seconds(cell: str) -> float:
    if _NUMBER.fullmatch(cell) is None:
        raise ValueError("must be a number of seconds")
    seconds = float(cell)
    if seconds < 0:
        raise ValueError("must not be negative")
    return seconds


class _Clock:
    """Reads dates with any number of decimals; the last whole second is remembered, because rows share it."""

    def __init__(self) -> None:
        self._text: str | None = None
        self._seconds = 0.0
        self._first: float | None = None

    def __call__(self, cell: str) -> float:
        """Return seconds since the first row, UTC unless the text names an offset. ValueError when it is no time."""
        text = cell.strip()
        whole, rest = text[:_SECONDS_DIGITS], text[_SECONDS_DIGITS:]
        try:
            if whole != self._text:
                moment = datetime.fromisoformat(whole)
                if moment.tzinfo is not None:  # an offset this far to the left: no seconds stand before it
                    raise ValueError
                since_1970 = moment.replace(tzinfo=UTC).timestamp()
                # Counted from the first row: a double holds ticks of 100 ns for years, but not since 1970.
                self._first = since_1970 if self._first is None else self._first
                self._seconds, self._text = since_1970 - self._first, whole
            fraction, offset = _fraction(rest)
        except ValueError:
            raise ValueError("must be a time such as 2023-11-16 18:15:46.6805900") from None
        return self._seconds + fraction - offset


def _fraction(rest: str) -> tuple[float, float]:
    """Return the decimals of a second and the offset from UTC in s that stand behind the whole seconds."""
    if not rest:
        return 0.0, 0.0
    zone = max(rest.find("+"), rest.find("-"))
    digits, offset = (rest, "") if zone < 0 else (rest[:zone], rest[zone:])
    digits = digits.removesuffix("Z")
    if digits and not (digits[0] == "." and digits[1:].isascii() and digits[1:].isdigit()):
        raise ValueError
    if not offset or offset in ("+00:00", "-00:00", "+00"):
        return float(digits or 0.0), 0.0
    behind = datetime.strptime(offset, "%z").utcoffset()
    return float(digits or 0.0), behind.total_seconds() if behind is not None else 0.0


_FORMS = (
    _Form("Azure LLM inference", "TIMESTAMP", "ContextTokens", "GeneratedTokens", _Clock),
    _Form("BurstGPT", "Timestamp", "Request tokens", "Response tokens", lambda: _seconds),
)
