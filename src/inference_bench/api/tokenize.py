"""Asking a server how many tokens a text has, by its own route /tokenize; unmeasured, before a run.

vLLM and SGLang take `prompt`, llama.cpp `content`, TGI `inputs`. Special tokens are not counted: vLLM and llama.cpp
are asked for none, TGI's are told apart by having no place in the text. Ollama has no such route.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

import orjson

from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget, Reply
from inference_bench.api.protocols import Endpoint
from inference_bench.errors import ConfigError

PATH: Final = "/tokenize"
_AT_ONCE = 8
_LIMITS = ProbeLimits(connect_seconds=5.0, total_seconds=60.0, body_bytes=256 << 20)
_PROBE = "Hello there"


@dataclass(frozen=True, slots=True)
class _Form:
    """One way to ask: the body of a question, and the number of tokens in its answer (None when it tells none)."""

    body: Callable[[str, str | None], Mapping[str, object]]
    read: Callable[[object], int | None]


def _ask_vllm(text: str, model: str | None) -> Mapping[str, object]:
    asked: dict[str, object] = {"prompt": text, "add_special_tokens": False}
    return asked if model is None else {"model": model, **asked}


def _read_tokens(answer: object) -> int | None:
    """Return the number of `tokens`; a `count` beside them must agree."""
    if not isinstance(answer, dict) or not isinstance(answer.get("tokens"), list):
        return None
    count = len(answer["tokens"])
    return count if answer.get("count", count) == count else None


def _read_spans(answer: object) -> int | None:
    """Return the number of spans that have a place in the text; special tokens begin and end at one place."""
    if not isinstance(answer, list):
        return None
    count = 0
    for span in answer:
        start, stop = (span.get("start"), span.get("stop")) if isinstance(span, dict) else (None, None)
        if type(start) is not int or type(stop) is not int:
            return None
        count += stop > start
    return count


_VLLM = _Form(_ask_vllm, _read_tokens)
_LLAMA_CPP = _Form(lambda text, _model: {"content": text, "add_special": False}, _read_tokens)
_TGI = _Form(lambda text, _model: {"inputs": text}, _read_spans)
_FORMS: Mapping[str, tuple[_Form, ...]] = {"vllm": (_VLLM,), "tgi": (_TGI,), "openai": (_VLLM, _LLAMA_CPP)}


class ServerTokenCounter:
    """Counts tokens by one server's /tokenize, a few texts at a time. Make one with `token_counter`."""

    def __init__(self, endpoint: Endpoint, form: _Form) -> None:
        self._endpoint = endpoint
        self._form = form
        self.source = f"/tokenize of {endpoint.name}"

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has. ConfigError when the server does not say for one of them."""
        found = _ask(self._endpoint, self._form, texts)
        return [one if isinstance(one, int) else self._refuse(one) for one in found]

    def _refuse(self, problem: str) -> int:
        raise ConfigError(
            f"{self._endpoint.name} did not count the tokens of a prompt: {problem}",
            key="workload.tokenizer",
            hint="give a tokenizer.json of the model as workload.tokenizer",
        )


def token_counter(endpoint: Endpoint, engine: str) -> tuple[ServerTokenCounter | None, str]:
    """Return what counts tokens by this server, and a sentence about it; None when it does not, and why.

    `engine` is the engine that the endpoint's dialect speaks to: vllm, tgi, openai, ….
    """
    forms = _FORMS.get(engine, ())
    if not forms:
        return None, f"{endpoint.name} has no route that counts tokens"
    problem = ""
    for form in forms:
        answer = _ask(endpoint, form, [_PROBE])[0]
        if isinstance(answer, int) and answer > 0:
            return ServerTokenCounter(endpoint, form), f"tokens are counted by the /tokenize of {endpoint.name}"
        problem = "it counted none" if isinstance(answer, int) else answer
    return None, f"{endpoint.name} does not count tokens: {problem}"


def first_counter(services: Sequence[tuple[Endpoint, str]]) -> tuple[ServerTokenCounter | None, str]:
    """Return the first of these (endpoint, engine) that counts tokens, and a sentence; None and why none does."""
    problems = []
    for endpoint, engine in services:
        counter, said = token_counter(endpoint, engine)
        if counter is not None:
            return counter, said
        problems.append(said)
    return None, "; ".join(problems) or "there is no service that could count tokens"


async def _count(endpoint: Endpoint, form: _Form, texts: Sequence[str]) -> list[int | str]:
    """Ask for each text; a text in place of a number says what went wrong. After the first failure no more is asked."""
    target = ProbeTarget(
        url=endpoint.url,
        api_key=endpoint.api_key,
        headers=endpoint.headers,
        ca_file=endpoint.ca_file,
        insecure_skip_verify=endpoint.insecure_skip_verify,
    )
    turns, failed = asyncio.Semaphore(_AT_ONCE), asyncio.Event()
    async with Prober(target, _LIMITS) as prober:

        async def one(text: str) -> int | str:
            async with turns:
                if failed.is_set():
                    return "an earlier question failed"
                answer = _read(form, await prober.post(PATH, form.body(text, endpoint.model)))
            if isinstance(answer, str):
                failed.set()
            return answer

        found = await asyncio.gather(*(one(text) for text in texts))
    # The failure itself goes first: it is the one that says something.
    return sorted(found, key=lambda answer: answer == "an earlier question failed") if failed.is_set() else found


def _read(form: _Form, reply: Reply) -> int | str:
    if reply.outcome is not ProbeOutcome.OK:
        return f"POST {PATH}: {reply.detail}"
    try:
        count = form.read(orjson.loads(reply.body))
    except orjson.JSONDecodeError:
        count = None
    return f"POST {PATH}: the answer tells no tokens" if count is None else count


def _ask(endpoint: Endpoint, form: _Form, texts: Sequence[str]) -> list[int | str]:
    """Count in a loop and a thread of its own, so that it does not matter whether the caller is inside a loop."""
    with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as pool:
        return pool.submit(lambda: asyncio.run(_count(endpoint, form, texts))).result()
