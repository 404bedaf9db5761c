"""A simulated Ollama: /api/chat and /api/generate with load and unload, the listing routes, its OpenAI layer.

It has no health route, no metrics and no tokeniser route, because Ollama has none.
"""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import orjson

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer, Sampling
from inference_bench.simulator.dialects.base import VERSION_MARK, Call, Engine, Routes
from inference_bench.simulator.dialects.ollama_runner import (
    DEFAULT_KEEP_ALIVE_S,
    OllamaRunner,
    read_keep_alive,
    rfc3339,
)
from inference_bench.simulator.dialects.ollama_streams import (
    DONE_REASONS,
    FINGERPRINT,
    OllamaOpenAiStream,
    OllamaStream,
)
from inference_bench.simulator.dialects.reading import BadFieldError, Fields, JsonObject, read_object
from inference_bench.simulator.generation import Work
from inference_bench.simulator.messages import RefusedRequest, Reply, Request, json_reply, text_reply
from inference_bench.simulator.options import EngineOptions
from inference_bench.simulator.profile import NS_PER_S
from inference_bench.simulator.stats import ServingStats
from inference_bench.simulator.truth import TruthWriter

VERSION = f"0.32.15{VERSION_MARK}"
BUSY = "server busy, please try again.  maximum pending requests exceeded"
TOO_LONG = "the input length exceeds the context length"
CONTEXTS_TO_RUN = 10
OPENAI_TYPES = {400: "invalid_request_error", 404: "not_found_error"}
Kind = Literal["chat", "completion"]
Route = Literal["chat", "generate"]


@dataclass(frozen=True, slots=True)
class Loaded:
    """How a request wants the model loaded: context length in tokens, seconds to keep it afterwards."""

    context: int
    keep_alive_s: float


