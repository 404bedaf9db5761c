"""Ollama's streams: NDJSON on /api, chunks of its own kind on /v1."""

import time
from typing import Literal

import orjson

from inference_bench.simulator.answers import Answer
from inference_bench.simulator.dialects.ollama_runner import rfc3339
from inference_bench.simulator.dialects.reading import JsonObject, json_text
from inference_bench.simulator.dialects.sse import done_mark, sse, sse_raw
from inference_bench.simulator.messages import Headers
from inference_bench.simulator.scheduling import Job

DONE_REASONS = {"eos": "stop", "length": "length", "stop_sequence": "stop"}
FINGERPRINT = "fp_ollama"


def durations(job: Job, received_ns: int, now_ns: int, prompt_tokens: int, tokens: int) -> JsonObject:
    """Return Ollama's accounting in nanoseconds; what is zero is left out, as Go's omitempty does."""
    scheduled_ns = job.scheduled_ns or job.ready_ns
    first_ns, last_ns = job.first_ns or now_ns, job.last_ns or now_ns
    values = {
        "total_duration": now_ns - received_ns,
        "load_duration": job.ready_ns - received_ns,
        "prompt_eval_count": prompt_tokens,
        "prompt_eval_duration": first_ns - scheduled_ns,
        "eval_count": tokens,
        "eval_duration": last_ns - first_ns,
    }
    return {name: value for name, value in values.items() if value}


class OllamaStream:
    """/api/chat and /api/generate, streamed and whole."""

    headers: Headers = (("content-type", "application/x-ndjson"),)
    deferred_head = True
    keep_alive = None

    def __init__(
        self,
        route: Literal["chat", "generate"],
        answer: Answer,
        job: Job,
        *,
        model: str,
        received_ns: int,
        context_ids: list[int] | None,
    ) -> None:
        self._answer = answer
        self._job = job
        self._model = model
        self._received_ns = received_ns
        self._chat = route == "chat"
        self._context_ids = context_ids
        self._before = b'{"model":' + orjson.dumps(model) + b',"created_at":"'
        self._middle = b'","message":{"role":"assistant","content":' if self._chat else b'","response":'
        self._after = b'},"done":false}\n' if self._chat else b',"done":false}\n'

    def opening(self) -> list[bytes]:
        """Ollama opens with the first token itself."""
        return []

    def piece(self, index: int) -> bytes:
        """Return the line of one token."""
        stamp = rfc3339(time.time_ns()).encode()
        return self._before + stamp + self._middle + json_text(self._answer.pieces[index]) + self._after

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's line, unless it has no text, and the done record with the accounting."""
        answer = self._answer
        last = [] if answer.ending == "eos" else [self.piece(answer.tokens - 1)]
        return [*last, orjson.dumps(self.final("")) + b"\n"] if done else last

    def error(self, message: str) -> list[bytes]:
        """Return the error line; nothing follows it."""
        return [orjson.dumps({"error": message}) + b"\n"]

    def empty(self) -> list[bytes]:
        """Return the done record alone."""
        return [orjson.dumps(self.final("")) + b"\n"]

    def frame(self, content: bytes) -> bytes:
        """Return any content as a line."""
        return content + b"\n"

    def final(self, text: str) -> JsonObject:
        """Return the done record with a text: all of it when the answer is whole."""
        said: JsonObject = {"message": {"role": "assistant", "content": text}} if self._chat else {"response": text}
        now_ns = time.monotonic_ns()
        record: JsonObject = {"model": self._model, "created_at": rfc3339(time.time_ns()), **said}
        record |= {"done": True, "done_reason": DONE_REASONS[self._answer.ending]}
        if self._context_ids is not None:
            record["context"] = self._context_ids
        tokens = self._answer.tokens
        return record | durations(self._job, self._received_ns, now_ns, self._job.prompt_tokens, tokens)


class OllamaOpenAiStream:
    """/v1/chat/completions and /v1/completions, streamed."""

    headers: Headers = (("content-type", "text/event-stream"),)
    deferred_head = True
    keep_alive = None

    def __init__(
        self,
        kind: Literal["chat", "completion"],
        answer: Answer,
        *,
        response_id: str,
        model: str,
        prompt_tokens: int,
        include_usage: bool,
    ) -> None:
        self._answer = answer
        self._chat = kind == "chat"
        self._id = response_id
        self._model = model
        self._prompt_tokens = prompt_tokens
        self._include_usage = include_usage

    def opening(self) -> list[bytes]:
        """Ollama has no role chunk: its first delta carries role and text."""
        return []

    def piece(self, index: int) -> bytes:
        """Return the chunk of one token."""
        return self._chunk(self._answer.pieces[index], first=index == 0)

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's chunk, unless it has no text, a finish chunk, usage where asked, and [DONE]."""
        answer = self._answer
        last = [] if answer.ending == "eos" else [self.piece(answer.tokens - 1)]
        usage = self._usage(self._prompt_tokens, answer.tokens)
        counted = [self._event([], usage)] if self._include_usage else []
        return [*last, self._finish_chunk(DONE_REASONS[answer.ending]), *counted, *done_mark(done)]

    def error(self, _message: str) -> list[bytes]:
        """Return what becomes of an error here: an empty chunk with model "", and the end without any mark."""
        self._model = ""
        return [self._chunk("", first=False)]

    def empty(self) -> list[bytes]:
        """Return a finish chunk and [DONE]."""
        return [self._finish_chunk("stop"), *done_mark(True)]

    def frame(self, content: bytes) -> bytes:
        """Return any content as an event."""
        return sse_raw(content)

    def _chunk(self, text: str, *, first: bool) -> bytes:
        if not self._chat:
            return self._event([{"text": text, "index": 0, "finish_reason": None}])
        delta = {"role": "assistant", "content": text} if first else {"content": text}
        return self._event([{"index": 0, "delta": delta, "finish_reason": None}])

    def _finish_chunk(self, reason: str) -> bytes:
        if not self._chat:
            return self._event([{"text": "", "index": 0, "finish_reason": reason}])
        return self._event([{"index": 0, "delta": {}, "finish_reason": reason}])

    def _event(self, choices: list[JsonObject], usage: JsonObject | None = None) -> bytes:
        created = int(time.time())
        if self._chat:
            base: JsonObject = {
                "id": self._id, "object": "chat.completion.chunk", "created": created, "model": self._model,
                "system_fingerprint": FINGERPRINT, "choices": choices,
            }  # fmt: skip
        else:
            base = {
                "id": self._id, "object": "text_completion", "created": created, "choices": choices,
                "model": self._model, "system_fingerprint": FINGERPRINT,
            }  # fmt: skip
            if self._include_usage and usage is None:
                usage = self._usage(0, 0)
        return sse(base | ({"usage": usage} if usage is not None else {}))

    @staticmethod
    def _usage(prompt_tokens: int, completion_tokens: int) -> JsonObject:
        total = prompt_tokens + completion_tokens
        return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}
