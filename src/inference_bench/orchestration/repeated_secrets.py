"""Keeping secrets out of what is shown: in the request by their place, in the answer wherever a server repeats one."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field

from inference_bench.api.exchange import RawExchange
from inference_bench.api.protocols import Endpoint, ResponseDecoder
from inference_bench.config.rules import ENV_REFERENCE, looks_secret, secret_word
from inference_bench.config.service_models import EndpointSettings
from inference_bench.orchestration.scattered_secrets import without_scattered
from inference_bench.visualization.components.payload_values import MASK, Field

FEWEST_CHARACTERS = 6  # shorter ones (EMPTY, none) are words that an answer may well hold by itself
_BEARER = "Bearer "
_ALWAYS_HIDDEN = ("set-cookie", "authorization", "proxy-authorization", "cookie")


@dataclass(frozen=True, slots=True)
class Secrets:
    """The secrets of one service; they stay in memory. `headers` are lower-case names and the variables they are from.

    `values` are all that must not be seen again, longest first.
    """

    key_variable: str | None
    headers: dict[str, str]
    values: tuple[str, ...] = field(repr=False)
    key: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: EndpointSettings, endpoint: Endpoint) -> "Secrets":
        """Gather them from where a service's secrets are named and from where they are read."""
        headers = {
            name.lower(): value.removeprefix(ENV_REFERENCE)
            for name, value in settings.headers.items()
            if value.startswith(ENV_REFERENCE)
        }
        hidden = [value for name, value in endpoint.headers if name.lower() in headers or looks_secret(value)]
        found = {*hidden, *([endpoint.api_key] if endpoint.api_key else [])}
        values = tuple(sorted((one for one in found if len(one) >= FEWEST_CHARACTERS), key=len, reverse=True))
        return cls(settings.api_key_env, headers, values, endpoint.api_key)

    def shown(self, name: str, value: str) -> Field:
        """Return a header field of the request as it may be shown."""
        if self.key is not None and name == "authorization" and value == _BEARER + self.key:
            return Field(name, _BEARER + MASK, self.key_variable)
        variable = self.headers.get(name.lower())
        if variable is not None or secret_word(name) or looks_secret(value):
            return Field(name, MASK, variable)
        return Field(name, value)

    def told(self, headers: Iterable[tuple[str, str]]) -> tuple[Field, ...]:
        """Return the answer's header fields as they may be shown."""
        return tuple(
            Field(self._mask(name), MASK if name in _ALWAYS_HIDDEN else self._mask(value)) for name, value in headers
        )

    def _mask(self, text: str) -> str:
        for value in self.values:
            text = text.replace(value, MASK)
        return text

    def scrub(self, raw: RawExchange, decoder: ResponseDecoder | None = None) -> tuple[RawExchange, int]:
        """Return the exchange with asterisks where the server repeated a secret, and in how many places it did.

        Sizes and stamps stay. A secret is found as it is and as JSON writes it, cut into pieces or not; with a fresh
        `decoder` of the answer also where its text comes in events that hold a part each.
        """
        body = b"".join(raw.pieces)
        forms = {form for value in self.values for form in (value, json.dumps(value)[1:-1])}
        places = 0
        for form in sorted((form.encode() for form in forms), key=len, reverse=True):
            places += body.count(form)
            body = body.replace(form, b"*" * len(form))
        if decoder is not None and self.values:
            body, scattered = without_scattered(body, decoder, self.values)
            places += scattered
        told = sum(text.count(value) for text in raw.headers.values() for value in self.values)
        if not places:
            return raw, told
        made = RawExchange(raw.job)
        for name in RawExchange.__slots__:
            setattr(made, name, getattr(raw, name))
        made.pieces = []
        start = 0
        for piece in raw.pieces:
            made.pieces.append(body[start : start + len(piece)])
            start += len(piece)
        return made, places + told
