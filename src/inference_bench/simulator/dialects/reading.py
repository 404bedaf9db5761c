"""Reading JSON request bodies: typed fields with a named error, and message lists as (role, text) pairs.

How a bad field is told to the client, each dialect decides: here it is a `BadFieldError`.
"""

from typing import cast

import orjson

JsonObject = dict[str, object]
Messages = list[tuple[str, str]]


class BadFieldError(Exception):
    """A field of the body is missing or has the wrong type. `field` is dotted, `problem` a plain sentence."""

    def __init__(self, field: str, problem: str, value: object = None) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem
        self.value = value


class Fields:
    """Typed access to a JSON object; an absent field and null are the same."""

    def __init__(self, values: JsonObject, prefix: str = "") -> None:
        self.values = values
        self._prefix = prefix

    def has(self, name: str) -> bool:
        """Say whether the field is there and not null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str | None:
        """Return a string field."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, str):
            raise self._bad(name, "a string", value)
        return value

    def required_text(self, name: str) -> str:
        """Return a string field that must be there."""
        value = self.text(name)
        if value is None:
            raise BadFieldError(self._prefix + name, "Field required")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        """Return a boolean field."""
        value = self.values.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise self._bad(name, "a boolean", value)
        return value

    def integer(self, name: str) -> int | None:
        """Return a whole-number field."""
        value = self.values.get(name)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
            raise self._bad(name, "an integer", value)
        return value

    def number(self, name: str) -> float | None:
        """Return a number field."""
        value = self.values.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self._bad(name, "a number", value)
        return float(value)

    def fields(self, name: str) -> "Fields":
        """Return an object field, empty when absent."""
        value = self.values.get(name)
        if value is None:
            return Fields({}, f"{self._prefix}{name}.")
        if not isinstance(value, dict):
            raise self._bad(name, "an object", value)
        return Fields(cast(JsonObject, value), f"{self._prefix}{name}.")

    def strings(self, name: str) -> tuple[str, ...]:
        """Return a field that is one string or a list of strings."""
        value = self.values.get(name)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value,)
        if isinstance(value, list) and all(isinstance(item, str) for item in value):
            return tuple(value)
        raise self._bad(name, "a string or a list of strings", value)

    def token_ids(self, name: str) -> list[int] | None:
        """Return a list of token ids, or None when the field is no list of whole numbers."""
        value = self.values.get(name)
        if isinstance(value, list) and all(type(item) is int and item >= 0 for item in value):
            return cast(list[int], value)
        return None

    def messages(self, name: str = "messages") -> Messages:
        """Return a list of chat messages; content may be a string, null or a list of text parts."""
        value = self.values.get(name)
        if value is None:
            raise BadFieldError(self._prefix + name, "Field required")
        if not isinstance(value, list):
            raise self._bad(name, "a list", value)
        return [_message(item, f"{self._prefix}{name}.{index}") for index, item in enumerate(value)]

    def _bad(self, name: str, wanted: str, value: object) -> BadFieldError:
        return BadFieldError(self._prefix + name, f"Input should be {wanted}", value)


def read_object(body: bytes) -> Fields:
    """Parse a JSON object.

    Raises orjson.JSONDecodeError (a ValueError) for broken JSON and BadFieldError for any other JSON value.
    """
    value = orjson.loads(body)
    if not isinstance(value, dict):
        raise BadFieldError("body", "Input should be an object", value)
    return Fields(cast(JsonObject, value))


def _message(item: object, where: str) -> tuple[str, str]:
    if not isinstance(item, dict):
        raise BadFieldError(where, "Input should be an object", item)
    fields = Fields(cast(JsonObject, item), f"{where}.")
    role = fields.required_text("role")
    content = fields.values.get("content")
    if isinstance(content, list):
        return role, "".join(_part(part, f"{where}.content.{index}") for index, part in enumerate(content))
    return role, fields.text("content") or ""


def _part(part: object, where: str) -> str:
    if not isinstance(part, dict):
        raise BadFieldError(where, "Input should be an object", part)
    fields = Fields(cast(JsonObject, part), f"{where}.")
    if fields.text("type") not in (None, "text"):
        raise BadFieldError(f"{where}.type", "only text is simulated", part)
    return fields.required_text("text")


_json_texts: dict[str, bytes] = {}
_JSON_TEXTS_KEPT = 20_000


def json_text(text: str) -> bytes:
    """Return a string as JSON; token texts repeat, so they are kept."""
    encoded = _json_texts.get(text)
    if encoded is None:
        encoded = orjson.dumps(text)
        if len(_json_texts) < _JSON_TEXTS_KEPT and len(text) <= 8:
            _json_texts[text] = encoded
    return encoded
