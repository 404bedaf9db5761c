"""Every recording of a real server, decoded: texts, counts equal to the server's own usage, order of marks, the end."""

import json
from typing import Any

import pytest
from api_recordings import CAPTURES, STREAMS, Decoded, decode, interrupted_body, recording

from inference_bench.api.clients import get_client
from inference_bench.api.protocols import ErrorClass, ServerTimes, Usage

# recording, dialect: text of a known piece, output tokens, prompt tokens, finish reason
ANSWERS = [
    ("vllm-chat", "vllm", 16, 13),
    ("vllm-chat-tokenids", "vllm", 4, 13),
    ("vllm-completions", "vllm-completions", 6, 9),
    ("vllm-chat", "openai", 16, 13),
    ("vllm-completions", "openai-completions", 6, 9),
    ("hf-serve-chat", "openai", 12, 13),
    ("hf-serve-completions", "openai-completions", 6, 9),
    ("llama-server-chat", "openai", 12, 13),
    ("llama-server-completions", "openai-completions", 6, 9),
    ("llama-cpp-python-chat", "openai", None, None),
    ("llama-cpp-python-completions", "openai-completions", None, None),
]
OTHER_PROTOCOLS = [
    "vllm-messages",
    "vllm-responses",
    "hf-serve-responses",
    "llama-server-messages",
    "llama-server-native",
    "llama-server-responses",
]
REFUSALS = ["vllm-error-model", "vllm-error-toolong", "llama-server-error"]
NOT_ANSWERS = ["vllm-metrics", "llama-server-metrics", "vllm-tokenize", "vllm-chat-nonstream"]


def objects(body: bytes) -> list[dict[str, Any]]:
    """Read a recorded SSE body the plain way, as a second opinion."""
    lines = [line.removeprefix("data: ") for line in body.decode().split("\n\n") if line.startswith("data: {")]
    return [json.loads(line) for line in lines]


def plain_text(body: bytes) -> str:
    choices = [choice for one in objects(body) for choice in one["choices"]]
    return "".join(choice.get("text") or choice.get("delta", {}).get("content") or "" for choice in choices)


def last_usage(decoded: Decoded) -> Usage | None:
    return next((event.usage for event in reversed(decoded.events) if event.usage is not None), None)


def test_every_recording_is_in_a_list_of_this_file() -> None:
    listed = {name for name, *_ in ANSWERS} | {
        *OTHER_PROTOCOLS,
        *REFUSALS,
        *NOT_ANSWERS,
        "llama-cpp-python-interrupted",
    }
    assert {path.name.removesuffix(".txt").removesuffix(".full") for path in CAPTURES.glob("*.txt")} == listed


@pytest.mark.parametrize(("name", "dialect", "output_tokens", "prompt_tokens"), ANSWERS)
def test_text_counts_and_end(name: str, dialect: str, output_tokens: int | None, prompt_tokens: int | None) -> None:
    answer = recording(name)
    assert answer.status == 200
    decoded = decode(get_client(dialect).decoder(), [answer.body])
    assert decoded.ended
    assert not decoded.errors
    assert decoded.text == plain_text(answer.body) != ""
    assert decoded.finish_reason == "length"
    usage = last_usage(decoded)
    if output_tokens is None:
        assert usage is None  # the server ignored include_usage: missing, not zero
    else:
        assert usage is not None
        assert (usage.output_tokens, usage.prompt_tokens) == (output_tokens, prompt_tokens)


@pytest.mark.parametrize(("dialect", "name", "body"), STREAMS)
def test_the_end_comes_last_and_once(dialect: str, name: str, body: bytes) -> None:
    decoded = decode(get_client(dialect).decoder(), [body])
    done = [index for index, event in enumerate(decoded.events) if event.done]
    assert done == ([] if name.startswith("hf-serve") else [len(decoded.events) - 1])
    assert decoded.ended


def test_the_role_chunk_is_an_event_without_text() -> None:
    for name in ("vllm-chat", "hf-serve-chat", "llama-server-chat", "llama-cpp-python-chat"):
        first = decode(get_client("openai").decoder(), [recording(name).body]).events[0]
        assert first == ("", "", None, None, None, False, None, None)


