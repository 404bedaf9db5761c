"""The simulated TGI: native routes, its 422 rules, errors inside a 200 stream, overload, headers."""

import pytest
from simulator_talk import MESSAGES, Talk, sse_values
from transcripts import load, stream_shape

from inference_bench.simulator.launcher import SimulatorProcess

PROMPT = {"inputs": "Say something"}
CHAT = "/v1/chat/completions"


def test_the_native_stream_has_one_event_per_token(talk: Talk) -> None:
    body = {**PROMPT, "parameters": {"max_new_tokens": 9, "details": True}}
    events = sse_values(talk.post("tgi", "/generate_stream", body).text)
    assert [event["index"] for event in events] == list(range(1, len(events) + 1))
    final = events[-1]
    assert final["generated_text"] == "".join(
        event["token"]["text"] for event in events if not event["token"]["special"]
    )
    assert final["details"]["generated_tokens"] == len(events)
    assert all(event["generated_text"] is None and event["details"] is None for event in events[:-1])


def test_the_end_token_is_special_and_counts(talk: Talk) -> None:
    body = {**PROMPT, "parameters": {"details": True, "do_sample": True, "seed": 1}}
    final = sse_values(talk.post("tgi", "/generate_stream", body).text)[-1]
    assert final["token"] == {"id": 1, "text": "</s>", "logprob": -0.05, "special": True}
    assert final["details"]["finish_reason"] == "eos_token"


def test_details_come_only_when_asked_for(talk: Talk) -> None:
    final = sse_values(talk.post("tgi", "/generate_stream", {**PROMPT, "parameters": {"max_new_tokens": 2}}).text)[-1]
    assert final["details"] is None
    assert list(talk.post("tgi", "/generate", PROMPT).json()) == ["generated_text"]


def test_a_whole_answer_tells_its_times_and_counts_in_headers(talk: Talk) -> None:
    body = {**PROMPT, "parameters": {"max_new_tokens": 5, "details": True}}
    answer = talk.post("tgi", "/generate", body)
    details = answer.json()["details"]
    assert int(answer.headers["x-generated-tokens"]) == details["generated_tokens"] == len(details["tokens"]) == 5
    assert int(answer.headers["x-total-time"]) >= int(answer.headers["x-inference-time"]) >= 16
    assert float(answer.headers["x-compute-time"]) == pytest.approx(
        int(answer.headers["x-total-time"]) / 1000, abs=2e-3
    )
    assert details["prefill"] == []


def test_tokenize_counts_what_the_engine_counts(talk: Talk) -> None:
    spans = talk.post("tgi", "/tokenize", PROMPT).json()
    answer = talk.post("tgi", "/generate", {**PROMPT, "parameters": {"max_new_tokens": 1}})
    assert len(spans) == int(answer.headers["x-prompt-tokens"])
    assert "".join(span["text"] for span in spans[1:]) == PROMPT["inputs"]
    assert all(PROMPT["inputs"][span["start"] : span["stop"]] == span["text"] for span in spans[1:])
    counted = talk.post("tgi", "/chat_tokenize", {"messages": MESSAGES}).json()
    usage = talk.post("tgi", CHAT, {"messages": MESSAGES, "max_tokens": 1}).json()["usage"]
    assert len(counted["tokenize_response"]) == usage["prompt_tokens"]
    assert "".join(span["text"] for span in counted["tokenize_response"]) == counted["templated_text"]


def test_the_compat_route_answers_with_a_list_or_a_stream(talk: Talk) -> None:
    (answer,) = talk.post("tgi", "/", {**PROMPT, "parameters": {"max_new_tokens": 3}}).json()
    assert list(answer) == ["generated_text"]
    events = sse_values(talk.post("tgi", "/", {**PROMPT, "stream": True, "parameters": {"max_new_tokens": 3}}).text)
    assert len(events) == 3
    full = {"max_new_tokens": 3, "return_full_text": True}
    (answer,) = talk.post("tgi", "/", {**PROMPT, "parameters": full}).json()
    assert answer["generated_text"].startswith(PROMPT["inputs"])


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"top_p": 1.0}, "`top_p` must be > 0.0 and < 1.0"),
        ({"temperature": 0}, "`temperature` must be strictly positive"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be strictly positive"),
        ({"max_new_tokens": 9000}, "`inputs` tokens + `max_new_tokens` must be <= 8192. Given: 5 `inputs` tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "`stop` supports up to 4 stop sequences. Given: 5"),
        ({"typical_p": 1.0}, "`typical_p` must be"),
        ({"top_k": 0}, "`top_k` must be strictly positive"),
        ({"frequency_penalty": 3}, "`frequency_penalty` must be"),
    ],
)
def test_the_rules_hold_with_a_status_or_inside_the_stream(
    talk: Talk, parameters: dict[str, object], words: str
) -> None:
    body = {**PROMPT, "parameters": parameters}
    whole = talk.post("tgi", "/generate", body)
    assert whole.status_code == 422
    assert whole.json()["error_type"] == "validation"
    assert whole.json()["error"].startswith(f"Input validation error: {words}")
    streamed = talk.post("tgi", "/generate_stream", body)
    assert streamed.status_code == 200
    assert sse_values(streamed.text) == [whole.json()]


