"""Reads prompts from comma-separated values (RFC 4180): a header line, quoted cells may hold commas and line ends.

The prompt is in the column that was named, else in `prompt`, `text`, `question`, `instruction` or `input`, whichever
of them comes first in this list; `output_tokens` or `max_tokens` is the answer's length, `category` what kind of work
it is. Other columns are left alone.
"""

import codecs
import csv
import io
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads.choices import did_you_mean, shown
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.opened import wrong
from inference_bench.workloads.prompt_line import MAX_OUTPUT_TOKENS, LineError, category_of
from inference_bench.workloads.record_file import RecordFile

MAX_RECORD_BYTES = 4 * 1024 * 1024
PROMPT_COLUMNS = ("prompt", "text", "question", "instruction", "input")
_LENGTH_COLUMNS = ("output_tokens", "max_tokens")
_CATEGORY_COLUMN = "category"


class _CellError(LineError):
    """A cell is not what it should be: what is wrong with it, and which one of its record it is, from 0."""

    def __init__(self, problem: str, cell: int) -> None:
        super().__init__(problem)
        self.cell = cell

    def found_in(self, record: str) -> Self:
        """Say where in the text of the record the cell begins."""
        quoted, seen = False, 0
        for character in record:
            if seen == self.cell:
                break
            if character == "\n":
                self.lines_below += 1
                self.column = 1
                continue
            self.column += 1
            quoted ^= character == '"'
            seen += character == "," and not quoted
        return self


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the columns are, from 0; None for one that the file does not have."""

    width: int
    prompt: int
    length: int | None
    category: int | None
    default_category: str

    def item(self, cells: Sequence[str]) -> WorkItem | None:
        """Return the work of a record, None for an empty line. LineError says what is wrong."""
        if not cells:
            return None
        if len(cells) != self.width:
            raise LineError(f"this record has {len(cells)} columns and the header {self.width}")
        prompt = cells[self.prompt]
        if not prompt.strip():
            raise _CellError("the prompt is empty", self.prompt)
        if "\0" in prompt:
            raise _CellError("the prompt holds a NUL character, which is no text", self.prompt)
        length = None if self.length is None else _length(cells[self.length].strip(), self.length)
        return WorkItem((Message("user", prompt),), length, self._category(cells))

    def _category(self, cells: Sequence[str]) -> str:
        if self.category is None:
            return self.default_category
        try:
            return category_of(cells[self.category].strip() or None, self.default_category)
        except LineError as error:
            raise _CellError(str(error), self.category) from None


def read_csv_file(path: Path, stream: BinaryIO, prompt_column: str | None, default_category: str) -> Sequence[WorkItem]:
    """Return the prompts of an open CSV file. ConfigError with file and line for what is wrong."""
    # For the whole process: what others may have raised further stays as it is.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_RECORD_BYTES))
    lines = _Lines(path, stream)
    records = csv.reader(lines, strict=True)
    layout = _layout(path, _next(path, records, lines) or [], prompt_column, default_category)
    items = RecordFile(path, stream, lambda raw: _again(layout, raw))
    while True:
        lines.begin_record()
        cells = _next(path, records, lines)
        if cells is None:
            return items
        try:
            item = layout.item(cells)
        except _CellError as error:
            record = os.pread(stream.fileno(), lines.read - lines.record_start, lines.record_start)
            error.found_in(record.decode("utf-8"))
            raise wrong(path, str(error), line=lines.first_line + error.lines_below, column=error.column) from None
        except LineError as error:
            raise wrong(path, str(error), line=lines.first_line, column=1, hint=error.hint) from None
        if item is not None:
            items.add(lines.record_start, lines.record)


class _Lines:
    """Feeds the CSV reader with lines, and remembers where a record began."""

    def __init__(self, path: Path, stream: BinaryIO) -> None:
        self._path = path
        self._stream = stream
        self.read = 0  # bytes
        self.number = 0
        self.record_start = 0
        self._record: list[bytes] = []
        self.first_line = 1

    def begin_record(self) -> None:
        """Say that what is read next is a new record."""
        self.record_start, self.first_line = self.read, self.number + 1
        self._record.clear()

    @property
    def record(self) -> bytes:
        """The bytes of the record that was begun last, as far as it was read."""
        return b"".join(self._record)

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        """Return the next line. ConfigError when a record grows without end: a quote that is never closed does that."""
        raw = self._stream.readline(MAX_RECORD_BYTES + 1)
        if not raw:
            raise StopIteration
        self.number += 1
        self.read += len(raw)
        self._record.append(raw)
        if self.read - self.record_start > MAX_RECORD_BYTES:
            problem = f"this record is longer than {MAX_RECORD_BYTES // 1024**2} MiB; is a quote not closed?"
            raise wrong(self._path, problem, line=self.first_line)
        if self.number == 1 and raw.startswith(codecs.BOM_UTF8):
            raw = raw.removeprefix(codecs.BOM_UTF8)
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            problem = f"byte 0x{raw[error.start]:02x} is no UTF-8"
            column, hint = error.start + 1, "save the file as UTF-8"
            raise wrong(self._path, problem, line=self.number, column=column, hint=hint) from None


def _next(path: Path, records: "Iterator[list[str]]", lines: _Lines) -> list[str] | None:
    try:
        return next(records, None)
    except csv.Error as error:
        hint = 'cells with commas, quotes or line ends stand in quotes, and a quote in them is written ""'
        # The library's own words for a bare carriage return speak of how Python opens files.
        problem = "a line ends with a bare carriage return" if "new-line character" in str(error) else str(error)
        raise wrong(path, f"this record is no CSV: {problem}", line=lines.first_line, column=1, hint=hint) from None
    except OSError as error:
        raise wrong(path, f"cannot read the prompt file: {error.strerror or error}") from error


def _again(layout: _Layout, raw: bytes) -> WorkItem:
    cells = next(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), strict=True))
    item = layout.item(cells)
    if item is None:
        raise ValueError("this record was a prompt before")
    return item


def _layout(path: Path, header: Sequence[str], prompt_column: str | None, default_category: str) -> _Layout:
    names = [cell.strip() for cell in header]
    lowered = [name.lower() for name in names]
    if prompt_column is not None:
        if prompt_column not in names:
            raise ConfigError(
                f"workload.prompt_column: {path.name} has no column {shown(prompt_column)}"
                f"{did_you_mean(prompt_column, names)}",
                file=path,
                key="workload.prompt_column",
                hint=f"its columns: {', '.join(shown(name) for name in names[:20])}",
            )
        prompt: int | None = names.index(prompt_column)
    else:
        prompt = _find(lowered, PROMPT_COLUMNS)
    if prompt is None:
        raise wrong(
            path,
            f"the header names no column of prompts: {', '.join(PROMPT_COLUMNS)}",
            line=1,
            column=1,
            hint="name the column as workload.prompt_column",
        )
    for place in (prompt, _find(lowered, _LENGTH_COLUMNS), _find(lowered, (_CATEGORY_COLUMN,))):
        if place is not None and names.count(names[place]) > 1:
            raise wrong(path, f"the header names the column {shown(names[place])} twice", line=1, column=1)
    length, category = _find(lowered, _LENGTH_COLUMNS), _find(lowered, (_CATEGORY_COLUMN,))
    return _Layout(len(names), prompt, length, category, default_category)


def _find(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _length(cell: str, place: int) -> int | None:
    if not cell:
        return None
    length = int(cell) if cell.isascii() and cell.isdigit() and len(cell) <= 9 else 0
    if not 1 <= length <= MAX_OUTPUT_TOKENS:
        problem = f"must be a whole number from 1 to {MAX_OUTPUT_TOKENS:,}, not {shown(cell)}"
        raise _CellError(f"the output length {problem}", place)
    return length
