"""How an engine of the cluster is reached: every rule, in the one order, and why what looks like a way is none."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from inference_bench.discovery.cluster.backends import Backend, Door
from inference_bench.discovery.cluster.inventory import Inventory
from inference_bench.discovery.cluster.objects import Node, Pod
from inference_bench.discovery.cluster.recognition import KSERVE
from inference_bench.discovery.cluster.ways_in import (
    Refusals,
    http_route_ways,
    ingress_ways,
    kserve_ways,
    route_ways,
)
from inference_bench.discovery.url_resolver import Rule, Way, in_order, is_before

_MOST_NODES = 3
_PREFIX_VARIABLE = "KSERVE_OPENAI_ROUTE_PREFIX"
_TLS_PORTS = (443, 8443, 6443)
_TLS_FLAGS = ("--ssl-certfile", "--ssl-keyfile", "--enable-ssl-refresh")


@dataclass(frozen=True, slots=True)
class Ways:
    """The ways to one engine in the order of preference. `only_inside` is its address in the cluster, if it has one."""

    ways: tuple[Way, ...]
    refusals: tuple[str, ...]
    only_inside: str


def ways_to(backend: Backend, inventory: Inventory, *, inside: bool) -> Ways:
    """Return how an engine is reached, without a port-forward. `inside`: from a pod of the same cluster."""
    refusals = Refusals()
    found = [
        *route_ways(backend, inventory, refusals),
        *kserve_ways(backend, inside=False),
        *http_route_ways(backend, inventory, refusals),
        *ingress_ways(backend, inventory, refusals),
        *_load_balancer_ways(backend, refusals),
        *_node_port_ways(backend, inventory, refusals),
    ]
    own = list(_cluster_ways(backend))
    if inside:
        found += [*own, *kserve_ways(backend, inside=True), *_pod_ways(backend)]
    ordered = in_order(_under(way, _api_prefix(backend)) for way in found)
    told = [text for text, rule in refusals.items() if not ordered or is_before(rule, ordered[0].rule)]
    return Ways(ordered, tuple(told), own[0].url if own else f"http://{backend.name}:{backend.port}")


def _api_prefix(backend: Backend) -> str:
    """Return the path under which the API is: KServe's Hugging Face runtime has a prefix of its own."""
    if backend.guess.product is not KSERVE:
        return ""
    variables = backend.container.variables if backend.container is not None else {}
    prefix = variables.get(_PREFIX_VARIABLE, "openai").strip("/")
    return f"/{prefix}" if prefix else ""


def _under(way: Way, prefix: str) -> Way:
    return replace(way, url=way.url.rstrip("/") + prefix) if prefix else way


def scheme_of(backend: Backend, door: Door | None) -> str:
    """Return how a door is spoken to: what its port says, what the server's probes and flags say, else its number."""
    numbers = {door.port.number, door.target} if door is not None else {backend.port}
    told = _port_scheme(door) if door is not None else None
    if told is None and (door is None or not door.front):
        told = _server_scheme(backend)
    return told or ("https" if numbers & set(_TLS_PORTS) else "http")


def _port_scheme(door: Door) -> str | None:
    name, protocol = door.port.name.lower(), door.port.app_protocol
    if protocol == "https" or name.startswith("https"):
        return "https"
    return "http" if protocol == "http" or name == "http" else None


def _server_scheme(backend: Backend) -> str | None:
    container = backend.container
    if container is None:
        return None
    names = [str(backend.port), *(name for name, number in container.ports if number == backend.port)]
    probed = next((container.probe_schemes[name] for name in names if name in container.probe_schemes), None)
    flagged = any(flag in word for word in container.words for flag in _TLS_FLAGS)
    return probed or ("https" if flagged else None)


