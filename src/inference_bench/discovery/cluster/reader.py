"""The API server, read with bounds: so many requests at once, so long, so large; every page of a list, no exception.

What a list lacks is said in its `Listing`; only a server that cannot be used at all raises, once, at the beginning.
"""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import orjson

from inference_bench.api.probe_http import clean_text
from inference_bench.api.telling import Json, mapping, text
from inference_bench.discovery.cluster.access import Cluster, ClusterUnavailableError

if TYPE_CHECKING:
    from aiohttp import ClientResponse, ClientWebSocketResponse

T = TypeVar("T")

MOST_REQUESTS_AT_ONCE = 8
PAGE = 500
_MOST_OBJECTS = 50_000
_MOST_BYTES = 64 << 20
_CONNECT_SECONDS = 3.0
_FIRST_SECONDS = 6.0  # the first answer: whether anybody is there
_PAGE_SECONDS = 10.0
_LIST_SECONDS = 30.0
_TRIES = 3
_FIRST_WAIT_SECONDS, _MOST_WAIT_SECONDS = 0.2, 5.0
_CLOSED = {
    "ServerDisconnectedError": "the connection was closed before an answer",
    "ClientPayloadError": "the answer broke off",
}
_TRANSIENT = (429, 500, 502, 503, 504)
_FORBIDDEN, _GONE, _UNAUTHORISED, _NOT_FOUND = 403, 410, 401, 404


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of object: its plural, its API group ("" is the core) and the versions known here, the preferred first."""

    plural: str
    group: str = ""
    versions: tuple[str, ...] = ("v1",)

    def path(self, version: str, namespace: str | None) -> str:
        """Return the path of its list."""
        root = f"/apis/{self.group}/{version}" if self.group else f"/api/{version}"
        return f"{root}/namespaces/{namespace}/{self.plural}" if namespace is not None else f"{root}/{self.plural}"


@dataclass(slots=True)
class Listing(Generic[T]):
    """What a list gave. `problem` says in words why it is not all of it; `status` is the HTTP status that ended it."""

    items: list[T] = field(default_factory=list)
    problem: str | None = None
    status: int | None = None
    version: str = ""  # the resourceVersion to watch from

    @property
    def absent(self) -> bool:
        """Whether the cluster does not have this kind at all."""
        return self.status == _NOT_FOUND


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: Json | None
    problem: str | None = None
    again_seconds: float = 0.0  # how long the server asks to be left alone


class ClusterReader:
    """Reads one cluster; at most MOST_REQUESTS_AT_ONCE requests are under way at any time."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._turn = asyncio.Semaphore(MOST_REQUESTS_AT_ONCE)
        self._rng = random.Random()

    async def api_groups(self) -> dict[str, tuple[str, ...]] | None:
        """Return the versions of each API group, None where that may not be asked.

        The first question: it tells a server that is there, and takes the credentials, from one that cannot be used.
        Raises ClusterUnavailableError.
        """
        answer = await self._get("/apis", {}, _FIRST_SECONDS, must_answer=True)
        if 300 <= answer.status < 400:
            raise ClusterUnavailableError(
                f"the cluster at {self.cluster.server} sends on to another address ({answer.problem})",
                hint="credentials go to no other server than the kubeconfig's: is it the API server's own address?",
            )
        if answer.status == _UNAUTHORISED:
            raise ClusterUnavailableError(
                f"the cluster at {self.cluster.server} refuses the credentials (401): has the token expired?",
                hint="log in again (oc login, or whatever made the kubeconfig), and try again",
            )
        if answer.body is None:
            return None
        groups: dict[str, tuple[str, ...]] = {}
        for group in _objects(answer.body, "groups"):
            name = text(group, "name")
            versions = [text(version, "version") for version in _objects(group, "versions")]
            if name is not None:
                groups[name] = tuple(version for version in versions if version is not None)
        return groups

    async def list(
        self,
        resource: Resource,
        version: str,
        namespace: str | None,
        read: Callable[[Json], T | None],
        *,
        seconds: float | None = None,
    ) -> Listing[T]:
        """Return all objects of a list, each read as soon as its page is here, so that no page is kept.

        An object that `read` finds nothing in is left out. Never raises for what the server does. `seconds` bounds all
        of it (None: _LIST_SECONDS).
        """
        listing: Listing[T] = Listing()
        bound = _LIST_SECONDS if seconds is None else seconds
        try:
            async with asyncio.timeout(bound):
                await self._fill(listing, resource.path(version, namespace), read)
        except TimeoutError:
            listing.problem = f"took longer than {bound:g} s"
        return listing

    async def _fill(self, listing: Listing[T], path: str, read: Callable[[Json], T | None]) -> None:
        following: str | None = None
        restarted = False
        while True:
            query = {"limit": str(PAGE)} | ({"continue": following} if following is not None else {})
            answer = await self._get(path, query, _PAGE_SECONDS)
            if answer.status == _GONE and following is not None and not restarted:
                # The server has forgotten where the list stood: once more from the beginning.
                listing.items.clear()
                following, restarted = None, True
                continue
            if answer.body is None:
                listing.problem, listing.status = answer.problem, answer.status
                return
            metadata = mapping(answer.body, "metadata")
            listing.version = str(metadata.get("resourceVersion") or "")
            items = answer.body.get("items")
            if items is not None and not isinstance(items, list):
                listing.problem = "answered with something that is no list"
            for item in items if isinstance(items, list) else ():
                found = read(item) if isinstance(item, dict) else None
                if found is not None:
                    listing.items.append(found)
            token = metadata.get("continue")
            if not (isinstance(token, str) and token):
                return
            if token == following or len(listing.items) >= _MOST_OBJECTS:
                listing.problem = f"only the first {len(listing.items):,} were read"
                return
            following = token

    async def changed(self, resource: Resource, namespace: str | None, since: str) -> None:
        """Return at the first change in a list after the version `since`, or when that can no longer be told.

        A server that does not let watch is waited for and not asked again: the caller has a clock of its own. So it is
        without a version, where a watch begins with everything that is there.
        """
        query = {"watch": "true", "resourceVersion": since, "allowWatchBookmarks": "false"}
        if since:
            with suppress(*_failures()):
                async with self._request(resource.path("v1", namespace), query, seconds=None) as response:
                    if response.status == 200:
                        await response.content.readany()
                    if response.status in (200, _GONE):
                        return
        await asyncio.Event().wait()

    @asynccontextmanager
    async def websocket(self, path: str, protocol: str) -> AsyncIterator["ClientWebSocketResponse"]:
        """Open a WebSocket of the API server. Raises what the library raises."""
        headers = await self._headers()
        session = self.cluster.client.rest_client.pool_manager
        async with session.ws_connect(
            self.cluster.server + path, headers=headers, protocols=(protocol,), max_msg_size=0, **self._connecting()
        ) as socket:
            yield socket

    async def _get(self, path: str, query: dict[str, str], seconds: float, *, must_answer: bool = False) -> _Answer:
        """Ask until there is an answer worth keeping; waits between tries double and are jittered."""
        answer = _Answer(0, None, "was not asked")
        for number in range(1 if must_answer else _TRIES):
            if number:
                pause = max(_FIRST_WAIT_SECONDS * 2**number, answer.again_seconds)
                await asyncio.sleep(pause * self._rng.uniform(1.0, 1.5))
            answer = await self._ask(path, query, seconds, must_answer=must_answer)
            if answer.status not in _TRANSIENT and answer.status:
                break
        return answer

    async def _ask(self, path: str, query: dict[str, str], seconds: float, *, must_answer: bool) -> _Answer:
        async with self._turn:
            try:
                async with self._request(path, query, seconds=seconds) as response:
                    return await _read(response)
            except _failures() as error:
                problem = _problem(error, seconds)
                if must_answer:
                    raise ClusterUnavailableError(
                        f"the cluster at {self.cluster.server} cannot be reached: {problem}",
                        hint="is it up, and is the network (VPN, proxy) that leads to it? --context chooses another",
                    ) from error
                return _Answer(0, None, problem)

    @asynccontextmanager
    async def _request(
        self, path: str, query: dict[str, str], *, seconds: float | None
    ) -> AsyncIterator["ClientResponse"]:
        import aiohttp  # noqa: PLC0415 - with the library

        response = await self.cluster.client.rest_client.pool_manager.get(
            self.cluster.server + path,
            params=query,
            headers={**await self._headers(), "Accept": "application/json"},
            timeout=aiohttp.ClientTimeout(total=seconds, sock_connect=_CONNECT_SECONDS),
            allow_redirects=False,  # credentials go where the kubeconfig says, and nowhere else
            **self._connecting(),
        )
        try:
            yield response
        finally:
            response.close()

    def _connecting(self) -> dict[str, Any]:
        """Return what the kubeconfig says of the connection: a proxy, another name in the server's certificate."""
        configuration = self.cluster.client.configuration
        given = {
            "proxy": configuration.proxy,
            "proxy_headers": configuration.proxy_headers,
            "server_hostname": configuration.tls_server_name,
        }
        return {name: value for name, value in given.items() if value}

    async def _headers(self) -> dict[str, str]:
        headers: dict[str, str] = {}
        await self.cluster.client.update_params_for_auth(headers, [], ["BearerToken"])
        return headers


