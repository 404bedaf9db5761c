"""Text Generation Inference: its native route, and its chat route for conversations.

TGI validates strictly: temperature must be above 0 (greedy is do_sample false without a temperature), top_p 1.0 is an
error (never sent), and there is no way to ignore an end-of-sequence token. On both routes one event is one token, text
or not. Errors come inside a 200 stream and are told apart by their body. The chat route takes any model name but
"tgi" for a LoRA adapter, so that is what it gets unless told.
"""

from collections.abc import Sequence

from inference_bench.api.dialects.answers import StreamedAnswer, WholeAnswer
from inference_bench.api.dialects.chunks import ChunkReader, count, streamed_chunks
from inference_bench.api.dialects.errors import JsonObject, malformed, odd_chunk
from inference_bench.api.dialects.rendering import (
    NO_TEMPLATE_NOTE,
    Dialect,
    common_notes,
    messages_of,
    output_limit,
    single_prompt,
    wire_request,
)
from inference_bench.api.protocols import ChatRequest, ResponseDecoder, StreamEvent, Usage, WireRequest, event_of
from inference_bench.api.streaming import SseDecoder

_EOS_NOTE = "an end-of-sequence token without text counts among the output tokens, as the server counts it"


class TgiNative(Dialect):
    """POST /generate_stream (or /generate) for a single user message; a conversation goes to the chat route."""

    name = "tgi"
    engine = "tgi"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request; the native route serves one model and names none."""
        prompt = single_prompt(request)
        if prompt is None:
            return TgiChat().render(request, model)
        parameters: dict[str, object] = {
            "max_new_tokens": output_limit(request),
            "details": True,
            "do_sample": request.temperature > 0,
        }
        if request.temperature > 0:
            parameters["temperature"] = request.temperature
        if request.seed is not None:
            parameters["seed"] = request.seed
        path = "/generate_stream" if request.stream else "/generate"
        return wire_request(request, self.name, path, {"inputs": prompt, "parameters": parameters})

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(_read_whole)
        return StreamedAnswer(SseDecoder(), _read_event)

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        notes = [*common_notes(request, exact_length=False), _EOS_NOTE]
        return notes if single_prompt(request) is None else [NO_TEMPLATE_NOTE, *notes]


class TgiChat(Dialect):
    """POST /v1/chat/completions."""

    name = "tgi-chat"
    engine = "tgi"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request; here, and only here, temperature 0 means greedy."""
        body: dict[str, object] = {
            "model": model or "tgi",
            "messages": messages_of(request),
            "max_tokens": output_limit(request),
            "temperature": request.temperature,
            "stream": request.stream,
        }
        if request.stream:
            body["stream_options"] = {"include_usage": True}
        if request.seed is not None:
            body["seed"] = request.seed
        return wire_request(request, self.name, "/v1/chat/completions", body)

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(ChunkReader("message").read)
        return streamed_chunks("delta", "one_each")

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        return [*common_notes(request, exact_length=False), _EOS_NOTE]


def _read_event(chunk: JsonObject) -> StreamEvent:
    """One token; the event whose generated_text is not null is the last one."""
    token = chunk.get("token")
    try:
        # The text of a special token (</s>) is spelling, not answer: generated_text leaves it out too.
        text = "" if token["special"] else token["text"]  # type: ignore[index]  # checked by the except below
    except (KeyError, TypeError):
        return odd_chunk(chunk)
    if type(text) is not str:
        return malformed("a token's text is not a string")
    if chunk.get("generated_text") is None:
        return event_of((text, "", 1, None, None, False, None, None))
    finish, usage = _details(chunk)
    return StreamEvent(text, "", 1, finish, usage, True)


def _read_whole(answer: JsonObject) -> StreamEvent:
    text = answer.get("generated_text")
    if not isinstance(text, str):
        return odd_chunk(answer)
    finish, usage = _details(answer)
    return StreamEvent(text, "", None, finish, usage)


def _details(chunk: JsonObject) -> tuple[str | None, Usage | None]:
    details = chunk.get("details")
    if not isinstance(details, dict):
        return None, None
    finish = details.get("finish_reason")
    usage = Usage(
        prompt_tokens=count(details.get("input_length")), output_tokens=count(details.get("generated_tokens"))
    )
    return finish if isinstance(finish, str) else None, usage
