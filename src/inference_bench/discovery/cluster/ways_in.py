"""The URLs that lead into a cluster: Routes, KServe's own URLs, HTTPRoutes and Ingresses."""

import re
from collections.abc import Iterator, Sequence

from inference_bench.discovery.cluster.backends import Backend, Door
from inference_bench.discovery.cluster.inventory import Inventory
from inference_bench.discovery.cluster.routing import (
    Destination,
    Gateway,
    HttpRoute,
    HttpRule,
    Ingress,
    IngressRule,
    Listener,
    Route,
)
from inference_bench.discovery.url_resolver import Rule, Way

_DEFAULT_PORTS = {"http": 80, "https": 443}
_NGINX_REWRITE = "nginx.ingress.kubernetes.io/rewrite-target"
_TRAEFIK_TLS = "traefik.ingress.kubernetes.io/router.tls"
_PATTERN = re.compile(r"[\\^$*+?()\[\]{}|]")


class Refusals(dict[str, Rule]):
    """What leads to a service in words and cannot be used, with the reason and the rule it stands under."""

    def add(self, rule: Rule, who: str, why: str) -> None:
        """Note it once."""
        self.setdefault(f"{who} is not used: {why}", rule)


def route_ways(backend: Backend, inventory: Inventory, refusals: Refusals) -> Iterator[Way]:
    """Yield the ways that OpenShift Routes make."""
    for route in inventory.routes:
        chosen = _chosen(route.backends, backend)
        if chosen is None:
            continue
        who, share = route.meta.called, _share(route.backends)
        if route.refused is not None:
            refusals.add(Rule.ROUTE, who, f"the router refused it ({route.refused})")
        elif share is not None:
            refusals.add(Rule.ROUTE, who, share)
        elif not route.host or route.host.startswith("*"):
            refusals.add(Rule.ROUTE, who, "it has no host")
        else:
            scheme = "http" if route.termination is None else "https"
            kind = "plain HTTP" if route.termination is None else f"{route.termination} TLS"
            yield Way(
                Rule.ROUTE,
                f"{scheme}://{route.host}{_base(route.path)}",
                f"{who}, {kind}",
                _route_notes(route, backend),
            )


def kserve_ways(backend: Backend, *, inside: bool) -> Iterator[Way]:
    """Yield the URLs that an InferenceService tells: those for the outside, or those of the cluster's own names."""
    if backend.inference is None:
        return
    through = f"{backend.inference.meta.called}, as its status tells"
    for url in backend.inference.inside_urls if inside else backend.inference.urls:
        if url.startswith(("http://", "https://")):
            yield Way(Rule.CLUSTER_DNS if inside else Rule.KSERVE, url, through)


def http_route_ways(backend: Backend, inventory: Inventory, refusals: Refusals) -> Iterator[Way]:
    """Yield the ways that Gateway API HTTPRoutes make: each host on each listener that takes it."""
    gateways = {(one.meta.namespace, one.meta.name): one for one in inventory.gateways}
    for route in inventory.http_routes:
        for rule in route.rules:
            chosen = _chosen(rule.backends, backend)
            if chosen is None:
                continue
            share = _share(rule.backends)
            if route.refused is not None:
                refusals.add(Rule.HTTP_ROUTE, route.meta.called, f"its Gateway refused it ({route.refused})")
            elif rule.conditional is not None:
                refusals.add(Rule.HTTP_ROUTE, route.meta.called, rule.conditional)
            elif share is not None:
                refusals.add(Rule.HTTP_ROUTE, route.meta.called, share)
            else:
                yield from _through_gateways(route, rule, gateways, refusals)


def ingress_ways(backend: Backend, inventory: Inventory, refusals: Refusals) -> Iterator[Way]:
    """Yield the ways that Ingresses make, each host once."""
    for ingress in inventory.ingresses:
        for rule in ingress.rules:
            if _chosen((rule.backend,), backend) is None:
                continue
            who = ingress.meta.called
            hosts = (rule.host,) if rule.host else ingress.addresses
            path, problem = _ingress_path(ingress, rule)
            if problem is not None:
                refusals.add(Rule.INGRESS, who, problem)
            elif rule.host.startswith("*"):
                refusals.add(Rule.INGRESS, who, f"its host is a pattern ({rule.host})")
            elif not hosts:
                refusals.add(Rule.INGRESS, who, "it names no host, and its controller has given it no address")
            else:
                scheme = "https" if _ingress_tls(ingress, rule.host) else "http"
                for host in hosts:
                    yield Way(Rule.INGRESS, f"{scheme}://{_bracketed(host)}{path}", f"{who}, {scheme.upper()}")


def _chosen(destinations: Sequence[Destination], backend: Backend) -> Destination | None:
    """Return the destination that is one of a backend's doors, None when nothing of it is."""
    for destination in destinations:
        if any(_leads(destination, door) for door in backend.doors):
            return destination
    return None


def _leads(destination: Destination, door: Door) -> bool:
    meta = door.service.meta
    if (destination.kind, destination.name, destination.namespace) != (meta.kind, meta.name, meta.namespace):
        return False
    port = door.port
    if destination.weight == 0:
        return False
    numbers = (door.target, port.target) if destination.of_pods else (port.number,)
    return destination.port in (None, port.name or None, *numbers)


