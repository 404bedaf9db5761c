"""The API's raw JSON of what leads into a cluster: Routes, Ingresses, HTTPRoutes, Gateways, and KServe's own URLs."""

from dataclasses import dataclass

from inference_bench.api.telling import Json, count, mapping, objects
from inference_bench.discovery.cluster.objects import Meta, condition, has_condition, meta_of, strings, word


@dataclass(frozen=True, slots=True)
class Destination:
    """Where a rule sends to: the kind and name of an object, its port by number or name, and its share.

    `of_pods` says that a port's number is the pods' own and not that of the Service: a Route sends to pods itself.
    """

    kind: str
    name: str
    namespace: str
    port: int | str | None = None
    weight: int = 1
    of_pods: bool = False


@dataclass(frozen=True, slots=True)
class Route:
    """An OpenShift Route. `termination` is None for plain HTTP; `refused` why the router does not carry it."""

    meta: Meta
    host: str
    path: str
    backends: tuple[Destination, ...]
    termination: str | None
    rewrites: bool
    refused: str | None


@dataclass(frozen=True, slots=True)
class IngressRule:
    """One path of an Ingress. `host` is "" for every host."""

    host: str
    path: str
    path_type: str
    backend: Destination


@dataclass(frozen=True, slots=True)
class Ingress:
    """An Ingress. `tls_hosts` holds "" where TLS names no host; `addresses` are those of its controller."""

    meta: Meta
    rules: tuple[IngressRule, ...]
    tls_hosts: tuple[str, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HttpRule:
    """One rule of an HTTPRoute: its matching path prefix, what replaces it (None: nothing), and where it leads."""

    path: str
    replacement: str | None
    backends: tuple[Destination, ...]
    conditional: str | None = None  # what else a request must have to match


@dataclass(frozen=True, slots=True)
class HttpRoute:
    """A Gateway API HTTPRoute. `parents` are (namespace, Gateway, listener or "", port or None)."""

    meta: Meta
    hostnames: tuple[str, ...]
    parents: tuple[tuple[str, str, str, int | None], ...]
    rules: tuple[HttpRule, ...]
    refused: str | None


@dataclass(frozen=True, slots=True)
class Listener:
    """One listener of a Gateway."""

    name: str
    port: int
    protocol: str
    hostname: str


@dataclass(frozen=True, slots=True)
class Gateway:
    """A Gateway: its listeners and the addresses it has been given."""

    meta: Meta
    listeners: tuple[Listener, ...]
    addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Inference:
    """A KServe InferenceService or LLMInferenceService: the URLs it tells, those for inside apart; what runs it."""

    meta: Meta
    urls: tuple[str, ...]
    inside_urls: tuple[str, ...]
    ready: bool | None
    reason: str
    runtime: str


def read_route(source: Json) -> Route | None:
    """Read a Route."""
    meta = meta_of(source, "Route")
    if meta is None:
        return None
    spec, status = mapping(source, "spec"), mapping(source, "status")
    admitted = objects(status, "ingress")
    told = [condition(one, "Admitted") for one in admitted]
    refused = next(
        (reason or "not admitted" for one in told if one is not None and not one[0] for reason in [one[1]]), None
    )
    # Several routers may judge one Route: the host of one that took it comes first.
    judged = sorted(admitted, key=lambda one: not (condition(one, "Admitted") or (False, ""))[0])
    hosts = [word(one, "host") for one in judged] + [word(spec, "host")]
    host = next((host for host in hosts if host), "")
    port = mapping(spec, "port")
    target = count(port, "targetPort") or word(port, "targetPort")
    sent = [mapping(spec, "to"), *objects(spec, "alternateBackends")]
    tls = mapping(spec, "tls")
    return Route(
        meta=meta,
        host=host,
        path=word(spec, "path") or "",
        backends=tuple(_backend(one, meta.namespace, target) for one in sent if word(one, "name")),
        termination=(word(tls, "termination") or "edge") if tls else None,
        rewrites="haproxy.router.openshift.io/rewrite-target" in meta.annotations,
        refused=None if any(one is not None and one[0] for one in told) else refused,
    )


def read_ingress(source: Json) -> Ingress | None:
    """Read an Ingress, its default backend as a rule for every host."""
    meta = meta_of(source, "Ingress")
    if meta is None:
        return None
    spec = mapping(source, "spec")
    rules = []
    for rule in objects(spec, "rules"):
        for path in objects(mapping(rule, "http"), "paths"):
            backend = _ingress_backend(mapping(path, "backend"), meta.namespace)
            if backend is not None:
                rules.append(
                    IngressRule(
                        word(rule, "host") or "", word(path, "path") or "/", word(path, "pathType") or "", backend
                    )
                )
    default = _ingress_backend(mapping(spec, "defaultBackend"), meta.namespace)
    if default is not None:
        rules.append(IngressRule("", "/", "Prefix", default))
    tls: list[str] = []
    for one in objects(spec, "tls"):
        tls += strings(one, "hosts") or ("",)
    given = objects(mapping(mapping(source, "status"), "loadBalancer"), "ingress")
    addresses = tuple(host for one in given if (host := word(one, "hostname") or word(one, "ip")) is not None)
    return Ingress(meta, tuple(rules), tuple(tls), addresses)


def read_http_route(source: Json) -> HttpRoute | None:
    """Read an HTTPRoute."""
    meta = meta_of(source, "HTTPRoute")
    if meta is None:
        return None
    spec, status = mapping(source, "spec"), mapping(source, "status")
    parents = [
        (word(one, "namespace") or meta.namespace, name, word(one, "sectionName") or "", count(one, "port"))
        for one in objects(spec, "parentRefs")
        if (name := word(one, "name")) is not None and one.get("kind") in (None, "Gateway")
    ]
    told = [condition(one, "Accepted") for one in objects(status, "parents")]
    refused = next((one[1] or "not accepted" for one in told if one is not None and not one[0]), None)
    refused = None if any(one is not None and one[0] for one in told) else refused
    resolved = [condition(one, "ResolvedRefs") for one in objects(status, "parents")]
    if refused is None and resolved and all(one is not None and not one[0] for one in resolved):
        refused = next((one[1] for one in resolved if one is not None), "") or "its backends cannot be resolved"
    return HttpRoute(
        meta=meta,
        hostnames=strings(spec, "hostnames"),
        parents=tuple(parents),
        rules=tuple(read for rule in objects(spec, "rules") for read in _http_rules(rule, meta.namespace)),
        refused=refused,
    )


def read_gateway(source: Json) -> Gateway | None:
    """Read a Gateway."""
    meta = meta_of(source, "Gateway")
    if meta is None:
        return None
    listeners = [
        Listener(word(one, "name") or "", port, (word(one, "protocol") or "").upper(), word(one, "hostname") or "")
        for one in objects(mapping(source, "spec"), "listeners")
        if (port := count(one, "port")) is not None
    ]
    addresses = [word(one, "value") for one in objects(mapping(source, "status"), "addresses")]
    return Gateway(meta, tuple(listeners), tuple(one for one in addresses if one is not None))


def read_inference(kind: str, source: Json) -> Inference | None:
    """Read an InferenceService or an LLMInferenceService."""
    meta = meta_of(source, kind)
    if meta is None:
        return None
    status = mapping(source, "status")
    model = mapping(mapping(mapping(source, "spec"), "predictor"), "model")
    told = [("", word(status, "url")), ("", word(mapping(status, "address"), "url"))]
    named = [(word(one, "name") or "", word(one, "url")) for one in objects(status, "addresses")]
    # An address for routing by the model's name leads nowhere without a header.
    told += [(name, url) for name, url in named if "model-routing" not in name]
    inside = {url for name, url in told if url is not None and (_is_inside(url) or "internal" in name)}
    urls = dict.fromkeys(url for _, url in told if url is not None)
    ready = condition(status, "Ready")
    return Inference(
        meta=meta,
        urls=tuple(url for url in urls if url not in inside),
        inside_urls=tuple(url for url in urls if url in inside),
        ready=has_condition(status, "Ready") if ready is not None else None,
        reason=ready[1] if ready is not None else "",
        runtime=word(model, "runtime") or word(mapping(model, "modelFormat"), "name") or "",
    )


def _is_inside(url: str) -> bool:
    host = url.partition("://")[2].partition("/")[0].partition(":")[0]
    return host.endswith((".svc", ".svc.cluster.local", ".cluster.local"))


def _backend(source: Json, namespace: str, port: int | str | None) -> Destination:
    weight = source.get("weight")
    share = weight if isinstance(weight, int) and not isinstance(weight, bool) else 100
    return Destination(
        word(source, "kind") or "Service", word(source, "name") or "", namespace, port, share, of_pods=True
    )


def _ingress_backend(source: Json, namespace: str) -> Destination | None:
    service = mapping(source, "service")
    name, port = word(service, "name"), mapping(service, "port")
    if name is None:
        return None
    return Destination("Service", name, namespace, count(port, "number") or word(port, "name"))


def _http_rules(source: Json, namespace: str) -> list[HttpRule]:
    """Read one rule, once for each of its matches; one without matches takes everything."""
    backends = tuple(
        Destination(
            word(one, "kind") or "Service",
            name,
            word(one, "namespace") or namespace,
            count(one, "port"),
            weight if isinstance(weight := one.get("weight"), int) and not isinstance(weight, bool) else 1,
        )
        for one in objects(source, "backendRefs")
        if (name := word(one, "name")) is not None
    )
    replacement, fixed = _replacement(source), _fixed_path(source)
    matches = objects(source, "matches") or [{}]
    rules = []
    for match in matches:
        path = word(mapping(match, "path"), "value") or "/"
        unfit = fixed or _condition_of(match) or _doubled(path, replacement)
        rules.append(HttpRule(path, replacement, backends, unfit))
    return rules


def _doubled(path: str, replacement: str | None) -> str | None:
    """Say so where the API's own prefix is put before every path: with that of a request it would be there twice."""
    if (replacement or "").rstrip("/").endswith("/v1") and not path.rstrip("/").endswith("/v1"):
        return f"it puts {replacement} in the place of {path}"
    return None


def _replacement(source: Json) -> str | None:
    for one in objects(source, "filters"):
        path = mapping(mapping(one, "urlRewrite"), "path")
        if one.get("type") == "URLRewrite" and path.get("type") == "ReplacePrefixMatch":
            return word(path, "replacePrefixMatch") or "/"
    return None


def _fixed_path(source: Json) -> str | None:
    for one in objects(source, "filters"):
        path = mapping(mapping(one, "urlRewrite"), "path")
        if one.get("type") == "URLRewrite" and path.get("type") == "ReplaceFullPath":
            return f"it rewrites every path to {word(path, 'replaceFullPath') or '/'}"
    return None


def _condition_of(match: Json) -> str | None:
    if mapping(match, "path").get("type") == "Exact":
        return "it takes one exact path"
    if mapping(match, "path").get("type") == "RegularExpression":
        return "its path is a regular expression"
    headers = [word(one, "name") or "?" for one in objects(match, "headers")]
    if headers:
        return f"it asks for the header {', '.join(headers)}"
    if objects(match, "queryParams"):
        return "it asks for query parameters"
    return None
