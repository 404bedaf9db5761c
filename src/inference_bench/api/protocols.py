"""The vocabulary of asking: what is asked, what goes over the wire, what comes back.

Nothing here knows an engine, a socket or a clock. This module is imported by the measuring workers and therefore
imports the standard library only.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final, Literal, NamedTuple, Protocol

Role = Literal["system", "user", "assistant"]
TokenSource = Literal["usage", "tokenizer"]


class ErrorClass(StrEnum):
    """Why a measured request failed. Failed requests enter no latency metric and always the success rate."""

    CONNECT = "connect"
    DNS = "dns"
    TLS = "tls"
    RESET = "reset"
    TIMEOUT = "timeout"
    HTTP_4XX = "http_4xx"
    HTTP_5XX = "http_5xx"
    OVERLOADED = "overloaded"  # 429, 503, or the engine's own overload body
    STREAM_ERROR = "stream_error"  # an error event after a 200
    TRUNCATED = "truncated"  # no proper end of the stream
    MALFORMED = "malformed"
    EMPTY = "empty"  # ended well, without any text
    INTERRUPTED = "interrupted"  # Ctrl-C: outside the success rate


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One question to an engine, in no engine's language.

    `max_tokens` is the wanted output length; `exact_length` asks the engine for exactly that many tokens where its
    protocol can (vLLM's ignore_eos), and is an upper bound elsewhere. `seed` of None leaves sampling unseeded.
    `request_id` travels in the X-Request-Id header. `conversation`: more turns follow or went before, so that even a
    single message goes where the others go.
    """

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    exact_length: bool = True
    stream: bool = True
    request_id: str | None = None
    conversation: bool = False


@dataclass(frozen=True, slots=True)
class WireRequest:
    """The exact HTTP request a dialect makes of a ChatRequest.

    `path` starts with "/" and is relative to the service's base URL. `headers` are the dialect's own (content-type,
    accept, x-request-id); host, authorization and content-length are added by the transport. `dialect` names the
    registered dialect whose decoder reads the answer (a dialect may hand a conversation to its sibling route).
    """

    method: Literal["GET", "POST"]
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    dialect: str


class Usage(NamedTuple):
    """Token counts as the server told them; None where it did not."""

    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None


class StreamError(NamedTuple):
    """An error the server told, before or inside the stream."""

    error_class: ErrorClass
    message: str


class ServerTimes(NamedTuple):
    """What the server itself said of this request, in milliseconds; None where it did not."""

    ttft_ms: float | None = None
    queue_ms: float | None = None
    prefill_ms: float | None = None
    decode_ms: float | None = None
    total_ms: float | None = None
    load_ms: float | None = None


class StreamEvent(NamedTuple):
    """One event of an answer, decoded.

    `text` is generated answer text, `reasoning` generated thinking text; either may be empty. `tokens` is the number
    of tokens this event carries when the protocol tells it (TGI: 1; vLLM with continuous usage: the difference of
    two counts), None when it does not. `done` marks the protocol's own end of stream. An event with none of them set
    is a textless one (a role chunk) and is still an event: it moves no token mark.
    """

    text: str = ""
    reasoning: str = ""
    tokens: int | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    done: bool = False
    error: StreamError | None = None
    server_times: ServerTimes | None = None


# Makes a StreamEvent of a tuple with all its fields, for half the price of calling the class; paid per token of a run.
event_of: Final = partial(tuple.__new__, StreamEvent)


class TextRun(NamedTuple):
    """Events of consecutive pieces, one to a piece, that tell answer text (it may be empty), tokens and nothing else.

    `first_tokens` is the count of the first of them, `tokens` the count of each that follows; None where none is told.
    """

    texts: list[str]
    first_tokens: int | None
    tokens: int | None


class ResponseDecoder(Protocol):
    """Reads the body of one answer, piece by piece, in the order it arrived.

    Any split of the same bytes into pieces yields the same events. Malformed input yields an event whose `error` has
    the class MALFORMED; a decoder never raises on what a server sent.
    """

    def feed(self, data: bytes) -> Sequence[StreamEvent]:
        """Return the events completed by these bytes."""

    def finish(self) -> Sequence[StreamEvent]:
        """Say that the body has ended; return the events a missing final newline held back."""

    @property
    def ended(self) -> bool:
        """Whether the protocol's own end of stream was seen.

        That is [DONE], `done: true`, the details event, or the end of the body after a finish reason for servers
        that send none of these. Read it after `finish`.
        """


class EngineClient(Protocol):
    """One dialect: how one engine is asked and how its answers are read. Stateless; one instance serves all."""

    @property
    def name(self) -> str:
        """The registered name: `vllm`, `tgi-chat`, …"""

    @property
    def engine(self) -> str:
        """The engine it speaks to: `vllm`, `tgi`, `ollama`, `openai`."""

    @property
    def exact_length(self) -> bool:
        """Whether this protocol can ask for an exact output length."""

    def render(self, request: ChatRequest, model: str | None) -> WireRequest:
        """Make the HTTP request. `model` is the name the server knows, None where the protocol needs none."""

    def decoder(self, *, stream: bool = True) -> ResponseDecoder:
        """Return a fresh decoder for one 200 answer, streamed or whole."""

    def read_error(self, status: int, headers: Mapping[str, str], body: bytes) -> StreamError:
        """Classify an answer whose status is not 200. Header names are lower-case."""

    def notes(self, request: ChatRequest) -> Sequence[str]:
        """Say in plain words what this protocol cannot do of what was asked (for fairness notes)."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One service to be measured: a name, a dialect and where it listens.

    `headers` are extra headers by name; `api_key` is the secret itself and never leaves memory (repr hides it).
    """

    name: str
    dialect: str
    url: str
    model: str | None = None
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str | None = None
    insecure_skip_verify: bool = False
