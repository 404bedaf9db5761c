"""The routes of the page, and what they refuse. Text that a service sent leaves here as JSON and nothing else.

Whoever is on this machine can look on; only who has the page's own token, from the address that was printed, can start
a race. A Host that is not this server's own is refused (a foreign name can be made to point here), and so is whatever a
browser says comes from another site.
"""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from importlib.resources import files
from typing import Final

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_bench.visualization.web.shown import LONGEST_PROMPT
from inference_bench.visualization.web.stage import MOST_VIEWERS, Stage
from inference_bench.visualization.web.state import Reader

TOKEN_HEADER: Final = "x-race-token"
MOST_BODY: Final = 100_000  # bytes: a prompt of the greatest length, every character escaped as a pair
STILL_HERE_SECONDS: Final = 15.0
_ASSETS: Final = {
    "": ("page.html", "text/html"),
    "page.css": ("page.css", "text/css"),
    "page.js": ("page.js", "text/javascript"),
    "drawing.js": ("drawing.js", "text/javascript"),
    "icon.svg": ("icon.svg", "image/svg+xml"),
}
_HEADERS: Final = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


class _RefusedError(Exception):
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


def make_app(stage: Stage, *, port: int, token: str) -> Starlette:
    """Return the application for this stage, reached at this port of 127.0.0.1."""

    async def start(request: Request) -> Response:
        return await _started(stage, request, token)

    async def events(_request: Request) -> Response:
        return _Events(stage)

    async def failed(_request: Request, error: Exception) -> Response:
        stage.fail(error)
        return _no(500, "the program met an unexpected error and ends")

    async def refused(_request: Request, error: Exception) -> Response:
        assert isinstance(error, _RefusedError)
        return _no(error.status, error.why)

    routes = [
        *(_asset(path, name, kind) for path, (name, kind) in _ASSETS.items()),
        Route("/events", events, methods=["GET"]),
        Route("/start", start, methods=["POST"]),
    ]
    app = Starlette(routes=routes, exception_handlers={500: failed, _RefusedError: refused})
    app.router.redirect_slashes = False
    app.add_middleware(_OwnHostOnly, port=port)
    return app


def _asset(path: str, name: str, kind: str) -> Route:
    content = files("inference_bench.visualization.web").joinpath(name).read_bytes()

    async def asset(_request: Request) -> Response:
        return Response(content, media_type=kind)

    return Route(f"/{path}", asset, methods=["GET"])


def _no(status: int, why: str) -> JSONResponse:
    return JSONResponse({"error": why}, status_code=status)


class _OwnHostOnly:
    """Refuses a request to a name that is not this server's own, or from a page that is not; adds the headers."""

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = (f"127.0.0.1:{port}", f"localhost:{port}")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        why = self._foreign(Headers(scope=scope))
        if why is not None:
            await _no(*why)(scope, receive, with_headers)
            return
        await self._app(scope, receive, with_headers)

    def _foreign(self, headers: Headers) -> tuple[int, str] | None:
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 421, f"this server is {self._hosts[0]} and no other"
        if origins and origins != [f"http://{hosts[0].lower()}"]:
            return 403, "a page of another origin asks"
        # A link that is followed is harmless; a script's or a picture's request from elsewhere is not wanted.
        following = headers.get("sec-fetch-mode") == "navigate"
        if not following and headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
            return 403, "a page of another site asks"
        return None


# -- starting ------------------------------------------------------------------------------------------------------


async def _started(stage: Stage, request: Request, token: str) -> Response:
    given = request.headers.get(TOKEN_HEADER, "")
    if not hmac.compare_digest(given.encode(), token.encode()):
        raise _RefusedError(403, "only the page at the address that was printed can start a race")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise _RefusedError(415, "a race is started with JSON")
    prompt = _prompt(stage, _object(await _body(request)))
    if not stage.want(prompt):
        raise _RefusedError(409, "one race at a time: another one goes on")
    return JSONResponse({"started": True}, status_code=202)


async def _body(request: Request) -> bytes:
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MOST_BODY:
                raise _RefusedError(413, f"more than {MOST_BODY:,} bytes")
    except ClientDisconnect:
        raise _RefusedError(400, "the request was left unfinished") from None
    return bytes(body)


def _object(body: bytes) -> dict[str, object]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        raise _RefusedError(400, "this is no JSON") from None
    if not isinstance(value, dict) or len(value) != 1:
        raise _RefusedError(400, "a start is an object with `prompt`, `canned` or `play`")
    return value


def _prompt(stage: Stage, given: dict[str, object]) -> str:
    """Return the prompt that is asked for; empty where a recording is played."""
    canned = stage.shown.canned
    match given:
        case {"play": True} if stage.shown.played is not None:
            return ""
        case _ if stage.shown.played is not None:
            raise _RefusedError(400, "a recording is shown as it is: `play` is all there is to start")
        case {"canned": bool()}:
            pass
        case {"canned": int(number)} if 1 <= number <= len(canned):
            return canned[number - 1].prompt
        case {"prompt": str(text)}:
            return _own(text)
    raise _RefusedError(400, f"there is no such prompt: `canned` is 1 to {len(canned)}, or `prompt` is a text")


def _own(text: str) -> str:
    if not text.strip():
        raise _RefusedError(400, "the prompt is empty")
    if len(text) > LONGEST_PROMPT:
        raise _RefusedError(400, f"the prompt has {len(text):,} characters; {LONGEST_PROMPT:,} are the most")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _RefusedError(400, "the prompt is no text: it holds half a character") from None
    return text


# -- looking on ----------------------------------------------------------------------------------------------------


class _Events(StreamingResponse):
    """One viewer's stream of events, for as long as it looks on. A seat is taken with the first byte, not before."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        super().__init__((), media_type="text/event-stream")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        seat = self._stage.sit()
        if seat is None:
            await _no(503, f"{MOST_VIEWERS} viewers are the most, and all are here")(scope, receive, send)
            return
        self.body_iterator = self._told(seat.news)
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._stage.leave(seat)

    async def _told(self, news: asyncio.Event) -> AsyncIterator[bytes]:
        """Yield what is new each time something is. Whoever reads slowly is told less often, and then the newest."""
        reader = Reader(self._stage.shown)
        yield b"retry: 1000\n\n"
        while not self._stage.closed:
            try:
                await asyncio.wait_for(news.wait(), STILL_HERE_SECONDS)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            news.clear()
            yield _event("state", reader.message(self._stage.picture))
        yield _event("bye", {})


def _event(name: str, value: object) -> bytes:
    return f"event: {name}\ndata: {json.dumps(value, ensure_ascii=False, separators=(',', ':'))}\n\n".encode()
