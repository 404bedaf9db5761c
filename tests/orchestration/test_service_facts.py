"""What a plan knows of its services before the first request: facts under stable keys, and the notes made of them."""

import asyncio
from contextlib import ExitStack
from typing import Any

from engine_servers import Page, llama_server_pages, ollama_pages, serving, tgi_pages, vllm_pages
from inference_bench.config.loader import LoadedSettings
from inference_bench.config.models import Settings
from inference_bench.orchestration.run_plan import RunPlan, Selection, make_run_plan
from inference_bench.orchestration.service_orchestrator import open_services

CACHE = b'vllm:cache_config_info{block_size="16",num_gpu_blocks="100",enable_prefix_caching="True"} 1.0\n'
ENGINES = {
    "vllm": vllm_pages(model="org/model") | {"/metrics": Page(CACHE, content_type="text/plain")},
    "uncached": vllm_pages() | {"/metrics": Page(CACHE.replace(b"True", b"False"), content_type="text/plain")},
    "tgi": tgi_pages("org/model"),
    "ollama": ollama_pages("model:7b")
    | {"/api/show": Page({"parameters": "num_ctx 8192"})},
    "llama": llama_server_pages(),
}  # fmt: skip


def planned(*names: str, users: int = 2, temperature: float = 0.0, **sections: Any) -> RunPlan:
    """Return the plan of one load test against these engines, as a benchmark makes it."""
    load = {"name": "load", "concurrent_users": users, "requests": 4, "rounds": 1, "temperature": temperature}
    with ExitStack() as stack:
        urls = {name: stack.enter_context(serving(ENGINES[name])).url for name in names}
        endpoints = [{"name": name, "url": url} for name, url in urls.items()]
        services = {"endpoints": endpoints, "health_check_retries": 0}
        plain = {"services": services, "load_tests": [load], "ttft_test": {"enabled": False}, **sections}
        settings = Settings.model_validate(plain)

        async def story() -> RunPlan:
            async with open_services(LoadedSettings(settings, "a test", {}), environ={}) as opened:
                return make_run_plan(opened, settings, Selection(), workers=1)

        return asyncio.run(story())


def test_a_service_says_what_it_is_under_stable_keys_and_which_route_told() -> None:
    (facts,) = planned("vllm").facts
    assert (facts.name, facts.product, facts.version, facts.model) == ("vllm", "vLLM", "0.32.0", "org/model")
    assert facts.said == {
        "model_name": "org/model",
        "root": "models/org/model",
        "context_length": 1024,
        "kv_cache_tokens": 1600,
        "kv_block_size": 16,
        "prefix_caching": True,
        "exact_length": "asked",
        "chat_template": "applied",
        "protocol_notes": [],
        "evidence": ["GET /version", "GET /v1/models", "GET /metrics"],
        "sources": {
            "version": "GET /version",
            "model_name": "GET /v1/models",
            "root": "GET /v1/models",
            "context_length": "GET /v1/models",
            "kv_cache_tokens": "GET /metrics",
            "kv_block_size": "GET /metrics",
            "prefix_caching": "GET /metrics",
        },
    }


def test_what_a_protocol_cannot_do_is_known_before_it_is_asked() -> None:
    tgi, ollama, llama = (facts.said for facts in planned("tgi", "ollama", "llama", temperature=0.7).facts)
    assert [said["exact_length"] for said in (tgi, ollama, llama)] == ["not possible"] * 3
    assert [said["chat_template"] for said in (tgi, ollama, llama)] == ["not applied", "applied", "applied"]
    sampling = "top_p, top_k and penalties are the engine's and the model's own defaults"
    assert ollama["protocol_notes"] == [sampling]
    assert isinstance(tgi["protocol_notes"], list)
    assert len(tgi["protocol_notes"]) == 2
    assert (ollama["context_length"], llama["slots"], tgi["max_concurrent_requests"]) == (8192, 4, 128)


def test_the_plan_holds_the_notes_of_the_main_case() -> None:
    plan = planned("vllm", "tgi", "ollama", users=130, benchmark={"model": "org/model"})
    assert [facts.name for facts in plan.facts] == [service.name for service in plan.services]
    found = {note.code: note for note in plan.fairness}
    assert set(found) == {
        "chat_template", "admission", "model_names", "quantisation", "context_length", "slots_untold",
        "exact_length", "client_host", "protocol", "untold",
    }  # fmt: skip
    assert found["model_names"].text.endswith("taken from what was declared, org/model.")
    assert found["admission"].services == ("tgi",)
    assert found["exact_length"].services == ("vllm", "tgi", "ollama")


def test_prompts_that_share_prefixes_make_a_cache_a_warning() -> None:
    shared, unique = (planned("vllm", "uncached", workload={"cache": cache}) for cache in ("shared", "unique"))
    for plan, weight in ((shared, "warning"), (unique, "note")):
        (note,) = [note for note in plan.fairness if note.code == "prefix_caching"]
        assert note.weight == weight


def test_a_single_service_is_unlike_nobody() -> None:
    assert planned("tgi").fairness == ()
