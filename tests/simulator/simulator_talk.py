"""How the simulator's tests speak with it: by engine name over httpx, or byte for byte over a socket."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

MESSAGES = [{"role": "user", "content": "Say something please"}]


@dataclass(frozen=True)
class Talk:
    """An HTTP client that knows the engines' addresses."""

    client: httpx.Client
    urls: dict[str, str]

    def get(self, engine: str, path: str, **options: Any) -> httpx.Response:
        """GET a path of an engine."""
        return self.client.get(self.urls[engine] + path, **options)

    def post(self, engine: str, path: str, body: object, **options: Any) -> httpx.Response:
        """POST JSON to a path of an engine."""
        return self.client.post(self.urls[engine] + path, json=body, **options)

    def port(self, engine: str) -> int:
        """Return an engine's port."""
        return int(self.urls[engine].rsplit(":", 1)[1])


def sse_values(text: str) -> list[Any]:
    """Return the decoded `data:` events of a stream; `[DONE]` stays a string."""
    data = [event.removeprefix("data: ") for event in text.split("\n\n") if event.startswith("data: ")]
    return [value if value == "[DONE]" else json.loads(value) for value in data]


def ndjson_values(text: str) -> list[Any]:
    """Return the decoded lines of a stream."""
    return [json.loads(line) for line in text.splitlines()]


def chat_body(**more: object) -> dict[str, object]:
    """Return a chat request, streamed unless told otherwise."""
    return {"model": "tiny-llama", "messages": MESSAGES, "max_tokens": 6, "stream": True, **more}


def native_body(engine: str, *, tokens: int = 6, stream: bool = True) -> tuple[str, dict[str, object]]:
    """Return path and body of an engine's own way to ask for some tokens."""
    if engine == "tgi":
        parameters = {"max_new_tokens": tokens, "details": True, "seed": 1}
        return "/generate_stream" if stream else "/generate", {"inputs": "Say something", "parameters": parameters}
    if engine == "ollama":
        options = {"num_predict": tokens, "seed": 1}
        return "/api/chat", {"model": "tiny-llama", "messages": MESSAGES, "stream": stream, "options": options}
    body = chat_body(max_tokens=tokens, ignore_eos=True, stream=stream, stream_options={"include_usage": True})
    return "/v1/chat/completions", body


def request_bytes(path: str, body: object | None = None, *, method: str = "POST", headers: str = "") -> bytes:
    """Return a raw HTTP/1.1 request; `headers` are whole lines, each with its CRLF."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: test\r\ncontent-type: application/json\r\n{headers}"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Give a plain connection to a port of this machine."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        yield connection


def read_to_end(connection: socket.socket) -> bytes:
    """Return everything until the other side closes; a reset is raised as ConnectionResetError."""
    received = b""
    while data := connection.recv(65_536):
        received += data
    return received


def read_until(connection: socket.socket, mark: bytes) -> bytes:
    """Return everything up to a mark, and what came with it."""
    received = b""
    while mark not in received:
        data = connection.recv(65_536)
        assert data, f"closed after {received!r}"
        received += data
    return received
