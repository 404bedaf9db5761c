"""TGI's streams: one event per token on /generate_stream, chat and completion chunks on /v1."""

import time
from typing import Literal

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer
from inference_bench.simulator.dialects.reading import json_text
from inference_bench.simulator.dialects.sse import SSE_DONE, done_mark, sse, sse_raw
from inference_bench.simulator.dialects.vllm_streams import logprob_of
from inference_bench.simulator.generation import KeepAlive
from inference_bench.simulator.messages import Headers

NATIVE_REASONS = {"eos": "eos_token", "length": "length", "stop_sequence": "stop_sequence"}
CHAT_REASONS = {**NATIVE_REASONS, "eos": "stop"}


def stream_headers(prompt_characters: int) -> Headers:
    """Return the headers of any TGI stream."""
    return (
        ("content-type", "text/event-stream"),
        ("cache-control", "no-cache"),
        ("x-compute-type", "gpu+optimized"),
        ("x-compute-characters", str(prompt_characters)),
        ("x-accel-buffering", "no"),
        ("access-control-allow-origin", "*"),
    )


def token_object(answer: Answer, index: int) -> dict[str, object]:
    """Return a token as TGI describes it; the end-of-sequence token is special."""
    if index >= len(answer.pieces):
        text, special, token = tokenizer.EOS_TEXT, True, tokenizer.EOS_ID
    else:
        text, special = answer.pieces[index], False
        token = tokenizer.token_id(text)
    return {"id": token, "text": text, "logprob": logprob_of("" if special else text), "special": special}


