"""The notes on where services are: whose way is longer, who shares a machine with whom."""

import ipaddress
from collections.abc import Iterator, Sequence
from urllib.parse import SplitResult, urlsplit

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness_words import joined, note
from inference_bench.results.manifest import ServiceFacts


def place_notes(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    """Yield the notes on the network path and on shared machines."""
    here = [one.name for one in services if _is_here(one)]
    there = [one.name for one in services if not _is_here(one)]
    if here and there:
        text = f"{joined(here)} {_be(here)} reached on this machine and {joined(there)} over a network"
        yield note("network_path", [*here, *there], text, "warning")
    sealed = [one.name for one in services if _url(one).scheme == "https"]
    plain = [one.name for one in services if _url(one).scheme == "http"]
    if sealed and plain:
        yield note(
            "tls", [*sealed, *plain], f"{joined(sealed)} {_be(sealed)} reached over TLS and {joined(plain)} without"
        )
    same = list(_same_address(services))
    yield from same
    told = {one.services for one in same}
    shared = _shared_host([one for one in services if not _is_here(one)])
    yield from (one for one in shared if one.services not in told)
    if here:
        they = "they" if len(here) > 1 else "it"
        others = "each other and with the client" if len(here) > 1 else "the client"
        text = f"{joined(here)} {_be(here)} reached at an address of this machine: {they} may share it with {others}"
        yield note("client_host", here, text)


def _same_address(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    """One server that answers under two names would be compared with itself, or compete with itself."""
    by_address: dict[tuple[str, int | None], list[str]] = {}
    for one in services:
        parts = _url(one)
        if parts.hostname:
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
            by_address.setdefault((parts.hostname.casefold(), port), []).append(one.name)
    for names in by_address.values():
        if len(names) > 1:
            said = f"{joined(names)} have one address: the same server or gateway may answer for all of them"
            yield note("same_address", names, said, "warning")


def _shared_host(services: Sequence[ServiceFacts]) -> Iterator[FairnessNote]:
    by_host: dict[str, list[str]] = {}
    for one in services:
        host = _host(one)
        if host is not None:
            by_host.setdefault(host, []).append(one.name)
    for host, names in by_host.items():
        if len(names) > 1:
            yield note(
                "shared_host", names, f"{joined(names)} are reached at one host ({host}): they may share its hardware"
            )


def _host(facts: ServiceFacts) -> str | None:
    """Return the address that was resolved, else the host of the URL; the end of a port-forward says nothing."""
    if facts.said.get("reached_by") == "port-forward":
        return None
    if facts.addresses:
        host = facts.addresses[0].rpartition(":")[0].strip("[]")
        if host:
            return host
    return _url(facts).hostname


def _is_here(facts: ServiceFacts) -> bool:
    host = (_host(facts) or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _url(facts: ServiceFacts) -> SplitResult:
    try:
        parts = urlsplit(facts.url)
        _ = parts.port, parts.hostname
    except ValueError:
        return urlsplit("")
    return parts


def _be(names: Sequence[str]) -> str:
    return "is" if len(names) == 1 else "are"
