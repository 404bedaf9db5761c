"""What the requests of all dialects share: headers, JSON bodies, and the plain words about what cannot be asked."""

from collections.abc import Mapping
from typing import Final

import orjson

from inference_bench.api.dialects.errors import http_error
from inference_bench.api.protocols import ChatRequest, StreamError, WireRequest
from inference_bench.errors import UsageError

SSE_TYPE: Final = "text/event-stream"
JSON_TYPE: Final = "application/json"

NO_TEMPLATE_NOTE: Final = "this route applies no chat template: the model sees the bare prompt"


class Dialect:
    """What every dialect has in common; each subclass names itself and its engine."""

    name: str
    engine: str
    exact_length: bool = False

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> StreamError:
        """Classify an answer whose status is not 200. Header names are lower-case."""
        return http_error(status, headers, body)


def wire_request(
    request: ChatRequest, dialect: str, path: str, body: Mapping[str, object], *, stream_type: str = SSE_TYPE
) -> WireRequest:
    """Make the POST of a JSON body. Raises UsageError for text that has no JSON form (a lone surrogate)."""
    try:
        encoded = orjson.dumps(body)
    except orjson.JSONEncodeError as error:
        raise UsageError(
            f"a prompt cannot be sent: {error}", hint="prompts must be valid Unicode; check the prompts file"
        ) from error
    headers = [("content-type", JSON_TYPE), ("accept", stream_type if request.stream else JSON_TYPE)]
    if request.request_id is not None:
        headers.append(("x-request-id", request.request_id))
    return WireRequest("POST", path, tuple(headers), encoded, dialect)


def messages_of(request: ChatRequest) -> list[dict[str, str]]:
    """Return the conversation as every chat route takes it."""
    return [{"role": message.role, "content": message.content} for message in request.messages]


def single_prompt(request: ChatRequest) -> str | None:
    """Return the text of a request that is one user message; None for a conversation.

    Only such a request can go to a route that takes bare text: joining turns would invent a chat template. The first
    turn of a conversation goes where the later ones must go, or the server would read two different beginnings.
    """
    if request.conversation:
        return None
    if len(request.messages) == 1 and request.messages[0].role == "user":
        return request.messages[0].content
    return None


def output_limit(request: ChatRequest) -> int:
    """Return the wanted output length. Raises UsageError below 1: Ollama would read 0 as no limit at all."""
    if request.max_tokens < 1:
        raise UsageError(f"max_tokens is {request.max_tokens}: an answer needs at least 1 token")
    return request.max_tokens


def common_notes(request: ChatRequest, *, exact_length: bool) -> list[str]:
    """Return the notes that hold for any dialect: length, and sampling that nobody asked for."""
    notes = []
    if request.exact_length and not exact_length:
        notes.append(
            f"this protocol cannot ask for exactly {request.max_tokens} tokens: answers may end earlier, "
            "and the count the server told is used"
        )
    if request.temperature > 0:
        notes.append("top_p, top_k and penalties are the engine's and the model's own defaults")
    return notes
