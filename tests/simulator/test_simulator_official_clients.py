"""The official clients work against the simulator unmodified: streamed, whole, and when it refuses."""

from collections.abc import Iterator
from typing import Any

import ollama
import openai
import pytest
from huggingface_hub import ChatCompletionInputMessage, InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OverloadedError, ValidationError
from openai.types.chat import ChatCompletionUserMessageParam

from inference_bench.simulator.launcher import SimulatorProcess

MODEL = "tiny-llama"
MESSAGES = [ChatCompletionUserMessageParam(role="user", content="Say something please")]
TGI_MESSAGES: list[dict[Any, Any] | ChatCompletionInputMessage] = [{"role": "user", "content": "Say something please"}]
OPENAI_ENGINES = ("vllm", "tgi", "ollama", "openai")


@pytest.fixture(params=OPENAI_ENGINES)
def openai_client(request: pytest.FixtureRequest, simulator: SimulatorProcess) -> Iterator[openai.OpenAI]:
    """Give the openai client for each engine in turn."""
    base_url = simulator.urls[request.param] + "/v1"
    with openai.OpenAI(base_url=base_url, api_key="none", max_retries=0, timeout=30) as client:
        yield client


@pytest.fixture
def ollama_client(simulator: SimulatorProcess) -> ollama.Client:
    """Give the ollama client."""
    return ollama.Client(host=simulator.urls["ollama"], trust_env=False)


@pytest.fixture
def tgi_client(simulator: SimulatorProcess) -> InferenceClient:
    """Give the huggingface_hub client."""
    return InferenceClient(simulator.urls["tgi"], timeout=30)


def test_openai_chat_whole_and_streamed(openai_client: openai.OpenAI) -> None:
    whole = openai_client.chat.completions.create(model=MODEL, messages=MESSAGES, max_tokens=5, seed=2)
    assert whole.choices[0].message.content
    assert whole.usage is not None
    assert whole.usage.completion_tokens == 5
    stream = openai_client.chat.completions.create(
        model=MODEL,
        messages=MESSAGES,
        max_tokens=5,
        seed=2,
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == whole.choices[0].message.content
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 5
    reasons = [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices]
    assert reasons[-1] == "length"


def test_openai_completions_whole_and_streamed(openai_client: openai.OpenAI) -> None:
    whole = openai_client.completions.create(model=MODEL, prompt="hello", max_tokens=4, seed=2)
    stream = openai_client.completions.create(model=MODEL, prompt="hello", max_tokens=4, seed=2, stream=True)
    text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert text == whole.choices[0].text
    assert text


def test_openai_lists_the_model(openai_client: openai.OpenAI) -> None:
    assert [model.id for model in openai_client.models.list()] == [MODEL]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("http-429", openai.RateLimitError),
        ("http-503", openai.InternalServerError),
        ("refuse", openai.APIConnectionError),
    ],
)
def test_openai_raises_its_own_errors(openai_client: openai.OpenAI, fault: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        openai_client.chat.completions.create(
            model=MODEL,
            messages=MESSAGES,
            extra_headers={"x-simulator-fault": fault},
        )


def test_openai_raises_on_an_error_inside_the_stream(simulator: SimulatorProcess) -> None:
    for engine in ("vllm", "tgi", "openai"):
        with openai.OpenAI(base_url=simulator.urls[engine] + "/v1", api_key="none", max_retries=0) as client:
            stream = client.chat.completions.create(
                model=MODEL,
                messages=MESSAGES,
                stream=True,
                extra_headers={"x-simulator-fault": "stream-error"},
            )
            with pytest.raises(openai.APIError, match="asked for an error"):
                list(stream)


def test_openai_is_told_of_a_wrong_model_and_too_long_a_prompt(simulator: SimulatorProcess) -> None:
    with openai.OpenAI(base_url=simulator.urls["vllm"] + "/v1", api_key="none", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            client.completions.create(model="nope", prompt="x")
        with pytest.raises(openai.BadRequestError, match="input tokens"):
            client.completions.create(model=MODEL, prompt="word " * 2000)


def test_ollama_chat_and_generate(ollama_client: ollama.Client) -> None:
    options = {"seed": 3, "num_predict": 6}
    whole = ollama_client.chat(MODEL, MESSAGES, options=options)
    parts = list(ollama_client.chat(MODEL, MESSAGES, stream=True, options=options))
    assert "".join(part.message.content or "" for part in parts) == whole.message.content
    assert (whole.eval_count, parts[-1].eval_count, whole.done_reason) == (6, 6, "length")
    answer = ollama_client.generate(MODEL, "hello", options=options)
    pieces = list(ollama_client.generate(MODEL, "hello", stream=True, options=options))
    assert "".join(piece.response or "" for piece in pieces) == answer.response
    assert answer.context is not None


def test_ollama_lists_shows_loads(ollama_client: ollama.Client) -> None:
    assert [model.model for model in ollama_client.list().models] == [f"{MODEL}:latest"]
    assert ollama_client.show(MODEL).capabilities == ["completion"]
    assert ollama_client.generate(MODEL, keep_alive=-1).done_reason == "load"
    assert [model.model for model in ollama_client.ps().models] == [f"{MODEL}:latest"]


def test_ollama_raises_its_own_errors(simulator: SimulatorProcess, ollama_client: ollama.Client) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'nope' not found") as missing:
        ollama_client.chat("nope", MESSAGES)
    assert missing.value.status_code == 404
    faulty = ollama.Client(
        host=simulator.urls["ollama"], trust_env=False, headers={"x-simulator-fault": "stream-error"}
    )
    with pytest.raises(ollama.ResponseError, match="asked for an error"):
        list(faulty.chat(MODEL, MESSAGES, stream=True))


def test_huggingface_text_generation(tgi_client: InferenceClient) -> None:
    text = tgi_client.text_generation("hello", max_new_tokens=5, seed=1, do_sample=True)
    streamed = tgi_client.text_generation("hello", max_new_tokens=5, seed=1, do_sample=True, stream=True)
    assert "".join(streamed) == text
    detailed = tgi_client.text_generation("hello", max_new_tokens=5, details=True)
    assert detailed.details is not None
    assert (detailed.details.generated_tokens, len(detailed.details.tokens)) == (5, 5)
    events = list(tgi_client.text_generation("hello", max_new_tokens=5, details=True, stream=True))
    assert [event.index for event in events] == [1, 2, 3, 4, 5]
    assert events[-1].details is not None
    assert events[-1].details.finish_reason == "length"


def test_huggingface_chat_completion(tgi_client: InferenceClient) -> None:
    whole = tgi_client.chat_completion(TGI_MESSAGES, max_tokens=4, seed=1)
    streamed = list(tgi_client.chat_completion(TGI_MESSAGES, max_tokens=4, seed=1, stream=True))
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed if chunk.choices)
    assert text == whole.choices[0].message.content
    assert whole.usage.completion_tokens == 4


def test_huggingface_raises_its_own_errors(simulator: SimulatorProcess, tgi_client: InferenceClient) -> None:
    with pytest.raises(ValidationError, match="top_p"):
        tgi_client.text_generation("hello", top_p=1.0)
    with pytest.raises(ValidationError, match="top_p"):
        list(tgi_client.text_generation("hello", top_p=1.0, stream=True))
    faulty = InferenceClient(simulator.urls["tgi"], headers={"x-simulator-fault": "http-429"})
    with pytest.raises(OverloadedError):
        faulty.text_generation("hello")
    with pytest.raises(HfHubHTTPError):
        faulty.chat_completion(TGI_MESSAGES)
