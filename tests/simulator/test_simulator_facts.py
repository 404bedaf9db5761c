"""What the simulated engines tell of themselves, read by those who ask the real ones."""

import asyncio
import re

import pytest
from simulator_talk import Talk
from transcripts import DATA

from inference_bench.api.further_facts import ask_further
from inference_bench.api.identity import Identity
from inference_bench.api.probe_http import Prober, ProbeTarget
from inference_bench.api.probes import recognise
from inference_bench.simulator.launcher import SimulatorProcess

ENGINES = ("vllm", "tgi", "ollama", "openai")


def asked(url: str) -> Identity:
    async def story() -> Identity:
        async with Prober(ProbeTarget(url)) as prober:
            identity = (await recognise(prober)).identity
            assert identity is not None
            return await ask_further(prober, identity, identity.model_names[0])

    return asyncio.run(story())


@pytest.fixture(scope="module")
def told() -> dict[str, Identity]:
    options = ["--context", "2048", "--kv-tokens", "40000", "--max-batch", "7"]
    with SimulatorProcess(ENGINES, options=options) as simulator:
        return {engine: asked(url) for engine, url in simulator.urls.items()}


def test_each_tells_its_context_and_says_that_it_is_simulated(told: dict[str, Identity]) -> None:
    for engine, identity in told.items():
        assert identity.simulated, engine
        assert identity.models[0].context_length == 2048, engine
        assert identity.sources["context_length"], engine


def test_what_is_told_is_what_is_simulated(told: dict[str, Identity]) -> None:
    vllm, tgi, ollama, llama = (told[engine] for engine in ENGINES)
    assert (vllm.kv_cache_tokens, vllm.prefix_caching) == (40_000, False)
    assert (tgi.max_batch_tokens, tgi.max_input_tokens) == (40_000, 2047)
    assert llama.slots == 7
    assert ollama.slots is None, "Ollama does not tell OLLAMA_NUM_PARALLEL"
    assert (ollama.models[0].quantisation, ollama.models[0].parameter_size) == ("Q4_K_M", "7.6B")
    assert (llama.models[0].quantisation, llama.models[0].parameter_size) == ("Q4_K - Medium", "7.6B")
    assert ollama.sources["context_length"] == "POST /api/show", "it is not loaded yet"


def test_the_cache_configuration_has_the_labels_of_the_recorded_server(talk: Talk) -> None:
    def labels(text: str) -> set[str]:
        line = next(line for line in text.splitlines() if line.startswith("vllm:cache_config_info{"))
        return set(re.findall(r'([a-z_]+)="', line))

    recorded = (DATA / "captures" / "vllm-metrics.txt").read_text("utf-8")
    assert labels(talk.get("vllm", "/metrics").text) == labels(recorded)
