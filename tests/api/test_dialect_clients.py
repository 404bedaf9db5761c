"""What our dialects send and read, beside what the official clients send and read, over a real socket.

Intended differences, each asserted: the route tells TGI to stream, so the body does not; Ollama gets truncate and
shift (its Python client cannot say them) and no empty `tools`; TGI's chat route gets the model "tgi" and not "dummy".
"""

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import huggingface_hub
import ollama
import openai
import pytest
from api_recordings import (
    OLLAMA_GENERATE_STREAM,
    OLLAMA_STREAM,
    TGI_CHAT_STREAM,
    TGI_STREAM,
    decode,
    recording,
)

from inference_bench.api.clients import get_client
from inference_bench.api.protocols import ChatRequest, Message

SAID = "Say something pléase 🦙"


class Sent(NamedTuple):
    method: str
    path: str
    body: dict[str, Any]


class Listener(http.server.ThreadingHTTPServer):
    """Answers every POST with `answer` and keeps what was asked."""

    daemon_threads = True
    answer: tuple[str, bytes] = ("", b"")

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent: list[Sent] = []
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Listener

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.sent.append(Sent("POST", self.path, json.loads(body)))
        kind, answer = self.server.answer
        self.send_response(200)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: object) -> None:
        """Keep the test's output quiet."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    server = Listener()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def asked(temperature: float = 0.5, *, exact: bool = True, stream: bool = True) -> ChatRequest:
    return ChatRequest((Message("user", SAID),), 5, temperature, seed=7, exact_length=exact, stream=stream)


def ours(dialect: str, request: ChatRequest, model: str | None = "m") -> Sent:
    wire = get_client(dialect).render(request, model)
    assert wire.dialect == dialect
    return Sent(wire.method, wire.path, json.loads(wire.body))


def read(dialect: str, body: bytes, *, stream: bool = True) -> str:
    return decode(get_client(dialect).decoder(stream=stream), [body]).text


def test_vllm_chat(listener: Listener) -> None:
    body = recording("vllm-chat").body
    listener.answer = ("text/event-stream", body)
    with openai.OpenAI(base_url=f"{listener.url}/v1", api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": SAID}],
            max_tokens=5,
            max_completion_tokens=5,
            temperature=0.5,
            seed=7,
            stream=True,
            extra_body={
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
                "ignore_eos": True,
                "min_tokens": 5,
            },
        )
        text = "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)
    assert ours("vllm", asked()) == listener.sent[0]
    assert read("vllm", body) == text


def test_a_whole_vllm_chat_answer(listener: Listener) -> None:
    body = recording("vllm-chat-nonstream").body
    listener.answer = ("application/json", body)
    with openai.OpenAI(base_url=f"{listener.url}/v1", api_key="k", max_retries=0) as client:
        answer = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": SAID}],
            max_tokens=5,
            max_completion_tokens=5,
            temperature=0.5,
            seed=7,
            stream=False,
        )
    assert ours("vllm", asked(exact=False, stream=False)) == listener.sent[0]
    assert read("vllm", body, stream=False) == answer.choices[0].message.content


def test_openai_chat(listener: Listener) -> None:
    body = recording("llama-server-chat").body
    listener.answer = ("text/event-stream", body)
    with openai.OpenAI(base_url=f"{listener.url}/v1", api_key="k", max_retries=0) as client:
        stream = client.chat.completions.create(
            model="m",
            messages=[{"role": "user", "content": SAID}],
            max_tokens=5,
            temperature=0.5,
            seed=7,
            stream=True,
            stream_options={"include_usage": True},
        )
        chunks = list(stream)
    assert ours("openai", asked()) == listener.sent[0]
    assert read("openai", body) == "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


@pytest.mark.parametrize(
    ("dialect", "name", "extra"),
    [
        (
            "vllm-completions",
            "vllm-completions",
            {
                "ignore_eos": True,
                "min_tokens": 5,
                "stream_options": {"include_usage": True, "continuous_usage_stats": True},
            },
        ),
        ("openai-completions", "llama-server-completions", {"stream_options": {"include_usage": True}}),
    ],
)
def test_completions(listener: Listener, dialect: str, name: str, extra: dict[str, object]) -> None:
    body = recording(name).body
    listener.answer = ("text/event-stream", body)
    with openai.OpenAI(base_url=f"{listener.url}/v1", api_key="k", max_retries=0) as client:
        stream = client.completions.create(
            model="m", prompt=SAID, max_tokens=5, temperature=0.5, seed=7, stream=True, extra_body=extra
        )
        text = "".join(chunk.choices[0].text for chunk in stream if chunk.choices)
    assert ours(dialect, asked()) == listener.sent[0]
    assert read(dialect, body) == text


def test_ollama_chat(listener: Listener) -> None:
    listener.answer = ("application/x-ndjson", OLLAMA_STREAM)
    options = {"num_predict": 5, "temperature": 0.5, "seed": 7}
    client = ollama.Client(host=listener.url)
    chunks = list(
        client.chat(
            model="m", messages=[{"role": "user", "content": SAID}], stream=True, options=options, keep_alive="30m"
        )
    )
    theirs = listener.sent[0]
    assert theirs.body.pop("tools") == []
    mine = ours("ollama", asked())
    assert (mine.body.pop("truncate"), mine.body.pop("shift")) == (False, False)
    assert mine == theirs
    assert read("ollama", OLLAMA_STREAM) == "".join(chunk.message.content or "" for chunk in chunks)


def test_ollama_generate(listener: Listener) -> None:
    listener.answer = ("application/x-ndjson", OLLAMA_GENERATE_STREAM)
    options = {"num_predict": 5, "temperature": 0.5, "seed": 7}
    client = ollama.Client(host=listener.url)
    chunks = list(client.generate(model="m", prompt=SAID, stream=True, options=options, keep_alive="30m"))
    mine = ours("ollama-generate", asked())
    assert (mine.body.pop("truncate"), mine.body.pop("shift")) == (False, False)
    assert mine == listener.sent[0]
    assert read("ollama-generate", OLLAMA_GENERATE_STREAM) == "".join(chunk.response or "" for chunk in chunks)


def test_tgi_native(listener: Listener) -> None:
    listener.answer = ("text/event-stream", TGI_STREAM)
    client = huggingface_hub.InferenceClient(model=f"{listener.url}/generate_stream")
    events = list(
        client.text_generation(
            SAID, stream=True, details=True, max_new_tokens=5, do_sample=True, temperature=0.5, seed=7
        )
    )
    theirs = listener.sent[0]
    assert theirs.body.pop("stream") is True
    assert ours("tgi", asked()) == theirs
    assert read("tgi", TGI_STREAM) == events[-1].generated_text


def test_tgi_chat(listener: Listener) -> None:
    listener.answer = ("text/event-stream", TGI_CHAT_STREAM)
    client = huggingface_hub.InferenceClient(base_url=listener.url)
    chunks = list(
        client.chat_completion(
            [{"role": "user", "content": SAID}],
            stream=True,
            max_tokens=5,
            temperature=0.5,
            seed=7,
            stream_options=huggingface_hub.ChatCompletionInputStreamOptions(include_usage=True),
        )
    )
    mine, theirs = ours("tgi-chat", asked(), None), listener.sent[0]
    assert (mine.body.pop("model"), theirs.body.pop("model")) == ("tgi", "dummy")
    assert mine == theirs
    texts = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert read("tgi-chat", TGI_CHAT_STREAM) == "".join(texts)
