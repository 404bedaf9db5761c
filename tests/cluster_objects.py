"""Objects of a cluster for tests, and a search of them by the real client library over real HTTP.

Builders give objects as the API server returns them, in namespace `team`; tests change what they are about.
"""

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inference_bench.config.models import Settings
from inference_bench.discovery.cluster.access import find_credentials
from inference_bench.discovery.cluster.source import ClusterRequest, ClusterSource, cluster_source
from inference_bench.discovery.service_finder import find_services
from inference_bench.discovery.services import FoundService
from inference_bench.discovery.sources import Candidate, ConfiguredSource
from kubernetes_api import Faults, KubernetesApi, Object

VLLM = "vllm/vllm-openai:v0.10.0"
TEAM = "team"
GATEWAY_API = "gateway.networking.k8s.io/v1"


@dataclass(frozen=True)
class Searched:
    """What a search gave: the candidates in their order, its notes, and what the API server was asked."""

    candidates: tuple[Candidate, ...]
    notes: tuple[str, ...]
    requests: tuple[str, ...]

    @property
    def names(self) -> list[str]:
        """Return the names of the services."""
        return [str(one.endpoint.name) for one in self.candidates]

    @property
    def only(self) -> Candidate:
        """Return the one service there is."""
        (one,) = self.candidates
        return one

    def __getitem__(self, name: str) -> Candidate:
        """Return the service of a name."""
        (one,) = (candidate for candidate in self.candidates if candidate.endpoint.name == name)
        return one


def urls(candidate: Candidate) -> list[tuple[str, str]]:
    """Return the rule and the URL of each way, in their order."""
    return [(str(way.rule), way.url) for way in candidate.ways]


def facts(candidate: Candidate) -> Mapping[str, object]:
    """Return what the cluster told of a service."""
    assert candidate.cluster is not None
    return candidate.cluster.facts


@asynccontextmanager
async def opened(
    url: str, *, namespace: str | None = TEAM, inside: bool = False, port_forward: bool = False
) -> AsyncIterator[ClusterSource]:
    """Open the cluster behind a URL by a kubeconfig; `inside`: as a pod of it does."""
    with tempfile.TemporaryDirectory() as folder:
        environ = {"KUBECONFIG": str(kubeconfig(Path(folder), url))}
        if inside:
            environ["KUBERNETES_SERVICE_HOST"] = "127.0.0.1"
        credentials = find_credentials(environ)
        assert credentials is not None
        async with cluster_source(credentials, ClusterRequest(namespace, port_forward), environ) as source:
            yield source


def kubeconfig(folder: Path, url: str) -> Path:
    """Write a kubeconfig that leads to a URL."""
    file = folder / "config"
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me", "namespace": TEAM}}],
        "clusters": [{"name": "it", "cluster": {"server": url}}],
        "users": [{"name": "me", "user": {"token": "sesame"}}],
    }
    file.write_text(yaml.safe_dump(told), "utf-8")
    return file


def search_at(url: str, **how: Any) -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
    """Search a running API server; `how` as in `opened`."""

    async def story() -> tuple[tuple[Candidate, ...], tuple[str, ...]]:
        async with opened(url, **how) as source:
            return tuple(await source.candidates()), source.notes

    with _no_authorities():
        return asyncio.run(story())


@contextmanager
def _no_authorities() -> Iterator[None]:
    """Leave the system's certificates unread: nothing here is signed by them, and they take half of a search's time."""
    names = [name for name in ("SSL_CERT_FILE", "SSL_CERT_DIR") if name not in os.environ]
    os.environ.update(dict.fromkeys(names, os.devnull))
    try:
        yield
    finally:
        for name in names:
            os.environ.pop(name, None)


def search(objects: Iterable[Object], *, faults: Faults | None = None, **how: Any) -> Searched:
    """Search a cluster of these objects; `how` as in `opened`."""
    with KubernetesApi(list(objects), faults=faults or Faults()) as api:
        candidates, notes = search_at(api.url, **how)
        return Searched(candidates, notes, tuple(api.requests))


def find(
    objects: Iterable[Object],
    *,
    services: Mapping[str, object] | None = None,
    forwards: Mapping[tuple[str, str, int], int] | None = None,
    **how: Any,
) -> tuple[tuple[FoundService, ...], KubernetesApi]:
    """Search a cluster and ask every service of it who it is. `services` are settings of that section."""
    patience = {"connect_timeout_seconds": 2.0, "timeout_seconds": 4.0, "idle_timeout_seconds": 4.0}
    settings = Settings.model_validate({"services": {"health_check_retries": 0, **patience, **(services or {})}})

    async def story(url: str) -> tuple[FoundService, ...]:
        async with opened(url, **how) as source:
            sources = (ConfiguredSource(settings.services.endpoints), source)
            return await find_services(settings, environ={}, sources=sources)

    with _no_authorities(), KubernetesApi(list(objects), forwards=forwards or {}) as api:
        return asyncio.run(story(api.url)), api


