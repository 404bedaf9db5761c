"""What a server told of itself, and how each engine's own words are read into it.

Only what was told: a fact the server did not give is None, never a guess. The asking (which route, in which order)
lives in `probes`. Sources of the shapes: vLLM, TGI, Ollama, SGLang and llama.cpp servers' own routes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference_bench.api.telling import Json, count, flag, mapping, model_name, objects, short_count, text

# What servers of the OpenAI protocol write into `owned_by` when it names themselves.
_OWNERS = {
    "vllm": "vLLM",
    "sglang": "SGLang",
    "llamacpp": "llama.cpp",
    "lmdeploy": "LMDeploy",
    "tensorrt_llm": "TensorRT-LLM",
}
GENERIC_PRODUCT = "OpenAI-compatible"

Sources = Mapping[str, str]


MODEL_LIST = "GET /v1/models"
MODEL_FACTS = (
    "name", "context_length", "max_context_length", "quantisation", "dtype", "parameter_size", "root", "revision",
)  # fmt: skip
SERVER_FACTS = (
    "version", "slots", "max_concurrent_requests", "max_batch_size", "max_batch_tokens", "max_input_tokens",
    "kv_cache_tokens", "kv_cache_dtype", "kv_block_size", "gpu_memory_utilisation", "prefix_caching",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """One model a server lists. Lengths are tokens; `parent` is the base model of an adapter.

    `context_length` is the context in force, `max_context_length` what the model could carry. `root` is what is
    served under this name (a repository, a path), `revision` its commit.
    """

    name: str
    context_length: int | None = None
    quantisation: str | None = None
    dtype: str | None = None
    parameter_size: str | None = None
    parent: str | None = None
    loaded: bool | None = None
    max_context_length: int | None = None
    root: str | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """What a server is, in its own words.

    `engine` is the protocol to speak (vllm, tgi, ollama, openai), `product` the software behind it. `slots` is how
    many requests run at once, `max_concurrent_requests` how many are admitted before the server says it is
    overloaded. `max_batch_size` (requests) and `max_batch_tokens` bound one batch, `max_input_tokens` a prompt;
    `kv_cache_tokens` is the room of the KV cache, over all of the server's engines. `evidence` names the answers that
    told all this, and `sources` which of them told a fact, by the fact's name (a model's facts among them).
    """

    engine: str
    product: str
    version: str | None
    models: tuple[ModelFacts, ...]
    slots: int | None = None
    max_concurrent_requests: int | None = None
    simulated: bool = False
    evidence: tuple[str, ...] = ()
    max_batch_size: int | None = None
    max_batch_tokens: int | None = None
    max_input_tokens: int | None = None
    kv_cache_tokens: int | None = None
    kv_cache_dtype: str | None = None
    kv_block_size: int | None = None
    gpu_memory_utilisation: float | None = None
    prefix_caching: bool | None = None
    sources: Sources = field(default_factory=dict, compare=False)

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
        models.append(
            ModelFacts(
                name=name,
                # The context in force is that of a loaded model; the tag's own is what the model could carry.
                context_length=count(loaded, "context_length") if loaded is not None else None,
                max_context_length=count(details, "context_length"),
                quantisation=text(details, "quantization_level"),
                parameter_size=text(details, "parameter_size"),
                loaded=(loaded is not None) if running is not None else None,
            )
        )
    sources = {"version": "GET /api/version", **told_by("GET /api/tags", *MODEL_FACTS), "context_length": "GET /api/ps"}
    return Identity(engine="ollama", product="Ollama", version=number, models=tuple(models), sources=sources)


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
        quantisation=text(info, "quantize"),
        dtype=text(info, "model_dtype"),
        revision=text(info, "model_sha"),
    )
    return Identity(
        engine="tgi",
        product="TGI",
        version=text(info, "version"),
        models=(facts,) if name else (),
        max_concurrent_requests=count(info, "max_concurrent_requests"),
        # Releases before 3 tell these two here; the token budget of later ones stands on their metrics page.
        max_batch_size=count(info, "max_batch_size"),
        max_batch_tokens=count(info, "max_batch_total_tokens"),
        max_input_tokens=count(info, "max_input_tokens") or count(info, "max_input_length"),
        sources=told_by("GET /info", *MODEL_FACTS, *SERVER_FACTS),
    )


def read_vllm(listing: Json, version: Json | None) -> Identity | None:
    """Read /v1/models and /version; the cards' `owned_by` tells vLLM from others of the same protocol."""
    if owner(listing) != "vllm":
        return None
    number = text(version, "version") if version is not None else None
    sources = {"version": "GET /version", **told_by(MODEL_LIST, *MODEL_FACTS)}
    return Identity(engine="vllm", product="vLLM", version=number, models=listed_models(listing), sources=sources)