def _share(destinations: Sequence[Destination]) -> str | None:
    """Say so where requests are shared out: what is measured there would be a mixture."""
    taking = [one for one in destinations if one.weight > 0]
    if len(taking) < 2:
        return None
    total = sum(one.weight for one in taking)
    return "it shares requests out: " + ", ".join(f"{one.name} {100 * one.weight / total:.0f} %" for one in taking)


def _base(path: str) -> str:
    return path.rstrip("/")


def _route_notes(route: Route, backend: Backend) -> tuple[str, ...]:
    notes = []
    if _base(route.path) and not route.rewrites and _base(route.path) != "/v1":
        notes.append(f"the Route passes its path {route.path} on to the server")
    names = {one.name for one in route.backends}
    ports = next((door.service.ports for door in backend.doors if door.service.meta.name in names), ())
    if len(ports) > 1 and all(one.port is None for one in route.backends):
        notes.append(f"the Route names none of its Service's {len(ports)} ports: the router may send to any of them")
    return tuple(notes)


def _through_gateways(
    route: HttpRoute, rule: HttpRule, gateways: dict[tuple[str, str], Gateway], refusals: Refusals
) -> Iterator[Way]:
    path = "" if rule.replacement is None and _is_api(rule.path) else _base(rule.path)
    for namespace, name, section, port in route.parents:
        gateway = gateways.get((namespace, name))
        through = f"{route.meta.called}, Gateway {name}"
        if gateway is None:
            unknown = (
                f"its Gateway {namespace}/{name} cannot be read: TLS and port are unknown, https is tried first",
            )
            for scheme in ("https", "http"):
                for host in route.hostnames:
                    yield Way(Rule.HTTP_ROUTE, f"{scheme}://{host}{path}", through, unknown)
            continue
        listeners = [
            one
            for one in gateway.listeners
            if section in ("", one.name) and port in (None, one.port) and one.protocol in ("HTTP", "HTTPS", "")
        ]
        # TLS before plain HTTP, which often only sends on to it.
        for listener in sorted(listeners, key=lambda one: one.protocol != "HTTPS"):
            hosts = _hosts(route, listener, gateway)
            if not hosts and route.hostnames:
                refusals.add(Rule.HTTP_ROUTE, route.meta.called, f"Gateway {name} takes none of its hosts")
            elif not hosts:
                refusals.add(Rule.HTTP_ROUTE, route.meta.called, f"Gateway {name} has no address and names no host")
            for host in hosts:
                scheme = "https" if listener.protocol == "HTTPS" else "http"
                shown = "" if listener.port == _DEFAULT_PORTS[scheme] else f":{listener.port}"
                yield Way(
                    Rule.HTTP_ROUTE, f"{scheme}://{_bracketed(host)}{shown}{path}", f"{through}, {scheme.upper()}"
                )


def _hosts(route: HttpRoute, listener: Listener, gateway: Gateway) -> list[str]:
    """Return the hosts a route answers to on a listener; without any name, the Gateway's addresses."""
    named = [host for host in route.hostnames if not host.startswith("*") and _fits(host, listener.hostname)]
    if named:
        return named
    if route.hostnames and not any(host.startswith("*") for host in route.hostnames):
        return []
    if listener.hostname and not listener.hostname.startswith("*"):
        taken = not route.hostnames or any(_fits(listener.hostname, pattern) for pattern in route.hostnames)
        return [listener.hostname] if taken else []
    if listener.hostname or route.hostnames:
        return []  # patterns: a request to a bare address matches none
    return list(gateway.addresses)


def _fits(host: str, pattern: str) -> bool:
    if not pattern or pattern == host:
        return True
    return pattern.startswith("*.") and host.endswith(pattern[1:])


def _ingress_tls(ingress: Ingress, host: str) -> bool:
    if ingress.meta.annotations.get(_TRAEFIK_TLS) == "true":
        return True
    return any(_fits(host, pattern) for pattern in ingress.tls_hosts)


def _ingress_path(ingress: Ingress, rule: IngressRule) -> tuple[str, str | None]:
    """Return the base path of an Ingress rule, or why it has none."""
    if rule.path_type == "Exact" and rule.path != "/":
        return "", f"it takes one exact path ({rule.path})"
    rewrite = ingress.meta.annotations.get(_NGINX_REWRITE)
    if rewrite is not None and "$" not in rewrite and rewrite != rule.path:
        return "", f"it rewrites every path to {rewrite}"
    if rewrite is not None:
        # `/llm(/|$)(.*)` rewritten to `/$2`: what stands before the pattern is the base.
        return _base(_PATTERN.split(rule.path)[0]), None
    if _PATTERN.search(rule.path):
        plain = _base(_PATTERN.split(rule.path)[0])
        return ("" if _is_api(plain) else plain), None
    return ("" if _is_api(rule.path) else _base(rule.path)), None


def _is_api(path: str) -> bool:
    """Whether a path is one of the API's own, so that it is no base of them."""
    return _base(path) in ("", "/v1") or path.startswith("/v1/")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
