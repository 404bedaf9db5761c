"""A service that was found: what is known of it, which model it will be asked for, and its way into a measurement."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference_bench.api.identity import Identity
from inference_bench.api.probe_http import ProbeTarget
from inference_bench.api.protocols import Endpoint
from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.credentials import read_api_key, read_headers
from inference_bench.discovery.health_checker import HealthReport, HealthStatus
from inference_bench.discovery.url_resolver import Rule, Way, is_loopback
from inference_bench.errors import NoServiceError

_NAMES_SHOWN = 5


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """What a cluster told of a service: what it seems to be and why, facts with the source of each, by name.

    `facts` has the names of `discovery.cluster.facts`. `state` says why no pod of it takes requests, None if one does.
    `certain` says that one piece of evidence alone makes it an engine; else only its own answer can.
    """

    product: str
    evidence: tuple[str, ...]
    facts: Mapping[str, object]
    sources: Mapping[str, str]
    state: str | None = None
    certain: bool = True


@dataclass(frozen=True, slots=True)
class FoundService:
    """One service, found and checked.

    `engine` is the protocol it speaks and `dialect` the registered way of speaking it, both None while nothing could
    be recognised. `model` is the one it will be asked for. `source` says how it was found; `named` that the user
    asked for it; `endpoint` how it is reached, and `way` by which rule, where a rule made its URL. `cluster` is what
    the cluster told of it. `notes` are for people.
    """

    name: str
    dialect: str | None
    engine: str | None
    model: str | None
    identity: Identity | None
    health: HealthReport
    source: str
    named: bool
    endpoint: EndpointSettings
    notes: tuple[str, ...] = ()
    way: Way | None = None
    cluster: ClusterFacts | None = None

    @property
    def url(self) -> str:
        """Its base URL."""
        return self.endpoint.url

    @property
    def usable(self) -> bool:
        """Whether it can be measured now."""
        return self.health.status is HealthStatus.HEALTHY and self.dialect is not None

    @property
    def stays(self) -> bool:
        """Whether its address outlives this program."""
        return self.way is None or self.way.rule is not Rule.PORT_FORWARD

    @property
    def simulated(self) -> bool:
        """Whether it said that it is a simulator."""
        return self.identity is not None and self.identity.simulated


def here(service: FoundService) -> bool:
    """Whether a service is on this machine; the local end of a port-forward is, and what it leads to is not."""
    return is_loopback(service.url) and service.stays


def to_endpoint(service: FoundService, environ: Mapping[str, str]) -> Endpoint:
    """Return what the measuring side needs; its secrets are read from `environ` here.

    Raises ConfigError when a named variable is missing, NoServiceError when it is not known how to speak to it.
    """
    if service.dialect is None:
        raise NoServiceError(f"{service.name}: {service.health.detail}")
    settings = service.endpoint
    return Endpoint(
        name=service.name,
        dialect=service.dialect,
        url=settings.url,
        model=model_to_send(service),
        api_key=read_api_key(settings, environ),
        headers=read_headers(settings, environ),
        ca_file=settings.ca_file,
        insecure_skip_verify=settings.insecure_skip_verify,
    )


def to_probe_target(settings: EndpointSettings, environ: Mapping[str, str]) -> ProbeTarget:
    """Return what a probe needs; secrets are read here. Raises ConfigError when a named variable is missing."""
    return ProbeTarget(
        url=settings.url,
        api_key=read_api_key(settings, environ),
        headers=read_headers(settings, environ),
        ca_file=settings.ca_file,
        insecure_skip_verify=settings.insecure_skip_verify,
    )


def model_to_send(service: FoundService) -> str | None:
    """TGI takes any other name than its own as that of an adapter, and needs none for the model it serves."""
    served = service.identity.model_names if service.identity is not None else ()
    return None if service.engine == "tgi" and service.model in served else service.model


def choose_model(
    wanted: str | None, general: str | None, identity: Identity | None, engine: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the model to ask for, and what must be said about the choice.

    `wanted` is the service's own setting and always taken; `general` is the whole run's, taken where the server
    lists it (or lists nothing); else the server's own first base model.
    """
    listed = identity.model_names if identity is not None else ()
    if wanted is not None:
        known = not listed or _match(wanted, listed, engine) is not None
        return wanted, () if known else (f"does not list the model {wanted}; it lists {_shown(listed)}",)
    match = _match(general, listed, engine) if general is not None else None
    if match is not None or not listed or identity is None:
        return match or general, ()
    base = [model.name for model in identity.models if model.parent is None] or list(listed)
    choice = f"{base[0]} is asked for (of {_shown(listed)})"
    if general is not None:
        return base[0], (f"does not list the model {general}; {choice}",)
    if len(base) > 1:
        return base[0], (f"serves {len(base)} models; {choice}, choose with --model",)
    return base[0], ()


def _match(name: str, listed: Sequence[str], engine: str | None) -> str | None:
    """Return the listed spelling of a model's name. Ollama takes `llama3` for `llama3:latest`."""
    if name in listed:
        return name
    tagged = f"{name}:latest"
    return tagged if engine == "ollama" and tagged in listed else None


def _shown(names: Sequence[str]) -> str:
    rest = len(names) - _NAMES_SHOWN
    return ", ".join(names[:_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
