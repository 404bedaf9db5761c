"""Text that a server sent, made fit for a screen: nothing a terminal could obey, nothing whose width is contested."""

import re
from functools import lru_cache
from unicodedata import category

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})
_KEPT = "\n"
_TAB = "    "
# Printable ASCII and line feeds alone need no look at each character, and are most of what models write.
_HARMLESS = re.compile(r"[\n\x20-\x7e]*")
_FLAG_LETTERS = range(0x1F1E6, 0x1F200)
_SKIN_TONES = range(0x1F3FB, 0x1F400)
_VARIATIONS = (range(0xFE00, 0xFE10), range(0xE0100, 0xE01F0))
_MOST_MARKS = 2  # combining marks on one character: more is a picture, not a script


def plain(text: str) -> str:
    """Return the text with its line feeds and without controls, marks of direction, unassigned and private characters.

    Characters that terminals disagree on lose what they disagree about: joined emoji fall apart, flags become their
    letters, skin tones and variation selectors go. A pile of combining marks is cut to two.
    """
    return PlainText().feed(text)


class PlainText:
    """`plain` for a text that comes in pieces: the same characters whatever the pieces, each returned at once."""

    __slots__ = ("_after_return", "_marks")

    def __init__(self) -> None:
        self._after_return = False
        self._marks = 0

    def feed(self, piece: str) -> str:
        """Return what is to be shown of a piece."""
        if not piece:
            return ""
        if self._after_return and piece[0] == "\n":  # its carriage return was shown as a line feed already
            piece = piece[1:]
        self._after_return = piece.endswith("\r")
        if _HARMLESS.fullmatch(piece):
            self._marks = 0 if piece else self._marks
            return piece
        made: list[str] = []
        for character in piece.replace("\r\n", "\n").replace("\r", "\n"):
            shown = _shown(character)
            if not shown:
                continue
            self._marks = self._marks + 1 if category(shown[0]) in ("Mn", "Me") else 0
            if self._marks <= _MOST_MARKS:
                made.append(shown)
        return "".join(made)


def one_line(text: str, limit: int = 200) -> str:
    """Return the text on one line of at most `limit` characters, as `plain` otherwise."""
    shown = " ".join(plain(text[: 4 * limit]).split())
    return shown if len(shown) <= limit and len(text) <= 4 * limit else shown[: limit - 1] + "…"


@lru_cache(maxsize=8192)
def _shown(character: str) -> str:
    if character in _KEPT:
        return character
    if character == "\t":
        return _TAB
    code = ord(character)
    if code in _FLAG_LETTERS:
        return chr(code - 0x1F1E6 + ord("A"))
    if code in _SKIN_TONES or any(code in variations for variations in _VARIATIONS):
        return ""
    if character.isspace():
        return "\n" if category(character) in ("Zl", "Zp") else " "
    return "" if category(character) in _UNSEEN else character
