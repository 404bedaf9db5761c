"""The notes that can be made before a run: one small rule each, over what the servers said and how they are reached.

A rule sees only what was told. Where some did not tell, it compares the others; who did not tell what is one note.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness_cluster import cluster_notes
from inference_bench.results.fairness_places import place_notes
from inference_bench.results.fairness_words import by_value, joined, note, number, word
from inference_bench.results.manifest import ServiceFacts

Services = Sequence[ServiceFacts]

FEW_SLOTS = 4  # so few at once serialise a load; "many" is eight times as much
_DTYPES = {"half": "float16", "fp16": "float16", "bf16": "bfloat16", "float": "float32", "fp32": "float32"}
_STEPS = {"small": "s", "medium": "m", "large": "l"}  # llama.cpp's long form of K-quants, "Q4_K - Medium" for Q4_K_M
_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMBT])", re.IGNORECASE)
_UNITS = {"k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}


@dataclass(frozen=True, slots=True)
class Plan:
    """What the notes must know of the plan; the fields are the arguments of `notes_before`."""

    declared_model: str | None = None
    users: int = 0
    unique_prompts: bool = True


def told_notes(services: Services, plan: Plan) -> list[FairnessNote]:
    """Return every rule's notes."""
    notes = list(_models(services, plan))
    notes += _sizes(services)
    notes += _quantisation(services)
    notes += _differing(services, "dtype", "warning", "the weights' number types differ", _dtype)
    notes += _differing(services, "kv_cache_dtype", "note", "the KV caches' number types differ", _dtype)
    notes += _differing(services, "context_length", "note", "context lengths in tokens differ", str)
    notes += _slots(services, plan)
    notes += _admission(services, plan)
    notes += _prefix_caching(services, plan)
    notes += _exact_length(services)
    notes += _chat_template(services)
    notes += place_notes(services)
    notes += cluster_notes(services)
    notes += _simulated(services)
    notes += _versions(services)
    notes += _protocol(services)
    notes += _untold(services)
    return notes


def _models(services: Services, plan: Plan) -> Iterator[FairnessNote]:
    """Spelling is no obstacle: which model it is, the user declares."""
    names = {one.name: name for one in services if (name := word(one.model) or word(one.said.get("model_name")))}
    if len({name.removesuffix(":latest") for name in names.values()}) < 2:  # Ollama's word for no tag at all
        return
    said = f"model names differ: {by_value(names)}"
    if plan.declared_model is not None:
        said += f"; that they are one model is taken from what was declared, {word(plan.declared_model)}"
    elif len({_spelling(name) for name in names.values()}) == 1:
        said += "; they may well be one model spelled differently (benchmark.model declares it)"
    else:
        said += "; whether they are one model is for you to say (benchmark.model declares it)"
    yield note("model_names", names, said)


def _sizes(services: Services) -> Iterator[FairnessNote]:
    told = {one.name: text for one in services if (text := word(one.said.get("parameter_size"))) is not None}
    sizes = [size for text in told.values() if (size := _parameters(text)) is not None]
    if sizes and max(sizes) > 1.1 * min(sizes):
        yield note("model_size", told, f"the models' parameter counts differ: {by_value(told)}", "warning")


def _quantisation(services: Services) -> Iterator[FairnessNote]:
    told = {one.name: kind for one in services if (kind := word(one.said.get("quantisation"))) is not None}
    if len({_quant(kind) for kind in told.values()}) > 1:
        yield note("quantisation", told, f"quantisation differs: {by_value(told)}", "warning")
        return
    silent = [one.name for one in services if one.name not in told]
    if told and silent:
        does = "does" if len(silent) == 1 else "do"
        names = [*told, *silent]
        yield note("quantisation", names, f"quantisation is {by_value(told)}; {joined(silent)} {does} not say")


def _differing(
    services: Services, key: str, weight: Literal["note", "warning"], words: str, same: Callable[[str], str]
) -> Iterator[FairnessNote]:
    """A fact that was told differently; `same` brings spellings of one thing together."""
    told: dict[str, str] = {}
    for one in services:
        count = number(one.said.get(key))
        text = word(one.said.get(key)) if count is None else f"{count:,}"
        if text is not None:
            told[one.name] = text
    if len({same(value) for value in told.values()}) > 1:
        yield note(key, told, f"{words}: {by_value(told)}", weight)


def slots_of(facts: ServiceFacts) -> int | None:
    """Return how many requests a service said it runs at once."""
    return number(facts.said.get("slots")) or number(facts.said.get("max_batch_size"))


def _slots(services: Services, plan: Plan) -> Iterator[FairnessNote]:
    told = {one.name: count for one in services if (count := slots_of(one)) is not None}
    shown = {name: f"{count:,}" for name, count in told.items()}
    fewest = min(told.values(), default=0)
    queued = [name for name, count in told.items() if count < plan.users]
    serial = bool(told) and fewest <= FEW_SLOTS and max(told.values()) >= 8 * fewest
    if told and (len(set(told.values())) > 1 or queued):
        said = f"requests that run at once: {by_value(shown)}"
        if queued:
            said += f"; of {plan.users:,} users the rest wait in the queue of {joined(queued)}"
        yield note("slots", told, said, "warning" if serial or queued else "note")
    quiet = _silent_ollamas(services)
    if quiet and plan.users != 1:
        does, they = ("does", "it runs") if len(quiet) == 1 else ("do", "they run")
        text = f"{joined(quiet)} {does} not say how many requests run at once; by default {they} one after another"
        yield note("slots_untold", quiet, f"{text} (OLLAMA_NUM_PARALLEL)")


