"""A simulated llama-server (llama.cpp): the plain OpenAI-compatible engine, flavour `openai`.

It answers to any model name, has few slots, and tells its own timings in the last event.
"""

import time
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import orjson

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer, Sampling
from inference_bench.simulator.dialects.base import VERSION_MARK, Call, Engine, Routes
from inference_bench.simulator.dialects.llama_streams import (
    FINISH_REASONS,
    HEADERS,
    LlamaStream,
    timings_object,
    usage_object,
)
from inference_bench.simulator.dialects.reading import BadFieldError, Fields, JsonObject, read_object
from inference_bench.simulator.generation import Work
from inference_bench.simulator.messages import RefusedRequest, Reply, Request, json_reply, text_reply
from inference_bench.simulator.stats import Exposition, ServingStats

FINGERPRINT = f"b10488{VERSION_MARK}"
# A believable model, for those who ask; like every figure of the simulator it is no real one's.
FILE_TYPE = "Q4_K - Medium"
PARAMETERS = 7_615_616_512
ERROR_TYPES = {
    400: "invalid_request_error", 401: "authentication_error", 404: "not_found_error", 500: "server_error",
    501: "not_supported_error", 503: "unavailable_error",
}  # fmt: skip
Kind = Literal["chat", "completion"]


class LlamaServerEngine(Engine):
    """llama-server, build `b10488+simulator`; `max_batch` is its slots."""

    kind = "openai"
    generation_paths: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions", "/v1/completions"})

    def routes(self) -> Routes:
        """Return the handlers by path and method."""
        healthy = json_reply(200, {"status": "ok"}, HEADERS)
        return {
            "/health": {"GET": lambda call: call.exchange.reply(healthy)},
            "/v1/health": {"GET": lambda call: call.exchange.reply(healthy)},
            "/metrics": {"GET": self._metrics},
            "/props": {"GET": self._props},
            "/models": {"GET": self._models},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
        }

    def error_reply(self, status: int, message: str, kind: str | None = None, **more: int) -> Reply:
        """Return `{"error": {code, message, type, …}}`."""
        error_type = kind or ERROR_TYPES.get(status, "server_error")
        return json_reply(status, {"error": {"code": status, "message": message, "type": error_type, **more}}, HEADERS)

    def bad_field(self, _path: str, error: BadFieldError) -> Reply:
        """Return a 400 that names the field."""
        return self.error_reply(400, str(error))

    def not_found(self, _path: str) -> Reply:
        """Return llama-server's 404."""
        return self.error_reply(404, "File Not Found")

    def wrong_method(self, _allowed: Sequence[str]) -> Reply:
        """Return 404 as well: cpp-httplib knows no 405."""
        return self.error_reply(404, "File Not Found")

    def too_large(self) -> Reply:
        """Return cpp-httplib's empty 413."""
        return Reply(413, b"", HEADERS)

    def unauthorised(self) -> Reply:
        """Return 401."""
        return self.error_reply(401, "Invalid API Key")

    def needs_key(self, request: Request) -> bool:
        """Guard all but health and the model list."""
        return request.path not in ("/health", "/v1/health", "/models", "/v1/models")

    def histogram_bounds(self) -> Mapping[str, Sequence[float]]:
        """llama-server has no histograms; one bucket each."""
        return dict.fromkeys((*ServingStats.TIMES, *ServingStats.SIZES), (1.0,))

    # -- plain routes -------------------------------------------------------------------------------------------

    def _metrics(self, call: Call) -> None:
        stats, load = self.stats, self.load()
        prefill, decode = stats.histograms["prefill"], stats.histograms["decode"]
        out = Exposition()
        for name, kind, text, value in (
            ("prompt_tokens_total", "counter", "Number of prompt tokens processed, excluding cached tokens",
             stats.prompt_tokens),
            ("prompt_tokens_cached_total", "counter", "Number of prompt tokens reused from the cache", 0),
            ("prompt_seconds_total", "counter", "Total time spent processing prompts", prefill.sum),
            ("tokens_predicted_total", "counter", "Number of generation tokens processed", stats.output_tokens),
            ("tokens_predicted_seconds_total", "counter", "Total time spent generating tokens", decode.sum),
            ("requests_processing", "gauge", "Number of requests processing", load.running),
            ("requests_deferred", "gauge", "Number of requests deferred", load.waiting),
        ):  # fmt: skip
            out.metric(f"llamacpp:{name}", kind, text, [({}, float(value))])
        call.exchange.reply(text_reply(200, out.text(), HEADERS))

    def _props(self, call: Call) -> None:
        slots = self.profile.max_batch
        props = {
            "default_generation_settings": {"n_ctx": self.profile.context}, "total_slots": slots,
            "model_alias": self.options.model, "model_path": self.options.model, "model_ftype": FILE_TYPE,
            "build_info": FINGERPRINT,
        }  # fmt: skip
        call.exchange.reply(json_reply(200, props, HEADERS))

    def _models(self, call: Call) -> None:
        context = self.profile.context
        meta = {"n_ctx": context, "n_ctx_train": context, "n_params": PARAMETERS, "ftype": FILE_TYPE}
        model = {
            "id": self.options.model, "object": "model", "created": int(time.time()), "owned_by": "llamacpp",
            "meta": meta,
        }  # fmt: skip
        call.exchange.reply(json_reply(200, {"object": "list", "data": [model]}, HEADERS))

    def _tokenize(self, call: Call) -> None:
        ids = tokenizer.encode(self._fields(call).required_text("content"))
        call.exchange.reply(json_reply(200, {"tokens": ids}, HEADERS))

    def _detokenize(self, call: Call) -> None:
        ids = self._fields(call).token_ids("tokens")
        if ids is None:
            raise BadFieldError("tokens", "Input should be a list of token ids")
        call.exchange.reply(json_reply(200, {"content": tokenizer.decode(ids)}, HEADERS))

    # -- generation ---------------------------------------------------------------------------------------------

    def _chat(self, call: Call) -> None:
        fields = self._fields(call)
        messages = fields.messages()
        self._generate(call, fields, "chat", repr(messages), tokenizer.count_chat(messages))

    def _completion(self, call: Call) -> None:
        fields = self._fields(call)
        ids = fields.token_ids("prompt")
        prompt = repr(ids) if ids else fields.required_text("prompt")
        self._generate(call, fields, "completion", prompt, len(ids) if ids else tokenizer.count(prompt))

    def _generate(self, call: Call, fields: Fields, kind: Kind, prompt: str, prompt_tokens: int) -> None:
        self._check_supported(fields)
        sampling = self._sampling(fields, prompt_tokens)
        if self.overloaded():
            raise RefusedRequest(self.error_reply(503, "the request queue is full"))
        streamed = fields.flag("stream")
        work = self.plan(call, prompt, prompt_tokens, sampling, streamed=streamed)
        response_id = f"chatcmpl-{call.request_id}"
        if not streamed:
            self.whole(work, lambda answer: self._whole_reply(kind, work, answer, response_id))
            return
        fmt = LlamaStream(
            kind,
            work.answer,
            work.job,
            response_id=response_id,
            model=self.options.model,
            fingerprint=FINGERPRINT,
            include_usage=fields.fields("stream_options").flag("include_usage"),
        )
        self.stream(work, fmt)

    def _sampling(self, fields: Fields, prompt_tokens: int) -> Sampling:
        """Return what decides the answer; an answer never outgrows the context."""
        context = self.profile.context
        if prompt_tokens >= context:
            text = (
                f"request ({prompt_tokens} tokens) exceeds the available context size ({context} tokens), "
                "try increasing it"
            )
            sizes = {"n_prompt_tokens": prompt_tokens, "n_ctx": context}
            raise RefusedRequest(self.error_reply(400, text, "exceed_context_size_error", **sizes))
        wanted = fields.integer("max_completion_tokens") or fields.integer("max_tokens") or -1
        room = context - prompt_tokens
        return Sampling(
            max_tokens=room if wanted < 0 else min(wanted, room),
            natural=not fields.flag("ignore_eos"),
            seed=fields.integer("seed"),
            greedy=fields.number("temperature") == 0,
            stop=fields.strings("stop"),
        )

    def _whole_reply(self, kind: Kind, work: Work, answer: Answer, response_id: str) -> Reply:
        reason = FINISH_REASONS[answer.ending]
        choice: JsonObject
        if kind == "chat":
            message = {"role": "assistant", "content": answer.text}
            choice = {"finish_reason": reason, "index": 0, "message": message}
        else:
            choice = {"text": answer.text, "index": 0, "logprobs": None, "finish_reason": reason}
        body = {
            "choices": [choice], "created": int(time.time()), "model": self.options.model,
            "system_fingerprint": FINGERPRINT,
            "object": "chat.completion" if kind == "chat" else "text_completion",
            "usage": usage_object(work.prompt_tokens, answer.tokens), "id": response_id,
            "timings": timings_object(work.job, answer.tokens),
        }  # fmt: skip
        return json_reply(200, body, HEADERS)

    # -- refusals -----------------------------------------------------------------------------------------------

    def _fields(self, call: Call) -> Fields:
        """Parse the body, whatever its content type."""
        try:
            return read_object(call.request.body)
        except orjson.JSONDecodeError as error:
            raise RefusedRequest(self.error_reply(400, f"parse error: {error}")) from None

    def _check_supported(self, fields: Fields) -> None:
        """Refuse what would be answered differently by the real engine and is not simulated."""
        asked = {"n": fields.values.get("n") not in (None, 1), "echo": fields.flag("echo")}
        asked["logprobs"] = bool(fields.values.get("logprobs"))
        asked["response_format"] = fields.fields("response_format").text("type") not in (None, "text")
        for name, unsupported in asked.items():
            if unsupported:
                raise RefusedRequest(self.error_reply(501, f"`{name}` in this form is not simulated"))
