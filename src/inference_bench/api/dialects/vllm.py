"""vLLM: the OpenAI routes with vLLM's extras, exact output length and running token counts.

Exact length is ignore_eos with min_tokens equal to max_tokens (min_tokens also bars stop token ids). Unknown fields
are ignored by vLLM without a word, so the caller compares the told usage with what was asked. Temperature is always
sent: left out, it comes from the model's generation_config.
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


class VllmChat(Dialect):
    """POST /v1/chat/completions."""

    name = "vllm"
    engine = "vllm"
    exact_length = True

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request; without a model vLLM answers with the one it serves."""
        body = _body(request, model, {"messages": messages_of(request)})
        # max_completion_tokens wins where it is known; releases that do not know it read max_tokens.
        body["max_completion_tokens"] = body["max_tokens"]
        return wire_request(request, self.name, "/v1/chat/completions", body)

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(ChunkReader("message").read)
        return streamed_chunks("delta", "continuous")

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        return common_notes(request, exact_length=True)


class VllmCompletions(Dialect):
    """POST /v1/completions for a single user message; a conversation goes to the chat route."""

    name = "vllm-completions"
    engine = "vllm"
    exact_length = True

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request."""
        prompt = single_prompt(request)
        if prompt is None:
            return VllmChat().render(request, model)
        return wire_request(request, self.name, "/v1/completions", _body(request, model, {"prompt": prompt}))

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""
        if not stream:
            return WholeAnswer(ChunkReader(None).read)
        return streamed_chunks(None, "continuous")

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say what this protocol cannot do of what was asked."""
        notes = common_notes(request, exact_length=True)
        return notes if single_prompt(request) is None else [NO_TEMPLATE_NOTE, *notes]


def _body(request: ChatRequest, model: str | None, question: dict[str, object]) -> dict[str, object]:
    limit = output_limit(request)
    body: dict[str, object] = {} if model is None else {"model": model}
    body |= question
    body |= {"max_tokens": limit, "temperature": request.temperature, "stream": request.stream}
    if request.stream:
        body["stream_options"] = {"include_usage": True, "continuous_usage_stats": True}
    if request.exact_length:
        body |= {"ignore_eos": True, "min_tokens": limit}
    if request.seed is not None:
        body["seed"] = request.seed
    return body
