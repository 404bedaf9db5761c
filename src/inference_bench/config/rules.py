"""The rules that one value must obey, as pydantic validators with sentences a user can act on.

Rules that hold between several keys of a section live beside that section in `models` and `service_models`.
"""

import re
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, urlsplit

from pydantic_core import PydanticCustomError

NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9-]*")
NAMESPACE_PATTERN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
ENV_NAME_PATTERN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
HEADER_NAME_PATTERN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
# The usual beginnings of real keys: pasted where the *name* of a variable belongs, they must not be shown again.
KEY_PREFIXES = ("sk-", "sk_", "hf_", "ghp_", "gho_", "glpat-", "xox", "eyJ", "AKIA", "Bearer ", "Basic ")
SECRET_WORDS = ("authorization", "cookie", "key", "token", "secret", "password", "credential", "auth")
ENV_REFERENCE = "env:"
_BRACKETS = "an IPv6 address stands in brackets, such as http://[::1]:8000"
_NO_PORT = "has a port that is no number from 1 to 65535"


def refuse(problem: str, *key: str | int) -> PydanticCustomError:
    """Return the error that says `problem`; `key` is the path below the section being validated."""
    return PydanticCustomError("refused", "{problem}", {"problem": problem, "key": key})


def looks_secret(value: str) -> bool:
    """Whether a text starts as well-known keys do."""
    return value.startswith(KEY_PREFIXES)


def secret_word(name: str) -> bool:
    """Whether a key or header of this name usually carries a secret."""
    lowered = name.lower()
    return any(word in lowered for word in SECRET_WORDS)


def name(value: str) -> str:
    """Accept a service or test name: it becomes part of file names and of gate expressions."""
    if NAME_PATTERN.fullmatch(value) is None:
        raise refuse("must be lower-case letters, digits and hyphens, starting with a letter or a digit")
    return value


def namespace_name(value: str) -> str:
    """Accept the name of a Kubernetes namespace, or * for all of them: it becomes part of the API's paths."""
    if value != "*" and NAMESPACE_PATTERN.fullmatch(value) is None:
        raise refuse("must be a namespace's name (lower-case letters, digits and hyphens), or * for all")
    return value


def line_of_text(value: str) -> str:
    """Accept non-empty text on one line, without control characters."""
    if not value.strip():
        raise refuse("must not be empty")
    if not value.isprintable():
        raise refuse("must be one line without control characters")
    return value


def env_name(value: str) -> str:
    """Accept the name of an environment variable; a key pasted in its place is not repeated in the message."""
    if looks_secret(value) or ENV_NAME_PATTERN.fullmatch(value) is None:
        raise refuse("must be the name of an environment variable that holds the key, never the key itself")
    return value


def base_url(value: str) -> str:
    """Accept an http(s) base URL as it was written; without a scheme, http is meant. Discovery has its one spelling."""
    problem = url_problem(value if "://" in value else f"http://{value}")
    if problem is not None:
        raise refuse(problem)
    return value


def url_problem(value: str) -> str | None:
    """Say what is wrong with a base URL, or None. The URL itself is never repeated: it may hold a password."""
    try:
        parts = urlsplit(value)
    except ValueError:
        return f"is not a URL: the host cannot be read; {_BRACKETS}"
    problems = (
        (port_problem(parts), True),
        ("must start with http:// or https://", parts.scheme not in ("http", "https")),
        (
            "must not carry a user name or password; name a variable in api_key_env, or a header as env:VARIABLE",
            parts.username is not None or parts.password is not None,
        ),
        (
            "is not a URL with a host, such as http://localhost:8000",
            not parts.hostname or not value.isprintable() or " " in value,
        ),
        (
            "must be a base URL: nothing after ? or # (a key in it would end up in files)",
            bool(parts.query or parts.fragment),
        ),
    )
    return next((problem for problem, holds in problems if problem and holds), None)


def port_problem(parts: SplitResult) -> str | None:
    """Say what is wrong with a URL's port, or with a host whose colons are read as one; None when nothing is."""
    try:
        return _NO_PORT if parts.port == 0 else None
    except ValueError:
        place = parts.netloc.rpartition("@")[2]
        return f"has a host that cannot be read; {_BRACKETS}" if place.count(":") > 1 and place[:1] != "[" else _NO_PORT


def one_or_list(value: object) -> str:
    """Tell a single number from a list of them, for a key that takes either."""
    return "list" if isinstance(value, list | tuple) else "one"


def ascending(values: tuple[int, ...]) -> tuple[int, ...]:
    """Accept different numbers in ascending order: the points of a curve."""
    if list(values) != sorted(set(values)):
        raise refuse("must be a list of different numbers in ascending order")
    return values


def first_repeated(names: Iterable[str | None]) -> tuple[int, str] | None:
    """Return position and name of the first name that stood earlier in the list; None entries do not count."""
    seen: set[str] = set()
    for position, entry in enumerate(names):
        if entry is None:
            continue
        if entry in seen:
            return position, entry
        seen.add(entry)
    return None


def require_one_of(given: Sequence[tuple[str, object]], why: str) -> None:
    """Raise unless exactly one of the (key, value) pairs is not None."""
    require_at_most_one(given, why)
    if all(value is None for _, value in given):
        raise refuse(f"needs {' or '.join(key for key, _ in given)}: {why}")


def require_at_most_one(given: Sequence[tuple[str, object]], why: str) -> None:
    """Raise when more than one of the (key, value) pairs is not None."""
    present = [key for key, value in given if value is not None]
    if len(present) > 1:
        raise refuse(f"{' and '.join(present)} exclude each other: {why}", present[-1])
