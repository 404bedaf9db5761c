"""Reading what servers tell in JSON: each value is of the type and size it should be, or it was not told."""

from collections.abc import Mapping, Sequence

from inference_bench.api.probe_http import clean_text

_LONGEST_NAME = 300
_MOST_MODELS = 1000
# What servers write where they have nothing to tell.
_NOTHING_TOLD = frozenset({"unknown", "none", "null", "n/a"})

Json = Mapping[str, object]


def short_count(number: int) -> str:
    """Write a count of parameters as people do: 7615616512 is 7.6B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def text(source: Json, key: str) -> str | None:
    """Return a non-empty string, cleaned for showing; "unknown" and its like tell nothing."""
    value = source.get(key)
    shown = clean_text(value) if isinstance(value, str) else ""
    return None if not shown or shown.casefold() in _NOTHING_TOLD else shown


def flag(source: Json, key: str) -> bool | None:
    """Return a boolean; anything else was not told."""
    value = source.get(key)
    return value if isinstance(value, bool) else None


def model_name(source: Json, key: str) -> str | None:
    """Return a model's name exactly as told: it goes back to the server. An unprintable or endless one is no name."""
    value = source.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable():
        return None
    return value


def count(source: Json, key: str) -> int | None:
    """Return a positive whole number; 0 and negatives mean "not told" in every engine read here."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def mapping(source: Json, key: str) -> Json:
    """Return a nested object, empty when there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def objects(source: Json, key: str) -> Sequence[Json]:
    """Return the objects of a list, at most a thousand."""
    value = source.get(key)
    return [item for item in value[:_MOST_MODELS] if isinstance(item, dict)] if isinstance(value, list) else []