def _silent_ollamas(services: Services) -> list[str]:
    """Return the Ollamas, whichever protocol they are spoken to in; none of them tells OLLAMA_NUM_PARALLEL."""
    known = [one for one in services if "ollama" in (one.engine, (one.product or "").casefold())]
    return [one.name for one in known if slots_of(one) is None]


def _admission(services: Services, plan: Plan) -> Iterator[FairnessNote]:
    for one in services:
        limit = number(one.said.get("max_concurrent_requests"))
        if limit is not None and limit < plan.users:
            said = f"{one.name} admits {limit:,} requests at a time and refuses more; a test has {plan.users:,} users"
            yield note("admission", [one.name], said, "warning")


def _prefix_caching(services: Services, plan: Plan) -> Iterator[FairnessNote]:
    told = {one.name: value for one in services if isinstance(value := one.said.get("prefix_caching"), bool)}
    if len(set(told.values())) < 2:
        return
    on, off = ([name for name, value in told.items() if value is state] for state in (True, False))
    said = f"prefix caching is on for {joined(on)} and off for {joined(off)}"
    if plan.unique_prompts:
        yield note(
            "prefix_caching", told, f"{said}; every prompt starts with a prefix of its own, so none should answer"
        )
    else:
        yield note("prefix_caching", told, f"{said}, and the prompts share prefixes", "warning")


def _exact_length(services: Services) -> Iterator[FairnessNote]:
    told = {one.name: one.said.get("exact_length") for one in services}
    asked = [name for name, value in told.items() if value == "asked"]
    free = [name for name, value in told.items() if value == "not possible"]
    if asked and free:
        said = (
            f"exact output lengths are asked of {joined(asked)} and cannot be of {joined(free)}: answers may end early"
        )
        yield note("exact_length", [*asked, *free], said)


def _chat_template(services: Services) -> Iterator[FairnessNote]:
    bare = [one.name for one in services if one.said.get("chat_template") == "not applied"]
    applied = [one.name for one in services if one.said.get("chat_template") == "applied"]
    if bare:
        said = f"no chat template is applied for {joined(bare)}: the model sees the bare prompt"
        said += f", unlike that of {joined(applied)}" if applied else ""
        yield note("chat_template", [*bare, *applied], said, "warning" if applied else "note")


def _simulated(services: Services) -> Iterator[FairnessNote]:
    simulated = [one.name for one in services if one.simulated]
    real = [one.name for one in services if not one.simulated]
    if simulated and real:
        be = "is" if len(simulated) == 1 else "are"
        said = f"{joined(simulated)} {be} SIMULATED, {joined(real)} not: nothing follows from comparing them"
        yield note("simulated_mix", [*simulated, *real], said, "warning")


def _versions(services: Services) -> Iterator[FairnessNote]:
    """One product in several versions may be what is compared, and is said all the same."""
    for product in dict.fromkeys(one.product for one in services if one.product):
        told = {one.name: version for one in services if one.product == product and (version := word(one.version))}
        if len(set(told.values())) > 1:
            yield note("version", told, f"versions of {word(product)} differ: {by_value(told)}")


def _protocol(services: Services) -> Iterator[FairnessNote]:
    """What a dialect says of its protocol and no other rule covers."""
    said: dict[str, list[str]] = {}
    for one in services:
        notes = one.said.get("protocol_notes")
        for text in notes if isinstance(notes, list) else ():
            if (shown := word(text, limit=300)) is not None:
                said.setdefault(shown, []).append(one.name)
    for text, names in said.items():
        yield note("protocol", names, f"{joined(dict.fromkeys(names))}: {text}")


def _untold(services: Services) -> Iterator[FairnessNote]:
    """Who did not say what, in one note."""
    silent: dict[str, list[str]] = {
        "version": [one.name for one in services if not one.version],
        "quantisation": _without(services, "quantisation"),
        "number type of the weights": _without(services, "dtype"),
        "context length": _without(services, "context_length"),
        "requests at once": [one.name for one in services if slots_of(one) is None],
        "prefix caching": _without(services, "prefix_caching"),
    }
    if len(silent["quantisation"]) < len(services):
        silent["quantisation"] = []  # said by the rule on quantisation
    ollamas = _silent_ollamas(services)
    silent["requests at once"] = [name for name in silent["requests at once"] if name not in ollamas]
    alike: dict[tuple[str, ...], list[str]] = {}
    for fact, names in silent.items():
        if names:
            alike.setdefault(tuple(names), []).append(fact)
    parts = [
        f"not told by {'any' if len(names) == len(services) else joined(names)}: {joined(facts)}"
        for names, facts in alike.items()
    ]
    if parts:
        named = [one.name for one in services if any(one.name in names for names in alike)]
        yield note("untold", named, "; ".join(parts))


def _without(services: Services, key: str) -> list[str]:
    return [one.name for one in services if one.said.get(key) is None]


def _spelling(name: str) -> str:
    """Return a model's name without owner, tag of convenience, case and punctuation: `Qwen/Qwen2.5-7B` is qwen257b."""
    bare = name.casefold().rpartition("/")[2].removesuffix(":latest")
    return re.sub(r"[^a-z0-9]", "", bare)


def _quant(kind: str) -> str:
    words = re.findall(r"[a-z0-9]+", kind.casefold())
    return "".join(_STEPS.get(part, part) for part in words)


def _dtype(kind: str) -> str:
    bare = kind.casefold().removeprefix("torch.")
    return _DTYPES.get(bare, bare)


def _parameters(text: str) -> float | None:
    match = _SIZE.fullmatch(text.strip())
    return float(match[1]) * _UNITS[match[2].casefold()] if match is not None else None
