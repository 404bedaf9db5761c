"""What a cluster told of services, as lines for people; and what has changed from one look to the next."""

import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_bench.discovery.services import ClusterFacts, FoundService
    from inference_bench.orchestration.service_orchestrator import Findings

_MOST_EVIDENCE = 3


def cluster_lines(service: "FoundService") -> Iterator[str]:
    """Yield how a service is reached, what it runs on, and why it is taken for what it is."""
    told = service.cluster
    if told is None:
        return
    if service.way is not None:
        yield f"reached by {service.way.rule.value}: {service.way.through}"
    yield "; ".join(_running(told)) or "nothing told of its pods"
    shown = told.evidence[:_MOST_EVIDENCE]
    yield f"{'' if told.certain else 'perhaps '}{told.product}, by {', '.join(shown)}"


def seeming_product(told: "ClusterFacts") -> str:
    """Return what a service seems to be that has not said so itself."""
    return f"{told.product} (by its pods)" if told.certain else f"perhaps {told.product}"


def cluster_data(told: "ClusterFacts | None") -> dict[str, object] | None:
    """Return what a cluster told, for JSON; None for a service that is in none.

    Keys: product, certain, evidence, state, facts (see `discovery.cluster.facts`), sources (by the facts' names).
    """
    if told is None:
        return None
    return {
        "product": told.product,
        "certain": told.certain,
        "evidence": list(told.evidence),
        "state": told.state,
        "facts": dict(told.facts),
        "sources": dict(told.sources),
    }


def _running(told: "ClusterFacts") -> Iterator[str]:
    facts = told.facts
    where = facts.get("workload")
    yield f"{where} in {facts.get('namespace')}" if where is not None else f"in {facts.get('namespace')}"
    if "replicas_wanted" in facts:
        yield f"{facts.get('replicas_ready', 0)} of {facts['replicas_wanted']} replicas ready"
    if "gpu" in facts:
        yield f"{facts.get('gpus_per_replica', 1)} × {facts['gpu']} each"
    nodes = facts.get("nodes")
    if isinstance(nodes, list) and nodes:
        yield f"on {', '.join(nodes)}"


class Changes:
    """Tells from one look to the next whose state has changed."""

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._states: Mapping[str, str] | None = None

    def of(self, findings: "Findings") -> Iterator[str]:
        """Yield a line for every service that is new, gone, or in another state than at the last look."""
        states = {service.name: _state(service) for service in findings.services}
        before = self._states
        self._states = states
        stamp = f"[{time.monotonic() - self._began:5.0f} s]"
        if not states and before is None:
            yield f"{stamp} nothing there yet: waiting for services in {' and '.join(findings.places)}"
        for name, state in states.items():
            if (before or {}).get(name) != state:
                yield f"{stamp} {name}: {state}"
        for name in before or {}:
            if name not in states:
                yield f"{stamp} {name}: gone"


def _state(service: "FoundService") -> str:
    health = service.health
    if service.usable:
        return f"{health.status.value} at {service.url}"
    state = service.cluster.state if service.cluster is not None else None
    return f"{health.status.value}: {state or health.detail}"
