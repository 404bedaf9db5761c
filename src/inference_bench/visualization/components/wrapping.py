"""Lines of a screen, counted in cells: wide characters take two, marks none. The text is cleaned by `live.plain`.

The end of an answer is what is new, so the tail is what is kept; where a long answer is cut moves in jumps only, or
every frame would break its lines elsewhere.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from unicodedata import category

from rich.cells import cell_len, get_character_cell_size
from rich.text import Text

_JUMP: Final = 4096  # characters by which the beginning of an endless paragraph moves


@lru_cache(maxsize=64)
def tail_lines(text: str, width: int, rows: int) -> tuple[str, ...]:
    """Return the last `rows` lines of the text, wrapped to `width` cells."""
    if rows <= 0 or width <= 0:
        return ()
    made: list[str] = []
    for paragraph in reversed(text.rstrip().rsplit("\n", rows)):
        lines = list(_wrapped(_end_of(paragraph, width * rows), width))
        made = lines + made
        if len(made) >= rows:
            break
    return tuple(made[-rows:])


def head_lines(text: str, width: int, rows: int) -> tuple[str, ...]:
    """Return the first `rows` lines of the text, wrapped to `width` cells; the last says by "…" that there is more."""
    if rows <= 0 or width <= 0:
        return ()
    made: list[str] = []
    for paragraph in text.split("\n"):
        for line in _wrapped(paragraph, width):
            if len(made) == rows:
                made[-1] = cut(made[-1] + "…" if cell_len(made[-1]) < width else made[-1], width, more=True)
                return tuple(made)
            made.append(line)
    return tuple(made)


def cut(text: str, width: int, *, more: bool = False) -> str:
    """Return the text cut to `width` cells; "…" at its end says that something is missing (or `more` that follows)."""
    if cell_len(text) <= width and not (more and not text.endswith("…")):
        return text
    kept = text[: _reach(text, 0, max(0, width - 1))] if width > 1 else ""
    return kept + "…" if width > 0 else ""


def fitted(line: Text, width: int) -> Text:
    """Return the line at exactly `width` cells: cut, or padded with spaces."""
    made = line.copy()
    made.no_wrap = True
    made.overflow = "crop"
    made.truncate(max(0, width), overflow="crop", pad=True)
    return made


def _end_of(paragraph: str, wanted: int) -> str:
    excess = len(paragraph) - wanted
    return paragraph if excess < _JUMP else paragraph[excess // _JUMP * _JUMP :]


def _wrapped(paragraph: str, width: int) -> Iterator[str]:
    """Yield a paragraph's lines: broken at spaces where there are any, else where the line is full."""
    if not paragraph:
        yield ""
    at = 0
    while at < len(paragraph):
        end = _reach(paragraph, at, width)
        if end >= len(paragraph):
            yield paragraph[at:]
            return
        space = paragraph.rfind(" ", at, end + 1)
        if space > at:
            yield paragraph[at:space]
            at = space + 1
        else:
            # A character wider than the whole line goes alone; the screen's edge cuts it.
            end = max(end, at + 1)
            yield paragraph[at:end]
            at = end


def _reach(text: str, at: int, width: int) -> int:
    """Return the end of the longest piece from `at` that takes `width` cells at the most."""
    piece = text[at : at + width]
    if piece.isascii() and (at + width >= len(text) or text[at + width].isascii()):
        return at + len(piece)
    used = 0
    for place in range(at, len(text)):
        used += _cells(text[place])
        if used > width:
            return place
    return len(text)


@lru_cache(maxsize=8192)
def _cells(character: str) -> int:
    """Return how many cells a character may take: terminals give one to a vowel sign that tables count as none."""
    return max(get_character_cell_size(character), int(category(character) == "Mc"))
