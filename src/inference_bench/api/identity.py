"""What a server told of itself, and how each engine's own words are read into it.

Only what was told: a fact the server did not give is None, never a guess. The asking (which route, in which order)
lives in `probes`. Sources of the shapes: vLLM, TGI, Ollama, SGLang and llama.cpp servers' own routes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference_bench.api.probe_http import clean_text

_LONGEST_NAME = 300
_MOST_MODELS = 1000
# What servers of the OpenAI protocol write into `owned_by` when it names themselves.
_OWNERS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "lmdeploy": "LMDeploy",
    "tensorrt_llm": "TensorRT-LLM",
}
GENERIC_PRODUCT = "OpenAI-compatible"

Json = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model a server lists. Lengths are tokens; `parent` is the base model of an adapter."""

    name: str
    context_length: int | None = None
    quantisation: str | None = None
    dtype: str | None = None
    parameter_size: str | None = None
    parent: str | None = None
    loaded: bool | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server is, in its own words.

    `engine` is the protocol to speak (vllm, tgi, ollama, openai), `product` the software behind it. `slots` is how
    many requests run at once, `max_concurrent_requests` how many are admitted before the server says it is
    overloaded. `evidence` names the answers that told all this.
    """

    engine: str
    product: str
    version: str | None
    models: tuple[ModelFacts, ...]
    slots: int | None = None
    max_concurrent_requests: int | None = None
    simulated: bool = False
    evidence: tuple[str, ...] = ()

    @property
    def model_names(self) -> tuple[str, ...]:
        """The listed names, in the server's order."""
        return tuple(model.name for model in self.models)

    def facts_of(self, name: str | None) -> ModelFacts | None:
        """Return what was told of one model, None when it is not listed."""
        return next((model for model in self.models if model.name == name), None)


def read_ollama(version: Json, tags: Json, running: Json | None) -> Identity | None:
    """Read /api/version, /api/tags and /api/ps. Other software answers /api/version too: the tags must be there."""
    number = text(version, "version")
    if number is None or not isinstance(tags.get("models"), list):
        return None
    in_memory = {text(model, "name"): model for model in objects(running or {}, "models")}
    models = []
    for tag in objects(tags, "models"):
        name = model_name(tag, "name")
        if name is None:
            continue
        details = mapping(tag, "details")
        loaded = in_memory.get(name)
        # A loaded model's context is the one in force; the tag's own is what the model could carry.
        context = count(loaded, "context_length") if loaded is not None else None
        models.append(
            ModelFacts(
                name=name,
                context_length=context or count(details, "context_length"),
                quantisation=text(details, "quantization_level"),
                parameter_size=text(details, "parameter_size"),
                loaded=(loaded is not None) if running is not None else None,
            )
        )
    return Identity(engine="ollama", product="Ollama", version=number, models=tuple(models))


def read_tgi(info: Json) -> Identity | None:
    """Read /info. The router names itself since 2.0; before, `max_total_tokens` beside `model_id` tells it."""
    router = text(info, "router")
    named = router is not None and router.startswith("text-generation-router")
    if not named and not (router is None and count(info, "max_total_tokens") and text(info, "model_id")):
        return None
    name = model_name(info, "model_id")
    facts = ModelFacts(
        name=name or "",
        context_length=count(info, "max_total_tokens"),
        dtype=text(info, "model_dtype"),
    )
    return Identity(
        engine="tgi",
        product="TGI",
        version=text(info, "version"),
        models=(facts,) if name else (),
        max_concurrent_requests=count(info, "max_concurrent_requests"),
    )


def read_vllm(listing: Json, version: Json | None) -> Identity | None:
    """Read /v1/models and /version; the cards' `owned_by` tells vLLM from others of the same protocol."""
    if owner(listing) != "vllm":
        return None
    number = text(version, "version") if version is not None else None
    return Identity(engine="vllm", product="vLLM", version=number, models=listed_models(listing))


