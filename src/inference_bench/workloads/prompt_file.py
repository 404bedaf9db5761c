"""Reads prompts from a file of the user's own: plain text or JSONL, checked line by line, bounded in size.

Text: one prompt on each line. Empty lines and lines that start with `#` are skipped; a prompt that starts with `#` is
written `\\#`. JSONL (`.jsonl`, `.ndjson`): one object on each line, `{"prompt": "…"}` or `{"messages": [{"role": …,
"content": …}, …]}`, with `max_tokens` and `category` if wanted. Both are UTF-8, with or without a byte order mark, with
either kind of line end.
"""

import codecs
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.prompt_line import LineError, parse_json_line

MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_LINE_BYTES = 4 * 1024 * 1024
MAX_PROMPTS = 100_000

FILE_CATEGORY = "file"
"""The category of a prompt whose line names none."""

_JSONL_SUFFIXES = (".jsonl", ".ndjson")
_KEY = "workload.path"


def read_prompt_file(path: Path) -> tuple[WorkItem, ...]:
    """Return all prompts of the file in its order; ConfigError with file and line for anything that is not one."""
    items: list[WorkItem] = []
    for line, item in _checked_lines(path):
        if len(items) == MAX_PROMPTS:
            raise _error(path, f"a prompt file holds at most {MAX_PROMPTS:,} prompts", line=line)
        items.append(item)
    if not items:
        raise _error(
            path, "there is no prompt in this file", hint="one on each line; empty lines and # lines do not count"
        )
    return tuple(items)


def _checked_lines(path: Path) -> Iterator[tuple[int, WorkItem]]:
    """Yield the 1-based number and the prompt of each line that holds one."""
    parse = _parser(path)
    for number, raw in _raw_lines(path):
        try:
            item = parse(_decoded(raw))
        except UnicodeDecodeError as error:
            # The text itself is not shown: it is no text.
            problem = f"this line is not UTF-8: byte 0x{raw[error.start]:02x} at position {error.start + 1} of the line"
            raise _error(path, problem, line=number, hint=_encoding_hint(raw, number)) from None
        except LineError as error:
            raise _error(path, str(error), line=number, hint=error.hint) from None
        if item is not None:
            yield number, item


def _parser(path: Path) -> Callable[[str], WorkItem | None]:
    suffix = path.suffix.lower()
    if suffix == ".json":
        raise _error(
            path,
            "a .json file is one document; prompts come as plain text or as JSONL, one object on each line",
            hint="write each prompt on a line of its own and name the file .jsonl",
        )
    return _json_line if suffix in _JSONL_SUFFIXES else _text_line


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the 1-based number and the bytes of each line, without a byte order mark; never reads past the limits."""
    try:
        with path.open("rb") as stream:
            yield from _bounded_lines(path, stream)
    except OSError as error:
        raise _error(path, f"cannot read the prompt file: {error.strerror or error}") from error


def _bounded_lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes]]:
    number = total = 0
    while raw := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        total += len(raw)
        if len(raw) > MAX_LINE_BYTES:
            raise _error(path, f"this line is longer than {MAX_LINE_BYTES // 1024**2} MiB", line=number)
        if total > MAX_FILE_BYTES:
            raise _error(
                path, f"a prompt file may have {MAX_FILE_BYTES // 1024**2} MiB, and this one goes on", line=number
            )
        yield number, raw.removeprefix(codecs.BOM_UTF8) if number == 1 else raw


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


def _encoding_hint(raw: bytes, number: int) -> str:
    if number == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "this looks like UTF-16; save the file as UTF-8"
    return "save the file as UTF-8"


def _error(path: Path, problem: str, *, line: int | None = None, hint: str | None = None) -> ConfigError:
    where = str(path) if str(path).isprintable() else repr(str(path))
    if line is not None:
        where += f":{line}"
    return ConfigError(f"{where}: {problem}", file=path, line=line, key=_KEY, hint=hint)
