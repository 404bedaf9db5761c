"""How a service is reached: the one spelling of a base URL, the rules that make URLs, and the order they come in."""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit, urlunsplit

from inference_bench.config.rules import url_problem
from inference_bench.errors import ConfigError

_DEFAULT_PORTS = {"http": 80, "https": 443}
_API_SUFFIX = "/v1"


class Rule(StrEnum):
    """What made a URL, in the order of preference: the way that users take comes first."""

    MANUAL = "manual URL"
    ROUTE = "Route"
    KSERVE = "KServe URL"  # what an InferenceService tells: whatever its operator made, a gateway or a Knative route
    HTTP_ROUTE = "HTTPRoute"
    INGRESS = "Ingress"
    LOAD_BALANCER = "LoadBalancer"
    NODE_PORT = "NodePort"
    CLUSTER_DNS = "cluster DNS"  # from inside the cluster only
    PORT_FORWARD = "port-forward"  # through the API server, on request only


_ORDER = {rule: place for place, rule in enumerate(Rule)}


@dataclass(frozen=True, slots=True)
class Way:
    """One way to a service: its base URL, the rule that made it, what it goes through, and what to know of it.

    `ca_file` holds the certificates that are trusted there, where the way itself tells which.
    """

    rule: Rule
    url: str
    through: str
    notes: tuple[str, ...] = ()
    ca_file: str | None = None


def is_before(one: Rule, other: Rule) -> bool:
    """Whether a rule is preferred to another."""
    return _ORDER[one] < _ORDER[other]


def in_order(ways: Iterable[Way]) -> tuple[Way, ...]:
    """Return the ways in the order of preference, each URL once, keeping the order of ways of one rule."""
    first: dict[str, Way] = {}
    for way in sorted(ways, key=lambda way: _ORDER[way.rule]):
        first.setdefault(way.url, way)
    return tuple(first.values())


@dataclass(frozen=True, slots=True)
class BaseUrl:
    """A base URL in its one spelling, and what was changed to get there, in words."""

    url: str
    notes: tuple[str, ...] = ()


def normalise_url(given: str) -> BaseUrl:
    """Return the base URL the dialects append their paths to.

    The scheme defaults to http, scheme and host become lower-case, the scheme's own port, trailing slashes and a
    trailing /v1 are dropped, a bare IPv6 address is put in brackets. Raises ConfigError for anything that is not a
    base URL; the text itself is not repeated there, since it may hold a password.
    """
    text = given.strip()
    if "://" not in text:
        text = f"http://{_bracketed(text)}"
    scheme, rest = text.split("://", 1)
    text = f"{scheme.lower()}://{rest}"
    problem = url_problem(text)
    if problem is not None:
        raise ConfigError(f"a service's URL {problem}", key="url", hint="for example --url vllm=http://localhost:8000")
    parts = urlsplit(text)
    host = parts.hostname or ""
    shown_host = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{parts.port}"
    path, notes = parts.path.rstrip("/"), []
    if path.endswith(_API_SUFFIX):
        path = path.removesuffix(_API_SUFFIX).rstrip("/")
        notes.append("the trailing /v1 of its URL was dropped: each dialect adds its own paths")
    return BaseUrl(urlunsplit((parts.scheme, shown_host + port, path, "", "")), tuple(notes))


def local_url(port: int) -> str:
    """Return the URL of a port of this machine; the address, so that no name look-up decides which family is meant."""
    return f"http://127.0.0.1:{port}"


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine in so many words; a name that merely resolves to it does not count."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bracketed(text: str) -> str:
    """Put a bare IPv6 address into brackets; anything else is left as it is."""
    try:
        return f"[{text}]" if ipaddress.ip_address(text).version == 6 else text
    except ValueError:
        return text