def meta(name: str, namespace: str = TEAM, **more: Any) -> Object:
    """Return metadata."""
    return {"name": name, "namespace": namespace, **more}


def container(image: str = VLLM, *, name: str = "main", port: int | None = 8000, **more: Any) -> Object:
    """Return a container."""
    ports = {"ports": [{"containerPort": port}]} if port is not None else {}
    return {"name": name, "image": image, **ports, **more}


def pod(
    name: str,
    *containers: Object,
    labels: Mapping[str, str] | None = None,
    owner: tuple[str, str] | None = None,
    ready: bool = True,
    namespace: str = TEAM,
    spec: Mapping[str, Any] | None = None,
    status: Mapping[str, Any] | None = None,
) -> Object:
    """Return a running pod on node-1."""
    owners = [{"kind": owner[0], "name": owner[1]}] if owner is not None else []
    told = {"phase": "Running", "hostIP": "192.0.2.1", "podIP": "10.1.0.1"}
    told |= {"conditions": [{"type": "Ready", "status": str(ready)}]}  # type: ignore[dict-item]  # JSON
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": meta(name, namespace, labels=dict(labels or {}), ownerReferences=owners),
        "spec": {"nodeName": "node-1", "containers": list(containers), **(spec or {})},
        "status": {**told, **(status or {})},
    }


def workload(
    name: str,
    *containers: Object,
    labels: Mapping[str, str] | None = None,
    kind: str = "Deployment",
    replicas: int | None = 1,
    namespace: str = TEAM,
    spec: Mapping[str, Any] | None = None,
) -> Object:
    """Return a Deployment, or another kind that makes pods; `spec` is that of its pods."""
    template = {"metadata": {"labels": dict(labels or {})}, "spec": {"containers": list(containers), **(spec or {})}}
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": meta(name, namespace, labels=dict(labels or {})),
        "spec": {"replicas": replicas, "selector": {"matchLabels": dict(labels or {})}, "template": template},
        "status": {"readyReplicas": replicas},
    }


def service(
    name: str,
    *ports: Mapping[str, Any],
    selector: Mapping[str, str] | None = None,
    namespace: str = TEAM,
    labels: Mapping[str, str] | None = None,
    balancers: Sequence[Mapping[str, str]] = (),
    **spec: Any,
) -> Object:
    """Return a Service; without ports of its own 80 leads to 8000."""
    told = {"type": "ClusterIP", "clusterIP": "10.0.0.1", "selector": dict(selector or {})}
    listed = [dict(port) for port in ports] or [{"port": 80, "targetPort": 8000}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(name, namespace, labels=dict(labels or {})),
        "spec": {**told, "ports": listed, **spec},
        "status": {"loadBalancer": {"ingress": list(balancers)} if balancers else {}},
    }


def made(name: str, *containers: Object, ready: bool = True, replicas: int = 1, **more: Any) -> list[Object]:
    """Return a Deployment of these containers, and its pods, labelled `app: NAME`."""
    own = containers or (container(),)
    labels = {"app": name, **more.pop("labels", {})}
    owner = ("ReplicaSet", f"{name}-7d9")
    pods = [
        pod(f"{name}-7d9-{number}", *own, labels=labels, owner=owner, ready=ready, **more) for number in range(replicas)
    ]
    return [workload(name, *own, labels=labels, replicas=replicas, namespace=more.get("namespace", TEAM)), *pods]


def chat(*ports: Mapping[str, Any], **more: Any) -> list[Object]:
    """Return vLLM in one pod behind Service `chat`; `more` is of the Service's spec."""
    return [*made("chat"), service("chat", *ports, selector={"app": "chat"}, **more)]


def changed(objects: Sequence[Object], kind: str, change: Callable[[Object], None]) -> list[Object]:
    """Change the objects of a kind in place, and return all."""
    for one in objects:
        if one["kind"] == kind:
            change(one)
    return list(objects)


def node(
    name: str = "node-1", *, ready: bool = True, labels: Mapping[str, str] | None = None, **addresses: str
) -> Object:
    """Return a node; addresses by type, such as InternalIP="192.0.2.1"."""
    told = [{"type": kind, "address": address} for kind, address in addresses.items()]
    conditions = [{"type": "Ready", "status": str(ready)}]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": dict(labels or {})},
        "status": {"addresses": told, "conditions": conditions},
    }


