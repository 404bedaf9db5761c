"""Reads prompts from a file of the user's own: plain text, JSONL or CSV, checked record by record before the run.

Text: one prompt on each line. Empty lines and lines that start with `#` are skipped; a prompt that starts with `#` is
written `\\#`. JSONL (`.jsonl`, `.ndjson`): one object on each line, `{"prompt": "…"}` or `{"messages": [{"role": …,
"content": …}, …]}`, with `max_tokens` and `category` if wanted. CSV (`.csv`): see `csv_file`. All are UTF-8, with or
without a byte order mark, with either kind of line end. A file may be larger than memory: it is read once to check it,
and then record by record as they are asked for, from the same open file.
"""

import codecs
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads.csv_file import read_csv_file
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.opened import open_once, wrong
from inference_bench.workloads.prompt_line import LineError, parse_json_line
from inference_bench.workloads.record_file import RecordFile

MAX_LINE_BYTES = 4 * 1024 * 1024

FILE_CATEGORY = "file"
"""The category of a prompt whose line names none."""

_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_WHAT = "prompt file"

ParseLine = Callable[[str], WorkItem | None]


def read_prompt_file(path: Path, *, prompt_column: str | None = None) -> Sequence[WorkItem]:
    """Return all prompts of the file in its order; ConfigError with file and line for anything that is not one.

    `prompt_column` names the column of a CSV file that holds them; ConfigError for other files.
    """
    suffix = path.suffix.lower()
    if suffix == ".json":
        raise wrong(
            path,
            "a .json file is one document; prompts come as plain text, CSV or JSONL, one object on each line",
            hint="name the file .jsonl with an object on each line; conversations are read by the kind sharegpt",
        )
    if suffix == ".csv":
        items = read_csv_file(path, open_once(path, _WHAT), prompt_column, FILE_CATEGORY)
    elif prompt_column is not None:
        raise ConfigError(
            "workload.prompt_column: only a .csv file has columns", file=path, key="workload.prompt_column"
        )
    else:
        items = _read_lines(path, open_once(path, _WHAT), _json_line if suffix in _JSONL_SUFFIXES else _text_line)
    if not items:
        lines = "one on each line; empty lines and # lines do not count"
        hint = "a record on each line below the header" if suffix == ".csv" else lines
        raise wrong(path, "there is no prompt in this file", hint=hint)
    return items


def _read_lines(path: Path, stream: BinaryIO, parse: ParseLine) -> Sequence[WorkItem]:
    items = RecordFile(path, stream, lambda raw: _present(parse(_decoded(raw))))
    for number, start, raw in numbered_lines(path, stream, _WHAT):
        try:
            item = parse(_decoded(raw))
        except UnicodeDecodeError as error:
            raise not_utf8(path, number, raw, error) from None
        except LineError as error:
            raise wrong(path, str(error), line=number, column=error.column, hint=error.hint) from None
        if item is not None:
            items.add(start, raw)
    return items


def _present(item: WorkItem | None) -> WorkItem:
    if item is None:
        raise ValueError("this line was a prompt before")
    return item


def numbered_lines(path: Path, stream: BinaryIO, what: str) -> Iterator[tuple[int, int, bytes]]:
    """Yield number (from 1), first byte and bytes of each line, without a byte order mark; lines are bounded."""
    number = start = 0
    try:
        while raw := stream.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(raw) > MAX_LINE_BYTES:
                raise wrong(path, f"this line is longer than {MAX_LINE_BYTES // 1024**2} MiB", line=number)
            mark = len(codecs.BOM_UTF8) if number == 1 and raw.startswith(codecs.BOM_UTF8) else 0
            yield number, start + mark, raw[mark:]
            start += len(raw)
    except OSError as error:
        raise wrong(path, f"cannot read the {what}: {error.strerror or error}") from error


def not_utf8(path: Path, number: int, raw: bytes, error: UnicodeDecodeError) -> ConfigError:
    """Return the error for a line that is no UTF-8. The text itself is not shown: it is no text."""
    utf16 = number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return wrong(
        path,
        f"this line is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1} of the line",
        line=number,
        column=error.start + 1,
        hint="this looks like UTF-16; save the file as UTF-8" if utf16 else "save the file as UTF-8",
    )


def _decoded(raw: bytes) -> str:
    text = raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    if "\0" in text:
        raise LineError("this line holds a NUL character, which is no text", hint="is this UTF-16 or a binary file?")
    return text


def _text_line(text: str) -> WorkItem | None:
    prompt = text.strip()
    if not prompt or prompt.startswith("#"):
        return None
    return WorkItem(
        (Message("user", prompt.removeprefix("\\") if prompt.startswith("\\#") else prompt),), None, FILE_CATEGORY
    )


def _json_line(text: str) -> WorkItem | None:
    if not text.strip():
        return None
    return parse_json_line(text, default_category=FILE_CATEGORY)
