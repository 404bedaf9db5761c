"""The small words of fairness notes: services listed, values with who told them, facts of the type they should be."""

from collections.abc import Iterable, Mapping
from typing import Literal

from inference_bench.results.comparison import FairnessNote

_LONGEST_WORD = 80


def note(
    code: str,
    services: Iterable[str],
    text: str,
    weight: Literal["note", "warning"] = "note",
    *,
    test: str | None = None,
) -> FairnessNote:
    """Return one note; its text becomes a sentence. A service's name that begins it keeps its spelling."""
    named = tuple(dict.fromkeys(services))
    first = text.split(" ", 1)[0].rstrip(",:")
    start = text[:1] if first in named else text[:1].upper()
    sentence = start + text[1:] + ("" if text.endswith(".") else ".")
    return FairnessNote(code=code, weight=weight, services=named, test=test, text=sentence)


def joined(names: Iterable[str]) -> str:
    """Return names as people list them: a, b and c."""
    listed = list(names)
    return listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"


def by_value(told: Mapping[str, str]) -> str:
    """Return values with who told them, in the order of the services: 8,192 (vllm and tgi), 4,096 (ollama)."""
    grouped: dict[str, list[str]] = {}
    for name, value in told.items():
        grouped.setdefault(value, []).append(name)
    return ", ".join(f"{value} ({joined(names)})" for value, names in grouped.items())


def word(value: object, *, limit: int = _LONGEST_WORD) -> str | None:
    """Return a told string on one line and bounded; None for anything else, or nothing."""
    if not isinstance(value, str):
        return None
    shown = " ".join("".join(letter if letter.isprintable() else " " for letter in value[: limit * 4]).split())
    return (shown if len(shown) <= limit else shown[: limit - 1] + "…") or None


def number(value: object) -> int | None:
    """Return a told positive whole number; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