def read_sglang(info: Json, listing: Json | None, server: Json | None, *, server_path: str = "") -> Identity | None:
    """Read /get_model_info, /v1/models and the server's own arguments, which `server_path` told."""
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
            root=path,
            revision=text(told, "revision"),
        )
        for model in models or (ModelFacts(name=path),)
    )
    radix_off = flag(told, "disable_radix_cache")
    return Identity(
        engine="openai",
        product="SGLang",
        version=text(told, "version"),
        models=models,
        slots=count(told, "max_running_requests"),
        kv_cache_tokens=count(told, "max_total_num_tokens"),
        kv_cache_dtype=text(told, "kv_cache_dtype"),
        prefix_caching=None if radix_off is None else not radix_off,
        sources=_sglang_sources(listing, f"GET {server_path}"),
    )


def _sglang_sources(listing: Json | None, server: str) -> Sources:
    listed = listing is not None and any(count(card, "max_model_len") for card in objects(listing, "data"))
    return {
        **told_by(server, *MODEL_FACTS, *SERVER_FACTS),
        "name": MODEL_LIST if listing is not None else "GET /get_model_info",
        "context_length": MODEL_LIST if listed else server,
        "root": "GET /get_model_info",
    }


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
            max_context_length=model.max_context_length,
            root=text(props, "model_path"),
        )
        for model in listed or ((ModelFacts(name=alias),) if alias else ())
    )
    return Identity(
        engine="openai",
        product="llama.cpp",
        version=text(props, "build_info"),
        models=models,
        slots=count(props, "total_slots"),
        sources={
            **told_by(MODEL_LIST, *MODEL_FACTS),
            **told_by("GET /props", *SERVER_FACTS, "root"),
            "context_length": "GET /props" if context else MODEL_LIST,
            "quantisation": "GET /props" if file_type else MODEL_LIST,
            "name": MODEL_LIST if listed else "GET /props",
        },
    )


def read_openai(listing: Json, version: Json | None) -> Identity | None:
    """Read /v1/models of any server of the OpenAI protocol."""
    if not isinstance(listing.get("data"), list):
        return None
    number = text(version, "version") if version is not None else None
    product = _OWNERS.get(owner(listing) or "", GENERIC_PRODUCT)
    sources = {"version": "GET /version", **told_by(MODEL_LIST, *MODEL_FACTS)}
    return Identity(engine="openai", product=product, version=number, models=listed_models(listing), sources=sources)


def owner(listing: Json) -> str | None:
    """Return what the first base model of /v1/models says it is owned by."""
    cards = [card for card in objects(listing, "data") if text(card, "parent") is None]
    return text(cards[0], "owned_by") if cards else None


def listed_models(listing: Json) -> tuple[ModelFacts, ...]:
    """Read the cards of /v1/models; `max_model_len` and `root` are vLLM's and SGLang's, `meta` is llama.cpp's."""
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
                max_context_length=count(meta, "n_ctx_train"),
                root=text(card, "root"),
            )
        )
    return tuple(models)


def told_by(source: str, *facts: str) -> dict[str, str]:
    """Return one source for these facts; whether they were told is another question."""
    return dict.fromkeys(facts, source)
