"""What each dialect asks: lengths, seeds, greedy, conversations handed on, headers, and the notes about the rest."""

import json
from typing import Any

import pytest

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.errors import UsageError

ONE = (Message("user", "Hi"),)
TALK = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Bye"))
SIBLINGS = {
    "vllm-completions": "vllm",
    "tgi": "tgi-chat",
    "ollama-generate": "ollama",
    "openai-completions": "openai",
}


def body_of(dialect: str, request: ChatRequest, model: str | None = "m") -> dict[str, Any]:
    body = json.loads(get_client(dialect).render(request, model).body)
    assert isinstance(body, dict)
    return body


@pytest.mark.parametrize("dialect", client_names())
@pytest.mark.parametrize("stream", [True, False])
def test_headers(dialect: str, stream: bool) -> None:
    wire = get_client(dialect).render(ChatRequest(ONE, 5, stream=stream, request_id="r-1"), "m")
    headers = dict(wire.headers)
    streamed = "application/x-ndjson" if dialect.startswith("ollama") else "text/event-stream"
    assert headers == {
        "content-type": "application/json",
        "accept": streamed if stream else "application/json",
        "x-request-id": "r-1",
    }
    assert wire.method == "POST"
    assert "x-request-id" not in dict(get_client(dialect).render(ChatRequest(ONE, 5), "m").headers)


@pytest.mark.parametrize("dialect", client_names())
def test_a_conversation_goes_to_the_chat_route_whole(dialect: str) -> None:
    wire = get_client(dialect).render(ChatRequest(TALK, 5), "m")
    assert wire.dialect == SIBLINGS.get(dialect, dialect)
    assert wire == get_client(wire.dialect).render(ChatRequest(TALK, 5), "m")
    assert json.loads(wire.body)["messages"] == [{"role": turn.role, "content": turn.content} for turn in TALK]


@pytest.mark.parametrize("dialect", SIBLINGS)
def test_a_system_message_alone_is_a_conversation_too(dialect: str) -> None:
    wire = get_client(dialect).render(ChatRequest((Message("system", "Hi"),), 5), "m")
    assert wire.dialect == SIBLINGS[dialect]


@pytest.mark.parametrize("dialect", ["vllm", "vllm-completions"])
def test_vllm_exact_length(dialect: str) -> None:
    exact = body_of(dialect, ChatRequest(ONE, 5))
    assert (exact["max_tokens"], exact["min_tokens"], exact["ignore_eos"]) == (5, 5, True)
    bounded = body_of(dialect, ChatRequest(ONE, 5, exact_length=False))
    assert bounded["max_tokens"] == 5
    assert not {"min_tokens", "ignore_eos"} & set(bounded)


@pytest.mark.parametrize("dialect", ["vllm", "vllm-completions", "openai", "openai-completions", "tgi-chat"])
def test_temperature_is_always_explicit_and_unset_things_are_absent(dialect: str) -> None:
    body = body_of(dialect, ChatRequest(ONE, 5, stream=False))
    assert body["temperature"] == 0.0
    assert not {"seed", "top_p", "stream_options"} & set(body)


@pytest.mark.parametrize("dialect", ["openai", "openai-completions", "tgi-chat"])
def test_nothing_of_vllm_goes_elsewhere(dialect: str) -> None:
    body = body_of(dialect, ChatRequest(ONE, 5))
    assert not {"max_completion_tokens", "ignore_eos", "min_tokens"} & set(body)
    assert body["stream_options"] == {"include_usage": True}


def test_tgi_greedy_has_no_temperature() -> None:
    assert body_of("tgi", ChatRequest(ONE, 5)) == {
        "inputs": "Hi",
        "parameters": {"max_new_tokens": 5, "details": True, "do_sample": False},
    }
    whole = get_client("tgi").render(ChatRequest(ONE, 5, stream=False), None)
    assert whole.path == "/generate"


def test_tgi_chat_names_tgi_unless_told() -> None:
    assert body_of("tgi-chat", ChatRequest(ONE, 5), None)["model"] == "tgi"
    assert body_of("tgi-chat", ChatRequest(ONE, 5), "my-adapter")["model"] == "my-adapter"


@pytest.mark.parametrize("dialect", ["ollama", "ollama-generate"])
def test_ollama_needs_a_model_and_never_truncates(dialect: str) -> None:
    body = body_of(dialect, ChatRequest(ONE, 5))
    assert body["options"] == {"num_predict": 5, "temperature": 0.0}
    assert (body["truncate"], body["shift"]) == (False, False)
    with pytest.raises(UsageError, match="model"):
        get_client(dialect).render(ChatRequest(ONE, 5), None)


@pytest.mark.parametrize("dialect", ["vllm", "vllm-completions", "openai", "openai-completions"])
def test_a_model_that_is_not_known_is_not_named(dialect: str) -> None:
    assert "model" not in body_of(dialect, ChatRequest(ONE, 5), None)


@pytest.mark.parametrize("dialect", client_names())
def test_impossible_requests_are_refused_before_they_are_sent(dialect: str) -> None:
    with pytest.raises(UsageError, match="at least 1 token"):
        get_client(dialect).render(ChatRequest(ONE, 0), "m")
    with pytest.raises(UsageError, match="cannot be sent"):
        get_client(dialect).render(ChatRequest((Message("user", "\ud800"),), 5), "m")


@pytest.mark.parametrize("dialect", client_names())
def test_notes_say_what_cannot_be_asked(dialect: str) -> None:
    client = get_client(dialect)
    notes = " | ".join(client.notes(ChatRequest(ONE, 5, temperature=0.7)))
    assert ("cannot ask for exactly 5 tokens" in notes) is not client.exact_length
    assert "top_p" in notes
    assert ("no chat template" in notes) is (dialect in ("tgi", "vllm-completions", "openai-completions"))
    quiet = " | ".join(client.notes(ChatRequest(TALK, 5, exact_length=False)))
    assert "exactly" not in quiet
    assert "top_p" not in quiet
    assert "template" not in quiet


def test_only_vllm_can_ask_for_an_exact_length() -> None:
    exact = [name for name in client_names() if get_client(name).exact_length]
    assert exact == ["vllm", "vllm-completions"]
