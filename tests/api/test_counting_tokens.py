"""Servers count tokens by /tokenize: what each is asked, what is read of its answer, and what is said when it fails."""

import asyncio
from collections.abc import Iterator

import httpx
import pytest

from engine_servers import Page, serving
from inference_bench.api.clients import get_client
from inference_bench.api.protocols import ChatRequest, Endpoint
from inference_bench.api.tokenize import first_counter, token_counter
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.simulator import tokenizer
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.prefix import unique_prefix, with_prefix

TEXTS = ["Hello there", "able acid aged\n\nHello", "漢字 and more " * 50]


@pytest.fixture(scope="module")
def simulated() -> Iterator[dict[str, str]]:
    with SimulatorProcess(("vllm", "tgi", "ollama", "openai")) as running:
        yield dict(running.urls)


@pytest.mark.parametrize(("name", "dialect"), [("vllm", "vllm"), ("tgi", "tgi-chat"), ("openai", "openai")])
def test_servers_count_as_they_do_in_an_answer(simulated: dict[str, str], name: str, dialect: str) -> None:
    endpoint = Endpoint(name, dialect, simulated[name])
    counter, said = token_counter(endpoint, get_client(dialect).engine)
    assert counter is not None
    assert said == f"tokens are counted by the /tokenize of {name}"
    assert counter.count(TEXTS) == [tokenizer.count(text) for text in TEXTS]


def test_a_server_reads_a_prompt_as_long_as_was_asked(simulated: dict[str, str]) -> None:
    endpoint = Endpoint("blue", "vllm", simulated["vllm"], model="meta-llama/Llama-3.1-8B-Instruct")
    counter, _ = token_counter(endpoint, "vllm")
    settings = WorkloadSettings.model_validate({"kind": "synthetic", "prompt_tokens": 123})
    workload = build_workload(settings, seed=1, counter=counter)
    assert workload.notes[0] == "512 prompts counted by /tokenize of blue: all exactly as long as asked"
    prefix = unique_prefix("nonce", "load", 0, 700, words=workload.prefix_words)
    messages = with_prefix(workload.item(700).messages, prefix)
    models = httpx.get(simulated["vllm"] + "/v1/models", trust_env=False).json()
    wire = get_client("vllm").render(ChatRequest(messages, 4, stream=False), models["data"][0]["id"])
    answer = httpx.post(simulated["vllm"] + wire.path, content=wire.body, headers=dict(wire.headers), trust_env=False)
    empty = tokenizer.count_chat([("user", "")])
    assert answer.json()["usage"]["prompt_tokens"] == 123 + empty


def test_the_first_that_counts_is_taken(simulated: dict[str, str]) -> None:
    services = [
        (Endpoint("ollama", "ollama", simulated["ollama"]), "ollama"),
        (Endpoint("tgi", "tgi", simulated["tgi"]), "tgi"),
        (Endpoint("vllm", "vllm", simulated["vllm"]), "vllm"),
    ]
    counter, said = first_counter(services)
    assert counter is not None
    assert (counter.source, said) == ("/tokenize of tgi", "tokens are counted by the /tokenize of tgi")
    assert first_counter(services[:1]) == (None, "ollama has no route that counts tokens")
    assert first_counter([]) == (None, "there is no service that could count tokens")


def test_it_works_inside_a_running_loop(simulated: dict[str, str]) -> None:
    async def inside() -> list[int]:
        counter, _ = token_counter(Endpoint("vllm", "vllm", simulated["vllm"]), "vllm")
        assert counter is not None
        return counter.count(["Hello there"])

    assert asyncio.run(inside()) == [tokenizer.count("Hello there")]


@pytest.mark.parametrize(
    ("page", "problem"),
    [
        (Page({"detail": "Not Found"}, status=404), "POST /tokenize: HTTP 404"),
        (Page(b"hello", content_type="text/html"), "the answer tells no tokens"),
        (Page({"count": 3}), "the answer tells no tokens"),
        (Page({"count": 3, "tokens": [1, 2]}), "the answer tells no tokens"),
        (Page({"count": 0, "tokens": []}), "it counted none"),
        (Page([1, 2]), "the answer tells no tokens"),
    ],
)
def test_a_server_that_does_not_count(page: Page, problem: str) -> None:
    with serving({"/tokenize": page}) as server:
        counter, said = token_counter(Endpoint("odd", "vllm", server.url), "vllm")
    assert counter is None
    assert said.startswith("odd does not count tokens: ")
    assert problem in said


def test_a_server_that_is_not_there() -> None:
    with serving({}) as server:
        url = server.url
    counter, said = token_counter(Endpoint("gone", "vllm", url), "vllm")
    assert counter is None
    assert "nothing listens" in said


def test_a_server_that_stops_counting() -> None:
    with serving({"/tokenize": Page({"tokens": [1, 2], "count": 2})}) as server:
        counter, _ = token_counter(Endpoint("odd", "vllm", server.url), "vllm")
        assert counter is not None
        assert counter.count(["a", "b"]) == [2, 2]
        server.pages["/tokenize"] = Page({"error": "secret"}, status=500)
        with pytest.raises(ConfigError, match=r"odd did not count the tokens of a prompt: .*HTTP 500") as caught:
            counter.count(["a"] * 20)
    assert caught.value.key == "workload.tokenizer"
    assert "secret" not in caught.value.message
