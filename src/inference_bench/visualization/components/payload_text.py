"""Bytes and JSON from anywhere as text for a screen: nothing of them is obeyed, nothing is endless.

A byte or character that a terminal could obey, or that would not be seen, is written as an escape in another style;
a line feed shows as an arrow. What is left out is said.
"""

import json
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from unicodedata import category

import orjson
from rich.cells import cell_len
from rich.text import Text

NEWLINE = "↵"
ESCAPE_STYLE = "magenta"
LEFT_OUT_STYLE = "dim italic"
_MOST_DEPTH = 24
_MOST_ITEMS = 200
_STRING_CHARACTERS = 400
_JSON_LINES = 80
_JSON_CHARACTERS = 8_000
_INDENT = "  "
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp", "Mn", "Me"})
_Part = tuple[str, str]


def visible(data: bytes, limit: int, *, lines: bool = False) -> Text:
    """Return at most `limit` bytes as text, escapes in a style of their own; with `lines`, line feeds also break."""
    shown = Text(overflow="fold")
    for text, escaped in _runs(data[:limit].decode("utf-8", "surrogateescape"), lines=lines):
        shown.append(text, style=ESCAPE_STYLE if escaped else "")
    if len(data) > limit:
        shown.append(f" … ({len(data):,} bytes, the first {limit:,} shown)", style=LEFT_OUT_STYLE)
    return shown


def visible_text(text: str, limit: int, style: str = "") -> Text:
    """Return decoded text in the same way, at most `limit` characters of it."""
    shown = Text(overflow="fold")
    for run, escaped in _runs(text[:limit], lines=False):
        shown.append(run, style=ESCAPE_STYLE if escaped else style)
    if len(text) > limit:
        shown.append(f" … ({len(text):,} characters)", style=LEFT_OUT_STYLE)
    return shown


def folded(text: Text, width: int) -> Text:
    """Return the text cut into lines of `width` columns exactly where they are full: bytes know no words."""
    cuts: list[int] = []
    column = 0
    for place, character in enumerate(text.plain):
        cells = cell_len(character)
        if column + cells > width:
            cuts.append(place)
            column = 0
        column = 0 if character == "\n" else column + cells
    return Text("\n").join(text.divide(cuts))


def json_text(body: bytes) -> Text | None:
    """Return a JSON body indented and coloured, bounded in lines, depth and lengths; None when it is no JSON."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(value, dict | list):
        return None
    shown = Text(overflow="fold")
    lines = _json_lines(value)
    for number, parts in enumerate(islice(lines, _JSON_LINES)):
        shown.append("\n" if number else "")
        for text, style in parts:
            shown.append_text(visible_text(text, len(text), style))
        if len(shown) > _JSON_CHARACTERS:
            break
    if next(lines, None) is not None:
        shown.append("\n… the rest is left out here; --raw and --save have all …", style=LEFT_OUT_STYLE)
    return shown


def _runs(text: str, *, lines: bool) -> Iterator[tuple[str, bool]]:
    """Cut text into runs that can stand as they are and runs that are escapes."""
    plain: list[str] = []
    for character in text:
        shown = _shown(character)
        if shown is None:
            plain.append(character)
            continue
        if plain:
            yield "".join(plain), False
            plain.clear()
        yield shown, True
        if lines and character == "\n":
            yield "\n", False
    if plain:
        yield "".join(plain), False


@lru_cache(maxsize=8192)
def _shown(character: str) -> str | None:
    """Return the escape of a character, None for one that is shown as it is."""
    if character == "\n":
        return NEWLINE
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8
        return f"\\x{code - 0xDC00:02x}"
    regional = 0x1F1E6 <= code <= 0x1F1FF or 0x1F3FB <= code <= 0x1F3FF  # flags, skin tones: of contested width
    if not regional and character.isprintable() and category(character) not in _UNSEEN:
        return None
    if code == 0x20:
        return None
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _json_lines(value: object) -> Iterator[list[_Part]]:
    line: list[_Part] = []
    for parts in _value(value, 0):
        if parts is None:
            yield line
            line = []
        else:
            line.append(parts)
    yield line


def _value(value: object, depth: int) -> Iterator[_Part | None]:
    """Yield the parts of a value, None for a line's end."""
    if isinstance(value, dict | list) and value:
        opening, closing = "{}" if isinstance(value, dict) else "[]"
        if depth >= _MOST_DEPTH:
            yield f"{opening}…{closing}", LEFT_OUT_STYLE
            return
        yield opening, ""
        pairs = list(islice(value.items() if isinstance(value, dict) else enumerate(value), _MOST_ITEMS))
        for number, (key, item) in enumerate(pairs):
            yield None
            yield _INDENT * (depth + 1), ""
            if isinstance(value, dict):
                yield _string(str(key)), "cyan"
                yield ": ", ""
            yield from _value(item, depth + 1)
            yield ("," if number + 1 < len(value) else ""), ""
        if len(value) > len(pairs):
            yield None
            yield f"{_INDENT * (depth + 1)}… ({len(value):,} of them)", LEFT_OUT_STYLE
        yield None
        yield f"{_INDENT * depth}{closing}", ""
    elif isinstance(value, str):
        yield _string(value), "green"
        if len(value) > _STRING_CHARACTERS:
            yield f" … ({len(value):,} characters)", LEFT_OUT_STYLE
    else:
        yield json.dumps(value), "magenta" if value is None or isinstance(value, bool) else "blue"


def _string(value: str) -> str:
    """Quote a string as JSON does; its controls are escapes of JSON's own."""
    return json.dumps(value[:_STRING_CHARACTERS], ensure_ascii=False)