class OllamaEngine(Engine):
    """Ollama, version string `0.32.15+simulator`.

    `max_batch` is its OLLAMA_NUM_PARALLEL, `queue_limit` its OLLAMA_MAX_QUEUE.
    """

    kind = "ollama"
    generation_paths: ClassVar[frozenset[str]] = frozenset(
        {"/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"}
    )

    def __init__(self, options: EngineOptions, truth: TruthWriter) -> None:
        """Build it; the model is loaded by its first request."""
        super().__init__(options, truth)
        self._runner = OllamaRunner(options.model, options.profile.load_ms, options.profile.context)
        self._serial = 0

    def routes(self) -> Routes:
        """Return the handlers by path and method."""
        alive = text_reply(200, "Ollama is running")
        return {
            "/": {"GET": lambda call: call.exchange.reply(alive), "HEAD": lambda call: call.exchange.reply(alive)},
            "/api/version": {"GET": lambda call: call.exchange.reply(json_reply(200, {"version": VERSION}))},
            "/api/tags": {"GET": lambda call: call.exchange.reply(json_reply(200, {"models": [self._runner.tag()]}))},
            "/api/ps": {"GET": lambda call: call.exchange.reply(json_reply(200, {"models": self._runner.running()}))},
            "/api/show": {"POST": self._show},
            "/api/chat": {"POST": lambda call: self._native(call, "chat")},
            "/api/generate": {"POST": lambda call: self._native(call, "generate")},
            "/v1/chat/completions": {"POST": lambda call: self._openai(call, "chat")},
            "/v1/completions": {"POST": lambda call: self._openai(call, "completion")},
            "/v1/models": {"GET": lambda call: self._models(call, listed=True)},
            f"/v1/models/{self.options.model}": {"GET": lambda call: self._models(call, listed=False)},
        }

    def error_reply(self, status: int, message: str) -> Reply:
        """Return `{"error": text}`."""
        return json_reply(status, {"error": message})

    def bad_field(self, path: str, error: BadFieldError) -> Reply:
        """Return 400 in the shape of the route."""
        return self._error_at(path, 400, str(error))

    def not_found(self, _path: str) -> Reply:
        """Return gin's 404."""
        return text_reply(404, "404 page not found")

    def wrong_method(self, allowed: Sequence[str]) -> Reply:
        """Return gin's 405."""
        return text_reply(405, "405 method not allowed", (("allow", ", ".join(allowed)),))

    def too_large(self) -> Reply:
        """Return a 413; Ollama itself has no limit, the simulator has one."""
        return self.error_reply(413, f"the simulator takes bodies of at most {self.max_body} bytes")

    def unauthorised(self) -> Reply:
        """Return a 401; never used, for Ollama ignores keys."""
        return self.error_reply(401, "unauthorized")

    def needs_key(self, _request: Request) -> bool:
        """Ollama ignores keys."""
        return False

    def histogram_bounds(self) -> Mapping[str, Sequence[float]]:
        """Ollama has no metrics; one bucket each."""
        return dict.fromkeys((*ServingStats.TIMES, *ServingStats.SIZES), (1.0,))

    # -- native routes ------------------------------------------------------------------------------------------

    def _show(self, call: Call) -> None:
        fields = self._fields(call)
        self._check_model(call, fields)
        call.exchange.reply(json_reply(200, self._runner.show()))

    def _native(self, call: Call, route: Route) -> None:
        fields = self._fields(call)
        name = self._check_model(call, fields)
        self._check_supported(call, fields)
        options = fields.fields("options")
        keep_alive_s = read_keep_alive(fields)
        context = self._context(options)
        ids = _prompt_ids(fields, route)
        if not ids:
            self._load_or_unload(call, route, name, context, keep_alive_s)
            return
        prompt_tokens = self._fit(call, len(ids), context, truncate=fields.flag("truncate", True))
        sampling = self._native_sampling(options, prompt_tokens, context, shift=fields.flag("shift", True))
        streamed = fields.flag("stream", True)
        loaded = Loaded(context, keep_alive_s)
        work, delay_ns = self._plan_loaded(call, repr(ids), prompt_tokens, sampling, loaded, streamed=streamed)
        with_context = route == "generate" and not fields.flag("raw")
        fmt = OllamaStream(
            route,
            work.answer,
            work.job,
            model=name,
            received_ns=call.request.received_ns,
            context_ids=[*ids, *tokenizer.encode(work.answer.text)] if with_context else None,
        )
        if streamed:
            self.stream(work, fmt, delay_ns=delay_ns)
        else:
            self.whole(work, lambda answer: json_reply(200, fmt.final(answer.text)), delay_ns=delay_ns)

    def _load_or_unload(self, call: Call, route: Route, name: str, context: int, keep_alive_s: float) -> None:
        """Answer a request without a prompt: it loads the model, or with keep_alive 0 unloads it."""
        if keep_alive_s == 0:
            self._runner.unload()
            reason, delay_ns = "unload", 0
        else:
            reason, delay_ns = "load", self._runner.use(context, keep_alive_s)
        said: JsonObject = {"message": {"role": "assistant", "content": ""}} if route == "chat" else {"response": ""}

        def answer() -> None:
            record = {"model": name, "created_at": rfc3339(time.time_ns()), **said, "done": True, "done_reason": reason}
            if call.exchange.open:
                call.exchange.reply(json_reply(200, record))

        asyncio.get_running_loop().call_later(delay_ns / NS_PER_S, answer)

    def _native_sampling(self, options: Fields, prompt_tokens: int, context: int, *, shift: bool) -> Sampling:
        """Return what decides the answer; num_predict of 0 or less means no limit but ten contexts."""
        most = CONTEXTS_TO_RUN * context
        wanted = options.integer("num_predict") or 0
        limit = min(wanted, most) if wanted > 0 else most
        seed = options.integer("seed")
        return Sampling(
            max_tokens=limit if shift else max(1, min(limit, context - prompt_tokens)),
            seed=None if seed is not None and seed < 0 else seed,
            greedy=options.number("temperature") == 0,
            stop=options.strings("stop"),
        )

    # -- OpenAI layer -------------------------------------------------------------------------------------------

    def _models(self, call: Call, *, listed: bool) -> None:
        created = self._runner.modified_s
        entry = {"id": self.options.model, "object": "model", "created": created, "owned_by": "library"}
        call.exchange.reply(json_reply(200, {"object": "list", "data": [entry]} if listed else entry))

    def _openai(self, call: Call, kind: Kind) -> None:
        fields = self._fields(call)
        name = self._check_model(call, fields)
        self._check_supported(call, fields)
        messages = fields.messages() if kind == "chat" else [("user", fields.required_text("prompt"))]
        if kind == "chat" and not messages:
            raise RefusedRequest(self._error_at(call.request.path, 400, "[] is too short - 'messages'"))
        loaded = Loaded(self.profile.context, DEFAULT_KEEP_ALIVE_S)
        prompt_tokens = self._fit(call, tokenizer.count_chat(messages), loaded.context, truncate=True)
        limit = fields.integer("max_tokens")
        sampling = Sampling(
            max_tokens=limit if limit is not None and limit > 0 else CONTEXTS_TO_RUN * loaded.context,
            seed=fields.integer("seed"),
            greedy=fields.number("temperature") == 0,
            stop=fields.strings("stop"),
        )
        streamed = fields.flag("stream")
        work, delay_ns = self._plan_loaded(call, repr(messages), prompt_tokens, sampling, loaded, streamed=streamed)
        self._serial += 1
        response_id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{(self._serial * 577) % 999}"
        if not streamed:
            self.whole(
                work,
                lambda answer: self._openai_reply(kind, answer, response_id, name, prompt_tokens),
                delay_ns=delay_ns,
            )
            return
        fmt = OllamaOpenAiStream(
            kind,
            work.answer,
            response_id=response_id,
            model=name,
            prompt_tokens=prompt_tokens,
            include_usage=fields.fields("stream_options").flag("include_usage"),
        )
        self.stream(work, fmt, delay_ns=delay_ns)

    def _openai_reply(self, kind: Kind, answer: Answer, response_id: str, name: str, prompt_tokens: int) -> Reply:
        usage = {
            "prompt_tokens": prompt_tokens, "completion_tokens": answer.tokens,
            "total_tokens": prompt_tokens + answer.tokens,
        }  # fmt: skip
        reason = DONE_REASONS[answer.ending]
        if kind == "chat":
            message = {"role": "assistant", "content": answer.text}
            choices: list[JsonObject] = [{"index": 0, "message": message, "finish_reason": reason}]
            object_name = "chat.completion"
        else:
            choices = [{"text": answer.text, "index": 0, "finish_reason": reason}]
            object_name = "text_completion"
        body = {
            "id": response_id, "object": object_name, "created": int(time.time()), "model": name,
            "system_fingerprint": FINGERPRINT, "choices": choices, "usage": usage,
        }  # fmt: skip
        return json_reply(200, body)

    # -- shared -------------------------------------------------------------------------------------------------

    def _plan_loaded(
        self, call: Call, prompt: str, prompt_tokens: int, sampling: Sampling, loaded: Loaded, *, streamed: bool
    ) -> tuple[Work, int]:
        """Plan an answer and load the model for it; return the plan and the nanoseconds until it can start."""
        if self.overloaded():
            raise RefusedRequest(self._error_at(call.request.path, 503, BUSY))
        delay_ns = self._runner.use(loaded.context, loaded.keep_alive_s)
        room = loaded.context - prompt_tokens
        return self.plan(call, prompt, prompt_tokens, sampling, streamed=streamed, reserve_tokens=room), delay_ns

    def _fields(self, call: Call) -> Fields:
        """Parse the body, whatever its content type."""
        path = call.request.path
        if not call.request.body:
            raise RefusedRequest(self._error_at(path, 400, "missing request body"))
        try:
            return read_object(call.request.body)
        except orjson.JSONDecodeError as error:
            raise RefusedRequest(self._error_at(path, 400, f"invalid character in JSON body: {error}")) from None

    def _check_model(self, call: Call, fields: Fields) -> str:
        """Return the model's name as asked; refuse a missing or unknown one."""
        name = fields.text("model")
        if not name:
            raise RefusedRequest(self._error_at(call.request.path, 400, "model is required"))
        if not self._runner.matches(name):
            raise RefusedRequest(self._error_at(call.request.path, 404, f"model '{name}' not found"))
        return name

    def _check_supported(self, call: Call, fields: Fields) -> None:
        """Refuse what the model cannot (Ollama's own words) and what is not simulated."""
        path, name = call.request.path, self.options.model
        if fields.values.get("think") not in (None, False):
            raise RefusedRequest(self._error_at(path, 400, f'"{name}" does not support thinking'))
        if fields.values.get("tools"):
            raise RefusedRequest(self._error_at(path, 400, f"registry.ollama.ai/library/{name} does not support tools"))
        if fields.has("suffix"):
            raise RefusedRequest(self._error_at(path, 400, f'"{name}" does not support insert'))
        for field in ("format", "images", "logprobs"):
            if fields.values.get(field):
                raise RefusedRequest(self._error_at(path, 501, f"{field} is not simulated"))

    def _context(self, options: Fields) -> int:
        """Return the context a request asks for, at most the model's own."""
        wanted = options.integer("num_ctx")
        return self.profile.context if wanted is None or wanted < 1 else min(wanted, self.profile.context)

    def _fit(self, call: Call, prompt_tokens: int, context: int, *, truncate: bool) -> int:
        """Return the prompt length the model sees: too long a prompt is cut silently, or refused without truncate."""
        if prompt_tokens <= context:
            return prompt_tokens
        if not truncate:
            raise RefusedRequest(self._error_at(call.request.path, 400, TOO_LONG))
        return context

    def _error_at(self, path: str, status: int, message: str) -> Reply:
        """Return an error in the shape of a route: native, or OpenAI's."""
        if not path.startswith("/v1"):
            return self.error_reply(status, message)
        kind = OPENAI_TYPES.get(status, "api_error")
        return json_reply(status, {"error": {"message": message, "type": kind, "param": None, "code": None}})


def _prompt_ids(fields: Fields, route: Route) -> list[int]:
    """Return the token ids of a native request's prompt; empty when it has none, which asks to load the model."""
    if route == "chat":
        messages = fields.messages() if fields.has("messages") else []
        return tokenizer.encode_chat(messages) if messages else []
    prompt = fields.text("prompt")
    if not prompt:
        return []
    if fields.flag("raw"):
        return tokenizer.encode(prompt)
    system = fields.text("system")
    return tokenizer.encode_chat([*([("system", system)] if system else []), ("user", prompt)])
