"""Recordings of real servers, and transcripts of engines that no package registry installs, as bytes for tests."""

import json
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from inference_bench.api.protocols import ResponseDecoder, StreamEvent

CAPTURES = Path(__file__).parent.parent / "data" / "captures"


class Recording(NamedTuple):
    """One recorded answer: status, lower-case headers, and the body without its chunked framing."""

    status: int
    headers: dict[str, str]
    body: bytes


class Decoded(NamedTuple):
    """A whole answer decoded: its events, and whether it ended properly."""

    events: tuple[StreamEvent, ...]
    ended: bool

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events)

    @property
    def reasoning(self) -> str:
        return "".join(event.reasoning for event in self.events)

    @property
    def tokens(self) -> list[int | None]:
        return [event.tokens for event in self.events]

    @property
    def finish_reason(self) -> str | None:
        return next((event.finish_reason for event in reversed(self.events) if event.finish_reason), None)

    @property
    def errors(self) -> list[str]:
        return [f"{event.error.error_class}: {event.error.message}" for event in self.events if event.error]


def recording(name: str) -> Recording:
    """Read `NAME.full.txt`, which holds the head and the body as they came."""
    head, _, body = (CAPTURES / f"{name}.full.txt").read_bytes().partition(b"\r\n\r\n")
    status, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(":") for line in lines)
    return Recording(int(status.split()[1]), {name.lower(): value.strip() for name, _, value in pairs}, body)


def interrupted_body() -> bytes:
    """Return the body of an answer that another request ended: a role chunk, [DONE], no text."""
    return (CAPTURES / "llama-cpp-python-interrupted.txt").read_bytes().partition(b"\n")[2]


def decode(decoder: ResponseDecoder, pieces: Iterable[bytes]) -> Decoded:
    """Feed all pieces and finish."""
    events: list[StreamEvent] = []
    for piece in pieces:
        events.extend(decoder.feed(piece))
    events.extend(decoder.finish())
    return Decoded(tuple(events), decoder.ended)


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    """Cut a body at these places (in any order, taken modulo its length); the pieces joined are the body."""
    marks = sorted({place % (len(body) + 1) for place in places} | {0, len(body)})
    return [body[start:end] for start, end in pairwise(marks)]


def sse(*objects: object, done: bool = False, separator: str = "\n") -> bytes:
    """Render objects as an SSE body."""
    blocks = [f"data: {json.dumps(one, ensure_ascii=False)}{separator}{separator}" for one in objects]
    return ("".join(blocks) + (f"data: [DONE]{separator}{separator}" if done else "")).encode()


def ndjson(*objects: object) -> bytes:
    """Render objects as NDJSON."""
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in objects).encode()


TGI_STREAM = (
    b'data: {"index":1,"token":{"id":9906,"text":"Hello","logprob":-0.31,"special":false},'
    b'"generated_text":null,"details":null}\n\n'
    b":\n\n"
    b'data: {"index":2,"token":{"id":1917,"text":" world","logprob":-0.9,"special":false},'
    b'"generated_text":null,"details":null}\n\n'
    b'data: {"index":3,"token":{"id":2,"text":"</s>","logprob":-0.01,"special":true},"generated_text":"Hello world",'
    b'"details":{"finish_reason":"eos_token","generated_tokens":3,"seed":null,"input_length":2}}\n\n'
)
_TGI_CHUNK = (
    b'data: {"object":"chat.completion.chunk","id":"","created":1790000000,"model":"m",'
    b'"system_fingerprint":"3.3.7-native","choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},'
    b'"logprobs":null,"finish_reason":%s}],"usage":null}\n\n'
)
TGI_CHAT_STREAM = (
    _TGI_CHUNK % (b"Hi", b"null")
    + _TGI_CHUNK % (b" you", b"null")
    + _TGI_CHUNK % (b"", b'"stop"')
    + b'data: {"object":"chat.completion.chunk","id":"","created":1790000000,"model":"m",'
    b'"system_fingerprint":"3.3.7-native","choices":[],'
    b'"usage":{"prompt_tokens":11,"completion_tokens":3,"total_tokens":14}}\n\n'
    b"data: [DONE]\n\n"
)
_OLLAMA_HEAD = b'{"model":"llama3","created_at":"2026-11-23T10:00:00.123456789Z",'
_OLLAMA_DONE = (
    b'"done":true,"done_reason":"stop","total_duration":174560334,"load_duration":101397084,"prompt_eval_count":11,'
    b'"prompt_eval_duration":13074791,"eval_count":3,"eval_duration":52479709}\n'
)
OLLAMA_STREAM = (
    _OLLAMA_HEAD
    + b'"message":{"role":"assistant","content":"Hel"},"done":false}\n'
    + _OLLAMA_HEAD
    + b'"message":{"role":"assistant","content":"lo"},"done":false}\n'
    + _OLLAMA_HEAD
    + b'"message":{"role":"assistant","content":""},'
    + _OLLAMA_DONE
)
OLLAMA_GENERATE_STREAM = (
    _OLLAMA_HEAD
    + b'"response":"Hel","done":false}\n'
    + _OLLAMA_HEAD
    + b'"response":"lo","done":false}\n'
    + _OLLAMA_HEAD
    + b'"response":"","context":[1,2,3],'
    + _OLLAMA_DONE
)

# Every stream of a dialect that we hold as bytes: (dialect, what it is called, body).
STREAMS: tuple[tuple[str, str, bytes], ...] = (
    ("vllm", "vllm-chat", recording("vllm-chat").body),
    ("vllm", "vllm-chat-tokenids", recording("vllm-chat-tokenids").body),
    ("vllm-completions", "vllm-completions", recording("vllm-completions").body),
    ("openai", "vllm-chat", recording("vllm-chat").body),
    ("openai", "hf-serve-chat", recording("hf-serve-chat").body),
    ("openai", "llama-cpp-python-chat", recording("llama-cpp-python-chat").body),
    ("openai", "llama-cpp-python-interrupted", interrupted_body()),
    ("openai", "llama-server-chat", recording("llama-server-chat").body),
    ("openai-completions", "hf-serve-completions", recording("hf-serve-completions").body),
    ("openai-completions", "llama-cpp-python-completions", recording("llama-cpp-python-completions").body),
    ("openai-completions", "llama-server-completions", recording("llama-server-completions").body),
    ("tgi", "tgi-transcript", TGI_STREAM),
    ("tgi-chat", "tgi-chat-transcript", TGI_CHAT_STREAM),
    ("ollama", "ollama-transcript", OLLAMA_STREAM),
    ("ollama-generate", "ollama-generate-transcript", OLLAMA_GENERATE_STREAM),
)