async def _read(response: "ClientResponse") -> _Answer:
    body = await _bounded(response)
    if body is None:
        return _Answer(response.status, None, f"answered with more than {_MOST_BYTES >> 20} MiB")
    try:
        parsed = orjson.loads(body)
    except ValueError:
        parsed = None
    if response.status != 200:
        told = text(parsed, "message") if isinstance(parsed, dict) else None
        reason = clean_text(told or response.reason or "", 200)
        return _Answer(response.status, None, f"{response.status} {reason}".strip(), _asked_to_wait(response))
    if not isinstance(parsed, dict):
        return _Answer(response.status, None, "answered with something that is not JSON")
    return _Answer(response.status, parsed)


def _asked_to_wait(response: "ClientResponse") -> float:
    """Return the seconds of Retry-After, which comes with 429 from a busy API server; no more than a little."""
    told = response.headers.get("Retry-After", "")
    return min(float(told), _MOST_WAIT_SECONDS) if told.isascii() and told.isdigit() else 0.0


async def _bounded(response: "ClientResponse") -> bytes | None:
    parts, size = [], 0
    async for part in response.content.iter_any():
        size += len(part)
        if size > _MOST_BYTES:
            return None
        parts.append(part)
    return b"".join(parts)


def _failures() -> tuple[type[Exception], ...]:
    """Return what a request can raise."""
    import aiohttp  # noqa: PLC0415 - with the library
    from kubernetes_asyncio.config import ConfigException  # noqa: PLC0415

    return (OSError, ValueError, TimeoutError, aiohttp.ClientError, ConfigException)


