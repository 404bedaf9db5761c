"""Ollama's own routes: NDJSON, counts and durations in the last record.

`truncate` and `shift` are false, so that a prompt too long for the context is an error and not silently another
prompt. `keep_alive` outlasts the turns of other services in a run, so that no measured request loads the model again.
A line may hold several tokens and a token may make no line: tokens per line are unknown.
"""

from collections.abc import Sequence
from typing import Final

from inference_bench.api.dialects.answers import StreamedAnswer, WholeAnswer
from inference_bench.api.dialects.chunks import count, milliseconds
from inference_bench.api.dialects.errors import JsonObject, malformed, odd_chunk
from inference_bench.api.dialects.rendering import (
    Dialect,
    common_notes,
    messages_of,
    output_limit,
    single_prompt,
    wire_request,
)
from inference_bench.api.protocols import (
    ChatRequest,
    ResponseDecoder,
    ServerTimes,
    StreamEvent,
    Usage,
    WireRequest,
    event_of,
)
from inference_bench.api.streaming import NdjsonDecoder
from inference_bench.errors import UsageError

NDJSON_TYPE: Final = "application/x-ndjson"
KEEP_ALIVE: Final = "30m"
_MS_PER_NS: Final = 1e-6


class OllamaChat(Dialect):
    """POST /api/chat."""

    name = "ollama"
    engine = "ollama"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request. Raises UsageError without a model: Ollama serves many."""
        body = _body(request, model, {"messages": messages_of(request)})
        return wire_request(request, self.name, "/api/chat", body, stream_type=NDJSON_TYPE)

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        return StreamedAnswer(NdjsonDecoder(), _read_chat) if stream else WholeAnswer(_read_chat)

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        return common_notes(request, exact_length=False)


class OllamaGenerate(Dialect):
    """POST /api/generate for a single user message; a conversation goes to the chat route."""

    name = "ollama-generate"
    engine = "ollama"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request. Raises UsageError without a model: Ollama serves many."""
        prompt = single_prompt(request)
        if prompt is None:
            return OllamaChat().render(request, model)
        body = _body(request, model, {"prompt": prompt})
        return wire_request(request, self.name, "/api/generate", body, stream_type=NDJSON_TYPE)

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        return StreamedAnswer(NdjsonDecoder(), _read_generate) if stream else WholeAnswer(_read_generate)

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        return common_notes(request, exact_length=False)


def _body(request: ChatRequest, model: str | None, question: dict[str, object]) -> dict[str, object]:
    if not model:
        raise UsageError("Ollama needs a model name", hint="name one with --model, as `ollama list` shows it")
    options: dict[str, object] = {"num_predict": output_limit(request), "temperature": request.temperature}
    if request.seed is not None:
        options["seed"] = request.seed
    return {
        "model": model,
        **question,
        "stream": request.stream,
        "options": options,
        "truncate": False,
        "shift": False,
        "keep_alive": KEEP_ALIVE,
    }


def _read_chat(record: JsonObject) -> StreamEvent:
    message = record.get("message")
    if type(message) is not dict:
        # The last record may come without one; any other record has nothing to read.
        return _read_parts(record, "", "") if record.get("done") is True else odd_chunk(record)
    return _read_parts(record, message.get("content"), message.get("thinking"))


def _read_generate(record: JsonObject) -> StreamEvent:
    if "response" not in record and record.get("done") is not True:
        return odd_chunk(record)
    return _read_parts(record, record.get("response"), record.get("thinking"))


def _read_parts(record: JsonObject, text: object, thinking: object) -> StreamEvent:
    text = "" if text is None else text
    thinking = "" if thinking is None else thinking
    if type(text) is not str or type(thinking) is not str:
        return malformed("text or thinking is not a string")
    if record.get("done") is not True:
        return event_of((text, thinking, None, None, None, False, None, None))
    reason = record.get("done_reason")
    finish = reason if isinstance(reason, str) and reason else None
    return StreamEvent(text, thinking, None, finish, _usage(record), True, None, _times(record))


def _usage(record: JsonObject) -> Usage | None:
    """Counts of the last record; an absent one is unknown (older releases leave it out when the cache answered)."""
    usage = Usage(prompt_tokens=count(record.get("prompt_eval_count")), output_tokens=count(record.get("eval_count")))
    return None if usage.prompt_tokens is None and usage.output_tokens is None else usage


def _times(record: JsonObject) -> ServerTimes | None:
    """Durations of the last record, told in nanoseconds.

    The wait for a slot is in the total and in none of the parts, but so are tokenising and the server's own
    overheads: their difference is not a queue time, and none is given.
    """
    times = ServerTimes(
        prefill_ms=milliseconds(record.get("prompt_eval_duration"), _MS_PER_NS),
        decode_ms=milliseconds(record.get("eval_duration"), _MS_PER_NS),
        total_ms=milliseconds(record.get("total_duration"), _MS_PER_NS),
        load_ms=milliseconds(record.get("load_duration"), _MS_PER_NS),
    )
    return None if all(value is None for value in times) else times