def test_vllm_running_usage_gives_tokens_per_chunk() -> None:
    decoded = decode(get_client("vllm-completions").decoder(), [recording("vllm-completions").body])
    assert decoded.tokens == [1, 1, 1, 1, 1, 1, 0, None]
    assert [event.text for event in decoded.events][:6] == ["ef", "ssignment", "sequence", "ather", " requi", " " * 31]


def test_vllm_without_running_usage_tells_no_tokens_per_chunk() -> None:
    decoded = decode(get_client("vllm").decoder(), [recording("vllm-chat").body])
    assert set(decoded.tokens) == {None}


def test_llama_server_times() -> None:
    decoded = decode(get_client("openai").decoder(), [recording("llama-server-chat").body])
    assert decoded.events[-2].server_times == ServerTimes(prefill_ms=1.077, decode_ms=4.233)
    assert decoded.events[-2].usage == Usage(13, 12, 0, None)
    completions = decode(get_client("openai-completions").decoder(), [recording("llama-server-completions").body])
    assert completions.events[-2].server_times == ServerTimes(prefill_ms=1.277, decode_ms=2.177)
    assert completions.events[-2].finish_reason == "length"


def test_an_interrupted_answer_ends_without_text() -> None:
    decoded = decode(get_client("openai").decoder(), [interrupted_body()])
    assert decoded.ended
    assert decoded.text == ""
    assert not decoded.errors
    assert len(decoded.events) == 2


def test_a_whole_vllm_answer() -> None:
    decoded = decode(get_client("vllm").decoder(stream=False), [recording("vllm-chat-nonstream").body])
    (event,) = decoded.events
    assert event.text.startswith("viousys S valueulti+---")
    assert (event.tokens, event.finish_reason, event.done, decoded.ended) == (6, "length", True, True)
    assert event.usage == Usage(13, 6, None, None)


@pytest.mark.parametrize("name", OTHER_PROTOCOLS)
@pytest.mark.parametrize("dialect", ["vllm", "openai", "openai-completions", "tgi", "tgi-chat", "ollama"])
def test_another_protocol_is_malformed_and_gives_no_text(name: str, dialect: str) -> None:
    decoded = decode(get_client(dialect).decoder(), [recording(name).body])
    assert decoded.text == ""
    assert not decoded.ended
    assert {event.error.error_class for event in decoded.events if event.error} == {ErrorClass.MALFORMED}


@pytest.mark.parametrize("name", ["vllm-metrics", "llama-server-metrics"])
def test_a_text_page_is_malformed(name: str) -> None:
    body = (CAPTURES / f"{name}.txt").read_bytes()
    for dialect in ("vllm", "tgi", "ollama", "openai"):
        for stream in (True, False):
            decoded = decode(get_client(dialect).decoder(stream=stream), [body])
            assert [error.split(":")[0] for error in decoded.errors] == ["malformed"]
            assert not decoded.ended


def test_json_where_a_stream_was_expected_is_malformed() -> None:
    for name in ("vllm-tokenize", "vllm-chat-nonstream"):
        decoded = decode(get_client("vllm").decoder(), [recording(name).body])
        assert [error.split(":")[0] for error in decoded.errors] == ["malformed"]
    assert not decode(get_client("vllm").decoder(stream=False), [recording("vllm-tokenize").body]).ended


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("vllm-error-model", "HTTP 404: The model `nope` does not exist. Valid aliases: tiny-llama."),
        (
            "vllm-error-toolong",
            "HTTP 400: max_tokens=5000 cannot be greater than max_model_len=1024. Please request fewer output tokens. "
            "(parameter=max_tokens, value=5000)",
        ),
        (
            "llama-server-error",
            "HTTP 400: request (3005 tokens) exceeds the available context size (1024 tokens), try increasing it",
        ),
    ],
)
def test_recorded_refusals(name: str, message: str) -> None:
    answer = recording(name)
    error = get_client("vllm").read_error(answer.status, answer.headers, answer.body)
    assert error == (ErrorClass.HTTP_4XX, message)


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_inside_a_200_is_an_error_too(name: str) -> None:
    for stream in (True, False):
        decoded = decode(get_client("vllm").decoder(stream=stream), [recording(name).body])
        assert [error.split(":")[0] for error in decoded.errors] == ["stream_error"]
        assert not decoded.ended
