"""llama-server's OpenAI streams: role chunk with content null, a finish chunk of its own, usage with its timings."""

import time
from typing import Literal

import orjson

from inference_bench.simulator.answers import Answer
from inference_bench.simulator.dialects.reading import JsonObject, json_text
from inference_bench.simulator.dialects.sse import done_mark, sse, sse_raw
from inference_bench.simulator.messages import Headers
from inference_bench.simulator.scheduling import Job

HEADERS: Headers = (("server", "llama.cpp"), ("access-control-allow-origin", ""))
STREAM_HEADERS: Headers = (*HEADERS, ("x-accel-buffering", "no"), ("content-type", "text/event-stream"))
FINISH_REASONS = {"eos": "stop", "length": "length", "stop_sequence": "stop"}


def usage_object(prompt_tokens: int, completion_tokens: int) -> JsonObject:
    """Return usage in llama-server's key order; nothing is cached here."""
    return {
        "completion_tokens": completion_tokens,
        "prompt_tokens": prompt_tokens,
        "total_tokens": prompt_tokens + completion_tokens,
        "prompt_tokens_details": {"cached_tokens": 0},
    }


def timings_object(job: Job, tokens: int) -> JsonObject:
    """Return llama-server's own timings: prefill and decode, in milliseconds and per second."""
    now_ns = time.monotonic_ns()
    scheduled_ns = job.scheduled_ns or now_ns
    first_ns, last_ns = job.first_ns or now_ns, job.last_ns or now_ns
    prompt_ms = max(1, first_ns - scheduled_ns) / 1e6
    predicted_ms = max(1, last_ns - first_ns) / 1e6
    return {
        "cache_n": 0,
        "prompt_n": job.prompt_tokens,
        "prompt_ms": prompt_ms,
        "prompt_per_token_ms": prompt_ms / max(1, job.prompt_tokens),
        "prompt_per_second": 1000.0 * job.prompt_tokens / prompt_ms,
        "predicted_n": tokens,
        "predicted_ms": predicted_ms,
        "predicted_per_token_ms": predicted_ms / max(1, tokens),
        "predicted_per_second": 1000.0 * tokens / predicted_ms,
    }


class LlamaStream:
    """Chunks of one streamed answer; `kind` chooses between chat and completions."""

    headers: Headers = STREAM_HEADERS
    deferred_head = True
    keep_alive = None

    def __init__(
        self,
        kind: Literal["chat", "completion"],
        answer: Answer,
        job: Job,
        *,
        response_id: str,
        model: str,
        fingerprint: str,
        include_usage: bool,
    ) -> None:
        self._answer = answer
        self._job = job
        self._chat = kind == "chat"
        self._include_usage = include_usage
        created = {"created": int(time.time())}
        named = {"model": model, "system_fingerprint": fingerprint}
        self._id = {"id": response_id}
        if self._chat:
            self._tail: JsonObject = {**created, **self._id, **named, "object": "chat.completion.chunk"}
        else:
            self._tail = {**created, **named, "object": "text_completion"}
        shared = b"," + orjson.dumps(self._tail | ({} if self._chat else self._id))[1:] + b"\n\n"
        if self._chat:
            self._before = b'data: {"choices":[{"finish_reason":null,"index":0,"delta":{"content":'
            self._after = b"}}]" + shared
        else:
            self._before = b'data: {"choices":[{"text":'
            self._after = b',"index":0,"logprobs":null,"finish_reason":null}]' + shared

    def opening(self) -> list[bytes]:
        """Return the role chunk of a chat, whose content is null; completions have none."""
        if not self._chat:
            return []
        choice = {"finish_reason": None, "index": 0, "delta": {"role": "assistant", "content": None}}
        return [sse({"choices": [choice], **self._tail})]

    def piece(self, index: int) -> bytes:
        """Return the chunk of one token."""
        return self._before + json_text(self._answer.pieces[index]) + self._after

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's chunk, unless it has no text, the finish chunk, usage and timings, and [DONE]."""
        answer = self._answer
        last = [] if answer.ending == "eos" else [self.piece(answer.tokens - 1)]
        reason = FINISH_REASONS[answer.ending]
        usage = usage_object(self._job.prompt_tokens, answer.tokens)
        timings = {"timings": timings_object(self._job, answer.tokens)}
        if not self._chat:
            choice = {"text": "", "index": 0, "logprobs": None, "finish_reason": reason}
            end = [sse({"choices": [choice], **self._tail, "usage": usage, **self._id, **timings})]
        else:
            finish: JsonObject = {"choices": [{"finish_reason": reason, "index": 0, "delta": {}}], **self._tail}
            if self._include_usage:
                end = [sse(finish), sse({"choices": [], **self._tail, "usage": usage, **timings})]
            else:
                end = [sse({**finish, **timings})]
        return [*last, *end, *done_mark(done)]

    def error(self, message: str) -> list[bytes]:
        """Return the error event; nothing follows it."""
        return [sse({"error": {"code": 500, "message": message, "type": "server_error"}})]

    def empty(self) -> list[bytes]:
        """Return the role chunk and [DONE]."""
        return [*self.opening(), *done_mark(True)]

    def frame(self, content: bytes) -> bytes:
        """Return any content as an event."""
        return sse_raw(content)
