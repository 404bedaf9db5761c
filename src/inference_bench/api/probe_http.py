"""One unmeasured question, nearly always a GET, and what came of it: a `Reply` for every ending, never an exception.

Used to recognise engines and to ask for their health, never inside a measurement. Nothing here knows an engine's
JSON. Every answer is bounded in size and time, no redirect is followed (the measured requests follow none either)
and no proxy of the environment is used.
"""

import asyncio
import contextlib
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

import httpx
import orjson

from inference_bench import __version__
from inference_bench.api.reading import SIMULATED_HEADER
from inference_bench.api.tls import client_context
from inference_bench.errors import ConfigError

_TEXT_LIMIT = 200


class ProbeOutcome(StrEnum):
    """How one GET ended."""

    OK = "ok"  # 2xx
    UNAUTHORISED = "unauthorised"  # 401, 403
    NOT_FOUND = "not_found"  # 404, 405, 410
    NOT_READY = "not_ready"  # 429, 503
    REDIRECT = "redirect"  # any 3xx
    HTTP_ERROR = "http_error"  # any other status
    TOO_LARGE = "too_large"
    MALFORMED = "malformed"  # what came back is not HTTP
    RESET = "reset"
    DNS = "dns"
    TLS = "tls"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    UNREACHABLE = "unreachable"  # no route, network down, address not usable


_STATUS_OUTCOMES = {
    401: ProbeOutcome.UNAUTHORISED,
    403: ProbeOutcome.UNAUTHORISED,
    404: ProbeOutcome.NOT_FOUND,
    405: ProbeOutcome.NOT_FOUND,
    410: ProbeOutcome.NOT_FOUND,
    429: ProbeOutcome.NOT_READY,
    503: ProbeOutcome.NOT_READY,
}


@dataclass(frozen=True, slots=True)
class ProbeTarget:
    """What is probed. `headers` and `api_key` may hold secrets: repr hides them."""

    url: str
    api_key: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    ca_file: str | None = None
    insecure_skip_verify: bool = False


