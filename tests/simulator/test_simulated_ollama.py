"""The simulated Ollama: load and unload, limits, accounting, errors of both layers."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from simulator_talk import MESSAGES, Talk, connected, ndjson_values, request_bytes, sse_values

from inference_bench.simulator.launcher import SimulatorProcess

CHAT = "/api/chat"
GENERATE = "/api/generate"


@pytest.fixture
def cold(talk: Talk) -> Iterator[Talk]:
    """Give an Ollama of its own whose model takes 200 ms to load."""
    options = ["--model", "llama3", "--load-ms", "200", "--step-ms", "1", "--answer-tokens", "8", "--context", "512"]
    with SimulatorProcess(["ollama"], options=options) as simulator:
        yield Talk(talk.client, simulator.urls)


def loaded(talk: Talk) -> list[str]:
    """Return the names of the loaded models."""
    return [model["name"] for model in talk.get("ollama", "/api/ps").json()["models"]]


def test_the_first_request_loads_the_model_and_says_so(cold: Talk) -> None:
    assert loaded(cold) == []
    body = {"model": "llama3", "messages": MESSAGES, "stream": False}
    first, second = (cold.post("ollama", CHAT, body).json() for _ in range(2))
    assert first["load_duration"] >= 200_000_000 > second["load_duration"] > 0
    assert first["total_duration"] >= sum(
        first[key] for key in ("load_duration", "prompt_eval_duration", "eval_duration")
    )
    assert loaded(cold) == ["llama3:latest"]


def test_load_and_unload_without_a_prompt(cold: Talk) -> None:
    started = time.monotonic()
    answer = cold.post("ollama", GENERATE, {"model": "llama3", "keep_alive": -1}).json()
    assert time.monotonic() - started >= 0.2
    assert list(answer) == ["model", "created_at", "response", "done", "done_reason"]
    assert (answer["done"], answer["done_reason"]) == (True, "load")
    (model,) = cold.get("ollama", "/api/ps").json()["models"]
    assert datetime.fromisoformat(model["expires_at"][:19] + "+00:00") > datetime.now(UTC) + timedelta(days=10_000)
    answer = cold.post("ollama", CHAT, {"model": "llama3", "messages": [], "keep_alive": 0}).json()
    assert (answer["message"], answer["done_reason"]) == ({"role": "assistant", "content": ""}, "unload")
    assert loaded(cold) == []


def test_another_context_reloads_the_model(cold: Talk) -> None:
    body = {"model": "llama3", "prompt": "x", "stream": False}
    cold.post("ollama", GENERATE, body)
    again = cold.post("ollama", GENERATE, {**body, "options": {"num_ctx": 256}}).json()
    assert again["load_duration"] >= 200_000_000
    assert cold.get("ollama", "/api/ps").json()["models"][0]["context_length"] == 256


def test_keep_alive_runs_out(cold: Talk) -> None:
    cold.post("ollama", GENERATE, {"model": "llama3", "keep_alive": "1ms"})
    time.sleep(0.01)
    assert loaded(cold) == []


@pytest.mark.parametrize("keep_alive", ["soon", "5 m", {}])
def test_a_strange_keep_alive_is_refused(talk: Talk, keep_alive: object) -> None:
    answer = talk.post("ollama", GENERATE, {"model": "tiny-llama", "prompt": "x", "keep_alive": keep_alive})
    assert answer.status_code == 400
    assert "invalid duration" in answer.json()["error"]


@pytest.mark.parametrize("path", [CHAT, GENERATE])
def test_num_predict_is_an_upper_bound_and_counts_agree(talk: Talk, path: str) -> None:
    asked = {"prompt": "hello"} if path == GENERATE else {"messages": MESSAGES}
    body = {"model": "tiny-llama", **asked, "options": {"num_predict": 3}}
    lines = ndjson_values(talk.post("ollama", path, body).text)
    assert [line["done"] for line in lines] == [False, False, False, True]
    assert (lines[-1]["eval_count"], lines[-1]["done_reason"]) == (3, "length")
    assert lines[-1]["eval_duration"] == pytest.approx(4_000_000, rel=0.01)


@pytest.mark.parametrize("num_predict", [0, -1, -2])
def test_no_num_predict_ends_by_itself(talk: Talk, num_predict: int) -> None:
    body = {"model": "tiny-llama", "prompt": "x", "stream": False, "options": {"num_predict": num_predict, "seed": 1}}
    assert talk.post("ollama", GENERATE, body).json()["done_reason"] == "stop"


def test_the_chunks_join_to_the_whole_answer(talk: Talk) -> None:
    body = {"model": "tiny-llama", "messages": MESSAGES, "options": {"seed": 7}}
    lines = ndjson_values(talk.post("ollama", CHAT, body).text)
    whole = talk.post("ollama", CHAT, {**body, "stream": False}).json()
    assert "".join(line["message"]["content"] for line in lines) == whole["message"]["content"]
    assert lines[-1]["eval_count"] == whole["eval_count"] == len(lines), "the end token counts and has no text"


def test_what_is_zero_is_left_out(talk: Talk) -> None:
    body = {"model": "tiny-llama", "prompt": "x", "stream": False, "options": {"num_predict": 1}}
    answer = talk.post("ollama", GENERATE, body).json()
    assert "eval_duration" not in answer
    assert answer["eval_count"] == 1


def test_raw_prompts_have_no_context_and_no_template(talk: Talk) -> None:
    body = {"model": "tiny-llama", "prompt": "hello", "stream": False, "options": {"num_predict": 2}}
    plain = talk.post("ollama", GENERATE, body).json()
    raw = talk.post("ollama", GENERATE, {**body, "raw": True}).json()
    assert len(plain["context"]) == plain["prompt_eval_count"] + 2
    assert "context" not in raw
    assert plain["prompt_eval_count"] == raw["prompt_eval_count"] + 4


def test_too_long_a_prompt_is_cut_silently_or_refused(talk: Talk) -> None:
    options = {"num_ctx": 64, "num_predict": 2}
    body = {"model": "tiny-llama", "prompt": "word " * 200, "stream": False, "options": options}
    assert talk.post("ollama", GENERATE, body).json()["prompt_eval_count"] == 64
    refused = talk.post("ollama", GENERATE, {**body, "truncate": False})
    assert refused.status_code == 400
    assert refused.json() == {"error": "the input length exceeds the context length"}


def test_without_shift_an_answer_ends_at_the_context(talk: Talk) -> None:
    options = {"num_ctx": 16, "num_predict": 500, "seed": 1}
    body = {"model": "tiny-llama", "prompt": "hello", "stream": False, "shift": False, "options": options}
    answer = talk.post("ollama", GENERATE, body).json()
    assert answer["prompt_eval_count"] + answer["eval_count"] <= 16
    assert answer["done_reason"] == "length"


@pytest.mark.parametrize(
    ("path", "more", "status", "message"),
    [
        (CHAT, {"model": "nope"}, 404, "model 'nope' not found"),
        (CHAT, {"model": None}, 400, "model is required"),
        (CHAT, {"think": True}, 400, '"tiny-llama" does not support thinking'),
        (CHAT, {"format": "json"}, 501, "format is not simulated"),
        (CHAT, {"messages": "x"}, 400, "messages: Input should be a list"),
        ("/api/show", {"model": "nope"}, 404, "model 'nope' not found"),
    ],
)
def test_native_errors(talk: Talk, path: str, more: dict[str, object], status: int, message: str) -> None:
    answer = talk.post("ollama", path, {"model": "tiny-llama", "messages": MESSAGES, **more})
    assert (answer.status_code, answer.json()) == (status, {"error": message})


def test_errors_of_the_openai_layer_have_its_shape(talk: Talk) -> None:
    answer = talk.post("ollama", "/v1/chat/completions", {"model": "nope", "messages": MESSAGES})
    error = {"message": "model 'nope' not found", "type": "not_found_error", "param": None, "code": None}
    assert (answer.status_code, answer.json()) == (404, {"error": error})


def test_max_completion_tokens_is_ignored_and_max_tokens_is_not(talk: Talk) -> None:
    body = {"model": "tiny-llama", "messages": MESSAGES, "seed": 1}
    ignored = talk.post("ollama", "/v1/chat/completions", {**body, "max_completion_tokens": 2}).json()
    heeded = talk.post("ollama", "/v1/chat/completions", {**body, "max_tokens": 2}).json()
    assert ignored["usage"]["completion_tokens"] > 2
    assert heeded["usage"]["completion_tokens"] == 2


def test_completion_chunks_carry_zero_usage_until_the_last(talk: Talk) -> None:
    body = {"model": "tiny-llama", "prompt": "x", "stream": True, "max_tokens": 3}
    events = sse_values(
        talk.post("ollama", "/v1/completions", {**body, "stream_options": {"include_usage": True}}).text
    )
    assert [event["usage"]["completion_tokens"] for event in events[:-1]] == [0, 0, 0, 0, 3]


def test_when_too_many_wait_it_is_busy(talk: Talk) -> None:
    options = ["--step-ms", "60000", "--load-ms", "0", "--slots", "1", "--queue-limit", "0", "--model", "tiny-llama"]
    busy = "server busy, please try again.  maximum pending requests exceeded"
    with SimulatorProcess(["ollama"], options=options) as simulator:
        full = Talk(talk.client, simulator.urls)
        with connected(full.port("ollama")) as held:
            held.sendall(request_bytes(GENERATE, {"model": "tiny-llama", "prompt": "x"}))
            # Once a later request is answered, the first one has been read.
            assert full.get("ollama", "/").status_code == 200
            refused = full.post("ollama", GENERATE, {"model": "tiny-llama", "prompt": "x"})
            assert (refused.status_code, refused.json()) == (503, {"error": busy})


def test_there_is_no_health_no_metrics_and_no_tokeniser(talk: Talk) -> None:
    for path in ("/health", "/metrics", "/tokenize"):
        assert talk.get("ollama", path).status_code == 404
    assert talk.get("ollama", "/").text == "Ollama is running"


def test_tags_show_and_models_name_the_model(talk: Talk) -> None:
    (tag,) = talk.get("ollama", "/api/tags").json()["models"]
    assert (tag["name"], tag["details"]["format"]) == ("tiny-llama:latest", "gguf")
    assert len(tag["digest"]) == 64
    shown = talk.post("ollama", "/api/show", {"model": "tiny-llama:latest"}).json()
    assert shown["capabilities"] == ["completion"]
    (model,) = talk.get("ollama", "/v1/models").json()["data"]
    assert (model["id"], model["owned_by"]) == ("tiny-llama", "library")
    assert talk.get("ollama", "/v1/models/tiny-llama").json()["id"] == "tiny-llama"
