"""Typed access to foreign JSON: each value is of the kind it should be, or null, or the file is refused with its place.

A number that is no number (NaN, infinity, or beyond anything that is measured) counts as not told, as the tools
themselves write such for what they could not compute.
"""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final
from urllib.parse import urlsplit

from inference_bench.errors import ConfigError

_LONGEST_TEXT: Final = 300
_LARGEST: Final = 1e30  # no time, rate or count comes near; what is computed of such stays finite
_LARGEST_COUNT: Final = 2**31 - 1  # what the tables hold
_FIRST_YEAR: Final = 2000
_SECRET: Final = re.compile(r"(?i)(bearer\s+|api[_-]?key\W{1,3}|token\W{1,3})\S+|\b(?:sk|hf|nvapi)[-_][\w-]{8,}")


class Node:
    """A JSON object with the place where it stands, for messages."""

    def __init__(self, value: object, place: str) -> None:
        """Take a JSON value. Raises ConfigError when it is no object."""
        if not isinstance(value, dict):
            raise malformed(place, value, "an object")
        self._value = value
        self.place = place

    def __contains__(self, key: str) -> bool:
        return self._value.get(key) is not None

    def names(self) -> list[str]:
        """Return the keys."""
        return [str(key) for key in self._value]

    def node(self, key: str) -> "Node":
        """Return an inner object; an empty one where there is none."""
        value = self._value.get(key)
        return Node({} if value is None else value, self._at(key))

    def nodes(self, key: str) -> Iterator["Node"]:
        """Yield the objects of a list; nothing where there is none."""
        for position, value in enumerate(self.items(key)):
            yield Node(value, f"{self._at(key)}[{position}]")

    def items(self, key: str) -> Sequence[object]:
        """Return a list; an empty one where there is none."""
        value = self._value.get(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise malformed(self._at(key), value, "a list")
        return value

    def number(self, key: str) -> float | None:
        """Return a finite number."""
        return as_number(self._value.get(key), self._at(key))

    def count(self, key: str) -> int | None:
        """Return a whole number from 0 on; some tools write counts as 12.0."""
        return as_count(self._value.get(key), self._at(key))

    def flag(self, key: str) -> bool | None:
        """Return a boolean."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, bool):
            raise malformed(self._at(key), value, "true or false")
        return value

    def text(self, key: str) -> str | None:
        """Return a text as one bounded line without control characters; None for an empty one."""
        value = self._value.get(key)
        if value is not None and not isinstance(value, str):
            raise malformed(self._at(key), value, "a text")
        return None if value is None else one_line(value) or None

    def raw(self, key: str) -> object:
        """Return the value as it is."""
        return self._value.get(key)

    def _at(self, key: str) -> str:
        return f"{self.place}.{key}"


def as_number(value: object, place: str) -> float | None:
    """Return a number, None for null and for what is none (NaN, or beyond `_LARGEST`).

    Raises ConfigError for anything else.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise malformed(place, value, "a number")
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if abs(number) <= _LARGEST else None


def as_count(value: object, place: str) -> int | None:
    """Return a whole number from 0 on. Raises ConfigError for anything else but null."""
    number = as_number(value, place)
    if number is None:
        return None
    if number < 0 or number > _LARGEST_COUNT or number != int(number):
        raise malformed(place, value, "a count")
    return int(number)


def one_line(text: str, most: int = _LONGEST_TEXT) -> str:
    """Return foreign text as one line of at most `most` characters, without controls and without what looks secret."""
    head = text[: 8 * most]
    plain = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in head)
    return _SECRET.sub("[masked]", " ".join(plain.split()))[:most]


def moment(text: str | None, pattern: str | None = None) -> datetime | None:
    """Return a point in time; None where it cannot be read, or lies before there were such tools.

    Without a zone it is taken as UTC, as nobody told.
    """
    if text is None:
        return None
    try:
        found = datetime.fromisoformat(text) if pattern is None else datetime.strptime(text, pattern)  # noqa: DTZ007
    except (ValueError, OverflowError):
        return None
    if found.year < _FIRST_YEAR:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def from_epoch(seconds: float | None) -> datetime | None:
    """Return a point in time from seconds since 1970; None where no calendar has it."""
    try:
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def plain_url(text: str | None) -> str | None:
    """Return an address without user, password, query and fragment; None where it is no http address."""
    if text is None:
        return None
    try:
        parts = urlsplit(text)
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    return f"{parts.scheme}://{host}{port}{parts.path}"[:_LONGEST_TEXT]


def malformed(place: str, value: object, wanted: str) -> ConfigError:
    """Return the error that says what stands where something else should."""
    shown = one_line(repr(value), 40) if isinstance(value, str | int | float | bool) else type(value).__name__
    return ConfigError(
        f"{place} is {shown}, not {wanted}",
        hint="Is it whole, and as the tool wrote it? docs/importing.md names the versions that were tried.",
    )
