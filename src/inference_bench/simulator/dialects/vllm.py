"""A simulated vLLM: OpenAI routes, /tokenize, /version, /metrics, its error shapes, ignore_eos and min_tokens."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import orjson

from inference_bench.simulator import tokenizer
from inference_bench.simulator.answers import Answer, Sampling
from inference_bench.simulator.dialects import vllm_metrics
from inference_bench.simulator.dialects.base import VERSION_MARK, Call, Engine, Routes
from inference_bench.simulator.dialects.reading import BadFieldError, Fields, JsonObject, read_object
from inference_bench.simulator.dialects.vllm_streams import (
    FINISH_REASONS,
    VllmStream,
    VllmStreamOptions,
    token_logprob,
)
from inference_bench.simulator.messages import Headers, RefusedRequest, Reply, Request, json_reply

VERSION = f"0.33.0{VERSION_MARK}"
FINGERPRINT = f"vllm-{VERSION}"
SERVER: Headers = (("server", "uvicorn"),)
DEFAULT_COMPLETION_TOKENS = 16
ERROR_TYPES = {400: "BadRequestError", 404: "NotFoundError", 500: "InternalServerError", 501: "NotImplementedError"}
Kind = Literal["chat", "completion"]
OBJECTS: dict[Kind, str] = {"chat": "chat.completion", "completion": "text_completion"}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a request asks: its token ids, the text that seeds the answer, and the asked output limit."""

    kind: Kind
    ids: list[int]
    text: str
    limit: int | None


