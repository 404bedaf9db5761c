"""One line of a JSONL prompt file: what it may say, and a sentence for everything else."""

from typing import Final, cast, get_args

import orjson

from inference_bench.api.protocols import Message, Role
from inference_bench.workloads.choices import did_you_mean, shown
from inference_bench.workloads.items import WorkItem

MAX_OUTPUT_TOKENS: Final = 1_000_000
MAX_CATEGORY_CHARACTERS: Final = 64
_KEYS = ("prompt", "messages", "max_tokens", "category")
_MESSAGE_KEYS = ("role", "content")
_ROLES: tuple[str, ...] = get_args(Role)


class LineError(Exception):
    """A record is not what it should be: what is wrong with it, in a sentence, and what to do.

    `column` counts from 1 in the line that is `lines_below` the record's first. `key` is what the trouble is with,
    when whoever raises this knows no more of the place than that.
    """

    def __init__(
        self, problem: str, *, hint: str | None = None, column: int = 1, lines_below: int = 0, key: str | None = None
    ) -> None:
        super().__init__(problem)
        self.key = key
        self.hint = hint
        self.column = column
        self.lines_below = lines_below


def parse_json_line(text: str, *, default_category: str) -> WorkItem:
    """Return the work one JSON object describes; LineError when it is not one of the two known shapes."""
    try:
        value: object = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise LineError(f"this line is not JSON: {error.msg}", hint=_SHAPES, column=error.colno) from None
    if not isinstance(value, dict):
        raise LineError("this line is JSON but not an object", hint=_SHAPES)
    try:
        return _work(value, default_category)
    except LineError as error:
        error.column = _place(text, error.key)
        raise


def _place(text: str, key: str | None) -> int:
    """Return the column (from 1) at which a key stands first; 1 without one, or when it is written in another way."""
    return 1 if key is None else max(text.find(f'"{key}"'), 0) + 1


def _work(value: dict[str, object], default_category: str) -> WorkItem:
    _refuse_unknown(value, _KEYS, "a prompt")
    if ("prompt" in value) == ("messages" in value):
        raise LineError('this line needs exactly one of "prompt" and "messages"', hint=_SHAPES)
    messages = _messages(value["messages"]) if "messages" in value else (Message("user", _text(value, "prompt")),)
    return WorkItem(
        messages, output_length(value.get("max_tokens")), category_of(value.get("category"), default_category)
    )


_SHAPES = 'each line is {"prompt": "…"} or {"messages": [{"role": "user", "content": "…"}]}'


def _messages(value: object) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise LineError('"messages" must be a list of at least one message', hint=_SHAPES, key="messages")
    messages = tuple(_message(one) for one in value)
    if messages[-1].role != "user":
        raise LineError(
            f'"messages" end with the role {messages[-1].role}; the last one must be of the user',
            hint="engines answer the last message of a user; continuing an answer is not the same work everywhere",
            key="messages",
        )
    return messages


def _message(value: object) -> Message:
    if not isinstance(value, dict):
        raise LineError('a message must be an object with "role" and "content"', hint=_SHAPES, key="messages")
    _refuse_unknown(value, _MESSAGE_KEYS, "a message")
    role = value.get("role")
    if not isinstance(role, str) or role not in _ROLES:
        guess = did_you_mean(role, _ROLES) if isinstance(role, str) else ""
        named = shown(role) if isinstance(role, str) else "nothing"
        raise LineError(
            f"the role of a message cannot be {named}{guess}", hint=f"roles: {', '.join(_ROLES)}", key="messages"
        )
    return Message(cast("Role", role), _text(value, "content"))


def _text(value: dict[str, object], key: str) -> str:
    text = value.get(key)
    if not isinstance(text, str):
        raise LineError(f'"{key}" must be text', key=key)
    if not text.strip():
        raise LineError(f'"{key}" is empty', key=key)
    if "\0" in text:
        raise LineError(f'"{key}" holds a NUL character, which is no text', key=key)
    return text


def output_length(value: object) -> int | None:
    """Return a wanted output length, None where none was given; LineError when it is no such number."""
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_OUTPUT_TOKENS:
        raise LineError(f'"max_tokens" must be a whole number from 1 to {MAX_OUTPUT_TOKENS:,}', key="max_tokens")
    return value


def category_of(value: object, default: str) -> str:
    """Return a category, `default` where none was given; LineError when it is no short text of one line."""
    if value is None:
        return default
    if (
        not isinstance(value, str)
        or not value.strip()
        or not value.isprintable()
        or len(value) > MAX_CATEGORY_CHARACTERS
    ):
        problem = f'"category" must be text of one line, at most {MAX_CATEGORY_CHARACTERS} characters'
        raise LineError(problem, key="category")
    return value.strip()


def _refuse_unknown(value: dict[str, object], known: tuple[str, ...], what: str) -> None:
    for key in value:
        if key not in known:
            raise LineError(
                f"unknown key {shown(key)} in {what}{did_you_mean(key, known)}",
                hint=f"known keys: {', '.join(known)}",
                key=key,
            )
