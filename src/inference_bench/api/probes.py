"""Recognising the engine behind a URL, by asking it; unmeasured, and only what it tells.

The order matters, because some routes exist in several engines: /api/version (Ollama), /info (TGI), /version with
/v1/models (vLLM), /get_model_info (SGLang), /props (llama.cpp), /v1/models (anything of the OpenAI protocol). How
the answers are read lives in `identity`, how one GET is made in `probe_http`, what a recognised server is asked
further in `further_facts`.
"""

import dataclasses
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from inference_bench.api.identity import (
    Identity,
    read_llama_cpp,
    read_ollama,
    read_openai,
    read_sglang,
    read_tgi,
    read_vllm,
)
from inference_bench.api.probe_http import ProbeOutcome, Prober, Reply

_HEALTH_PATHS = {"ollama": "/api/version"}
_MODELS = "/v1/models"
# What a server writes into its Server header before it is ready to say more.
_SERVER_HEADERS = {"llama.cpp": "llama.cpp"}


@dataclass(frozen=True, slots=True)
class Recognition:
    """What came of asking a server who it is.

    Exactly one of `identity` and `problem` is set. `reply` is the answer that decided. `product_hint` names the
    software where only a header told it (a server that is still loading, or wants a key).
    """

    identity: Identity | None
    problem: str | None
    reply: Reply
    product_hint: str | None = None


class _NoAnswerError(Exception):
    """The server gave no HTTP answer at all; asking further routes would only take time."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.detail)
        self.reply = reply


class _Conversation:
    """Remembers what one server answered, so that no route is asked twice."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self.replies: dict[str, Reply] = {}

    async def ask(self, path: str) -> Reply:
        """GET a path once. Raises _NoAnswerError when the server cannot be talked to."""
        if path not in self.replies:
            reply = await self._prober.get(path)
            talked = any(earlier.answered for earlier in self.replies.values())
            if not reply.answered and (not talked or reply.outcome is ProbeOutcome.TIMEOUT):
                raise _NoAnswerError(reply)
            self.replies[path] = reply
        return self.replies[path]

    async def ask_also(self, path: str) -> Reply:
        """GET a path that only adds facts: its failure ends nothing."""
        if path not in self.replies:
            self.replies[path] = await self._prober.get(path)
        return self.replies[path]

    def told(self, *paths: str) -> tuple[str, ...]:
        """Say which of these paths answered with facts."""
        return tuple(f"GET {path}" for path in paths if self.replies[path].json_object() is not None)

    @property
    def simulated(self) -> bool:
        """Whether any answer said in its header that a simulator wrote it."""
        return any(reply.simulated_engine is not None for reply in self.replies.values())


async def recognise(prober: Prober) -> Recognition:
    """Ask a server who it is. Never raises for what the server does."""
    conversation = _Conversation(prober)
    steps: tuple[Callable[[_Conversation], Awaitable[Identity | None]], ...] = (
        _ask_ollama,
        _ask_tgi,
        _ask_vllm,
        _ask_sglang,
        _ask_llama_cpp,
        _ask_openai,
    )
    try:
        for step in steps:
            identity = await step(conversation)
            if identity is not None:
                return Recognition(_marked(identity, conversation), None, conversation.replies[_first_path(identity)])
    except _NoAnswerError as stop:
        return Recognition(None, stop.reply.detail, stop.reply)
    return _unrecognised(conversation)


async def ask_health(prober: Prober, engine: str) -> Reply:
    """Ask the route by which this engine says that it is well; 404 means it has none."""
    return await prober.get(_HEALTH_PATHS.get(engine, "/health"))


async def _ask_ollama(conversation: _Conversation) -> Identity | None:
    version = (await conversation.ask("/api/version")).json_object()
    if version is None:
        return None
    tags = (await conversation.ask("/api/tags")).json_object()
    if tags is None:
        return None
    running = (await conversation.ask_also("/api/ps")).json_object()
    identity = read_ollama(version, tags, running)
    return _proven(identity, conversation.told("/api/version", "/api/tags", "/api/ps"))


async def _ask_tgi(conversation: _Conversation) -> Identity | None:
    info = (await conversation.ask("/info")).json_object()
    return _proven(read_tgi(info), conversation.told("/info")) if info is not None else None


async def _ask_vllm(conversation: _Conversation) -> Identity | None:
    version = (await conversation.ask("/version")).json_object()
    listing = (await conversation.ask(_MODELS)).json_object()
    if listing is None:
        return None
    return _proven(read_vllm(listing, version), conversation.told("/version", _MODELS))


async def _ask_sglang(conversation: _Conversation) -> Identity | None:
    info = (await conversation.ask("/get_model_info")).json_object()
    if info is None:
        return None
    paths = ["/get_model_info", _MODELS, "/server_info"]
    server = (await conversation.ask_also("/server_info")).json_object()
    if server is None:
        paths.append("/get_server_info")
        server = (await conversation.ask_also("/get_server_info")).json_object()
    listing = conversation.replies[_MODELS].json_object()
    identity = read_sglang(info, listing, server, server_path=paths[-1])
    return _proven(identity, conversation.told(*paths))


async def _ask_llama_cpp(conversation: _Conversation) -> Identity | None:
    props = (await conversation.ask("/props")).json_object()
    if props is None:
        return None
    identity = read_llama_cpp(props, conversation.replies[_MODELS].json_object())
    return _proven(identity, conversation.told("/props", _MODELS))


async def _ask_openai(conversation: _Conversation) -> Identity | None:
    listing = conversation.replies[_MODELS].json_object()
    if listing is None:
        return None
    identity = read_openai(listing, conversation.replies["/version"].json_object())
    return _proven(identity, conversation.told(_MODELS, "/version"))


def _proven(identity: Identity | None, evidence: tuple[str, ...]) -> Identity | None:
    return None if identity is None else dataclasses.replace(identity, evidence=evidence)


def _marked(identity: Identity, conversation: _Conversation) -> Identity:
    """Mark a simulator, however it was reached: by its header, or by its version where a proxy dropped the header."""
    simulated = conversation.simulated or "simulat" in (identity.version or "").lower()
    return dataclasses.replace(identity, simulated=simulated)


def _first_path(identity: Identity) -> str:
    return identity.evidence[0].removeprefix("GET ")


def _unrecognised(conversation: _Conversation) -> Recognition:
    """Choose the answer that explains most why nothing was recognised."""
    replies = list(conversation.replies.values())
    product = next((_SERVER_HEADERS[reply.server] for reply in replies if reply.server in _SERVER_HEADERS), None)
    for outcome in (ProbeOutcome.UNAUTHORISED, ProbeOutcome.NOT_READY, ProbeOutcome.REDIRECT):
        for reply in replies:
            if reply.outcome is outcome:
                return Recognition(None, f"{reply.path}: {reply.detail}", reply, product)
    reply = conversation.replies[_MODELS]
    return Recognition(None, _what_came_instead(reply), reply, product)


def _what_came_instead(reply: Reply) -> str:
    if reply.is_web_page:
        return f"answers with a web page, not as an inference engine ({reply.path}: {reply.detail})"
    if reply.outcome is ProbeOutcome.OK:
        return f"answers {reply.path} with something that is no list of models"
    return f"lists no models ({reply.path}: {reply.detail})"
