"""What a recognised server tells on further routes: recorded pages, other engines' shapes, and pages that tell lies."""

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine_servers import Answers, Page, llama_server_pages, ollama_pages, serving, tgi_pages, vllm_pages
from inference_bench.api.further_facts import ask_further, samples, with_vllm_page
from inference_bench.api.identity import Identity, ModelFacts
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget, Reply
from inference_bench.api.probes import recognise

RECORDED = Path(__file__).parents[1] / "data" / "captures" / "vllm-metrics.txt"
FAMILY = "vllm:cache_config_info"
BARE = Identity("vllm", "vLLM", "0.32.0", (ModelFacts("m"),), evidence=("GET /version",))


def asked(pages: Answers, model: str | None = None) -> tuple[Identity, list[str]]:
    """Recognise a server and ask it further; return what it told, and the paths it was asked."""

    async def story(url: str) -> Identity:
        async with Prober(ProbeTarget(url), ProbeLimits(total_seconds=10)) as prober:
            identity = (await recognise(prober)).identity
            assert identity is not None
            return await ask_further(prober, identity, model)

    with serving(pages) as server:
        return asyncio.run(story(server.url)), [path for path, _ in server.seen]


def page(*lines: str) -> Page:
    return Page(("\n".join(lines) + "\n").encode(), content_type="text/plain; version=0.0.4")


def reply(body: bytes, outcome: ProbeOutcome = ProbeOutcome.OK) -> Reply:
    return Reply("/metrics", outcome, "HTTP 200", status=200, body=body)


def cache_config(**labels: str) -> str:
    inside = ",".join(f'{name}="{value}"' for name, value in labels.items())
    return f"{FAMILY}{{{inside}}} 1.0"


def test_the_recorded_page_of_a_vllm_tells_its_cache() -> None:
    identity, _ = asked(vllm_pages() | {"/metrics": Page(RECORDED.read_bytes(), content_type="text/plain")})
    assert identity.prefix_caching is True
    assert (identity.kv_cache_tokens, identity.kv_block_size) == (1_048_576, 128)
    assert (identity.kv_cache_dtype, identity.gpu_memory_utilisation) == ("auto", 0.92)
    assert identity.evidence == ("GET /version", "GET /v1/models", "GET /metrics")
    assert identity.sources["prefix_caching"] == "GET /metrics"
    assert identity.sources["version"] == "GET /version"
    assert identity.slots is None, "vLLM does not tell max_num_seqs"


def test_blocks_times_their_size_where_the_room_itself_is_not_told() -> None:
    line = cache_config(block_size="16", num_gpu_blocks="1000", enable_prefix_caching="False")
    identity, _ = asked(vllm_pages() | {"/metrics": page(line)})
    assert (identity.kv_cache_tokens, identity.prefix_caching) == (16_000, False)
    assert (identity.kv_cache_dtype, identity.gpu_memory_utilisation) == (None, None)


def test_several_engines_add_their_caches_and_tell_only_what_they_agree_on() -> None:
    shared = {"block_size": "16", "num_gpu_blocks": "100"}
    lines = [
        cache_config(engine=number, enable_prefix_caching=caching, **shared)
        for number, caching in (("0", "True"), ("1", "False"))
    ]
    identity, _ = asked(vllm_pages() | {"/metrics": page(*lines)})
    assert (identity.kv_cache_tokens, identity.kv_block_size, identity.prefix_caching) == (3200, 16, None)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not a page",
        b"<!DOCTYPE html>",
        f"{FAMILY}".encode(),
        f"{FAMILY}{{".encode(),
        f'{FAMILY}{{block_size="16"'.encode(),
        f'{FAMILY}{{block_size="16"}} one'.encode(),
        f'{FAMILY}{{enable_prefix_caching="maybe",block_size="-16",gpu_memory_utilization="nan"}} 1'.encode(),
        f'{FAMILY}{{block_size="{"9" * 400}",num_gpu_blocks="1e9",gpu_memory_utilization="7"}} 1'.encode(),
        f'{FAMILY}_else{{enable_prefix_caching="True"}} 1'.encode(),
        f'{FAMILY}{{cache_dtype="{"x" * 20_000}"}} 1'.encode(),
        f'{FAMILY}{{cache_dtype="'.encode() + b'\xff\xfe"} 1',
        b"\x00" * 1000,
    ],
)
def test_a_page_that_tells_nothing_adds_nothing(body: bytes) -> None:
    assert with_vllm_page(BARE, reply(body)) == BARE


def test_text_on_a_page_is_cleaned_and_bounded() -> None:
    line = cache_config(cache_dtype="fp8\\n\x1b[2J" + "y" * 500)
    told = with_vllm_page(BARE, reply(line.encode())).kv_cache_dtype
    assert told is not None
    assert told.isprintable() and len(told) <= 60


