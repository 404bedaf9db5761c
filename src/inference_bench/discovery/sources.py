"""Where services are looked for. Each source names candidates; whether anything lives there is asked elsewhere.

The seam for further places: implement `ServiceSource`. A cluster is one in `discovery.cluster.source`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.services import ClusterFacts
from inference_bench.discovery.url_resolver import Rule, Way, local_url, normalise_url

# vLLM; TGI's usual mapping and llama.cpp; Ollama; TGI's launcher; SGLang.
LOCAL_PORTS = (8000, 8080, 11434, 3000, 30000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a service may be.

    `endpoint` is what is known of it, with its engine left open where it must be probed. `source` says how it came
    up; `named` that a user asked for this very service, so that its being down stops a run; `certain` that it is an
    engine even when nobody answers; `hint` the engine it must be when it works and does not say what it is;
    `by_name_only` that it may be anybody's, so that a key goes to it only when its name was said.

    `way` says by which rule the endpoint's URL was made, where there is but one. Else `ways` lead to it, the preferred
    first, and `last_way` opens one more where none of them answers. `no_way` says why there is none: nobody is asked.
    """

    endpoint: EndpointSettings
    source: str
    named: bool
    notes: tuple[str, ...] = ()
    way: Way | None = None
    ways: tuple[Way, ...] = ()
    last_way: Callable[[], Awaitable[Way]] | None = None
    no_way: str | None = None
    cluster: ClusterFacts | None = None
    certain: bool = False
    hint: str | None = None
    by_name_only: bool = False


class ServiceSource(Protocol):
    """A place to look for services."""

    async def candidates(self) -> Sequence[Candidate]:
        """Return what to probe, in a stable order."""


class ConfiguredSource:
    """The services a user named: `services.endpoints` of the configuration and --url."""

    def __init__(self, endpoints: Sequence[EndpointSettings]) -> None:
        self._endpoints = tuple(endpoints)

    async def candidates(self) -> Sequence[Candidate]:
        """Return one candidate for each endpoint. Raises ConfigError for a URL that cannot be one."""
        return [_configured(endpoint) for endpoint in self._endpoints]


class LocalSource:
    """The usual ports of inference engines on this machine."""

    def __init__(self, ports: Sequence[int] = LOCAL_PORTS) -> None:
        self._ports = tuple(ports)

    async def candidates(self) -> Sequence[Candidate]:
        """Return one candidate for each port."""
        return [
            Candidate(EndpointSettings(url=local_url(port)), source=f"local port {port}", named=False)
            for port in self._ports
        ]


class SimulatedSource:
    """Embedded simulated engines that are already running, by engine."""

    def __init__(self, urls: Mapping[str, str]) -> None:
        self._urls = dict(urls)

    async def candidates(self) -> Sequence[Candidate]:
        """Return one candidate for each engine."""
        return [
            Candidate(EndpointSettings(name=engine, engine=engine, url=url), source="simulated", named=True)
            for engine, url in self._urls.items()
        ]


def _configured(endpoint: EndpointSettings) -> Candidate:
    base = normalise_url(endpoint.url)
    way = Way(Rule.MANUAL, base.url, "as configured")
    placed = endpoint.model_copy(update={"url": base.url})
    return Candidate(placed, source="configured", named=True, notes=base.notes, way=way)
