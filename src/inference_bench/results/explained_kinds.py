"""What is told of a word that is explained, and of which kinds such words are."""

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "metric", "value", "error class", "output sanity", "validity sign", "trust", "server's side", "verdict", "score"
]


@dataclass(frozen=True, slots=True)
class Explained:
    """A word: what it is, how it comes about, in which unit, from what, and what makes it missing."""

    kind: Kind
    words: str
    formula: str | None = None
    unit: str | None = None
    source: str | None = None
    missing: str | None = None
