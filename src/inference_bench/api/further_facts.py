"""What a recognised server is asked further before it is measured: its metrics page, or what it shows of one model.

Which model is asked for is known only after recognition, so this is a step of its own. Only what was told, each fact
with the route that told it; a route that is missing, guarded or odd tells nothing and is no error.

Sources of the shapes: a recorded page of vLLM 0.32 (`vllm:cache_config_info`), the router of TGI
(`tgi_batch_max_total_tokens`), and Ollama's own route.
"""

import dataclasses
import re
from collections.abc import Mapping

from inference_bench.api.identity import Identity, told_by
from inference_bench.api.probe_http import ProbeOutcome, Prober, Reply, clean_text
from inference_bench.api.telling import Json, count, mapping, text

_METRICS = "/metrics"
_SHOW = "/api/show"
_VLLM_FAMILY = "vllm:cache_config_info"
_TGI_FAMILY = "tgi_batch_max_total_tokens"
_MOST_LINES = 64  # one for each engine of a server; more is no page of facts
_LONGEST_LINE = 16_384
_MOST_TOKENS = 10**12
_BOOLEANS = {"true": True, "false": False}
_NUM_CTX = re.compile(r"^[ \t]*num_ctx[ \t]+([1-9][0-9]{0,8})[ \t]*\r?$", re.MULTILINE)
_LONGEST_PARAMETERS = 20_000


async def ask_further(prober: Prober, identity: Identity, model: str | None) -> Identity:
    """Return the identity with what this engine tells only on further routes. Never raises for what the server does."""
    if identity.engine == "ollama" and model is not None:
        return with_ollama_show(identity, model, await prober.post(_SHOW, {"model": model}))
    if identity.engine == "vllm":
        return with_vllm_page(identity, await prober.get(_METRICS))
    if identity.engine == "tgi":
        return with_tgi_page(identity, await prober.get(_METRICS))
    return identity


def with_vllm_page(identity: Identity, reply: Reply) -> Identity:
    """Add what vLLM's cache configuration says, as labels of a constant metric; one sample for each engine.

    What the engines tell differently is left out; their caches are added up.
    """
    configs = [labels for labels, _ in samples(reply, _VLLM_FAMILY)]
    if not configs:
        return identity
    caches = [_cache_tokens(labels) for labels in configs]
    found = {
        "prefix_caching": _BOOLEANS.get(_agreed(configs, "enable_prefix_caching").casefold()),
        "kv_cache_tokens": sum(size for size in caches if size is not None) if None not in caches else None,
        "kv_cache_dtype": text({"told": _agreed(configs, "cache_dtype")}, "told"),
        "kv_block_size": _whole(_agreed(configs, "block_size")),
        "gpu_memory_utilisation": _share(_agreed(configs, "gpu_memory_utilization")),
    }
    return _with(identity, found, f"GET {_METRICS}")


def with_tgi_page(identity: Identity, reply: Reply) -> Identity:
    """Add the token budget of a batch, which releases from 3 on no longer tell in /info."""
    values = [value for _, value in samples(reply, _TGI_FAMILY)]
    budget = int(values[0]) if len(values) == 1 and 1 <= values[0] < _MOST_TOKENS else None
    if budget is None or identity.max_batch_tokens is not None:
        return identity
    return _with(identity, {"max_batch_tokens": budget}, f"GET {_METRICS}")


def with_ollama_show(identity: Identity, model: str, reply: Reply) -> Identity:
    """Add what Ollama shows of one model: its quantisation, its size, and the contexts it was made for.

    `num_ctx` among the parameters is the context it will be loaded with, as long as no request asks for another.
    """
    shown = reply.json_object()
    facts = identity.facts_of(model)
    if shown is None or facts is None:
        return identity
    details, info = mapping(shown, "details"), mapping(shown, "model_info")
    found: dict[str, object] = {
        "quantisation": text(details, "quantization_level"),
        "parameter_size": text(details, "parameter_size"),
        "max_context_length": _trained_context(info),
        "context_length": _num_ctx(shown),
    }
    found = {name: value for name, value in found.items() if value is not None and getattr(facts, name) is None}
    learned = dataclasses.replace(facts, **found)  # type: ignore[arg-type]  # fields of that class, by their names
    models = tuple(learned if one is facts else one for one in identity.models)
    source = f"POST {_SHOW}"
    return dataclasses.replace(
        identity,
        models=models,
        evidence=(*identity.evidence, source),
        sources={**identity.sources, **told_by(source, *found)},
    )


def samples(reply: Reply, family: str) -> list[tuple[Mapping[str, str], float]]:
    """Return labels and value of a family's samples on a page in the Prometheus text format; none of a broken line.

    Only the lines of that family are parsed, each by itself and at most a few: a page is somebody else's and long.
    """
    if reply.outcome is not ProbeOutcome.OK:
        return []
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415 - used once, before a run

    found: list[tuple[Mapping[str, str], float]] = []
    start = family.encode()
    lines = [line for line in reply.body.splitlines() if line.startswith(start) and len(line) <= _LONGEST_LINE]
    for line in lines[:_MOST_LINES]:
        try:
            for parsed in text_string_to_metric_families(line.decode() + "\n"):
                found += [(one.labels, float(one.value)) for one in parsed.samples if one.name == family]
        except (ValueError, LookupError, AttributeError, TypeError):
            continue  # what the parser raises on lines that are none
    return found


def _with(identity: Identity, found: Mapping[str, object], source: str) -> Identity:
    told = {name: value for name, value in found.items() if value is not None}
    if not told:
        return identity
    sources = {**identity.sources, **told_by(source, *told)}
    evidence = (*identity.evidence, source)
    changes: dict[str, object] = {**told, "evidence": evidence, "sources": sources}
    return dataclasses.replace(identity, **changes)  # type: ignore[arg-type]  # fields of that class, by their names


def _agreed(configs: list[Mapping[str, str]], label: str) -> str:
    """Return what every engine says, empty when they differ or do not say."""
    values = {config.get(label, "") for config in configs}
    return clean_text(values.pop(), 60) if len(values) == 1 else ""


def _cache_tokens(labels: Mapping[str, str]) -> int | None:
    """Return the room of one engine's cache: as told, or as blocks times their size."""
    whole = _whole(labels.get("kv_cache_size_tokens", ""))
    blocks, size = _whole(labels.get("num_gpu_blocks", "")), _whole(labels.get("block_size", ""))
    return whole if whole is not None else blocks * size if blocks is not None and size is not None else None


def _whole(value: str) -> int | None:
    number = int(value) if value.isascii() and value.isdigit() and len(value) <= 12 else 0
    return number or None


def _share(value: str) -> float | None:
    try:
        number = float(value)
    except ValueError:
        return None
    return number if 0 < number <= 1 else None


def _trained_context(info: Json) -> int | None:
    """Return `<architecture>.context_length`: what the model was trained for."""
    architecture = text(info, "general.architecture")
    return count(info, f"{architecture}.context_length") if architecture is not None else None


def _num_ctx(shown: Json) -> int | None:
    parameters = shown.get("parameters")
    match = _NUM_CTX.search(parameters[:_LONGEST_PARAMETERS]) if isinstance(parameters, str) else None
    return int(match[1]) if match is not None else None
