"""vLLM's streams: chat and completion chunks, key for key as the recorded server writes them."""

from dataclasses import dataclass
from typing import Literal

import orjson

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer
from inference_bench.simulator.dialects.reading import json_text
from inference_bench.simulator.dialects.sse import done_mark, sse, sse_raw
from inference_bench.simulator.generation import KeepAlive
from inference_bench.simulator.messages import Headers

STREAM_HEADERS: Headers = (("server", "uvicorn"), ("content-type", "text/event-stream; charset=utf-8"))
FINISH_REASONS = {"eos": "stop", "length": "length", "stop_sequence": "stop"}
EOS_LOGPROB = -0.05


@dataclass(frozen=True, slots=True)
class VllmStreamOptions:
    """What the request asked of the stream."""

    include_usage: bool = False
    continuous_usage: bool = False
    token_ids: bool = False
    logprobs: bool = False


class VllmStream:
    """Chunks of one streamed answer; `kind` chooses between chat and completions."""

    headers: Headers = STREAM_HEADERS
    deferred_head = False

    def __init__(
        self,
        kind: Literal["chat", "completion"],
        answer: Answer,
        keep_alive: KeepAlive,
        *,
        response_id: str,
        model: str,
        created: int,
        prompt_ids: list[int],
        fingerprint: str,
        wants: VllmStreamOptions,
    ) -> None:
        self.keep_alive = keep_alive
        self._answer = answer
        self._prompt_ids = prompt_ids
        self._fingerprint = fingerprint
        self._wants = wants
        self._chat = kind == "chat"
        object_name = "chat.completion.chunk" if self._chat else "text_completion"
        self._base = {"id": response_id, "object": object_name, "created": created, "model": model}
        opened = orjson.dumps(self._base)[:-1]
        field = b'"delta":{"content":' if self._chat else b'"text":'
        self._before = b"data: " + opened + b',"choices":[{"index":0,' + field
        self._plain = not (wants.token_ids or wants.logprobs or wants.continuous_usage)
        closing = b'},"logprobs":null,"finish_reason":null' if self._chat else b',"logprobs":null,"finish_reason":null'
        rest = b',"token_ids":null}]}\n\n'
        self._after = closing + (b"" if self._chat else b',"stop_reason":null,"prompt_token_ids":null') + rest

    def opening(self) -> list[bytes]:
        """Return the role chunk of a chat; completions have none."""
        if not self._chat:
            return []
        choice = {"index": 0, "delta": {"role": "assistant", "content": ""}, "logprobs": None, "finish_reason": None}
        prompt_ids = self._prompt_ids if self._wants.token_ids else None
        usage = {"usage": self._usage(0)} if self._wants.continuous_usage else {}
        tail = {"prompt_token_ids": prompt_ids, "prompt_text": None}
        return [sse({**self._base, "choices": [choice], **usage, **tail})]

    def piece(self, index: int) -> bytes:
        """Return the chunk of one token."""
        if self._plain:
            return self._before + json_text(self._answer.pieces[index]) + self._after
        return self._detailed(index, last=False)

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the chunk that carries finish_reason with the last token, usage where asked, and [DONE]."""
        return [self._detailed(self._answer.tokens - 1, last=True), *self._usage_chunk(), *done_mark(done)]

    def error(self, message: str) -> list[bytes]:
        """Return an error event and [DONE]."""
        error = {"message": message, "type": "InternalServerError", "param": None, "code": 500}
        return [sse({"error": error}), *done_mark(True)]

    def empty(self) -> list[bytes]:
        """Return the role chunk and [DONE]."""
        return [*self.opening(), *done_mark(True)]

    def frame(self, content: bytes) -> bytes:
        """Return any content as an event."""
        return sse_raw(content)

    def _detailed(self, index: int, *, last: bool) -> bytes:
        answer = self._answer
        text = answer.pieces[index] if index < len(answer.pieces) else ""
        choice: dict[str, object] = {"index": 0}
        choice |= {"delta": {"content": text}} if self._chat else {"text": text}
        choice["logprobs"] = self._logprobs(text) if self._wants.logprobs else None
        choice["finish_reason"] = FINISH_REASONS[answer.ending] if last else None
        if last or not self._chat:
            choice["stop_reason"] = answer.stop if last else None
        if not self._chat:
            choice["prompt_token_ids"] = self._prompt_ids if self._wants.token_ids and index == 0 else None
        choice["token_ids"] = [self._token_id(index)] if self._wants.token_ids else None
        usage = {"usage": self._usage(index + 1)} if self._wants.continuous_usage else {}
        return sse({**self._base, "choices": [choice], **usage})

    def _usage_chunk(self) -> list[bytes]:
        if not self._wants.include_usage:
            return []
        usage = self._usage(self._answer.tokens)
        return [sse({**self._base, "choices": [], "usage": usage, "system_fingerprint": self._fingerprint})]

    def _usage(self, generated: int) -> dict[str, int]:
        prompt = len(self._prompt_ids)
        return {"prompt_tokens": prompt, "total_tokens": prompt + generated, "completion_tokens": generated}

    def _token_id(self, index: int) -> int:
        pieces = self._answer.pieces
        return tokenizer.token_id(pieces[index]) if index < len(pieces) and pieces[index] else tokenizer.EOS_ID

    def _logprobs(self, text: str) -> dict[str, object]:
        return {"content": [token_logprob(text)]}


def token_logprob(text: str) -> dict[str, object]:
    """Return a token with an invented but steady log probability, in vLLM's shape."""
    logprob = logprob_of(text)
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()), "top_logprobs": []}


def logprob_of(text: str) -> float:
    """Return the invented log probability of a token: between -5 and 0, always the same for the same text."""
    if not text:
        return EOS_LOGPROB
    return -round(0.01 + (tokenizer.token_id(text) % 499) / 100, 2)