@dataclass(frozen=True, slots=True)
class ProbeLimits:
    """Bounds of one GET: seconds to connect, seconds for the whole answer, bytes of its body."""

    connect_seconds: float = 2.0
    total_seconds: float = 4.0
    body_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Reply:
    """How one GET ended. `detail` is one line for people; `elapsed_ms` is None where nothing came back."""

    path: str
    outcome: ProbeOutcome
    detail: str
    status: int | None = None
    content_type: str = ""
    server: str | None = None
    simulated_engine: str | None = None
    body: bytes = field(default=b"", repr=False)
    elapsed_ms: float | None = None

    @property
    def answered(self) -> bool:
        """Whether an HTTP answer came back, whatever its status."""
        return self.status is not None

    @property
    def is_web_page(self) -> bool:
        """Whether the body is meant for a browser."""
        return self.content_type == "text/html" or self.body[:64].lstrip().lower().startswith((b"<!doctype", b"<html"))

    def json_object(self) -> Mapping[str, object] | None:
        """Return the body of a 2xx answer when it is a JSON object, else None."""
        if self.outcome is not ProbeOutcome.OK:
            return None
        try:
            value = orjson.loads(self.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None


class Prober:
    """Asks one server. Use it as an async context manager; one prober serves all the paths of one server.

    Raises ConfigError on construction when the certificate file cannot be read.
    """

    def __init__(self, target: ProbeTarget, limits: ProbeLimits | None = None) -> None:
        self.target = target
        self.limits = limits or ProbeLimits()
        parts = urlsplit(target.url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._client = httpx.AsyncClient(
            verify=_tls_context(target, tls=parts.scheme == "https"),
            trust_env=False,
            follow_redirects=False,
            headers=_headers(target),
            timeout=httpx.Timeout(self.limits.total_seconds, connect=self.limits.connect_seconds),
        )
        self._name_known = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Reply:
        """GET `path` (relative to the target's URL) and say how it ended."""
        return await self._ask("GET", path, None)

    async def post(self, path: str, body: Mapping[str, object]) -> Reply:
        """POST a question that changes nothing, as JSON, for the engines that tell some facts only so."""
        return await self._ask("POST", path, orjson.dumps(body))

    async def _ask(self, method: str, path: str, body: bytes | None) -> Reply:
        if not self._name_known:
            problem = await _name_problem(self._host, self._port, self.limits.connect_seconds)
            if problem is not None:
                return Reply(path, ProbeOutcome.DNS, problem)
            self._name_known = True
        started = time.monotonic_ns()
        try:
            async with asyncio.timeout(self.limits.total_seconds):
                return await self._exchange(method, path, body, started)
        except TimeoutError:
            return Reply(path, ProbeOutcome.TIMEOUT, f"no complete answer within {self.limits.total_seconds:g} s")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            outcome, detail = _failure(error, self._host, self._port, self.limits)
            return Reply(path, outcome, detail)

    async def _exchange(self, method: str, path: str, question: bytes | None, started: int) -> Reply:
        headers = None if question is None else {"content-type": "application/json"}
        asking = self._client.stream(method, self.target.url + path, content=question, headers=headers)
        async with asking as response:
            body = bytearray()
            # Raw bytes: a compressed body (we ask for none) must not grow past the bound while being unpacked.
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > self.limits.body_bytes:
                    break
            elapsed_ms = (time.monotonic_ns() - started) / 1e6
            outcome, detail = _verdict(response, len(body) > self.limits.body_bytes, self.limits)
            return Reply(
                path=path,
                outcome=outcome,
                detail=detail,
                status=response.status_code,
                content_type=response.headers.get("content-type", "").partition(";")[0].strip().lower(),
                server=clean_text(response.headers.get("server", "")) or None,
                simulated_engine=clean_text(response.headers.get(SIMULATED_HEADER, "")) or None,
                body=bytes(body[: self.limits.body_bytes]),
                elapsed_ms=elapsed_ms,
            )


def clean_text(value: str, limit: int = _TEXT_LIMIT) -> str:
    """Return a server's text fit for one line of a screen or file: no control or invisible characters, bounded."""
    shown = "".join(letter if letter.isprintable() else " " for letter in value[: limit * 4])
    words = " ".join(shown.split())
    return words if len(words) <= limit else words[: limit - 1] + "…"


def _verdict(response: httpx.Response, too_large: bool, limits: ProbeLimits) -> tuple[ProbeOutcome, str]:
    status = response.status_code
    phrase = f"HTTP {status}" + (f" {clean_text(response.reason_phrase, 40)}" if response.reason_phrase else "")
    if 300 <= status < 400:
        location = clean_text(response.headers.get("location", "")) or "nowhere"
        return ProbeOutcome.REDIRECT, f"redirects to {location} ({phrase}); redirects are not followed"
    if too_large:
        return ProbeOutcome.TOO_LARGE, f"the answer is larger than {limits.body_bytes:,} bytes"
    if 200 <= status < 300:
        return ProbeOutcome.OK, phrase
    return _STATUS_OUTCOMES.get(status, ProbeOutcome.HTTP_ERROR), phrase


def _place(host: str, port: int) -> str:
    """Return host and port as a URL writes them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _failure(error: Exception, host: str, port: int, limits: ProbeLimits) -> tuple[ProbeOutcome, str]:
    """Classify what httpx raised. Its own text is not shown where it could repeat a header's value."""
    where = _place(host, port)
    if isinstance(error, httpx.ConnectTimeout):
        return ProbeOutcome.TIMEOUT, f"no connection to {where} within {limits.connect_seconds:g} s"
    if isinstance(error, httpx.TimeoutException):
        return ProbeOutcome.TIMEOUT, f"no complete answer within {limits.total_seconds:g} s"
    if isinstance(error, httpx.RemoteProtocolError):
        if "disconnected" in str(error) or "peer closed" in str(error):
            return ProbeOutcome.RESET, f"{where} closed the connection without a whole answer"
        return ProbeOutcome.MALFORMED, f"{where} does not answer in proper HTTP: {clean_text(str(error), 120)}"
    return _connection_failure(error, host, port)


def _connection_failure(error: Exception, host: str, port: int) -> tuple[ProbeOutcome, str]:
    where, causes = _place(host, port), list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLError):
            return ProbeOutcome.TLS, _tls_problem(cause, where)
        if isinstance(cause, socket.gaierror):
            return ProbeOutcome.DNS, f"cannot resolve {host}: {cause.strerror}"
    if any(isinstance(cause, ConnectionRefusedError) for cause in causes):
        return ProbeOutcome.REFUSED, f"nothing listens at {where} (connection refused)"
    if isinstance(error, httpx.ReadError | httpx.WriteError):
        return ProbeOutcome.RESET, f"{where} closed the connection without a whole answer"
    reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
    return ProbeOutcome.UNREACHABLE, f"cannot reach {where}: {reasons[-1] if reasons else type(error).__name__}"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything it came from; several tried addresses arrive as a group."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _causes(inner)
    origin = error.__cause__ or error.__context__
    if origin is not None:
        yield from _causes(origin)


def _tls_problem(error: ssl.SSLError, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the certificate of {where} is not trusted: {error.verify_message}"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return f"{where} does not speak TLS; is it http:// instead of https://?"
    reason = (error.reason or "handshake failed").replace("_", " ").lower()
    return f"no TLS connection to {where}: {reason}"


def _tls_context(target: ProbeTarget, *, tls: bool) -> ssl.SSLContext:
    if not tls:
        # Never used for a handshake; spares the loading of the whole trust store.
        return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        return client_context(target.ca_file, insecure_skip_verify=target.insecure_skip_verify)
    except OSError as error:
        raise ConfigError(
            f"cannot read the certificate file {target.ca_file}: {error.strerror or error}",
            key="ca_file",
            hint="give a readable file of PEM certificates",
        ) from error


def _headers(target: ProbeTarget) -> list[tuple[bytes, bytes]]:
    pairs = [
        ("user-agent", f"vllm-benchmark/{__version__}"),
        ("accept", "application/json"),
        ("accept-encoding", "identity"),
    ]
    if target.api_key is not None:
        pairs.append(("authorization", f"Bearer {target.api_key}"))
    pairs.extend(target.headers)
    return [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in pairs]


async def _name_problem(host: str, port: int, timeout_seconds: float) -> str | None:
    """Say why `host` does not resolve, None when it does.

    The look-up runs in a daemon thread: a name server that never answers must hold up neither the caller nor the
    end of the program, and getaddrinfo cannot be interrupted.
    """
    with contextlib.suppress(ValueError):
        ipaddress.ip_address(host)
        return None
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[str | None] = loop.create_future()

    def settle(problem: str | None) -> None:
        if not answer.done():
            answer.set_result(problem)

    def work() -> None:
        problem = _look_up(host, port)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, problem)

    threading.Thread(target=work, name=f"resolve {host}", daemon=True).start()
    try:
        return await asyncio.wait_for(answer, timeout_seconds)
    except TimeoutError:
        return f"cannot resolve {host}: no answer from the name server within {timeout_seconds:g} s"


def _look_up(host: str, port: int) -> str | None:
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError:
        return f"cannot resolve {host}: not a valid host name"
    except OSError as error:
        return f"cannot resolve {host}: {error.strerror or error}"
    return None
