"""Engines are recognised by what they tell, and by nothing else."""

import asyncio
from dataclasses import replace

import pytest

from engine_servers import (
    HTML,
    LOADING,
    Page,
    llama_server_pages,
    ollama_pages,
    serving,
    sglang_pages,
    tgi_pages,
    transformers_pages,
    vllm_pages,
)
from inference_bench.api.identity import Identity, ModelFacts
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget
from inference_bench.api.probes import Recognition, ask_health, recognise


def ask(url: str, api_key: str | None = None, limits: ProbeLimits | None = None) -> Recognition:
    """Recognise one server."""

    async def story() -> Recognition:
        async with Prober(ProbeTarget(url, api_key=api_key), limits) as prober:
            return await recognise(prober)

    return asyncio.run(story())


def identity_of(pages: dict[str, Page], **more: object) -> Identity:
    with serving(pages, **more) as server:  # type: ignore[arg-type]
        found = ask(server.url)
    assert found.identity is not None, found.problem
    assert found.problem is None
    return found.identity


def test_vllm_tells_version_model_and_context() -> None:
    identity = identity_of(vllm_pages(adapters=("lora",)))
    assert identity == Identity(
        engine="vllm",
        product="vLLM",
        version="0.32.0",
        models=(
            ModelFacts("tiny-llama", context_length=1024, root="models/tiny-llama"),
            ModelFacts("lora", context_length=1024, parent="tiny-llama", root="adapters/lora"),
        ),
        evidence=("GET /version", "GET /v1/models"),
    )
    assert identity.sources["version"] == "GET /version"
    assert identity.sources["context_length"] == "GET /v1/models"


def test_tgi_tells_its_limits() -> None:
    identity = identity_of(tgi_pages())
    assert (identity.engine, identity.product, identity.version) == ("tgi", "TGI", "3.3.7")
    assert identity.max_concurrent_requests == 128
    assert identity.models == (ModelFacts("HuggingFaceH4/zephyr-7b-beta", context_length=2048),)
    assert identity.max_input_tokens == 1024
    assert (identity.slots, identity.max_batch_size, identity.max_batch_tokens) == (None, None, None)


def test_an_older_tgi_tells_its_batch_limits_and_what_it_runs() -> None:
    info = {
        "model_id": "m", "model_sha": "8a3f", "model_dtype": "torch.float16", "quantize": "awq", "version": "2.0.4",
        "router": "text-generation-router", "max_total_tokens": 4096, "max_input_length": 3072,
        "max_batch_total_tokens": 74512, "max_batch_size": 32, "max_concurrent_requests": 64,
    }  # fmt: skip
    identity = identity_of({"/info": Page(info)})
    assert (identity.max_batch_size, identity.max_batch_tokens, identity.max_input_tokens) == (32, 74512, 3072)
    (facts,) = identity.models
    assert (facts.revision, facts.dtype, facts.quantisation) == ("8a3f", "torch.float16", "awq")
    assert identity.sources["max_batch_tokens"] == "GET /info"


def test_an_old_tgi_that_does_not_name_its_router_is_still_tgi() -> None:
    info = {"model_id": "m", "model_dtype": "torch.float16", "max_total_tokens": 2048, "version": "1.4.0"}
    identity = identity_of({"/info": Page(info)})
    assert (identity.engine, identity.version) == ("tgi", "1.4.0")
    assert identity.models[0].dtype == "torch.float16"


def test_ollama_tells_what_is_pulled_and_the_context_in_force() -> None:
    identity = identity_of(ollama_pages("llama3:latest", "qwen2.5:7b", loaded="qwen2.5:7b"))
    assert (identity.engine, identity.product, identity.version) == ("ollama", "Ollama", "0.32.15")
    first, second = identity.models
    assert first == ModelFacts("llama3:latest", quantisation="Q4_K_M", parameter_size="8.0B", loaded=False)
    assert (second.loaded, second.context_length) == (True, 4096)
    assert identity.sources["context_length"] == "GET /api/ps"


