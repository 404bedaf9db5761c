"""A small Kubernetes API server for tests: real HTTP(S) on loopback, over objects of the tests' own, with faults.

Serves lists (cluster-wide and by namespace, in pages), watches, the groups, and port-forwards over WebSocket.
"""

import asyncio
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiohttp import WSMsgType, web

Object = dict[str, Any]
PLURALS = {
    "Service": "services", "Pod": "pods", "Node": "nodes", "Namespace": "namespaces", "Deployment": "deployments",
    "StatefulSet": "statefulsets", "Ingress": "ingresses", "Route": "routes", "HTTPRoute": "httproutes",
    "Gateway": "gateways", "InferenceService": "inferenceservices", "LLMInferenceService": "llminferenceservices",
    "InferencePool": "inferencepools", "Project": "projects", "ReplicaSet": "replicasets",
}  # fmt: skip
_CLUSTER_WIDE = ("nodes", "namespaces", "projects")
_CORE = "v1"
_ALWAYS = {"apps/v1": ("deployments", "statefulsets"), "networking.k8s.io/v1": ("ingresses",)}


@dataclass
class Faults:
    """What the server does wrong. Keys are plurals (`routes`), or `plural@namespace` for one namespace's list."""

    status: dict[str, int] = field(default_factory=dict)
    body: dict[str, bytes] = field(default_factory=dict)
    delay_seconds: dict[str, float] = field(default_factory=dict)
    gone: Counter[str] = field(default_factory=Counter)  # so many continued pages answer 410
    first: dict[str, list[int]] = field(default_factory=dict)  # statuses of the first requests, in turn
    cluster_wide: int | None = None  # the status of every cluster-wide list
    groups: int | None = None  # the status of /apis