def route(name: str = "chat", *, host: str = "chat.apps.example.com", admitted: object = "True", **spec: Any) -> Object:
    """Return an OpenShift Route to Service `chat`; `admitted` is the status of that condition, None: not told."""
    conditions = (
        [] if admitted is None else [{"type": "Admitted", "status": admitted, "reason": spec.pop("reason", "")}]
    )
    return {
        "apiVersion": "route.openshift.io/v1",
        "kind": "Route",
        "metadata": meta(name, annotations=spec.pop("annotations", {})),
        "spec": {"host": host, "to": {"kind": "Service", "name": "chat", "weight": 100}, **spec},
        "status": {"ingress": [{"host": host, "conditions": conditions}]},
    }


def ingress(
    *paths: Mapping[str, Any], host: str | None = "chat.example.com", annotations: object = None, **spec: Any
) -> Object:
    """Return an Ingress to port 80 of Service `chat`; `paths` are its paths, each with a backend of its own or that."""
    backend = {"service": {"name": "chat", "port": {"number": 80}}}
    listed = [{"backend": backend, **path} for path in (paths or ({"path": "/", "pathType": "Prefix"},))]
    rule = {"http": {"paths": listed}} | ({"host": host} if host is not None else {})
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta("chat", annotations=annotations or {}),
        "spec": {"rules": [rule], **spec},
        "status": {"loadBalancer": {}},
    }


def gateway(
    *listeners: Mapping[str, Any], addresses: Sequence[str] = ("203.0.113.7",), name: str = "gw", namespace: str = TEAM
) -> Object:
    """Return a Gateway; without listeners of its own, one of plain HTTP at port 80."""
    listed = [dict(one) for one in listeners] or [{"name": "http", "port": 80, "protocol": "HTTP"}]
    return {
        "apiVersion": GATEWAY_API,
        "kind": "Gateway",
        "metadata": meta(name, namespace),
        "spec": {"listeners": listed},
        "status": {"addresses": [{"value": address} for address in addresses]},
    }


def http_route(
    *rules: Mapping[str, Any],
    hostnames: Sequence[str] = ("chat.example.com",),
    parent: Mapping[str, Any] | None = None,
    accepted: Mapping[str, Any] | None = None,
) -> Object:
    """Return an HTTPRoute to Service `chat` on Gateway `gw`; `rules` are its rules, each with backends or that."""
    backends = {"backendRefs": [{"name": "chat", "port": 80}]}
    conditions = [{"type": "Accepted", "status": "True", **(accepted or {})}]
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": meta("chat"),
        "spec": {
            "parentRefs": [{"name": "gw", **(parent or {})}],
            "hostnames": list(hostnames),
            "rules": [{**backends, **rule} for rule in (rules or ({},))],
        },
        "status": {"parents": [{"conditions": conditions}]},
    }


def path_prefix(path: str, *, replacement: str | None = None, **match: Any) -> Object:
    """Return a rule of an HTTPRoute for a path prefix."""
    rule: Object = {"matches": [{"path": {"type": "PathPrefix", "value": path}, **match}]}
    if replacement is not None:
        rewriting = {"type": "ReplacePrefixMatch", "replacePrefixMatch": replacement}
        rule["filters"] = [{"type": "URLRewrite", "urlRewrite": {"path": rewriting}}]
    return rule


def inference(name: str = "chat", *, kind: str = "InferenceService", ready: object = "True", **more: Any) -> Object:
    """Return a KServe InferenceService (or LLMInferenceService) whose status has what `more` holds."""
    version = "v1beta1" if kind == "InferenceService" else "v1alpha2"
    model = more.pop("model", {"modelFormat": {"name": "vLLM"}})
    return {
        "apiVersion": f"serving.kserve.io/{version}",
        "kind": kind,
        "metadata": meta(name),
        "spec": {"predictor": {"model": model}},
        "status": {"conditions": [{"type": "Ready", "status": ready, "reason": more.pop("reason", "")}], **more},
    }


def pool(name: str = "chat-pool", **labels: str) -> Object:
    """Return an InferencePool that picks pods by labels, at port 8000."""
    return {
        "apiVersion": "inference.networking.k8s.io/v1",
        "kind": "InferencePool",
        "metadata": meta(name),
        "spec": {"selector": {"matchLabels": labels}, "targetPorts": [{"number": 8000}]},
    }
