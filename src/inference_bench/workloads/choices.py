"""Words a user chose from a known list: written loosely, matched strictly, with a guess when they match nothing."""

from collections.abc import Iterable
from difflib import get_close_matches


def normalised(word: str) -> str:
    """Return a word as the lists here spell it: lower case, with underscores for hyphens and blanks."""
    return "_".join(word.strip().lower().replace("-", " ").replace("_", " ").split())


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean X?` for the known word that comes closest, or nothing."""
    close = get_close_matches(normalised(word), list(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""


def shown(text: str, limit: int = 40) -> str:
    """Return a user's text safe for a message: quoted, control characters escaped, and cut to `limit` characters."""
    return repr(text if len(text) <= limit else text[: limit - 1] + "…")
