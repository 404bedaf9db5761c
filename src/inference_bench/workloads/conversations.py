"""Conversations of a file: ShareGPT's JSON array, or JSONL with one conversation on each line.

A conversation is {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}, …]} or
{"messages": [{"role": "user", "content": "…"}, …]}; other keys are left alone. What comes before the first word of
the user is dropped, but for a system prompt; several messages of one speaker in a row are joined; one that ends
without an answer keeps its last question. Where a tool speaks, it ends.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import orjson

from inference_bench.workloads.choices import shown
from inference_bench.workloads.json_array import elements
from inference_bench.workloads.opened import open_once, wrong
from inference_bench.workloads.prompt_file import numbered_lines
from inference_bench.workloads.prompt_line import LineError
from inference_bench.workloads.record_file import RecordFile

_WHAT = "file of conversations"
_USER, _ASSISTANT, _SYSTEM, _END = "user", "assistant", "system", "end"
_SPEAKERS: Mapping[str, str] = {
    **dict.fromkeys(("human", "user"), _USER),
    **dict.fromkeys(("gpt", "assistant", "chatgpt", "bing", "bard", "model", "bot"), _ASSISTANT),
    "system": _SYSTEM,
    **dict.fromkeys(("tool", "function", "function_call", "function-call", "observation", "tool_call"), _END),
}
_SHAPE = 'a conversation is {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}'
_FORMS = (("conversations", "from", "value"), ("conversation", "from", "value"), ("messages", "role", "content"))


@dataclass(frozen=True, slots=True)
class Exchange:
    """What the user said, and the answer in the file; None where there is none."""

    user: str
    answer: str | None


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation of the file: at least one exchange, and the system prompt before it, if there is one."""

    exchanges: tuple[Exchange, ...]
    system: str | None


@dataclass(frozen=True, slots=True)
class Conversations:
    """The conversations of a file, read as they are asked for; `skipped` had no word of a user."""

    records: Sequence[Conversation]
    skipped: int

    @property
    def note(self) -> str:
        """How many there are and how many were left out."""
        left_out = f", {self.skipped:,} without a word of a user left out" if self.skipped else ""
        return f"{len(self.records):,} conversations in the file{left_out}"


def read_conversations(path: Path) -> Conversations:
    """Check the whole file and return its conversations. ConfigError names file, line and column of what is wrong."""
    stream = open_once(path, _WHAT)
    records = RecordFile(path, stream, _present)
    skipped = 0
    for start, data, conversation in _checked(path, stream):
        if conversation is None:
            skipped += 1
        else:
            records.add(start, data)
    if not len(records):
        raise wrong(path, "there is no conversation with a word of a user in this file", hint=_SHAPE)
    return Conversations(records, skipped)


def parse_conversation(data: bytes) -> Conversation | None:
    """Return the conversation of a JSON object, None when no user says a word in it. LineError for anything else."""
    try:
        value: object = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        _require_utf8(data)
        below = error.lineno - 1
        raise LineError(f"this is not JSON: {error.msg}", hint=_SHAPE, column=error.colno, lines_below=below) from None
    if not isinstance(value, dict):
        raise LineError("this is JSON but not an object", hint=_SHAPE)
    for key, speaker, text in _FORMS:
        messages = value.get(key)
        if messages is not None:
            if not isinstance(messages, list):
                raise LineError(f'"{key}" must be a list of messages', hint=_SHAPE)
            return _conversation([_message(one, speaker, text) for one in messages])
    raise LineError('this object has neither "conversations" nor "messages"', hint=_SHAPE)


def _require_utf8(data: bytes) -> None:
    """LineError with the place of the first byte that is no UTF-8: what reads JSON does not tell it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        column = error.start - data.rfind(b"\n", 0, error.start)
        below, problem = data.count(b"\n", 0, error.start), f"byte 0x{data[error.start]:02x} is no UTF-8"
        raise LineError(problem, hint="save the file as UTF-8", column=column, lines_below=below) from None


def _present(data: bytes) -> Conversation:
    try:
        conversation = parse_conversation(data)
    except LineError as error:
        raise ValueError(str(error)) from None
    if conversation is None:
        raise ValueError("there were words of a user in it before")
    return conversation


def _message(value: object, speaker: str, text: str) -> tuple[str, str]:
    """Return who speaks, as one of the four kinds, and what."""
    if not isinstance(value, dict):
        raise LineError(f'a message must be an object with "{speaker}" and "{text}"', hint=_SHAPE)
    who, what = value.get(speaker), value.get(text)
    if not isinstance(who, str) or who not in _SPEAKERS:
        named = shown(who) if isinstance(who, str) else "nothing"
        hint = "speakers: human or user, gpt or assistant, system, tool"
        raise LineError(f'"{speaker}" of a message cannot be {named}', hint=hint)
    kind = _SPEAKERS[who]
    if kind == _END:
        return kind, ""
    if what is None:
        return kind, ""
    if not isinstance(what, str):
        raise LineError(f'"{text}" of a message must be text', hint=_SHAPE)
    return kind, "" if "\0" in what else what.strip()


def _conversation(messages: Sequence[tuple[str, str]]) -> Conversation | None:
    system: list[str] = []
    turns: list[tuple[str, list[str]]] = []
    for kind, text in messages:
        if kind == _END:
            break
        if not text:
            continue
        if kind == _SYSTEM:
            if not turns:
                system.append(text)
        elif turns and turns[-1][0] == kind:
            turns[-1][1].append(text)
        elif turns or kind == _USER:
            turns.append((kind, [text]))
    said = ["\n\n".join(texts) for _, texts in turns]
    answers: list[str | None] = [*said[1::2]]
    answers += [None] * (len(said[::2]) - len(answers))
    if not said:
        return None
    exchanges = tuple(Exchange(user, answer) for user, answer in zip(said[::2], answers, strict=True))
    return Conversation(exchanges, "\n\n".join(system) or None)


def _checked(path: Path, stream: BinaryIO) -> Iterator[tuple[int, bytes, Conversation | None]]:
    """Yield first byte, bytes and conversation of each record."""
    found = _lines(path, stream) if _is_jsonl(path, stream) else _objects(path, stream)
    for line, column, start, data in found:
        try:
            yield start, data, parse_conversation(data)
        except LineError as error:
            place = error.column if error.lines_below else column + error.column - 1
            raise wrong(path, str(error), line=line + error.lines_below, column=place, hint=error.hint) from None


def _is_jsonl(path: Path, stream: BinaryIO) -> bool:
    stream.seek(0)
    head = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n")
    stream.seek(0)
    return path.suffix.lower() in (".jsonl", ".ndjson") or head.startswith(b"{")


def _lines(path: Path, stream: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    for number, start, raw in numbered_lines(path, stream, _WHAT):
        if raw.strip():
            yield number, 1, start, raw


def _objects(path: Path, stream: BinaryIO) -> Iterator[tuple[int, int, int, bytes]]:
    for element in elements(path, stream):
        yield element.line, element.column, element.start, element.data
