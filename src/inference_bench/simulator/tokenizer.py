"""The simulator's tokeniser: how text becomes token ids, and back. It belongs to no real model.

Rule: a token is at most three ASCII letters or one other character, each with the space before it, if there is one.
"Say something" is `Say`, ` som`, `eth`, `ing`: about two tokens per English word. Every text has exactly one reading,
`decode(encode(text)) == text`, and `/tokenize` counts what `usage.prompt_tokens` counts.

Chat template (its lengths are those of the recorded tiny-llama server): `<s>`, then for each message its role token,
its text and `</s>`, then the assistant's role token.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

BOS_ID = 0
EOS_ID = 1
BOS_TEXT = "<s>"
EOS_TEXT = "</s>"
ASSISTANT = "assistant"
ROLE_IDS = {"system": 3, "user": 4, ASSISTANT: 5, "tool": 6, "developer": 7}
OTHER_ROLE_ID = 8
FIRST_LETTER_ID = 10
FIRST_CHARACTER_ID = 300_000

_PIECE = re.compile(r" ?(?:[A-Za-z]{1,3}|[^A-Za-z])")
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_VALUE = {letter: value for value, letter in enumerate(_LETTERS)}
_BASE = len(_LETTERS)
_LENGTH_OFFSETS = (0, _BASE, _BASE + _BASE**2)
_SPECIAL_TEXTS = {BOS_ID: BOS_TEXT, EOS_ID: EOS_TEXT} | {token: f"<|{role}|>" for role, token in ROLE_IDS.items()}


def split(text: str) -> list[str]:
    """Cut text into the texts of its tokens; their concatenation is the text."""
    return _PIECE.findall(text)


def count(text: str) -> int:
    """Return the number of tokens of a text."""
    return len(_PIECE.findall(text))


def encode(text: str) -> list[int]:
    """Return the token ids of a text."""
    return [token_id(piece) for piece in _PIECE.findall(text)]


@lru_cache(maxsize=65_536)
def token_id(piece: str) -> int:
    """Return the id of one piece as `split` makes them."""
    spaced = len(piece) > 1 and piece[0] == " "
    body = piece[1:] if spaced else piece
    if body[0] not in _VALUE:
        return FIRST_CHARACTER_ID + 2 * ord(body) + spaced
    value = 0
    for letter in body:
        value = value * _BASE + _VALUE[letter]
    return FIRST_LETTER_ID + 2 * (_LENGTH_OFFSETS[len(body) - 1] + value) + spaced


def decode(ids: Iterable[int]) -> str:
    """Return the text of token ids; an id outside the vocabulary becomes U+FFFD."""
    return "".join(token_text(token) for token in ids)


def token_text(token: int) -> str:
    """Return the text of one token id; U+FFFD when it is outside the vocabulary."""
    if token >= FIRST_CHARACTER_ID:
        code, spaced = divmod(token - FIRST_CHARACTER_ID, 2)
        printable = code < 0x110000 and not 0xD800 <= code < 0xE000
        return " " * spaced + chr(code) if printable else "\ufffd"
    if token < FIRST_LETTER_ID:
        return _SPECIAL_TEXTS.get(token, "\ufffd")
    value, spaced = divmod(token - FIRST_LETTER_ID, 2)
    for length in (3, 2, 1):
        offset = _LENGTH_OFFSETS[length - 1]
        if value >= offset:
            return " " * spaced + _letters(value - offset, length)
    return "\ufffd"


def _letters(value: int, length: int) -> str:
    """Return the letters of an n-gram's number; U+FFFD when it is beyond the last one."""
    if value >= _BASE**length:
        return "\ufffd"
    letters = ""
    for _ in range(length):
        value, digit = divmod(value, _BASE)
        letters = _LETTERS[digit] + letters
    return letters


def encode_chat(messages: Sequence[tuple[str, str]], *, generation_prompt: bool = True) -> list[int]:
    """Return the token ids of a conversation of (role, text) pairs under the chat template."""
    ids = [BOS_ID]
    for role, text in messages:
        ids.append(ROLE_IDS.get(role, OTHER_ROLE_ID))
        ids.extend(encode(text))
        ids.append(EOS_ID)
    if generation_prompt:
        ids.append(ROLE_IDS[ASSISTANT])
    return ids


def count_chat(messages: Sequence[tuple[str, str]]) -> int:
    """Return the number of tokens of a conversation: `len(encode_chat(messages))`, without making the ids."""
    return 2 + sum(2 + count(text) for _, text in messages)


def chat_text(messages: Sequence[tuple[str, str]]) -> str:
    """Return a conversation as the chat template spells it."""
    turns = "".join(f"{token_text(ROLE_IDS.get(role, OTHER_ROLE_ID))}{text}{EOS_TEXT}" for role, text in messages)
    return f"{BOS_TEXT}{turns}{token_text(ROLE_IDS[ASSISTANT])}"
