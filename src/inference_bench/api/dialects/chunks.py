"""Reading OpenAI-shaped JSON: chat and text completions, streamed chunks and whole answers.

One reader serves vLLM, TGI's chat route, llama.cpp, transformers serve, Ollama's /v1 and OpenAI itself; where they
differ, the difference is a parameter. Sources: the recordings of real servers kept with the tests, and the engines' own
schemas.
"""

from typing import Any, Literal

from inference_bench.api.dialects.answers import StreamedAnswer
from inference_bench.api.dialects.errors import JsonObject, malformed, odd_chunk
from inference_bench.api.dialects.template import TextTemplate
from inference_bench.api.protocols import ServerTimes, StreamEvent, Usage, event_of
from inference_bench.api.streaming import SseDecoder

MOST_TOKENS = 1 << 31  # no answer is that long; what says so is odd data, and would not fit the records
Counting = Literal["none", "continuous", "one_each"]
Part = Literal["delta", "message"] | None


def streamed_chunks(part: Part, counting: Counting = "none", *, finish_ends: bool = False) -> StreamedAnswer:
    """Return the decoder of an SSE answer in such chunks, ended by [DONE]; see ChunkReader and StreamedAnswer."""
    framing = SseDecoder()
    reader = ChunkReader(part, counting)
    template = TextTemplate(reader, framing.opening, framing.closing, framing.limit)
    return StreamedAnswer(framing, reader.read, template, done_word=True, finish_ends=finish_ends)


class ChunkReader:
    """Reads the chunks of one answer.

    `part` names where a choice keeps its text: "delta" (chat stream), "message" (whole chat answer) or None (text
    completions, `text` in the choice itself). `counting` says how tokens are told per chunk: not at all, by the
    running count in each chunk's usage, or by one chunk per token. In a stream that asked for running counts, usage
    comes out as a `Usage` only with the finish reason and after it: in between it is told by `tokens`.
    """

    __slots__ = ("_each", "_part", "_running", "continuous")

    def __init__(self, part: Part, counting: Counting = "none") -> None:
        self._part = part
        self.continuous = counting == "continuous"
        self._each = 1 if counting == "one_each" else None
        self._running: int | None = 0  # tokens counted so far; None once text came without a count

    def read(self, chunk: JsonObject) -> StreamEvent:
        """Return the event of one chunk."""
        choices = chunk.get("choices")
        if not choices:
            return self._without_choice(chunk)
        reasoning = ""
        try:
            choice = choices[0]
            if self._part is None:
                text = choice["text"]
            else:
                part = choice[self._part] or {}
                text = part.get("content")
                if text is None or len(part) > 1:
                    # Renamed by vLLM around 0.11; other servers keep the old name.
                    reasoning = part.get("reasoning") or part.get("reasoning_content") or ""
            finish = choice.get("finish_reason") or None
        except (KeyError, IndexError, TypeError, AttributeError):
            return odd_chunk(chunk)
        if text is None:
            text = ""
        if type(text) is not str or type(reasoning) is not str or not (finish is None or type(finish) is str):
            return malformed("text or finish_reason is not a string")
        tokens = self._each
        if self.continuous:
            tokens = self.difference(_running_count(chunk), bool(text or reasoning))
        if finish is None and (self.continuous or chunk.get("usage") is None):
            return event_of((text, reasoning, tokens, None, None, False, None, None))
        return StreamEvent(text, reasoning, tokens, finish, usage_of(chunk), False, None, times_of(chunk))

    def text_of(self, chunk: JsonObject) -> object:
        """Return what stands where `read` finds the text, None where there is no such place. Changes nothing."""
        try:
            choice = chunk["choices"][0]
            return choice["text"] if self._part is None else choice[self._part]["content"]
        except (KeyError, IndexError, TypeError):
            return None

    def _without_choice(self, chunk: JsonObject) -> StreamEvent:
        """A chunk that generates nothing: usage, timings, a content filter's word, or something unknown."""
        usage = usage_of(chunk)
        if usage is None and chunk.get("choices") != []:
            return odd_chunk(chunk)
        tokens = self.difference(_running_count(chunk), False) if self.continuous else None
        return StreamEvent("", "", tokens, None, usage, False, None, times_of(chunk))

    def difference(self, running: int | None, has_text: bool) -> int | None:
        """Take a running count; return the tokens since the last, None where this chunk or a text before told none."""
        before = self._running
        if running is None:
            if has_text:
                self._running = None
            return None
        self._running = running
        return None if before is None or running < before else running - before


def count(value: object) -> int | None:
    """Return a token count as told, None for anything that is not one."""
    return value if type(value) is int and 0 <= value < MOST_TOKENS else None


def milliseconds(value: object, per_unit: float = 1.0) -> float | None:
    """Return a told duration in milliseconds (`per_unit` of them to the told unit), None for anything else."""
    if type(value) is int or type(value) is float:
        return value * per_unit if value >= 0 else None
    return None


def usage_of(chunk: JsonObject) -> Usage | None:
    """Return the usage a chunk or answer tells, None when it tells none.

    No prompt and no answer is a placeholder (Ollama's /v1 puts it into every chunk but the last), not a count.
    """
    usage = chunk.get("usage")
    if not isinstance(usage, dict):
        return None
    prompt, output = count(usage.get("prompt_tokens")), count(usage.get("completion_tokens"))
    if not prompt and not output:
        return None
    return Usage(
        prompt_tokens=prompt,
        output_tokens=output,
        cached_tokens=count(_inner(usage, "prompt_tokens_details").get("cached_tokens")),
        reasoning_tokens=count(_inner(usage, "completion_tokens_details").get("reasoning_tokens")),
    )


def times_of(chunk: JsonObject) -> ServerTimes | None:
    """Return what the server measured itself, None when it tells nothing.

    vLLM (`metrics`, with --enable-per-request-metrics): its time to first token runs from scheduling and leaves the
    queue out, which is told beside it; generation time is first to last token. llama.cpp (`timings`): prompt and
    predicted, without its queue.
    """
    metrics = _inner(chunk, "metrics")
    if metrics:
        return ServerTimes(
            ttft_ms=milliseconds(metrics.get("time_to_first_token_ms")),
            queue_ms=milliseconds(metrics.get("queue_time_ms")),
            decode_ms=milliseconds(metrics.get("generation_time_ms")),
        )
    timings = _inner(chunk, "timings")
    if timings:
        return ServerTimes(
            prefill_ms=milliseconds(timings.get("prompt_ms")), decode_ms=milliseconds(timings.get("predicted_ms"))
        )
    return None


def _running_count(chunk: JsonObject) -> int | None:
    usage = chunk.get("usage")
    return count(usage.get("completion_tokens")) if isinstance(usage, dict) else None


def _inner(chunk: JsonObject, key: str) -> dict[str, Any]:
    inner = chunk.get(key)
    return inner if isinstance(inner, dict) else {}