def test_what_a_model_could_carry_is_not_the_context_in_force() -> None:
    details = {"quantization_level": "unknown", "parameter_size": "N/A", "context_length": 131072}
    pages = ollama_pages("m") | {"/api/tags": Page({"models": [{"name": "m", "details": details}]})}
    assert identity_of(pages).models == (ModelFacts("m", max_context_length=131072, loaded=False),)


def test_other_software_with_an_api_version_is_not_ollama() -> None:
    with serving({"/api/version": Page({"version": "0.6.5", "deployment_id": ""}), "/v1/models": HTML}) as server:
        assert ask(server.url).identity is None


def test_llama_cpp_speaks_openai_and_tells_slots_and_file_type() -> None:
    identity = identity_of(llama_server_pages(), server_header="llama.cpp")
    assert (identity.engine, identity.product, identity.version) == ("openai", "llama.cpp", "b1-unknown")
    assert identity.slots == 4
    facts = identity.facts_of("tiny-llama")
    assert facts == ModelFacts(
        "tiny-llama",
        context_length=1024,
        max_context_length=2048,
        quantisation="all F32",
        parameter_size="819.8K",
    )
    assert identity.sources["slots"] == identity.sources["quantisation"] == "GET /props"
    assert identity.sources["parameter_size"] == "GET /v1/models"


@pytest.mark.parametrize("path", ["/server_info", "/get_server_info"])
def test_sglang_tells_through_either_spelling_and_its_key_stays_its_own(path: str) -> None:
    pages = sglang_pages()
    pages[path] = pages.pop("/get_server_info")
    identity = identity_of(pages)
    assert (identity.engine, identity.product, identity.version) == ("openai", "SGLang", "0.5.23")
    assert identity.slots == 48
    # dtype "auto" is what was asked of the engine, not what it runs
    root = "qwen/qwen2.5-0.5b-instruct"
    assert identity.models == (ModelFacts("qwen2.5", context_length=32768, quantisation="fp8", root=root),)
    assert identity.sources["slots"] == f"GET {path}"
    assert identity.prefix_caching is None
    assert "hush" not in repr(identity)


@pytest.mark.parametrize(("disabled", "caching"), [(True, False), (False, True), ("yes", None), (None, None)])
def test_sglang_tells_whether_it_caches_prefixes(disabled: object, caching: bool | None) -> None:
    pages = sglang_pages()
    server = {"disable_radix_cache": disabled, "max_total_num_tokens": 123456, "kv_cache_dtype": "auto"}
    pages["/get_server_info"] = Page({**server, "revision": "main"})
    identity = identity_of(pages)
    assert identity.prefix_caching is caching
    assert (identity.kv_cache_tokens, identity.kv_cache_dtype) == (123456, "auto")
    assert identity.models[0].revision == "main"


@pytest.mark.parametrize(
    ("owner", "product"),
    [
        ("lmdeploy", "LMDeploy"),
        ("tensorrt_llm", "TensorRT-LLM"),
        ("me", "OpenAI-compatible"),
        (None, "OpenAI-compatible"),
    ],
)
def test_anything_that_lists_models_is_openai(owner: str | None, product: str) -> None:
    identity = identity_of({"/v1/models": Page({"object": "list", "data": [{"id": "m", "owned_by": owner}]})})
    assert (identity.engine, identity.product, identity.version) == ("openai", product, None)
    assert identity.models == (ModelFacts("m"),)


def test_a_simulator_is_known_by_its_header_and_by_its_version() -> None:
    by_header = identity_of(vllm_pages(), headers=(("x-simulated-engine", "vllm"),))
    by_version = identity_of(vllm_pages(version="0.33.0+simulated"))
    assert by_header.simulated and by_version.simulated
    assert not identity_of(vllm_pages()).simulated