def _load_balancer_ways(backend: Backend, refusals: Refusals) -> Iterator[Way]:
    for door in backend.doors:
        service, name = door.service, door.service.meta.called
        scheme = scheme_of(backend, door)
        if service.type == "LoadBalancer":
            if not service.balancers:
                refusals.add(Rule.LOAD_BALANCER, name, "its load balancer has no address yet")
            for host in service.balancers:
                yield Way(Rule.LOAD_BALANCER, _url(scheme, host, door.port.number), f"{name}, load balancer")
        for host in service.external_ips:
            yield Way(Rule.LOAD_BALANCER, _url(scheme, host, door.port.number), f"{name}, external IP")
        outside = (service.external_name or "").rstrip(".") if service.type == "ExternalName" else ""
        if outside and not outside.endswith((".cluster.local", ".svc")):
            away = (f"{name} leads out of the cluster, to {outside}: what answers there is not the cluster's",)
            url = _url(scheme, outside, door.port.number)
            yield Way(Rule.LOAD_BALANCER, url, f"{name}, external name", away)


def _node_port_ways(backend: Backend, inventory: Inventory, refusals: Refusals) -> Iterator[Way]:
    for door in backend.doors:
        if door.port.node_port is None:
            continue
        name = door.service.meta.called
        addresses = _node_addresses(backend, inventory, local=door.service.local_nodes_only)
        if not addresses:
            refusals.add(Rule.NODE_PORT, name, "no node's address is known")
        for address, kind in addresses[:_MOST_NODES]:
            url = _url(scheme_of(backend, door), address, door.port.node_port)
            yield Way(Rule.NODE_PORT, url, f"{name}, port {door.port.node_port} of a node ({kind})")


def _node_addresses(backend: Backend, inventory: Inventory, *, local: bool) -> list[tuple[str, str]]:
    """Return addresses of nodes, those reachable from outside first; where nodes cannot be read, those pods tell."""
    own = {pod.node for pod in backend.ready_pods}
    nodes = [node for node in inventory.nodes if node.ready and (not local or node.meta.name in own)]
    for kind in ("ExternalIP", "ExternalDNS", "InternalIP", "Hostname"):
        # Nodes that run a pod of it first: one hop less.
        ordered = sorted(nodes, key=lambda node: (node.meta.name not in own, node.meta.name))
        addresses = [(address, kind) for node in ordered for address in _addresses(node, kind)]
        if addresses:
            return addresses
    return [(ip, "its pod's host") for ip in dict.fromkeys(pod.host_ip for pod in backend.ready_pods) if ip is not None]


def _addresses(node: Node, kind: str) -> list[str]:
    return [address for told, address in node.addresses if told == kind]


def _cluster_ways(backend: Backend) -> Iterator[Way]:
    """Yield the addresses that work inside the cluster: the Service's name, then its IP; without one, the pod's IP."""
    for door in backend.doors:
        service = door.service
        if service.type in ("InferencePool", "ExternalName"):
            continue
        # A headless name leads to the pods themselves, so to the container's port.
        number = door.target if service.headless else door.port.number
        host = f"{service.meta.name}.{service.meta.namespace}.svc"
        yield Way(Rule.CLUSTER_DNS, _url(scheme_of(backend, door), host, number), service.meta.called)
        if service.cluster_ip is not None:
            url = _url(scheme_of(backend, door), service.cluster_ip, number)
            yield Way(Rule.CLUSTER_DNS, url, f"{service.meta.called}, by its cluster IP")


def _pod_ways(backend: Backend) -> Iterator[Way]:
    """Yield the address of a pod that no Service leads to; it is good as long as the pod is."""
    pod = forwardable_pod(backend)
    if pod is not None and pod.ip is not None and not backend.doors:
        several = len(backend.ready_pods)
        only = (f"the address is that of one of its {several} pods",) if several > 1 else ()
        url = _url(scheme_of(backend, None), pod.ip, backend.port)
        yield Way(Rule.CLUSTER_DNS, url, f"{pod.meta.called}, by its IP", only)


def forwardable_pod(backend: Backend) -> Pod | None:
    """Return the pod that a port-forward leads to: the first that takes requests."""
    ready = sorted(backend.ready_pods, key=lambda pod: pod.meta.name)
    return ready[0] if ready else None


def _url(scheme: str, host: str, port: int) -> str:
    shown = f"[{host}]" if ":" in host else host
    default = {"http": 80, "https": 443}[scheme]
    return f"{scheme}://{shown}" if port == default else f"{scheme}://{shown}:{port}"
