"""What to do about services that were not found or cannot be measured, in words."""

from collections.abc import Sequence

from inference_bench.api.probe_http import ProbeOutcome
from inference_bench.config.service_models import ServicesSettings
from inference_bench.discovery.cluster.facts import SCALED_TO_ZERO
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.services import FoundService
from inference_bench.errors import BenchError, ConfigError, NoServiceError


def nothing_found(
    places: Sequence[str], notes: Sequence[str], problem: BenchError | None, settings: ServicesSettings
) -> BenchError:
    """Return the error for a search in vain: where was looked, and what to do next.

    `problem` is why a cluster could not be searched that nobody had insisted on; a broken kubeconfig is the error.
    """
    hint = "start an engine, give its address with --url http://HOST:PORT, or try --simulate"
    if not settings.discovery:
        return NoServiceError("no service is configured, and services.discovery is off", hint=hint)
    where = " or in ".join(places)
    searched = f"no inference engine {'answers on' if where.startswith('this') else 'in'} {where}"
    if isinstance(problem, ConfigError):
        return problem
    if problem is not None:
        return NoServiceError(f"{searched}; {problem.message}", hint=problem.hint)
    if settings.cluster:
        narrowed = f"; {notes[0]}" if notes else ""
        hint = "name another namespace with -n, or look at all of them: discover --all-namespaces"
        return NoServiceError(f"{searched}{narrowed}", hint=hint)
    return NoServiceError(searched, hint=f"{hint}; a cluster is searched with -n NAMESPACE")


def all_states(services: Sequence[FoundService]) -> str:
    """Return how services are, in one line."""
    return "; ".join(f"{one.name} ({one.url}) is {one.health.status}: {one.health.detail}" for one in services)


def advice(services: Sequence[FoundService], *, others: bool = False) -> str:
    """Say what to do about services that cannot be measured; `others` says that some can."""
    skip = "; or go on without with --skip-unhealthy" if others else ""
    return _what_to_do(services) + skip


def _what_to_do(services: Sequence[FoundService]) -> str:
    locked = next((one for one in services if one.health.status is HealthStatus.UNAUTHORISED), None)
    if locked is not None:
        return _about_key(locked)
    cases = (
        (_scaled_to_zero, "scale it up first"),
        (_coming, "wait until it is ready: discover --watch shows when"),
        (_untrusted, "trust its authority: ca_file of an endpoint, or SSL_CERT_FILE=FILE in the environment"),
        (_without_way, "--port-forward, or a Route, an Ingress or a load balancer in the cluster, leads to it"),
        (_unreachable, "start it, or correct its URL"),
    )
    for holds, words in cases:
        if any(holds(one) for one in services):
            return words
    return "is it the right URL? For a server that does not say what it is: --url openai=URL --model NAME"


def _about_key(locked: FoundService) -> str:
    variable = locked.endpoint.api_key_env
    if variable is not None:
        return f"{locked.name} refuses the key in {variable}: check it"
    whose = f"{locked.name}=" if locked.endpoint.service_name is not None else ""
    return f"name the variable that holds its key: --api-key-env {whose}VARIABLE"


def _scaled_to_zero(service: FoundService) -> bool:
    return service.cluster is not None and service.cluster.state == SCALED_TO_ZERO


def _coming(service: FoundService) -> bool:
    """Whether a service may become ready by itself: it loads its model, or its pods are about to start."""
    if service.health.status is HealthStatus.RESPONDING:
        return True
    return service.cluster is not None and service.cluster.state is not None


def _without_way(service: FoundService) -> bool:
    return service.cluster is not None and service.way is None


def _untrusted(service: FoundService) -> bool:
    return service.health.cause is ProbeOutcome.TLS and "not trusted" in service.health.detail


def _unreachable(service: FoundService) -> bool:
    return service.health.status is HealthStatus.UNREACHABLE