def test_what_a_server_sends_is_data_and_bounded() -> None:
    cards = [
        {"id": "good"},
        {"id": "bad\x1b[2J"},
        {"id": "x" * 5000},
        {"id": 7},
        {"id": ""},
        "nonsense",
        {"id": "odd", "max_model_len": -1, "meta": [], "parent": 3},
        {"id": "odder", "max_model_len": True, "meta": {"n_params": "many"}},
    ]
    pages = {
        "/v1/models": Page({"data": cards}),
        "/version": Page({"version": "1.0\x1b]0;owned\x07\n" + "9" * 999}),
    }
    identity = identity_of(pages)
    assert identity.model_names == ("good", "odd", "odder")
    assert all(model.context_length is None for model in identity.models)
    assert identity.version is not None
    assert identity.version.isprintable() and len(identity.version) <= 200


def test_a_server_that_loads_its_model_is_not_ready_and_a_header_tells_its_name() -> None:
    with serving({}, otherwise=LOADING, server_header="llama.cpp") as server:
        found = ask(server.url)
    assert (found.identity, found.reply.outcome, found.product_hint) == (None, ProbeOutcome.NOT_READY, "llama.cpp")


def test_a_guarded_vllm_wants_its_key_and_opens_with_it() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        without, wrong, right = ask(server.url), ask(server.url, "guess"), ask(server.url, "sekret")
    assert without.reply.outcome is ProbeOutcome.UNAUTHORISED
    assert wrong.reply.outcome is ProbeOutcome.UNAUTHORISED
    assert right.identity is not None
    assert "sekret" not in repr(right) + repr(ProbeTarget("http://h", api_key="sekret"))


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        (HTML, "web page"),
        (replace(HTML, status=404), "web page"),
        (Page(b"{}"), "no list of models"),
        (Page(b"[1, 2"), "no list of models"),
        (Page(b"[" * 100_000), "no list of models"),
        (Page(b'{"data": {}}'), "no list of models"),
        (Page({"detail": "Not Found"}, status=404), "lists no models (/v1/models: HTTP 404 Not Found)"),
        (
            Page(b"", status=302, headers=(("location", "https://sso.example/in"),)),
            "redirects to https://sso.example/in",
        ),
        (Page(b"", status=302, headers=(("location", "https://sso.example/\x1b[1m"),)), "not answer in proper HTTP"),
        (Page(b"", status=301), "redirects to nowhere"),
        (Page(b"", status=403), "HTTP 403"),
        (Page(b"x" * 2_000_000), "larger than 1,048,576 bytes"),
        (Page({"x": 1}, headers=(("content-encoding", "gzip"),)), "no list of models"),
    ],
)
def test_everything_else_is_said_for_what_it_is(otherwise: Page, words: str) -> None:
    with serving({}, otherwise=otherwise) as server:
        found = ask(server.url)
    assert found.identity is None
    assert found.problem is not None
    assert words in found.problem
    assert found.problem.isprintable()


def test_a_server_whose_model_list_is_broken_is_not_guessed() -> None:
    with serving(transformers_pages()) as server:
        found = ask(server.url)
    assert found.problem == "lists no models (/v1/models: HTTP 500 Internal Server Error)"


def test_every_route_is_asked_once_and_no_more_than_needed() -> None:
    with serving(ollama_pages("m")) as server:
        ask(server.url)
        assert [path for path, _ in server.seen] == ["/api/version", "/api/tags", "/api/ps"]
    with serving({}) as server:
        ask(server.url)
        paths = [path for path, _ in server.seen]
    assert sorted(set(paths)) == sorted(paths)


def test_the_health_route_is_the_engines_own() -> None:
    async def health(url: str, engine: str) -> tuple[str, ProbeOutcome]:
        async with Prober(ProbeTarget(url)) as prober:
            reply = await ask_health(prober, engine)
            return reply.path, reply.outcome

    with serving(ollama_pages("m")) as server:
        assert asyncio.run(health(server.url, "ollama")) == ("/api/version", ProbeOutcome.OK)
        assert asyncio.run(health(server.url, "vllm")) == ("/health", ProbeOutcome.NOT_FOUND)
