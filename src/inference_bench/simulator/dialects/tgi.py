"""A simulated TGI: native, compat and OpenAI routes, its 422 rules, its errors inside a 200 stream, its headers."""

import time
from collections.abc import Mapping, Sequence
from time import monotonic_ns
from typing import ClassVar, Literal

import orjson

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer, Sampling
from inference_bench.simulator.dialects import tgi_metrics
from inference_bench.simulator.dialects.base import VERSION_MARK, Call, Engine, Routes
from inference_bench.simulator.dialects.reading import BadFieldError, Fields, JsonObject, read_object
from inference_bench.simulator.dialects.tgi_rules import (
    MAX_STOP_SEQUENCES,
    TgiRefusalError,
    check_prompt,
    read_sampling,
)
from inference_bench.simulator.dialects.tgi_streams import (
    CHAT_REASONS,
    NATIVE_REASONS,
    TgiNativeStream,
    TgiOpenAiStream,
    native_error_event,
    openai_error_events,
    stream_headers,
    token_object,
    usage_object,
)
from inference_bench.simulator.generation import Work
from inference_bench.simulator.messages import Headers, RefusedRequest, Reply, Request, json_reply, text_reply

VERSION = f"3.3.7{VERSION_MARK}"
FINGERPRINT = f"{VERSION}-native"
CORS: Headers = (("access-control-allow-origin", "*"), ("vary", "origin"))
ERROR_TYPES = {
    422: "validation",
    429: "overloaded",
    424: "generation",
    500: "incomplete_generation",
    503: "healthcheck",
}
KEEP_ALIVE_S = 15.0
KEEP_ALIVE_COMMENT = b":\n\n"
Kind = Literal["chat", "completion"]