def test_a_long_page_is_read_a_few_lines_deep() -> None:
    line = cache_config(block_size="16", num_gpu_blocks="1")
    found = samples(reply("\n".join([line] * 5000).encode()), FAMILY)
    assert len(found) == 64


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_no_line_of_a_page_breaks_the_reading(tail: bytes) -> None:
    with_vllm_page(BARE, reply(FAMILY.encode() + tail))
    with_vllm_page(BARE, reply(FAMILY.encode() + b"{" + tail + b"} 1"))


@given(st.text('{}"=,\\ \n#abc01.', max_size=60))
def test_nor_do_lines_made_of_what_the_format_is_made_of(tail: str) -> None:
    with_vllm_page(BARE, reply(f"{FAMILY}{tail}".encode()))
    with_vllm_page(BARE, reply(f'{FAMILY}{{a="b"{tail}'.encode()))


def test_a_page_that_is_missing_or_endless_is_no_error() -> None:
    missing, paths = asked(vllm_pages())
    assert missing.evidence == ("GET /version", "GET /v1/models")
    assert paths[-1] == "/metrics"
    endless = Page(RECORDED.read_bytes() * 40, content_type="text/plain")
    assert asked(vllm_pages() | {"/metrics": endless})[0].prefix_caching is None


def test_tgi_tells_the_token_budget_of_a_batch_on_its_metrics_page() -> None:
    body = page("# TYPE tgi_batch_max_total_tokens gauge", "tgi_batch_max_total_tokens 96000", "tgi_queue_size 0")
    identity, _ = asked(tgi_pages() | {"/metrics": body})
    assert identity.max_batch_tokens == 96_000
    assert identity.evidence == ("GET /info", "GET /metrics")
    assert identity.sources["max_batch_tokens"] == "GET /metrics"


@pytest.mark.parametrize("value", ["0", "-5", "NaN", "+Inf", "1e30", "many", ""])
def test_a_budget_that_is_none_is_not_told(value: str) -> None:
    identity, _ = asked(tgi_pages() | {"/metrics": page(f"tgi_batch_max_total_tokens {value}")})
    assert identity.max_batch_tokens is None


SHOWN = {
    "details": {"quantization_level": "Q4_K_M", "parameter_size": "7.6B"},
    "model_info": {"general.architecture": "qwen2", "qwen2.context_length": 32768},
    "parameters": 'stop                           "<|im_end|>"\nnum_ctx                        8192',
}


def test_ollama_shows_the_context_that_a_model_will_be_loaded_with() -> None:
    identity, paths = asked(ollama_pages("m", "other") | {"/api/show": Page(SHOWN)}, "m")
    facts = identity.facts_of("m")
    assert facts is not None
    assert (facts.context_length, facts.max_context_length) == (8192, 32768)
    assert identity.sources["context_length"] == "POST /api/show"
    assert identity.sources["quantisation"] == "GET /api/tags", "told before"
    assert identity.evidence[-1] == "POST /api/show"
    assert identity.facts_of("other") == ModelFacts("other", None, "Q4_K_M", parameter_size="8.0B", loaded=False)
    assert paths.count("/api/show") == 1


def test_the_context_of_a_loaded_model_is_the_one_in_force() -> None:
    identity, _ = asked(ollama_pages("m", loaded="m") | {"/api/show": Page(SHOWN)}, "m")
    facts = identity.facts_of("m")
    assert facts is not None
    assert (facts.context_length, identity.sources["context_length"]) == (4096, "GET /api/ps")


@pytest.mark.parametrize(
    "shown",
    [
        {},
        {"details": [], "model_info": 7, "parameters": ["num_ctx 1"]},
        {"model_info": {"general.architecture": "qwen2", "qwen2.context_length": "32768"}},
        {"model_info": {"qwen2.context_length": 32768}},
        {"parameters": "num_ctx 0\nnum_ctx -1\nnum_ctx 99999999999\nnum_ctx 5 6\nxnum_ctx 5"},
        {"details": {"quantization_level": "unknown", "parameter_size": "\x1b"}},
    ],
)
def test_what_ollama_shows_oddly_is_not_told(shown: object) -> None:
    identity, _ = asked(ollama_pages("m") | {"/api/show": Page(shown)}, "m")
    assert identity.facts_of("m") == ModelFacts("m", quantisation="Q4_K_M", parameter_size="8.0B", loaded=False)


def test_an_ollama_that_lacks_the_model_and_other_engines_are_not_asked() -> None:
    assert "/api/show" not in asked(ollama_pages("m"))[1]
    absent, _ = asked(ollama_pages("m") | {"/api/show": Page({"error": "model not found"}, status=404)}, "n")
    assert absent.evidence == ("GET /api/version", "GET /api/tags", "GET /api/ps")
    identity, paths = asked(llama_server_pages(), "tiny-llama")
    assert "/metrics" not in paths
    assert identity.slots == 4