class TgiNativeStream:
    """/generate_stream and the streaming compat route."""

    deferred_head = False

    def __init__(
        self,
        answer: Answer,
        keep_alive: KeepAlive,
        *,
        prompt: str,
        prompt_tokens: int,
        details: bool,
        seed: int | None,
        full_text: bool,
    ) -> None:
        self.keep_alive = keep_alive
        self.headers: Headers = stream_headers(len(prompt))
        self._answer = answer
        self._prompt_tokens = prompt_tokens
        self._details = details
        self._seed = seed
        self._full_text = prompt if full_text else ""

    def opening(self) -> list[bytes]:
        """TGI opens with the first token itself."""
        return []

    def piece(self, index: int) -> bytes:
        """Return the event of one token."""
        text = self._answer.pieces[index]
        return b'data: {"index":%d,"token":{"id":%d,"text":%b,"logprob":%a,"special":false},%b' % (
            index + 1,
            tokenizer.token_id(text) if text else tokenizer.EOS_ID,
            json_text(text),
            logprob_of(text),
            b'"generated_text":null,"details":null}\n\n',
        )

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's event, which is TGI's end mark: it carries the whole text and the details."""
        answer = self._answer
        last = answer.tokens - 1
        details = {
            "finish_reason": NATIVE_REASONS[answer.ending],
            "generated_tokens": answer.tokens,
            "seed": self._seed,
            "input_length": self._prompt_tokens,
        }
        return [
            self._final(last + 1, token_object(answer, last), answer.text, details)
            if done
            else sse({"index": last + 1, "token": token_object(answer, last), "generated_text": None, "details": None})
        ]

    def error(self, message: str) -> list[bytes]:
        """Return the error event; nothing follows it."""
        return [native_error_event(f"Request failed during generation: {message}", "generation")]

    def empty(self) -> list[bytes]:
        """Return an answer that is its end-of-sequence token only."""
        details = {
            "finish_reason": "eos_token", "generated_tokens": 1, "seed": self._seed,
            "input_length": self._prompt_tokens,
        }  # fmt: skip
        return [self._final(1, token_object(Answer((), "eos"), 0), "", details)]

    def frame(self, content: bytes) -> bytes:
        """Return any content as an event."""
        return sse_raw(content)

    def _final(self, index: int, token: dict[str, object], text: str, details: dict[str, object]) -> bytes:
        return sse(
            {
                "index": index,
                "token": token,
                "generated_text": self._full_text + text,
                "details": details if self._details else None,
            }
        )


class TgiOpenAiStream:
    """/v1/chat/completions and /v1/completions, streamed."""

    deferred_head = False

    def __init__(
        self,
        kind: Literal["chat", "completion"],
        answer: Answer,
        keep_alive: KeepAlive,
        *,
        prompt_characters: int,
        prompt_tokens: int,
        model: str,
        fingerprint: str,
        include_usage: bool,
    ) -> None:
        self.keep_alive = keep_alive
        self.headers: Headers = stream_headers(prompt_characters)
        self._answer = answer
        self._chat = kind == "chat"
        self._prompt_tokens = prompt_tokens
        self._model = model
        self._fingerprint = fingerprint
        self._include_usage = include_usage

    def opening(self) -> list[bytes]:
        """TGI has no role chunk: every delta carries the role."""
        return []

    def piece(self, index: int) -> bytes:
        """Return the chunk of one token."""
        return self._chunk(self._answer.pieces[index], None)

    def closing(self, *, done: bool) -> list[bytes]:
        """Return the last token's chunk with finish_reason, usage, [DONE]. An end-of-sequence token has no text."""
        answer = self._answer
        text = answer.pieces[-1] if answer.ending != "eos" else ""
        if not self._chat:
            return [self._completion_end(text), *done_mark(done)]
        usage = [self._usage_chunk()] if self._include_usage else []
        return [self._chunk(text, CHAT_REASONS[answer.ending]), *usage, *done_mark(done)]

    def error(self, message: str) -> list[bytes]:
        """Return the error event, which always says 422, and [DONE]."""
        return openai_error_events(f"Request failed during generation: {message}")

    def empty(self) -> list[bytes]:
        """Return one chunk without text, and [DONE]."""
        return [self._chunk("", "stop"), SSE_DONE]

    def frame(self, content: bytes) -> bytes:
        """Return any content as an event."""
        return sse_raw(content)

    def _chunk(self, text: str, reason: str | None) -> bytes:
        now = int(time.time())
        if not self._chat:
            choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason or ""}
            base = {"object": "text_completion", "id": "", "created": now, "choices": [choice]}
            return sse({**base, "model": self._model, "system_fingerprint": self._fingerprint})
        delta = {"role": "assistant", "content": text}
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return sse({**self._chat_base(now), "choices": [choice], "usage": None})

    def _usage_chunk(self) -> bytes:
        return sse({**self._chat_base(int(time.time())), "choices": [], "usage": self._usage()})

    def _completion_end(self, text: str) -> bytes:
        reason = NATIVE_REASONS[self._answer.ending]
        choice = {"index": 0, "text": text, "logprobs": None, "finish_reason": reason}
        base = {"object": "text_completion", "id": "", "created": int(time.time()), "model": self._model}
        return sse({**base, "system_fingerprint": self._fingerprint, "choices": [choice], "usage": self._usage()})

    def _chat_base(self, now: int) -> dict[str, object]:
        return {
            "object": "chat.completion.chunk", "id": "", "created": now, "model": self._model,
            "system_fingerprint": self._fingerprint,
        }  # fmt: skip

    def _usage(self) -> dict[str, int]:
        return usage_object(self._prompt_tokens, self._answer.tokens)


def usage_object(prompt_tokens: int, completion_tokens: int) -> dict[str, int]:
    """Return usage in TGI's key order."""
    total = prompt_tokens + completion_tokens
    return {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens, "total_tokens": total}


def native_error_event(message: str, error_type: str) -> bytes:
    """Return an error inside a native stream."""
    return sse({"error": message, "error_type": error_type})


def openai_error_events(message: str) -> list[bytes]:
    """Return an error inside a /v1 stream: always 422, then [DONE]."""
    return [sse({"error": {"message": message, "http_status_code": 422}}), SSE_DONE]
