"""Small words of a document: text of others made harmless, counts with their plurals, lists as people write them."""

import re
import unicodedata
from collections.abc import Sequence

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn")
LIMIT = 300


def clean(value: str, *, limit: int = LIMIT) -> str:
    """Return text that a server may have sent as one bounded line without control or direction characters.

    Escape sequences lose their escape. Markup stays as it is: whoever writes HTML or Markdown escapes it.
    """
    head = value[: 4 * limit]
    shown = "".join(
        " " if character.isspace() else character
        for character in head
        if character.isspace() or unicodedata.category(character) not in _HIDDEN
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit and len(value) <= len(head) else shown[: limit - 1] + "…"


def count(number: int, unit: str, plural: str | None = None) -> str:
    """Return "1 request", "2,000 requests"."""
    return f"{number:,} {unit if number == 1 else plural or unit + 's'}"


def listed(words: Sequence[str]) -> str:
    """Return "a", "a and b", "a, b and c"."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else ""


def sentence(text: str) -> str:
    """Return text with a full stop at its end."""
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."


def slug(text: str) -> str:
    """Return text as an anchor can carry it; never empty."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"


def p_words(p: float | None) -> str:
    """Return a p value with the digits that say something."""
    if p is None:
        return "–"
    return "< 0.0001" if p < 0.0001 else f"{p:.4f}" if p < 0.01 else f"{p:.2f}"
