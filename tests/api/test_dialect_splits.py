"""Every token counted once: any split of any stream yields the same events; rubbish never raises."""

import json
from collections.abc import Callable

import pytest
from api_recordings import STREAMS, cut, decode
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.protocols import Usage

PLACES = st.lists(st.integers(0, 20_000), max_size=40)
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), min_size=1, max_size=8)
DIALECTS = st.sampled_from(client_names())


def bytewise(body: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in body]


@pytest.mark.parametrize(("dialect", "name", "body"), STREAMS)
def test_bytes_one_by_one(dialect: str, name: str, body: bytes) -> None:
    client = get_client(dialect)
    events = [block + b"\n\n" for block in body.split(b"\n\n") if block]
    whole = decode(client.decoder(), [body])
    assert decode(client.decoder(), bytewise(body)) == whole
    assert decode(client.decoder(), events) == whole  # each event in a piece of its own: the fast path


@settings(deadline=None)
@given(stream=st.sampled_from(STREAMS), places=PLACES)
def test_any_split_of_a_recording(stream: tuple[str, str, bytes], places: list[int]) -> None:
    dialect, _, body = stream
    client = get_client(dialect)
    assert decode(client.decoder(), cut(body, places)) == decode(client.decoder(), [body])


@settings(deadline=None)
@given(stream=st.sampled_from(STREAMS), end=st.integers(0, 5000), places=PLACES)
def test_any_split_of_a_recording_that_stops_anywhere(
    stream: tuple[str, str, bytes], end: int, places: list[int]
) -> None:
    """A cut stream has the text of its whole events, is never malformed, and ends only where the protocol does."""
    dialect, _, body = stream
    client = get_client(dialect)
    part = body[: end % len(body)]
    decoded = decode(client.decoder(), cut(part, places))
    whole = decode(client.decoder(), [body])
    assert decoded == decode(client.decoder(), bytewise(part))
    assert whole.text.startswith(decoded.text)
    assert not decoded.errors
    if decoded.ended and not dialect.startswith("openai"):
        assert decoded.events[-1].done


def sse_line(value: object, ending: str) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}{ending}{ending}"


def chat_body(texts: list[str], ending: str) -> str:
    usages = [{"prompt_tokens": 5, "total_tokens": 5 + n, "completion_tokens": n} for n in range(1, len(texts) + 1)]
    head = sse_line({"choices": [{"delta": {"role": "assistant", "content": ""}}]}, ending)
    body = "".join(
        sse_line({"choices": [{"delta": {"content": text}, "finish_reason": None}], "usage": usage}, ending)
        for text, usage in zip(texts, usages, strict=True)
    )
    tail = sse_line({"choices": [], "usage": usages[-1]}, ending)
    return f"{head}: keep-alive{ending}{ending}{body}{tail}data: [DONE]{ending}{ending}"


def completions_body(texts: list[str], ending: str) -> str:
    body = "".join(sse_line({"choices": [{"text": text}]}, ending) for text in texts)
    usage = {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts)}
    return f"{body}{sse_line({'choices': [], 'usage': usage}, ending)}data: [DONE]"


def tgi_body(texts: list[str], ending: str) -> str:
    tokens = [{"id": 1, "text": text, "logprob": -1.0, "special": False} for text in texts]
    body = "".join(sse_line({"index": 1, "token": token, "generated_text": None}, ending) for token in tokens[:-1])
    details = {"finish_reason": "length", "generated_tokens": len(texts), "seed": None, "input_length": 5}
    last = {"index": 1, "token": tokens[-1], "generated_text": "".join(texts), "details": details}
    return f"{body}:{ending}{ending}{sse_line(last, ending)}"


def ollama_body(texts: list[str], ending: str, *, chat: bool) -> str:
    def record(text: str, **more: object) -> str:
        answer = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
        return json.dumps({**answer, **more}, ensure_ascii=False) + ending.replace("\r\n", "\n").replace("\r", "\n")

    done = {"done": True, "done_reason": "length", "prompt_eval_count": 5, "eval_count": len(texts)}
    return "".join(record(text, done=False) for text in texts) + record("", **done)


BODIES: dict[str, Callable[[list[str], str], str]] = {
    "vllm": chat_body,
    "vllm-completions": completions_body,
    "tgi": tgi_body,
    "tgi-chat": chat_body,
    "ollama": lambda texts, ending: ollama_body(texts, ending, chat=True),
    "ollama-generate": lambda texts, ending: ollama_body(texts, ending, chat=False),
    "openai": chat_body,
    "openai-completions": completions_body,
}


@settings(deadline=None)
@given(dialect=DIALECTS, texts=TEXTS, ending=st.sampled_from(["\n", "\r\n", "\r"]), places=PLACES)
def test_any_split_of_a_generated_stream_has_every_text_and_count(
    dialect: str, texts: list[str], ending: str, places: list[int]
) -> None:
    body = BODIES[dialect](texts, ending).encode()
    client = get_client(dialect)
    decoded = decode(client.decoder(), cut(body, places))
    assert decoded == decode(client.decoder(), bytewise(body))
    assert decoded.text == "".join(texts)
    assert decoded.ended
    assert not decoded.errors
    usage = [event.usage for event in decoded.events if event.usage is not None][-1]
    assert usage == Usage(5, len(texts))
    if dialect in ("vllm", "tgi"):
        assert sum(event.tokens or 0 for event in decoded.events) == len(texts)


KEYS = [
    "choices",
    "delta",
    "message",
    "content",
    "text",
    "usage",
    "completion_tokens",
    "error",
    "detail",
    "finish_reason",
    "token",
    "special",
    "generated_text",
    "details",
    "done",
    "response",
    "timings",
    "code",
]
JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2**70) | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=12,
)


@settings(deadline=None)
@given(dialect=DIALECTS, stream=st.booleans(), body=st.binary(max_size=400), places=PLACES)
def test_rubbish_never_raises_and_never_ends_well(dialect: str, stream: bool, body: bytes, places: list[int]) -> None:
    client = get_client(dialect)
    decoded = decode(client.decoder(stream=stream), cut(body, places))
    assert decoded == decode(client.decoder(stream=stream), bytewise(body))
    assert decoded.text == ""


@settings(deadline=None)
@given(dialect=DIALECTS, stream=st.booleans(), parts=st.lists(JSONISH, max_size=4), places=PLACES)
def test_json_of_any_shape_never_raises(dialect: str, stream: bool, parts: list[object], places: list[int]) -> None:
    prefix = b"data: " if stream and not dialect.startswith("ollama") else b""
    ending = b"\n\n" if stream else b""
    body = b"".join(prefix + json.dumps(part).encode() + ending for part in parts)
    client = get_client(dialect)
    decoded = decode(client.decoder(stream=stream), cut(body, places))
    assert decoded == decode(client.decoder(stream=stream), bytewise(body))
    for event in decoded.events:
        assert isinstance(event.text, str)
        assert isinstance(event.reasoning, str)
        if event.error is not None:
            assert len(event.error.message) <= 300
            assert event.error.message.isprintable()


@settings(deadline=None)
@given(
    status=st.integers(200, 599), body=st.binary(max_size=300) | JSONISH.map(lambda value: json.dumps(value).encode())
)
def test_reading_an_error_never_raises(status: int, body: bytes) -> None:
    error = get_client("vllm").read_error(status, {"content-type": "text/html"}, body)
    assert error.message.startswith(f"HTTP {status}: ")
    assert len(error.message) <= 300
    assert error.message.isprintable()