@pytest.mark.parametrize("parameters", [{"best_of": 2}, {"decoder_input_details": True}])
def test_what_cannot_be_streamed_is_refused_only_when_streaming(talk: Talk, parameters: dict[str, object]) -> None:
    body = {**PROMPT, "parameters": {**parameters, "max_new_tokens": 2}}
    (event,) = sse_values(talk.post("tgi", "/generate_stream", body).text)
    assert event["error_type"] == "validation"
    assert talk.post("tgi", "/generate", body).status_code == 200


def test_empty_and_too_long_inputs_are_refused(talk: Talk) -> None:
    empty = talk.post("tgi", "/generate", {"inputs": ""})
    assert (empty.status_code, empty.json()["error"]) == (422, "Input validation error: `inputs` cannot be empty")
    long = talk.post("tgi", "/generate", {"inputs": "word " * 9000})
    assert "`inputs` must have less than 8191 tokens. Given: 18002" in long.json()["error"]


def test_bodies_that_axum_refuses_get_its_plain_text(talk: Talk) -> None:
    missing = talk.post("tgi", "/generate", {"prompt": "x"})
    assert missing.status_code == 422
    assert missing.headers["content-type"].startswith("text/plain")
    url = talk.urls["tgi"] + "/generate"
    broken = talk.client.post(url, content=b"{", headers={"content-type": "application/json"})
    untyped = talk.client.post(url, content=b"{}")
    assert (broken.status_code, untyped.status_code) == (400, 415)


def test_any_model_name_is_echoed_and_temperature_0_is_greedy(talk: Talk) -> None:
    body = {"model": "dummy", "messages": MESSAGES, "max_tokens": 4, "temperature": 0}
    first, second = (talk.post("tgi", CHAT, body).json() for _ in range(2))
    assert first["model"] == "dummy"
    assert first["choices"] == second["choices"]
    assert talk.post("tgi", CHAT, {**body, "model": "tgi"}).json()["model"] == "tiny-llama"


def test_beyond_max_concurrent_requests_it_is_overloaded(talk: Talk) -> None:
    with SimulatorProcess(["tgi,queue-limit=1,ttft-ms=60000,itl-ms=1"]) as simulator:
        full = Talk(talk.client, simulator.urls)
        assert full.get("tgi", "/info").json()["max_concurrent_requests"] == 1
        with full.client.stream("POST", full.urls["tgi"] + "/generate_stream", json=PROMPT) as held:
            assert held.status_code == 200
            transcript = load("transcripts", "tgi-overloaded.txt")
            streamed = full.post("tgi", "/generate_stream", PROMPT)
            assert streamed.status_code == 200
            assert stream_shape(streamed.text) == stream_shape(transcript.text)
            whole = full.post("tgi", "/generate", PROMPT)
            assert whole.status_code == 429
            assert whole.json() == {"error": "Model is overloaded", "error_type": "overloaded"}
            chat = full.post("tgi", CHAT, {"messages": MESSAGES, "stream": True})
            error = {"error": {"message": "Model is overloaded", "http_status_code": 422}}
            assert sse_values(chat.text) == [error, "[DONE]"]
        metrics = full.get("tgi", "/metrics").text
        assert 'tgi_request_failure{err="overloaded"} 3.0' in metrics


def test_info_is_text_generation_router(talk: Talk) -> None:
    info = talk.get("tgi", "/info").json()
    assert (info["router"], info["version"]) == ("text-generation-router", "3.3.7+simulator")
    assert (info["max_total_tokens"], info["max_input_tokens"]) == (8192, 8191)
