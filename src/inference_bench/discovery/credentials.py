"""Secrets by name only: read from the environment at the moment of use, checked to be sendable, never shown."""

from collections.abc import Mapping

from inference_bench.config.rules import ENV_REFERENCE
from inference_bench.config.service_models import EndpointSettings
from inference_bench.errors import ConfigError


def read_api_key(endpoint: EndpointSettings, environ: Mapping[str, str]) -> str | None:
    """Return the key in the variable that `api_key_env` names, None when it names none.

    Raises ConfigError naming the variable when it is missing or cannot be sent.
    """
    if endpoint.api_key_env is None:
        return None
    return _read(endpoint.api_key_env, environ, f"the API key of {_service(endpoint)}")


def read_headers(endpoint: EndpointSettings, environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Return the extra headers, every `env:VARIABLE` value read. Raises ConfigError naming the variable."""
    return tuple((name, _header_value(name, value, endpoint, environ)) for name, value in endpoint.headers.items())


def _header_value(name: str, value: str, endpoint: EndpointSettings, environ: Mapping[str, str]) -> str:
    if not value.startswith(ENV_REFERENCE):
        return value
    return _read(value.removeprefix(ENV_REFERENCE), environ, f"the header {name} of {_service(endpoint)}")


def _service(endpoint: EndpointSettings) -> str:
    return endpoint.service_name or endpoint.url


def _read(variable: str, environ: Mapping[str, str], purpose: str) -> str:
    # A trailing newline is what env files and `$(cat …)` variants leave behind; no key ends in one.
    value = environ.get(variable, "").strip()
    if not value:
        state = "is empty" if variable in environ else "is not set"
        raise ConfigError(
            f"the environment variable {variable}, for {purpose}, {state}", hint=f"export {variable}=… and try again"
        )
    if not (value.isascii() and value.isprintable()):
        raise ConfigError(
            f"the environment variable {variable}, for {purpose}, holds characters that no HTTP header can carry"
        )
    return value
