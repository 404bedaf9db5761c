"""What is known of a service before it is measured: what it said, how it is reached, what can be asked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from inference_bench.api.dialects.rendering import NO_TEMPLATE_NOTE, common_notes
from inference_bench.api.identity import MODEL_FACTS, SERVER_FACTS, Identity, ModelFacts
from inference_bench.api.protocols import ChatRequest, EngineClient
from inference_bench.discovery.services import FoundService
from inference_bench.results.manifest import ServiceFacts
from inference_bench.testing.rendering import ServiceUnderTest, TestShape

_NOT_SAID_AGAIN = ("version",)  # a field of its own
_NAMED_OTHERWISE = {"name": "model_name"}


def service_facts(found: FoundService, service: ServiceUnderTest, requests: Sequence[ChatRequest]) -> ServiceFacts:
    """Return what is known of a service: only what it said, how it was reached, and what its protocol can be asked.

    `requests` are samples of what it will be asked. `said` has, where told: model_name, root, revision,
    context_length, max_context_length, max_input_tokens, quantisation, dtype, parameter_size, slots, max_batch_size,
    max_batch_tokens, max_concurrent_requests, kv_cache_tokens, kv_cache_dtype, kv_block_size,
    gpu_memory_utilisation, prefix_caching; and always evidence (the routes that told), sources (route by fact),
    exact_length ("asked" or "not possible"), chat_template ("applied" or "not applied") and protocol_notes. Of a
    service in a cluster also what that told (`discovery.cluster.facts`), and reached_by and reached_through.
    """
    identity = found.identity
    host, port = str(service.target.sockaddr[0]), service.target.sockaddr[1]
    said = {**told(identity, found.model), **_protocol(service.client, requests)}
    _add_cluster(said, found)
    return ServiceFacts(
        name=found.name,
        engine=service.client.engine,
        dialect=found.dialect,
        product=None if identity is None else identity.product,
        version=None if identity is None else identity.version,
        model=found.model,
        url=found.url,
        addresses=(f"[{host}]:{port}" if ":" in host else f"{host}:{port}",),
        simulated=found.simulated,
        said=said,  # type: ignore[arg-type]  # plain JSON values
    )


def told(identity: Identity | None, model: str | None) -> dict[str, object]:
    """Return what a server said of itself and of the model it will be asked for; what it did not say is not there."""
    if identity is None:
        return {"evidence": [], "sources": {}}
    said = _given(identity, SERVER_FACTS)
    facts = identity.facts_of(model)
    if facts is not None:
        said |= _given(facts, MODEL_FACTS)
    sources = {name: identity.sources[name] for name in said if name in identity.sources}
    said["evidence"] = list(identity.evidence)
    said["sources"] = {_NAMED_OTHERWISE.get(name, name): route for name, route in sources.items()}
    return {_NAMED_OTHERWISE.get(name, name): value for name, value in said.items() if name not in _NOT_SAID_AGAIN}


def _add_cluster(said: dict[str, object], found: FoundService) -> None:
    """Add by which way a service is reached, and what its cluster told; the server's own word is never replaced."""
    if found.cluster is None:
        return  # what lies behind a URL that somebody gave is not known
    if found.way is not None:
        said |= {"reached_by": found.way.rule.value, "reached_through": found.way.through}
    sources = said["sources"]
    for name, value in found.cluster.facts.items():
        if name not in said:
            said[name] = value
            if isinstance(sources, dict):
                sources[name] = found.cluster.sources[name]
    evidence = said["evidence"]
    if isinstance(evidence, list) and found.cluster.facts:
        evidence.append("the cluster's API")


def samples_of(shapes: Mapping[str, TestShape]) -> tuple[ChatRequest, ...]:
    """Return the first request of every test, without its unique prefix: what a service will be asked."""
    firsts = [(shape, shape.workload.item(0)) for shape in shapes.values()]
    return tuple(
        ChatRequest(
            item.messages,
            item.max_tokens or shape.max_tokens,
            temperature=shape.temperature,
            conversation=shape.conversation,
        )
        for shape, item in firsts
    )


def _given(source: Identity | ModelFacts, names: Sequence[str]) -> dict[str, object]:
    values = {name: getattr(source, name) for name in names}
    return {name: value for name, value in values.items() if value is not None}


def _protocol(client: EngineClient, requests: Sequence[ChatRequest]) -> dict[str, object]:
    """Return what the dialect can and cannot do of what will be asked; its notes but those that have a key here."""
    notes = {note: None for request in requests for note in client.notes(request)}
    covered = {NO_TEMPLATE_NOTE}
    for request in requests:
        covered.update(common_notes(replace(request, temperature=0.0), exact_length=False))
    return {
        "exact_length": "asked" if client.exact_length else "not possible",
        "chat_template": "not applied" if NO_TEMPLATE_NOTE in notes else "applied",
        "protocol_notes": [note for note in notes if note not in covered],
    }
