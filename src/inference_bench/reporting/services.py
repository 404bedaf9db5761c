"""The services of a run: how each was reached, and what it told of itself."""

from collections.abc import Iterator, Mapping
from typing import Final

from pydantic import JsonValue

from inference_bench.reporting.text import clean
from inference_bench.reporting.view import Point, ServiceView
from inference_bench.results.manifest import ServiceFacts

_MOST_FACTS: Final = 40
_LONGEST_VALUE: Final = 160
_NOT_FACTS: Final = ("evidence", "sources", "protocol_notes")  # how the facts were found, told on lines of their own
_NAMES: Final[Mapping[str, str]] = {
    "kv_cache_dtype": "KV cache dtype",
    "kv_cache_tokens": "KV cache, tokens",
    "kv_block_size": "KV block size",
    "gpu_memory_utilisation": "GPU memory utilisation",
    "context_length": "Context length, tokens",
    "max_context_length": "Longest context, tokens",
    "exact_length": "Exact output length",
    "model_name": "Model, as served",
    "gpu": "GPU",
    "gpus_per_replica": "GPUs of a replica",
    "cpu_request": "CPU asked for",
    "cpu_limit": "CPU limit",
    "memory_request": "Memory asked for",
}
_COMMAND: Final = "start_flags"  # a list of words that stood beside each other


def service_view(facts: ServiceFacts, slot: int | None) -> ServiceView:
    """Return one service."""
    product = facts.product or facts.engine
    rows = [
        Point("Engine", clean(f"{product} {facts.version}" if facts.version else f"{product}, version not told")),
        Point("Model", clean(facts.model) if facts.model else "not told"),
        Point("Address", clean(facts.url)),
    ]
    if facts.simulated:
        rows.append(Point("Kind", "simulated engine"))
    return ServiceView(clean(facts.name, limit=80), slot, tuple(rows), tuple(_told(facts.said)))


def _told(said: Mapping[str, JsonValue]) -> Iterator[Point]:
    """Yield what a server said, bounded in number and length: names and values are its own."""
    facts = [(key, value) for key, value in said.items() if key not in _NOT_FACTS and value not in (None, "", [], {})]
    for key, value in facts[:_MOST_FACTS]:
        name = _NAMES.get(key) or clean(key, limit=60).replace("_", " ").capitalize()
        shown = " ".join(map(_words, value)) if key == _COMMAND and isinstance(value, list) else _words(value)
        yield Point(name, clean(shown, limit=_LONGEST_VALUE))
    if len(facts) > _MOST_FACTS:
        yield Point("And", f"{len(facts) - _MOST_FACTS} more facts, in test_manifest.json")
    for key, name in (("protocol_notes", "Notes"), ("evidence", "Told by")):
        listing = said.get(key)
        if isinstance(listing, list) and listing:
            yield Point(name, clean(_words(listing), limit=2 * _LONGEST_VALUE))


def _words(value: JsonValue) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return ", ".join(_words(one) for one in value[:20])
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_words(one)}" for key, one in list(value.items())[:20])
    return value or "–"
