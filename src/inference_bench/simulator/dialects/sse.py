"""Framing of server-sent events and JSON lines, and what all OpenAI-like streams share."""

import orjson

SSE_DONE = b"data: [DONE]\n\n"


def sse(value: object) -> bytes:
    """Return a value as one `data:` event."""
    return b"data: " + orjson.dumps(value) + b"\n\n"


def sse_raw(content: bytes) -> bytes:
    """Return any bytes as one `data:` event."""
    return b"data: " + content + b"\n\n"


def done_mark(done: bool) -> list[bytes]:
    """Return the `[DONE]` event, or nothing when it is to be left out."""
    return [SSE_DONE] if done else []
