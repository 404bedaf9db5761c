"""Where services are looked for. Each source names candidates; whether anything lives there is asked elsewhere.

The seam for further places (a cluster, a registry): implement `ServiceSource`, and add it in `service_finder`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.url_resolver import local_url, normalise_url

# vLLM; TGI's usual mapping and llama.cpp; Ollama; TGI's launcher; SGLang.
LOCAL_PORTS = (8000, 8080, 11434, 3000, 30000)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A place where a service may be.

    `endpoint` is what is known of it, with its engine left open where it must be probed. `source` says how it came
    up; `named` that a user asked for this very service, so that its being down stops a run.
    """

    endpoint: EndpointSettings
    source: str
    named: bool
    notes: tuple[str, ...] = ()


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
    return Candidate(endpoint.model_copy(update={"url": base.url}), source="configured", named=True, notes=base.notes)
