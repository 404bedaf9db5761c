"""The simulator's bytes have the structure of the recorded servers and of the written-down protocols."""

import json

import pytest
from simulator_talk import Talk
from transcripts import load, skeleton, stream_shape

RECORDED_STREAMS = [
    ("vllm", "vllm-chat.txt"),
    ("vllm", "vllm-completions.txt"),
    ("vllm", "vllm-chat-tokenids.txt"),
    ("openai", "llama-server-chat.txt"),
    ("openai", "llama-server-completions.txt"),
]
RECORDED_ANSWERS = [
    ("vllm", "vllm-chat-nonstream.txt"),
    ("vllm", "vllm-error-model.txt"),
    ("vllm", "vllm-error-toolong.txt"),
    ("vllm", "vllm-tokenize.txt"),
]
WRITTEN_STREAMS = [
    ("tgi", "tgi-generate_stream.txt"),
    ("tgi", "tgi-chat.txt"),
    ("tgi", "tgi-completions.txt"),
    ("tgi", "tgi-chat-refused.txt"),
    ("ollama", "ollama-chat.txt"),
    ("ollama", "ollama-generate.txt"),
    ("ollama", "ollama-v1-chat.txt"),
]
FRAMING = ("content-type", "transfer-encoding", "server", "cache-control", "x-compute-type", "x-accel-buffering")


def with_our_model(body: dict[str, object]) -> dict[str, object]:
    """Return the request, asking for the model that the simulator serves, and for an end as the recordings have it."""
    named = {**body, "model": "tiny-llama"} if body.get("model") == "llama3" else body
    return {**named, "ignore_eos": True} if "max_tokens" in body else named


@pytest.mark.parametrize(
    ("folder", "engine", "name"),
    [("captures", *pair) for pair in RECORDED_STREAMS] + [("transcripts", *pair) for pair in WRITTEN_STREAMS],
)
def test_a_stream_has_the_structure_of_its_transcript(talk: Talk, folder: str, engine: str, name: str) -> None:
    transcript = load(folder, name)
    answer = talk.post(engine, transcript.path, with_our_model(transcript.body))
    assert answer.status_code == transcript.status
    assert stream_shape(answer.text) == stream_shape(transcript.text)
    for header in FRAMING:
        if header in transcript.headers:
            assert answer.headers[header].lower() == transcript.headers[header].lower()


@pytest.mark.parametrize(("engine", "name"), RECORDED_ANSWERS)
def test_an_answer_in_one_piece_has_the_structure_of_its_recording(talk: Talk, engine: str, name: str) -> None:
    transcript = load("captures", name)
    answer = talk.post(engine, transcript.path, transcript.body)
    assert answer.status_code == transcript.status
    ours, theirs = answer.json(), json.loads(transcript.text)
    assert skeleton(ours) == skeleton(theirs)
    assert answer.headers["content-type"] == transcript.headers["content-type"]


@pytest.mark.parametrize("name", ["vllm-error-model.txt", "vllm-error-toolong.txt"])
def test_the_recorded_refusals_have_the_same_words(talk: Talk, name: str) -> None:
    transcript = load("captures", name)
    assert talk.post("vllm", transcript.path, transcript.body).json() == json.loads(transcript.text)


def test_too_long_a_prompt_is_refused_as_llama_server_does(talk: Talk) -> None:
    transcript = load("captures", "llama-server-error.txt")
    body = {**transcript.body, "messages": [{"role": "user", "content": "word " * 9000}]}
    answer = talk.post("openai", transcript.path, body)
    assert answer.status_code == transcript.status
    assert skeleton(answer.json()) == skeleton(json.loads(transcript.text))


def test_a_stream_keeps_one_id_and_one_created(talk: Talk) -> None:
    transcript = load("captures", "vllm-chat.txt")
    text = talk.post("vllm", transcript.path, transcript.body, headers={"x-request-id": "abc-7"}).text
    events = [json.loads(line.removeprefix("data: ")) for line in text.split("\n\n") if line.startswith("data: {")]
    assert {event["id"] for event in events} == {"chatcmpl-abc-7"}
    assert len({event["created"] for event in events}) == 1