def _problem(error: BaseException, seconds: float) -> str:
    """Say what kept an answer from coming; never the library's own words where they could repeat a header."""
    if isinstance(error, TimeoutError):
        connecting = "connect" in type(error).__name__.lower() or "connect" in str(error).lower()
        return f"no connection within {_CONNECT_SECONDS:g} s" if connecting else f"no answer within {seconds:g} s"
    cause: BaseException | None = error
    while cause is not None:
        certificate = getattr(cause, "certificate_error", None)
        if isinstance(certificate, ssl.SSLCertVerificationError):
            return f"its certificate is not trusted: {certificate.verify_message}"
        inner = getattr(cause, "os_error", cause)
        if isinstance(inner, ssl.SSLError):
            return f"no TLS connection: {(inner.reason or 'handshake failed').replace('_', ' ').lower()}"
        if isinstance(inner, OSError) and inner.strerror:
            return _plain(inner)
        cause = cause.__cause__
    return _plain(error)


def _plain(error: BaseException) -> str:
    if isinstance(error, ConnectionRefusedError):
        return "nothing listens there (connection refused)"
    closed = _CLOSED.get(type(error).__name__)
    if closed is not None:
        return closed
    reason = getattr(error, "strerror", None)
    return clean_text(reason if isinstance(reason, str) and reason else type(error).__name__, 200)


def _objects(source: Json, key: str) -> Sequence[Json]:
    value = source.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else ()
