"""Any server that speaks the OpenAI protocol: llama.cpp, transformers serve, SGLang, gateways, OpenAI itself.

Only what all of them know is sent. The length goes into max_tokens and not into max_completion_tokens: Ollama's /v1
and llama-cpp-python ignore the newer name and would generate without a limit, while every server known here takes the
older one (OpenAI's own reasoning models refuse it, with a 400 that says so). Running usage is not asked for: Ollama's
/v1 fills such chunks with zeros. Exact length is not asked for: it is no part of the protocol.

Not every server ends with [DONE]: transformers serve closes after the finish reason, which is a proper end too.
"""

from collections.abc import Sequence

from inference_bench.api.dialects.answers import WholeAnswer
from inference_bench.api.dialects.chunks import ChunkReader, streamed_chunks
from inference_bench.api.dialects.rendering import (
    NO_TEMPLATE_NOTE,
    Dialect,
    common_notes,
    messages_of,
    output_limit,
    single_prompt,
    wire_request,
)
from inference_bench.api.protocols import ChatRequest, ResponseDecoder, WireRequest


class OpenAiChat(Dialect):
    """POST /v1/chat/completions."""

    name = "openai"
    engine = "openai"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request; `model` is left out when it is None."""
        body = _body(request, model, {"messages": messages_of(request)})
        return wire_request(request, self.name, "/v1/chat/completions", body)

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(ChunkReader("message").read)
        return streamed_chunks("delta", finish_ends=True)

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        return common_notes(request, exact_length=False)


class OpenAiCompletions(Dialect):
    """POST /v1/completions for a single user message; a conversation goes to the chat route."""

    name = "openai-completions"
    engine = "openai"

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request."""
        prompt = single_prompt(request)
        if prompt is None:
            return OpenAiChat().render(request, model)
        return wire_request(request, self.name, "/v1/completions", _body(request, model, {"prompt": prompt}))

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(ChunkReader(None).read)
        return streamed_chunks(None, finish_ends=True)

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        notes = common_notes(request, exact_length=False)
        return notes if single_prompt(request) is None else [NO_TEMPLATE_NOTE, *notes]


def _body(request: ChatRequest, model: str | None, question: dict[str, object]) -> dict[str, object]:
    body: dict[str, object] = {} if model is None else {"model": model}
    body |= question
    body |= {"max_tokens": output_limit(request), "temperature": request.temperature, "stream": request.stream}
    if request.stream:
        body["stream_options"] = {"include_usage": True}
    if request.seed is not None:
        body["seed"] = request.seed
    return body