class TgiEngine(Engine):
    """text-generation-router, version string `3.3.7+simulator`. `queue_limit` is its max_concurrent_requests."""

    kind = "tgi"
    max_body: ClassVar[int] = 2_000_000
    generation_paths: ClassVar[frozenset[str]] = frozenset(
        {"/", "/generate", "/generate_stream", "/v1/chat/completions", "/v1/completions"}
    )

    def routes(self) -> Routes:
        """Return the handlers by path and method."""
        return {
            "/": {"GET": self._health, "POST": lambda call: self._native(call, compat=True)},
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health},
            "/info": {"GET": self._info},
            "/metrics": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/chat_tokenize": {"POST": self._chat_tokenize},
            "/generate": {"POST": lambda call: self._native(call, streamed=False)},
            "/generate_stream": {"POST": lambda call: self._native(call, streamed=True)},
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
        }

    def error_reply(self, status: int, message: str, error_type: str | None = None) -> Reply:
        """Return `{"error": text, "error_type": type}`."""
        kind = error_type or ERROR_TYPES.get(status, "generation")
        return json_reply(status, {"error": message, "error_type": kind}, CORS)

    def bad_field(self, _path: str, error: BadFieldError) -> Reply:
        """Return axum's plain-text 422."""
        return text_reply(422, f"Failed to deserialize the JSON body into the target type: {error}", CORS)

    def not_found(self, _path: str) -> Reply:
        """Return axum's empty 404."""
        return Reply(404, b"", CORS)

    def wrong_method(self, allowed: Sequence[str]) -> Reply:
        """Return axum's empty 405."""
        return Reply(405, b"", (("allow", ",".join(allowed)), *CORS))

    def too_large(self) -> Reply:
        """Return axum's 413 beyond --payload-limit."""
        return text_reply(413, "Failed to buffer the request body: length limit exceeded", CORS)

    def unauthorised(self) -> Reply:
        """Return 401 with an empty body."""
        return Reply(401, b"", CORS)

    def needs_key(self, request: Request) -> bool:
        """Guard the generation routes; GET routes stay open."""
        return request.method == "POST" and request.path in self.generation_paths

    def histogram_bounds(self) -> Mapping[str, Sequence[float]]:
        """Return TGI's buckets."""
        return tgi_metrics.BOUNDS

    def overloaded(self) -> bool:
        """Say whether max_concurrent_requests are under way."""
        limit = self.profile.queue_limit
        return limit is not None and len(self.active) >= limit

    # -- plain routes -------------------------------------------------------------------------------------------

    def _health(self, call: Call) -> None:
        call.exchange.reply(Reply(200, b"", CORS))

    def _metrics(self, call: Call) -> None:
        call.exchange.reply(text_reply(200, tgi_metrics.page(self.stats, self.load(), self.profile), CORS))

    def _info(self, call: Call) -> None:
        limit = self.profile.queue_limit
        info = {
            "model_id": self.options.model, "model_sha": None, "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": limit if limit is not None else 1 << 31, "max_best_of": 2,
            "max_stop_sequences": MAX_STOP_SEQUENCES, "max_input_tokens": self.profile.context - 1,
            "max_total_tokens": self.profile.context, "validation_workers": 2,
            "max_client_batch_size": 4, "router": "text-generation-router", "version": VERSION, "sha": None,
            "docker_label": None,
        }  # fmt: skip
        call.exchange.reply(json_reply(200, info, CORS))

    def _models(self, call: Call) -> None:
        model = {"id": self.options.model, "object": "model", "created": 0, "owned_by": self.options.model}
        call.exchange.reply(json_reply(200, {"object": "list", "data": [model]}, CORS))

    def _tokenize(self, call: Call) -> None:
        text = self._fields(call).required_text("inputs")
        call.exchange.reply(json_reply(200, _token_spans(text), CORS))

    def _chat_tokenize(self, call: Call) -> None:
        messages = self._fields(call).messages()
        ids = tokenizer.encode_chat(messages)
        spans, at = [], 0
        for token in ids:
            text = tokenizer.token_text(token)
            spans.append({"id": token, "text": text, "start": at, "stop": at + len(text)})
            at += len(text)
        answer = {"tokenize_response": spans, "templated_text": tokenizer.chat_text(messages)}
        call.exchange.reply(json_reply(200, answer, CORS))

    # -- native generation --------------------------------------------------------------------------------------

    def _native(self, call: Call, *, streamed: bool = False, compat: bool = False) -> None:
        fields = self._fields(call)
        prompt, parameters = fields.required_text("inputs"), fields.fields("parameters")
        stream = fields.flag("stream") if compat else streamed
        try:
            given = fields.has("parameters")
            work = self._native_work(call, prompt, parameters, given=given, streamed=stream)
        except TgiRefusalError as refusal:
            events = [native_error_event(refusal.message, refusal.error_type)]
            self._refuse(call, refusal, events if stream else None, len(prompt))
            return
        details = parameters.flag("details") or parameters.flag("decoder_input_details")
        if not stream:
            self.whole(
                work,
                lambda answer: self._native_reply(work, answer, prompt, parameters, details=details, compat=compat),
            )
            return
        fmt = TgiNativeStream(
            work.answer,
            self.keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COMMENT),
            prompt=prompt,
            prompt_tokens=work.prompt_tokens,
            details=details,
            seed=parameters.integer("seed"),
            full_text=parameters.flag("return_full_text"),
        )
        self.stream(work, fmt)

    def _native_work(self, call: Call, prompt: str, parameters: Fields, *, given: bool, streamed: bool) -> Work:
        check_prompt(prompt)
        self._check_supported(parameters)
        prompt_tokens = 1 + tokenizer.count(prompt)
        truncate = parameters.integer("truncate")
        if truncate is not None:
            prompt_tokens = min(prompt_tokens, max(1, truncate))
        sampling = read_sampling(
            parameters, given=given, prompt_tokens=prompt_tokens, profile=self.profile, streamed=streamed
        )
        return self._admit(call, prompt, prompt_tokens, sampling, streamed=streamed)

    def _native_reply(
        self, work: Work, answer: Answer, prompt: str, parameters: Fields, *, details: bool, compat: bool
    ) -> Reply:
        text = (prompt if parameters.flag("return_full_text") else "") + answer.text
        body: JsonObject = {"generated_text": text}
        if details:
            body["details"] = {
                "finish_reason": NATIVE_REASONS[answer.ending],
                "generated_tokens": answer.tokens,
                "seed": parameters.integer("seed"),
                "prefill": _prefill(prompt) if parameters.flag("decoder_input_details") else [],
                "tokens": [token_object(answer, index) for index in range(answer.tokens)],
            }
        return json_reply(200, [body] if compat else body, self._timing_headers(work, answer, len(prompt)))

    # -- OpenAI routes ------------------------------------------------------------------------------------------

    def _chat(self, call: Call) -> None:
        fields = self._fields(call)
        messages = fields.messages()
        self._openai(call, fields, "chat", tokenizer.chat_text(messages), tokenizer.count_chat(messages))

    def _completion(self, call: Call) -> None:
        fields = self._fields(call)
        prompt = fields.required_text("prompt")
        self._openai(call, fields, "completion", prompt, 1 + tokenizer.count(prompt))

    def _openai(self, call: Call, fields: Fields, kind: Kind, prompt: str, prompt_tokens: int) -> None:
        streamed = fields.flag("stream")
        try:
            self._check_supported(fields)
            parameters = _parameters_of(fields)
            sampling = read_sampling(
                parameters, given=True, prompt_tokens=prompt_tokens, profile=self.profile, streamed=streamed
            )
            work = self._admit(call, prompt, prompt_tokens, sampling, streamed=streamed)
        except TgiRefusalError as refusal:
            self._refuse(call, refusal, openai_error_events(refusal.message) if streamed else None, len(prompt))
            return
        asked = fields.text("model")
        model = self.options.model if asked in (None, "", "tgi") else str(asked)
        if not streamed:
            self.whole(work, lambda answer: self._openai_reply(work, answer, kind, model, len(prompt)))
            return
        fmt = TgiOpenAiStream(
            kind,
            work.answer,
            self.keep_alive(KEEP_ALIVE_S, KEEP_ALIVE_COMMENT),
            prompt_characters=len(prompt),
            prompt_tokens=prompt_tokens,
            model=model,
            fingerprint=FINGERPRINT,
            include_usage=fields.fields("stream_options").flag("include_usage"),
        )
        self.stream(work, fmt)

    def _openai_reply(self, work: Work, answer: Answer, kind: Kind, model: str, characters: int) -> Reply:
        chat = kind == "chat"
        reason = (CHAT_REASONS if chat else NATIVE_REASONS)[answer.ending]
        said: JsonObject = {"message": {"role": "assistant", "content": answer.text}} if chat else {"text": answer.text}
        body = {
            "object": "chat.completion" if chat else "text_completion", "id": "", "created": int(time.time()),
            "model": model, "system_fingerprint": FINGERPRINT,
            "choices": [{"index": 0, **said, "logprobs": None, "finish_reason": reason}],
            "usage": usage_object(work.prompt_tokens, answer.tokens),
        }  # fmt: skip
        return json_reply(200, body, self._timing_headers(work, answer, characters))

    # -- shared -------------------------------------------------------------------------------------------------

    def _fields(self, call: Call) -> Fields:
        """Parse the body; refuse what axum refuses, in its plain text."""
        if call.request.content_type != "application/json":
            text = "Expected request with `Content-Type: application/json`"
            raise RefusedRequest(text_reply(415, text, CORS))
        try:
            return read_object(call.request.body)
        except orjson.JSONDecodeError as error:
            text = f"Failed to parse the request body as JSON: {error}"
            raise RefusedRequest(text_reply(400, text, CORS)) from None

    def _admit(self, call: Call, prompt: str, prompt_tokens: int, sampling: Sampling, *, streamed: bool) -> Work:
        if self.overloaded():
            raise TgiRefusalError("Model is overloaded", "overloaded", 429)
        return self.plan(call, prompt, prompt_tokens, sampling, streamed=streamed)

    def _check_supported(self, fields: Fields) -> None:
        for name in ("grammar", "top_n_tokens", "adapter_id", "response_format"):
            if fields.has(name):
                raise TgiRefusalError(f"`{name}` is not simulated", "not_simulated", 501)

    def _refuse(self, call: Call, refusal: TgiRefusalError, events: list[bytes] | None, characters: int) -> None:
        """Refuse with a status, or, streaming, with an error event inside a 200."""
        if events is None:
            raise RefusedRequest(self.error_reply(refusal.status, str(refusal), refusal.error_type))
        self._log_unserved(call, f"http-{refusal.status}")
        call.exchange.begin(stream_headers(characters), deferred=True)
        call.exchange.end(events)

    def _timing_headers(self, work: Work, answer: Answer, characters: int) -> Headers:
        """Return TGI's own times: whole milliseconds, but x-compute-time in seconds."""
        job = work.job
        now_ns = monotonic_ns()
        total_ns = now_ns - work.record.received_ns
        queue_ns = (job.scheduled_ns or now_ns) - job.arrival_ns
        inference_ns = now_ns - (job.scheduled_ns or now_ns)
        times_ns = {
            "x-total-time": total_ns,
            "x-validation-time": job.arrival_ns - work.record.received_ns,
            "x-queue-time": queue_ns,
            "x-inference-time": inference_ns,
            "x-time-per-token": inference_ns // answer.tokens if answer.tokens else 0,
        }
        return (
            ("x-compute-type", "gpu+optimized"),
            ("x-compute-time", str(total_ns / 1e9)),
            ("x-compute-characters", str(characters)),
            *((name, str(value // 1_000_000)) for name, value in times_ns.items()),
            ("x-prompt-tokens", str(work.prompt_tokens)),
            ("x-generated-tokens", str(answer.tokens)),
            *CORS,
        )


def _parameters_of(fields: Fields) -> Fields:
    """Translate an OpenAI request into TGI's parameters: temperature 0 means greedy."""
    values = {name: fields.values.get(name) for name in ("top_p", "seed", "stop", "frequency_penalty")}
    values["max_new_tokens"] = fields.values.get("max_tokens", fields.values.get("max_completion_tokens"))
    temperature = fields.number("temperature")
    values["temperature"] = None if temperature == 0 else temperature
    values["do_sample"] = temperature != 0
    return Fields(values)


def _token_spans(text: str) -> list[JsonObject]:
    """Return the tokens of a text with their places in it; the begin-of-sequence token stands before it."""
    spans: list[JsonObject] = [{"id": tokenizer.BOS_ID, "text": tokenizer.BOS_TEXT, "start": 0, "stop": 0}]
    at = 0
    for piece in tokenizer.split(text):
        spans.append({"id": tokenizer.token_id(piece), "text": piece, "start": at, "stop": at + len(piece)})
        at += len(piece)
    return spans


def _prefill(prompt: str) -> list[JsonObject]:
    ids = [tokenizer.BOS_ID, *tokenizer.encode(prompt)]
    return [
        {"id": token, "text": tokenizer.token_text(token), "logprob": None if index == 0 else -1.0}
        for index, token in enumerate(ids)
    ]