@dataclass
class KubernetesApi:
    """The server. `token` is what it asks for (None: nothing), `client_ca` whose client certificates it asks for."""

    objects: list[Object] = field(default_factory=list)
    token: str | None = None
    certificate: tuple[Path, Path] | None = None  # certificate and key, PEM: serves HTTPS
    client_ca: Path | None = None
    page: int = 500
    faults: Faults = field(default_factory=Faults)
    hold_seconds: float = 0.0  # every list takes this long: to see how many run at once
    forwards: Mapping[tuple[str, str, int], int] = field(default_factory=dict)  # (namespace, pod, port): local port
    requests: list[str] = field(default_factory=list)
    peak: int = 0
    forwarding: int = 0
    port: int = 0

    def __post_init__(self) -> None:
        """Prepare what the thread of the server needs."""
        self._running = 0
        self._ready = threading.Event()
        self._changed: list[asyncio.Queue[Object]] = []

    @property
    def url(self) -> str:
        """Return the address of the server."""
        return f"{'https' if self.certificate else 'http'}://127.0.0.1:{self.port}"

    @property
    def watchers(self) -> int:
        """Return how many watches would hear of a change now."""
        return len(self._changed)

    def add(self, *objects: Object) -> None:
        """Add objects, and tell the watchers."""
        self.objects.extend(objects)
        for one in objects:
            self._tell("ADDED", one)

    def replace(self, kind: str, name: str, change: Callable[[Object], None]) -> None:
        """Change an object in place, and tell the watchers."""
        for one in self.objects:
            if one.get("kind") == kind and one["metadata"]["name"] == name:
                change(one)
                self._tell("MODIFIED", one)

    def __enter__(self) -> "KubernetesApi":
        """Start the server in a thread of its own."""
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        assert self._ready.wait(10), "the API server of the tests did not start"
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/apis", self._groups)
        app.router.add_get("/{path:.*}", self._any)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self._tls())
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._stop.wait()
        await runner.cleanup()

    def _tls(self) -> ssl.SSLContext | None:
        if self.certificate is None:
            return None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*self.certificate)
        if self.client_ca is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.client_ca)
        return context

    def _refusal(self, request: web.Request) -> web.Response | None:
        if self.token is not None and request.headers.get("Authorization") != f"Bearer {self.token}":
            return _status(401, "Unauthorized")
        return None

    async def _groups(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        if "apis" in self.faults.delay_seconds:
            await asyncio.sleep(self.faults.delay_seconds["apis"])
        if "apis" in self.faults.body:
            return web.Response(body=self.faults.body["apis"], content_type="application/json")
        if self.faults.groups is not None:
            return _status(self.faults.groups, "not here")
        versions = {one.get("apiVersion", "") for one in self.objects if "/" in one.get("apiVersion", "")}
        groups: dict[str, list[str]] = {}
        for group_version in sorted(versions | set(_ALWAYS)):
            groups.setdefault(group_version.partition("/")[0], []).append(group_version)
        listed = [
            {
                "name": name,
                "versions": [{"groupVersion": one, "version": one.partition("/")[2]} for one in served],
                "preferredVersion": {"groupVersion": served[-1], "version": served[-1].partition("/")[2]},
            }
            for name, served in groups.items()
        ]
        return web.json_response({"kind": "APIGroupList", "apiVersion": "v1", "groups": listed})

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        refusal = self._refusal(request)
        if refusal is not None:
            return refusal
        parts = request.path.strip("/").split("/")
        if parts[-1:] == ["portforward"]:
            if "portforward" in self.faults.status:
                return _status(self.faults.status["portforward"], "pods is forbidden: cannot get pods/portforward")
            return await self._forward(request, parts[3], parts[5])
        if parts[0] == "api":
            group_version, rest = parts[1], parts[2:]
        else:
            group_version, rest = "/".join(parts[1:3]), parts[3:]
        namespace = None
        if rest[:1] == ["namespaces"] and len(rest) == 3:
            namespace, rest = rest[1], rest[2:]
        if len(rest) != 1:
            return _status(404, "the server could not find the requested resource")
        if request.query.get("watch") == "true":
            return await self._watch(request, group_version, rest[0], namespace)
        self._running += 1
        self.peak = max(self.peak, self._running)
        try:
            return await self._list(request, group_version, rest[0], namespace)
        finally:
            self._running -= 1

    async def _list(  # noqa: PLR0911 - one return for each fault
        self, request: web.Request, group_version: str, plural: str, namespace: str | None
    ) -> web.StreamResponse:
        keys = (f"{plural}@{namespace}", plural)
        faults = self.faults
        delay = next((faults.delay_seconds[key] for key in keys if key in faults.delay_seconds), self.hold_seconds)
        if delay:
            await asyncio.sleep(delay)
        for key in keys:
            if faults.first.get(key):
                return _status(faults.first[key].pop(0), "try again")
            if key in faults.status:
                return _status(
                    faults.status[key], f'{plural} is forbidden: User "test" cannot list resource "{plural}"'
                )
            if key in faults.body:
                return web.Response(body=faults.body[key], content_type="application/json")
        if namespace is None and faults.cluster_wide is not None and plural != "projects":
            return _status(faults.cluster_wide, f"{plural} is forbidden: cannot list at the cluster scope")
        chosen = self._chosen(group_version, plural, namespace)
        if chosen is None:
            return _status(404, "the server could not find the requested resource")
        start = int(request.query.get("continue") or 0)
        if start and faults.gone[plural]:
            faults.gone[plural] -= 1
            return _status(410, "The provided continue parameter is too old")
        limit = min(int(request.query.get("limit") or self.page), self.page)
        metadata: Object = {"resourceVersion": "1000"}
        if start + limit < len(chosen):
            metadata |= {"continue": str(start + limit), "remainingItemCount": len(chosen) - start - limit}
        items = [{key: value for key, value in one.items() if key not in ("apiVersion", "kind")} for one in chosen]
        kind = next((kind for kind, name in PLURALS.items() if name == plural), "Object")
        return web.json_response(
            {
                "kind": f"{kind}List",
                "apiVersion": group_version,
                "metadata": metadata,
                "items": items[start : start + limit],
            }
        )

    def _chosen(self, group_version: str, plural: str, namespace: str | None) -> list[Object] | None:
        """Return the objects of a list, None for a kind that this server does not have."""
        of_kind = [
            one
            for one in self.objects
            if one.get("apiVersion") == group_version and PLURALS.get(one.get("kind", "")) == plural
        ]
        known = group_version == _CORE or plural in _ALWAYS.get(group_version, ())
        if not of_kind and not known:
            return None
        if namespace is None or plural in _CLUSTER_WIDE:
            return of_kind
        return [one for one in of_kind if (one.get("metadata") or {}).get("namespace") == namespace]

    async def _watch(
        self, request: web.Request, group_version: str, plural: str, namespace: str | None
    ) -> web.StreamResponse:
        if self.faults.gone[f"watch {plural}"]:
            self.faults.gone[f"watch {plural}"] -= 1
            gone = {"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}
            return web.json_response(gone)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[Object] = asyncio.Queue()
        self._changed.append(queue)
        try:
            await response.prepare(request)
            while not self._stop.is_set():
                try:
                    event = await asyncio.wait_for(queue.get(), 0.1)
                except TimeoutError:
                    if request.transport is None or request.transport.is_closing():
                        break
                    continue
                one = event["object"]
                there = namespace in (None, one["metadata"].get("namespace"))
                if there and one.get("apiVersion") == group_version and PLURALS.get(one["kind"]) == plural:
                    await response.write(_json(event) + b"\n")
        except ConnectionError:
            pass
        finally:
            self._changed.remove(queue)
        return response

    def _tell(self, kind: str, one: Object) -> None:
        for queue in list(self._changed):
            self._loop.call_soon_threadsafe(queue.put_nowait, {"type": kind, "object": one})

    async def _forward(self, request: web.Request, namespace: str, pod: str) -> web.StreamResponse:
        """Carry one connection to a local port as kubelet does: channel 0 data, 1 errors, both opened by the port."""
        port = int(request.query["ports"])
        socket = web.WebSocketResponse(protocols=("v4.channel.k8s.io",), max_msg_size=0)
        await socket.prepare(request)
        opening = port.to_bytes(2, "little")
        await socket.send_bytes(b"\x00" + opening)
        await socket.send_bytes(b"\x01" + opening)
        target = self.forwards.get((namespace, pod, port))
        if target is None:
            refused = f"error forwarding port {port} to pod {pod}: connection refused"
            await socket.send_bytes(b"\x01" + refused.encode())
            await socket.close()
            return socket
        reader, writer = await asyncio.open_connection("127.0.0.1", target)
        self.forwarding += 1

        async def back() -> None:
            while data := await reader.read(65536):
                await socket.send_bytes(b"\x00" + data)
            await socket.close()

        returning = asyncio.ensure_future(back())
        try:
            async for message in socket:
                if message.type is WSMsgType.BINARY and message.data[:1] == b"\x00":
                    writer.write(message.data[1:])
                    await writer.drain()
        finally:
            self.forwarding -= 1
            returning.cancel()
            writer.close()
        return socket


def load(path: Path) -> list[Object]:
    """Return the objects of a file of YAML documents."""
    return [one for one in yaml.safe_load_all(path.read_text("utf-8")) if one]


def copied(objects: Iterable[Object]) -> list[Object]:
    """Return copies that a test may change."""
    return list(yaml.safe_load(yaml.safe_dump(list(objects))))


def _json(value: object) -> bytes:
    import json  # noqa: PLC0415

    return json.dumps(value).encode()


def _status(code: int, message: str) -> web.Response:
    reasons = {401: "Unauthorized", 403: "Forbidden", 404: "NotFound", 410: "Expired", 500: "InternalError"}
    body = {"kind": "Status", "status": "Failure", "message": message, "reason": reasons.get(code, ""), "code": code}
    return web.json_response({"apiVersion": "v1", **body}, status=code)
