"""The words of servers that refuse, before or inside a stream, read from every shape they are known to come in.

    {"error": {"message", "type", "code"}}        vLLM, OpenAI, llama.cpp, Ollama /v1, TGI /v1 (http_status_code)
    {"error": "text"[, "error_type": "kind"]}     Ollama, TGI native, vLLM's 401
    {"message", "type", "code"}                   older vLLM, gateways
    {"detail": "text" | [{"loc", "msg"}]}         FastAPI
    text/plain, HTML, nothing                     proxies, axum, TGI's 401

The body decides before the status does: TGI tells an overload inside a 200. Messages are data from outside: they are
bounded and carry no control characters.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import orjson

from inference_bench.api.protocols import ErrorClass, StreamError, StreamEvent

# What a server sends has no shape until it was looked at; everything read from it is checked where it is read.
JsonObject = dict[str, Any]

MESSAGE_LIMIT: Final = 300
_EXCERPT_LIMIT: Final = 120
_READ_LIMIT: Final = 4096
_PARSE_LIMIT: Final = 1024 * 1024
_SILENT: Final = "no message"
_OVERLOADED_KINDS: Final = frozenset(
    {"overloaded", "overloaded_error", "rate_limit_error", "rate_limit_exceeded", "too_many_requests"}
)
_OVERLOADED_WORDS: Final = ("model is overloaded", "server busy, please try again", "maximum pending requests exceeded")
_TITLE: Final = re.compile(r"<title[^<>]*>([^<]*)", re.IGNORECASE)
_TAG: Final = re.compile(r"<[^<>]*>")


class _Told(NamedTuple):
    message: str
    kind: str = ""
    code: int | None = None

    @property
    def overloaded(self) -> bool:
        return (
            self.code in (429, 503)
            or self.kind.lower() in _OVERLOADED_KINDS
            # Only at the start: a validation message may quote a prompt that speaks of overload.
            or self.message.lower().startswith(_OVERLOADED_WORDS)
        )


def clean(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """Return the text on one line, without control characters, at most `limit` characters long."""
    text = text[: 4 * limit]
    text = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def excerpt(body: bytes) -> str:
    """Return the beginning of a body that could not be read, for a message."""
    return clean(body[:_READ_LIMIT].decode("utf-8", "replace"), _EXCERPT_LIMIT)


def malformed(message: str) -> StreamEvent:
    """Return the event that says a server sent something its protocol does not know."""
    return StreamEvent(error=StreamError(ErrorClass.MALFORMED, clean(message)))


def told_error(chunk: JsonObject) -> StreamError | None:
    """Return the error that a JSON object inside a 200 answer tells, None when it tells none."""
    told = _told(chunk)
    if told is None:
        return None
    error_class = ErrorClass.OVERLOADED if told.overloaded else ErrorClass.STREAM_ERROR
    return StreamError(error_class, clean(told.message) or _SILENT)


def odd_chunk(chunk: JsonObject) -> StreamEvent:
    """Return the event for JSON that is not of the expected shape: an error in other words, or malformed."""
    error = told_error(chunk)
    if error is not None:
        return StreamEvent(error=error)
    return malformed(f"JSON of an unknown shape, with the keys {', '.join(map(str, list(chunk)[:8])) or '(none)'}")


def http_error(status: int, headers: Mapping[str, str], body: bytes) -> StreamError:
    """Classify an answer whose status is not 200 (see EngineClient.read_error)."""
    if 300 <= status < 400:
        target = headers.get("location", "").partition("?")[0]
        return StreamError(ErrorClass.MALFORMED, clean(f"HTTP {status}: redirected to {target or 'nowhere'}"))
    told = _told_by_body(headers, body)
    message = clean(f"HTTP {status}: {clean(told.message) or _SILENT}")
    if status in (429, 503) or (status >= 400 and told.overloaded):
        return StreamError(ErrorClass.OVERLOADED, message)
    if 400 <= status < 500:
        return StreamError(ErrorClass.HTTP_4XX, message)
    if status >= 500:
        return StreamError(ErrorClass.HTTP_5XX, message)
    return StreamError(ErrorClass.MALFORMED, message)


def _told_by_body(headers: Mapping[str, str], body: bytes) -> _Told:
    if len(body) <= _PARSE_LIMIT:
        try:
            told = _told(orjson.loads(body))
        except orjson.JSONDecodeError:
            told = None
        if told is not None:
            return told
    text = body[:_READ_LIMIT].decode("utf-8", "replace")
    if "html" in headers.get("content-type", "").lower() or text.lstrip()[:1] == "<":
        title = _TITLE.search(text)
        text = title.group(1) if title and title.group(1).strip() else _TAG.sub(" ", text)
    return _Told(text)


def _told(answer: object) -> _Told | None:
    """Find message, kind and code in any of the known shapes; None when the JSON tells no error."""
    if isinstance(answer, list) and answer:
        answer = answer[0]
    if not isinstance(answer, dict):
        return None
    inner = answer.get("error")
    if isinstance(inner, dict):
        message = inner.get("message") or inner.get("detail") or _compact(inner)
        return _Told(_text(message), _kind(inner), _code(inner))
    if inner:
        return _Told(_text(inner), str(answer.get("error_type") or "") or _kind(answer), _code(answer))
    detail = answer.get("detail")
    if detail:
        return _Told(_detail(detail), _kind(answer), _code(answer))
    message = answer.get("message")
    if isinstance(message, str) and message:
        return _Told(message, _kind(answer), _code(answer))
    return None


def _detail(detail: object) -> str:
    """FastAPI's validation errors name place and complaint; the input they echo is left out."""
    if not isinstance(detail, list):
        return _text(detail)
    found = [part for part in detail[:3] if isinstance(part, dict) and "msg" in part]
    if not found:
        return _compact(detail)
    places = [part.get("loc") for part in found]
    names = [".".join(map(str, place)) if isinstance(place, list) else str(place) for place in places]
    return "; ".join(f"{name}: {part['msg']}" for name, part in zip(names, found, strict=True))


def _text(value: object) -> str:
    return value if isinstance(value, str) else _compact(value)


def _compact(value: object) -> str:
    return orjson.dumps(value).decode("utf-8")


def _kind(answer: JsonObject) -> str:
    kind = answer.get("type") or answer.get("code")
    return kind if isinstance(kind, str) else ""


def _code(answer: JsonObject) -> int | None:
    for key in ("code", "http_status_code", "status"):
        code = answer.get(key)
        if isinstance(code, str) and len(code) == 3 and code.isdecimal():
            return int(code)
        if isinstance(code, int) and not isinstance(code, bool):
            return code
    return None