class VllmEngine(Engine):
    """vLLM's API server, version string `0.33.0+simulator`."""

    kind = "vllm"
    generation_paths: ClassVar[frozenset[str]] = frozenset({"/v1/chat/completions", "/v1/completions"})

    def routes(self) -> Routes:
        """Return the handlers by path and method."""
        return {
            "/health": {"GET": self._health},
            "/ping": {"GET": self._health, "POST": self._health},
            "/version": {"GET": lambda call: call.exchange.reply(json_reply(200, {"version": VERSION}, SERVER))},
            "/metrics": {"GET": self._metrics},
            "/metrics/": {"GET": self._metrics},
            "/v1/models": {"GET": self._models},
            "/tokenize": {"POST": self._tokenize},
            "/detokenize": {"POST": self._detokenize},
            "/v1/chat/completions": {"POST": self._chat},
            "/v1/completions": {"POST": self._completion},
        }

    def error_reply(self, status: int, message: str, param: str | None = None, kind: str | None = None) -> Reply:
        """Return `{"error": {message, type, param, code}}`."""
        error_type = kind or ERROR_TYPES.get(status) or "Error"
        error = {"message": message, "type": error_type, "param": param, "code": status}
        return json_reply(status, {"error": error}, SERVER)

    def bad_field(self, _path: str, error: BadFieldError) -> Reply:
        """Return 400 in pydantic's words, with `param` naming the field."""
        where = ", ".join(repr(part) for part in ("body", *error.field.split(".")))
        text = f"1 validation error:\n  {{'loc': ({where}), 'msg': '{error.problem}'}}"
        return self.error_reply(400, text, f"body.{error.field}", "Bad Request")

    def not_found(self, _path: str) -> Reply:
        """Return FastAPI's 404."""
        return json_reply(404, {"detail": "Not Found"}, SERVER)

    def wrong_method(self, allowed: Sequence[str]) -> Reply:
        """Return FastAPI's 405."""
        return json_reply(405, {"detail": "Method Not Allowed"}, (*SERVER, ("allow", ", ".join(allowed))))

    def too_large(self) -> Reply:
        """Return a 413; vLLM itself has no limit, the simulator has one."""
        return self.error_reply(413, f"the simulator takes bodies of at most {self.max_body} bytes")

    def unauthorised(self) -> Reply:
        """Return 401, whose `error` is a plain string."""
        return json_reply(401, {"error": "Unauthorized"}, SERVER)

    def needs_key(self, request: Request) -> bool:
        """Guard /v1 only."""
        return request.path.startswith("/v1")

    def histogram_bounds(self) -> Mapping[str, Sequence[float]]:
        """Return vLLM's buckets."""
        return vllm_metrics.BOUNDS

    # -- plain routes -------------------------------------------------------------------------------------------

    def _health(self, call: Call) -> None:
        call.exchange.reply(Reply(200, b"", SERVER))

    def _metrics(self, call: Call) -> None:
        page = vllm_metrics.page(self.stats, self.load(), self.options.model, self.profile)
        call.exchange.reply(Reply(200, page.encode(), (*SERVER, ("content-type", "text/plain; version=0.0.4"))))

    def _models(self, call: Call) -> None:
        created = int(time.time())
        permission = {
            "id": f"modelperm-{call.request_id}", "object": "model_permission", "created": created,
            "allow_create_engine": False, "allow_sampling": True, "allow_logprobs": True,
            "allow_search_indices": False, "allow_view": True, "allow_fine_tuning": False, "organization": "*",
            "group": None, "is_blocking": False,
        }  # fmt: skip
        model = {
            "id": self.options.model, "object": "model", "created": created, "owned_by": "vllm",
            "root": self.options.model, "parent": None, "max_model_len": self.profile.context,
            "permission": [permission],
        }  # fmt: skip
        call.exchange.reply(json_reply(200, {"object": "list", "data": [model]}, SERVER))

    def _tokenize(self, call: Call) -> None:
        fields = self._fields(call)
        if fields.has("messages"):
            generation_prompt = fields.flag("add_generation_prompt", True)
            ids = tokenizer.encode_chat(fields.messages(), generation_prompt=generation_prompt)
        else:
            ids = tokenizer.encode(fields.required_text("prompt"))
        with_texts = fields.flag("return_token_strs")
        texts = [tokenizer.token_text(token) for token in ids] if with_texts else None
        answer = {"count": len(ids), "max_model_len": self.profile.context, "tokens": ids, "token_strs": texts}
        call.exchange.reply(json_reply(200, answer, SERVER))

    def _detokenize(self, call: Call) -> None:
        ids = self._fields(call).token_ids("tokens")
        if ids is None:
            raise BadFieldError("tokens", "Input should be a list of token ids")
        call.exchange.reply(json_reply(200, {"prompt": tokenizer.decode(ids)}, SERVER))

    # -- generation ---------------------------------------------------------------------------------------------

    def _chat(self, call: Call) -> None:
        fields = self._fields(call)
        messages = fields.messages()
        newer = fields.integer("max_completion_tokens")
        limit = newer if newer is not None else fields.integer("max_tokens")
        self._generate(call, fields, Prompt("chat", tokenizer.encode_chat(messages), repr(messages), limit))

    def _completion(self, call: Call) -> None:
        fields = self._fields(call)
        ids, text = self._prompt(fields)
        limit = fields.integer("max_tokens")
        limit = DEFAULT_COMPLETION_TOKENS if limit is None else limit
        self._generate(call, fields, Prompt("completion", ids, text, limit))

    def _prompt(self, fields: Fields) -> tuple[list[int], str]:
        """Return ids and text of a completion's prompt: a string, token ids, or a list with one of either."""
        prompt = fields.values.get("prompt")
        if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
            fields = Fields({"prompt": prompt[0]})
            prompt = prompt[0]
        ids = fields.token_ids("prompt")
        if ids:
            return ids, repr(ids)
        if isinstance(prompt, list) and len(prompt) > 1:
            raise self._not_simulated("prompt")
        text = fields.required_text("prompt")
        return tokenizer.encode(text), text

    def _generate(self, call: Call, fields: Fields, prompt: Prompt) -> None:
        kind, ids = prompt.kind, prompt.ids
        self._check_model(fields)
        self._check_supported(fields, kind)
        sampling = self._sampling(fields, len(ids), prompt.limit)
        wants = self._stream_options(fields, kind)
        if self.overloaded():
            raise RefusedRequest(self.error_reply(503, "The request queue is full.", kind="ServiceUnavailableError"))
        streamed = fields.flag("stream")
        work = self.plan(call, prompt.text, len(ids), sampling, streamed=streamed)
        response_id = f"{'chatcmpl' if kind == 'chat' else 'cmpl'}-{call.request_id}"
        created = int(time.time())
        if not streamed:
            head = {"id": response_id, "object": OBJECTS[kind], "created": created, "model": self.options.model}
            self.whole(work, lambda answer: self._whole_reply(kind, answer, head, len(ids), wants))
            return
        fmt = VllmStream(
            kind,
            work.answer,
            self.keep_alive(0.0, b": keep-alive\n\n"),
            response_id=response_id,
            model=self.options.model,
            created=created,
            prompt_ids=ids,
            fingerprint=FINGERPRINT,
            wants=wants,
        )
        self.stream(work, fmt)

    def _sampling(self, fields: Fields, prompt_tokens: int, limit: int | None) -> Sampling:
        context = self.profile.context
        if limit is not None and limit < 1:
            raise self._bad_value("max_tokens", limit, f"max_tokens must be at least 1, got {limit}.")
        if limit is not None and limit > context:
            raise self._bad_value(
                "max_tokens",
                limit,
                f"max_tokens={limit} cannot be greater than max_model_len={context}. "
                "Please request fewer output tokens.",
            )
        if prompt_tokens + (limit or 1) > context:
            raise self._bad_value("input_tokens", prompt_tokens, _overflow_text(prompt_tokens, limit or 1, context))
        temperature = fields.number("temperature")
        if temperature is not None and temperature < 0:
            raise self._bad_value("temperature", temperature, f"temperature must be non-negative, got {temperature}.")
        top_p = fields.number("top_p")
        if top_p is not None and not 0 < top_p <= 1:
            raise self._bad_value("top_p", top_p, f"top_p must be in (0, 1], got {top_p}.")
        max_tokens = limit if limit is not None else context - prompt_tokens
        min_tokens = fields.integer("min_tokens") or 0
        if not 0 <= min_tokens <= max_tokens:
            text = f"min_tokens must be between 0 and max_tokens={max_tokens}, got {min_tokens}."
            raise self._bad_value("min_tokens", min_tokens, text)
        return Sampling(
            max_tokens=max_tokens,
            min_tokens=min_tokens,
            natural=not fields.flag("ignore_eos"),
            seed=fields.integer("seed"),
            greedy=temperature == 0,
            stop=fields.strings("stop"),
        )

    def _stream_options(self, fields: Fields, kind: Kind) -> VllmStreamOptions:
        options = fields.fields("stream_options")
        include_usage = options.flag("include_usage")
        return VllmStreamOptions(
            include_usage=include_usage,
            continuous_usage=include_usage and options.flag("continuous_usage_stats"),
            token_ids=fields.flag("return_token_ids"),
            logprobs=kind == "chat" and fields.flag("logprobs"),
        )

    def _whole_reply(
        self, kind: Kind, answer: Answer, head: JsonObject, prompt_tokens: int, wants: VllmStreamOptions
    ) -> Reply:
        end = {"finish_reason": FINISH_REASONS[answer.ending], "stop_reason": answer.stop, "token_ids": None}
        logprobs = {"content": [token_logprob(piece) for piece in answer.pieces]} if wants.logprobs else None
        message = {
            "role": "assistant", "content": answer.text, "refusal": None, "annotations": None, "audio": None,
            "function_call": None, "reasoning": None,
        }  # fmt: skip
        choice: dict[str, object] = {"index": 0}
        choice |= {"message": message} if kind == "chat" else {"text": answer.text}
        choice |= {"logprobs": logprobs, **end}
        choice |= {"routed_experts": None} if kind == "chat" else {"prompt_logprobs": None, "prompt_token_ids": None}
        usage: dict[str, object] = {
            "prompt_tokens": prompt_tokens, "total_tokens": prompt_tokens + answer.tokens,
            "completion_tokens": answer.tokens, "prompt_tokens_details": None, "completion_tokens_details": None,
        }  # fmt: skip
        said: JsonObject = {"choices": [choice], "service_tier": None, "system_fingerprint": FINGERPRINT}
        body: JsonObject = {**head, **said, "usage": usage}
        nothing = ("prompt_logprobs", "prompt_token_ids", "prompt_text", "kv_transfer_params", "ec_transfer_params")
        body |= dict.fromkeys(nothing if kind == "chat" else nothing[3:])
        return json_reply(200, body | ({"metrics": None} if kind == "chat" else {}), SERVER)

    # -- refusals -----------------------------------------------------------------------------------------------

    def _fields(self, call: Call) -> Fields:
        """Parse the body; a wrong content type or broken JSON is a 400 in pydantic's words."""
        if call.request.content_type != "application/json":
            text = "Unsupported Media Type: Only 'application/json' is allowed"
            raise RefusedRequest(self.error_reply(400, f"['{text}']", kind="Bad Request"))
        try:
            return read_object(call.request.body)
        except orjson.JSONDecodeError as error:
            text = f"[{{'type': 'json_invalid', 'loc': ('body', {error.pos}), 'msg': 'JSON decode error'}}]"
            raise RefusedRequest(self.error_reply(400, text, kind="Bad Request")) from None

    def _bad_value(self, name: str, value: object, text: str) -> RefusedRequest:
        return RefusedRequest(self.error_reply(400, f"{text} (parameter={name}, value={value})", name))

    def _not_simulated(self, name: str) -> RefusedRequest:
        return RefusedRequest(self.error_reply(501, f"`{name}` in this form is not simulated.", name))

    def _check_model(self, fields: Fields) -> None:
        model = fields.text("model")
        if model is not None and model != self.options.model:
            text = f"The model `{model}` does not exist. Valid aliases: {self.options.model}."
            raise RefusedRequest(self.error_reply(404, text, "model"))

    def _check_supported(self, fields: Fields, kind: Kind) -> None:
        """Refuse what would be answered differently by the real engine and is not simulated."""
        if fields.values.get("n") not in (None, 1):
            raise self._not_simulated("n")
        if kind == "completion" and (fields.has("logprobs") or fields.flag("echo")):
            raise self._not_simulated("logprobs" if fields.has("logprobs") else "echo")
        if fields.integer("top_logprobs"):
            raise self._not_simulated("top_logprobs")
        if fields.fields("response_format").text("type") not in (None, "text"):
            raise self._not_simulated("response_format")


def _overflow_text(prompt_tokens: int, output_tokens: int, context: int) -> str:
    return (
        f"You passed {prompt_tokens} input tokens and requested {output_tokens} output tokens. However, the model's "
        f"context length is only {context} tokens, resulting in a maximum input length of {context - output_tokens} "
        "tokens. Please reduce the length of the input prompt."
    )
