"""The simulated vLLM: exact lengths, usage, tokenising, extras, refusals, key."""

from typing import Any

import pytest
from simulator_talk import MESSAGES, Talk, chat_body, sse_values

from inference_bench.simulator.launcher import SimulatorProcess

CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


def texts(events: list[Any]) -> list[str]:
    """Return the non-empty contents of a chat stream's chunks."""
    deltas = [event["choices"][0]["delta"] for event in events if event != "[DONE]" and event["choices"]]
    return [delta["content"] for delta in deltas if delta.get("content")]


@pytest.mark.parametrize("wanted", [1, 2, 60])
def test_ignore_eos_gives_exactly_the_asked_number_of_tokens(talk: Talk, wanted: int) -> None:
    body = chat_body(max_tokens=wanted, ignore_eos=True, stream_options={"include_usage": True})
    events = sse_values(talk.post("vllm", CHAT, body).text)
    assert len(texts(events)) == wanted
    assert events[-2]["usage"]["completion_tokens"] == wanted
    assert events[-3]["choices"][0]["finish_reason"] == "length"


def test_an_answer_ends_by_itself_and_the_end_token_counts(talk: Talk) -> None:
    body = chat_body(max_tokens=900, seed=1, stream_options={"include_usage": True})
    events = sse_values(talk.post("vllm", CHAT, body).text)
    assert events[-3]["choices"][0]["finish_reason"] == "stop"
    assert events[-3]["choices"][0]["delta"] == {"content": ""}
    assert events[-2]["usage"]["completion_tokens"] == len(texts(events)) + 1


def test_min_tokens_holds_the_end_back(talk: Talk) -> None:
    body = chat_body(max_tokens=300, min_tokens=200, seed=1, stream=False)
    assert talk.post("vllm", CHAT, body).json()["usage"]["completion_tokens"] > 200


def test_continuous_usage_counts_every_token(talk: Talk) -> None:
    options = {"include_usage": True, "continuous_usage_stats": True}
    events = sse_values(talk.post("vllm", CHAT, chat_body(ignore_eos=True, stream_options=options)).text)
    counts = [event["usage"]["completion_tokens"] for event in events[:-1]]
    assert counts == [0, 1, 2, 3, 4, 5, 6, 6]


def test_continuous_usage_needs_include_usage(talk: Talk) -> None:
    events = sse_values(talk.post("vllm", CHAT, chat_body(stream_options={"continuous_usage_stats": True})).text)
    assert not any("usage" in event for event in events[:-1])


def test_tokenize_counts_what_usage_counts(talk: Talk) -> None:
    counted = talk.post("vllm", "/tokenize", {"messages": MESSAGES}).json()
    used = talk.post("vllm", CHAT, chat_body(stream=False)).json()["usage"]["prompt_tokens"]
    assert counted["count"] == len(counted["tokens"]) == used
    prompt = "Zürich and 東京, in one prompt"
    counted = talk.post("vllm", "/tokenize", {"prompt": prompt, "return_token_strs": True}).json()
    used = talk.post("vllm", COMPLETIONS, {"prompt": prompt, "max_tokens": 1}).json()["usage"]["prompt_tokens"]
    assert counted["count"] == used
    assert "".join(counted["token_strs"]) == prompt
    assert talk.post("vllm", "/detokenize", {"tokens": counted["tokens"]}).json() == {"prompt": prompt}


def test_a_prompt_of_token_ids_has_exactly_their_number(talk: Talk) -> None:
    for prompt in ([5] * 321, [[5] * 321]):
        answer = talk.post("vllm", COMPLETIONS, {"prompt": prompt, "max_tokens": 1}).json()
        assert answer["usage"]["prompt_tokens"] == 321


def test_the_request_id_becomes_part_of_the_answer_s_id(talk: Talk) -> None:
    headers = {"x-request-id": "run7-test-3"}
    chat = talk.post("vllm", CHAT, chat_body(stream=False), headers=headers).json()
    plain = talk.post("vllm", COMPLETIONS, {"prompt": "x", "max_tokens": 1}, headers=headers).json()
    assert (chat["id"], plain["id"]) == ("chatcmpl-run7-test-3", "cmpl-run7-test-3")