def read_sglang(info: Json, listing: Json | None, server: Json | None) -> Identity | None:
    """Read /get_model_info, /v1/models and the server's own arguments."""
    path = model_name(info, "model_path")
    if path is None or "is_generation" not in info:
        return None
    told = server or {}
    models = listed_models(listing) if listing is not None else ()
    dtype, quantisation = text(told, "dtype"), text(told, "quantization")
    context = count(told, "context_length")
    models = tuple(
        ModelFacts(
            name=model.name,
            context_length=model.context_length or context,
            quantisation=quantisation,
            dtype=None if dtype == "auto" else dtype,
            parent=model.parent,
        )
        for model in models or (ModelFacts(name=path),)
    )
    return Identity(
        engine="openai",
        product="SGLang",
        version=text(told, "version"),
        models=models,
        slots=count(told, "max_running_requests"),
    )


def read_llama_cpp(props: Json, listing: Json | None) -> Identity | None:
    """Read /props and /v1/models. `n_ctx` there is the context of one slot: what one request can use."""
    generation = props.get("default_generation_settings")
    if not isinstance(generation, dict) or not ("total_slots" in props or "build_info" in props):
        return None
    context, file_type = count(generation, "n_ctx"), text(props, "model_ftype")
    listed = listed_models(listing) if listing is not None else ()
    alias = model_name(props, "model_alias")
    models = tuple(
        ModelFacts(
            name=model.name,
            context_length=context or model.context_length,
            quantisation=file_type or model.quantisation,
            parameter_size=model.parameter_size,
            loaded=model.loaded,
        )
        for model in listed or ((ModelFacts(name=alias),) if alias else ())
    )
    return Identity(
        engine="openai",
        product="llama.cpp",
        version=text(props, "build_info"),
        models=models,
        slots=count(props, "total_slots"),
    )


def read_openai(listing: Json, version: Json | None) -> Identity | None:
    """Read /v1/models of any server of the OpenAI protocol."""
    if not isinstance(listing.get("data"), list):
        return None
    number = text(version, "version") if version is not None else None
    product = _OWNERS.get(owner(listing) or "", GENERIC_PRODUCT)
    return Identity(engine="openai", product=product, version=number, models=listed_models(listing))


def owner(listing: Json) -> str | None:
    """Return what the first base model of /v1/models says it is owned by."""
    cards = [card for card in objects(listing, "data") if text(card, "parent") is None]
    return text(cards[0], "owned_by") if cards else None


def listed_models(listing: Json) -> tuple[ModelFacts, ...]:
    """Read the cards of /v1/models; `max_model_len` is vLLM's and SGLang's, `meta` is llama.cpp's."""
    models = []
    for card in objects(listing, "data"):
        name = model_name(card, "id")
        if name is None:
            continue
        meta = mapping(card, "meta")
        parameters = count(meta, "n_params")
        models.append(
            ModelFacts(
                name=name,
                context_length=count(card, "max_model_len") or count(meta, "n_ctx"),
                quantisation=text(meta, "ftype"),
                parameter_size=short_count(parameters) if parameters is not None else None,
                parent=text(card, "parent"),
            )
        )
    return tuple(models)


def short_count(number: int) -> str:
    """Write a count of parameters as people do: 7615616512 is 7.6B."""
    for unit, size in (("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if number >= size:
            return f"{number / size:.1f}{unit}"
    return str(number)


def text(source: Json, key: str) -> str | None:
    """Return a non-empty string, cleaned for showing."""
    value = source.get(key)
    return (clean_text(value) or None) if isinstance(value, str) else None


def model_name(source: Json, key: str) -> str | None:
    """Return a model's name exactly as told: it goes back to the server. An unprintable or endless one is no name."""
    value = source.get(key)
    if not isinstance(value, str) or not value.strip() or len(value) > _LONGEST_NAME or not value.isprintable():
        return None
    return value


def count(source: Json, key: str) -> int | None:
    """Return a positive whole number; 0 and negatives mean "not told" in every engine read here."""
    value = source.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def mapping(source: Json, key: str) -> Json:
    """Return a nested object, empty when there is none."""
    value = source.get(key)
    return value if isinstance(value, dict) else {}


def objects(source: Json, key: str) -> Sequence[Json]:
    """Return the objects of a list, at most a thousand."""
    value = source.get(key)
    return [item for item in value[:_MOST_MODELS] if isinstance(item, dict)] if isinstance(value, list) else []