def test_a_stop_string_ends_the_answer_and_stays_out_of_it(talk: Talk) -> None:
    whole = talk.post("vllm", CHAT, chat_body(stream=False, seed=3, max_tokens=80, ignore_eos=True)).json()
    text = whole["choices"][0]["message"]["content"]
    stop = text[30:36]
    cut = talk.post("vllm", CHAT, chat_body(stream=False, seed=3, max_tokens=80, ignore_eos=True, stop=[stop])).json()
    choice = cut["choices"][0]
    assert choice["message"]["content"] == text[: text.index(stop)]
    assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", stop)


@pytest.mark.parametrize(
    ("more", "status", "param", "words"),
    [
        ({"model": "nope"}, 404, "model", "does not exist"),
        ({"max_tokens": 0}, 400, "max_tokens", "at least 1"),
        ({"max_tokens": 5000}, 400, "max_tokens", "cannot be greater than max_model_len=1024"),
        ({"messages": [{"role": "user", "content": "word " * 2000}]}, 400, "input_tokens", "input tokens"),
        ({"temperature": -1}, 400, "temperature", "non-negative"),
        ({"top_p": 1.5}, 400, "top_p", "(0, 1]"),
        ({"min_tokens": 50}, 400, "min_tokens", "between 0 and"),
        ({"messages": None}, 400, "body.messages", "Field required"),
        ({"messages": [{"content": "x"}]}, 400, "body.messages.0.role", "Field required"),
        ({"max_tokens": "many"}, 400, "body.max_tokens", "integer"),
        ({"stream": "yes"}, 400, "body.stream", "boolean"),
        ({"n": 2}, 501, "n", "not simulated"),
        ({"response_format": {"type": "json_object"}}, 501, "response_format", "not simulated"),
    ],
)
def test_refusals_have_vllm_s_shape(talk: Talk, more: dict[str, object], status: int, param: str, words: str) -> None:
    answer = talk.post("vllm", CHAT, chat_body(**more))
    error = answer.json()["error"]
    assert answer.status_code == error["code"] == status
    assert list(error) == ["message", "type", "param", "code"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_body_that_is_not_declared_json_is_a_400(talk: Talk) -> None:
    answer = talk.client.post(talk.urls["vllm"] + CHAT, content=b"{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "Bad Request"


def test_unknown_fields_are_ignored_as_vllm_does(talk: Talk) -> None:
    assert talk.post("vllm", CHAT, chat_body(ignore_eso=True, stream=False)).status_code == 200


def test_health_and_models(talk: Talk) -> None:
    for path in ("/health", "/ping"):
        answer = talk.get("vllm", path)
        assert (answer.status_code, answer.content) == (200, b"")
    (model,) = talk.get("vllm", "/v1/models").json()["data"]
    assert (model["id"], model["owned_by"], model["max_model_len"]) == ("tiny-llama", "vllm", 1024)


def test_the_key_guards_v1_only(monkeypatch: pytest.MonkeyPatch, talk: Talk) -> None:
    monkeypatch.setenv("SIMULATOR_TEST_KEY", "open-sesame")
    serve = [f"{engine},api-key-env=SIMULATOR_TEST_KEY" for engine in ("vllm", "tgi", "ollama", "openai")]
    with SimulatorProcess(serve, options=["--ttft-ms", "1", "--itl-ms", "1"]) as simulator:
        keyed = Talk(talk.client, simulator.urls)
        assert keyed.get("vllm", "/health").status_code == 200
        refused = keyed.get("vllm", "/v1/models")
        assert (refused.status_code, refused.json()) == (401, {"error": "Unauthorized"})
        allowed = keyed.get("vllm", "/v1/models", headers={"authorization": "Bearer open-sesame"})
        assert allowed.status_code == 200
        refused = keyed.post("tgi", "/generate", {"inputs": "x"}, headers={"authorization": "Bearer wrong"})
        assert (refused.status_code, refused.content) == (401, b"")
        assert keyed.get("tgi", "/info").status_code == 200
        assert keyed.get("tgi", "/").status_code == 200
        assert keyed.get("ollama", "/v1/models").status_code == 200
        refused = keyed.post("openai", CHAT, chat_body())
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
