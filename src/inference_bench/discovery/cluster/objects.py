"""The API's raw JSON as small values: workloads, pods, services, nodes. Anything half-broken reads as far as it goes.

A reader returns None for an object without a name, and leaves out what is not of the type it should be. Nothing is
kept that is not used: the environment of a container may hold secrets, so only the variables named here are read.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from inference_bench.api.probe_http import clean_text
from inference_bench.api.telling import Json, count, mapping, objects

# Variables by which images are configured: ports, models, limits. No other is read.
_VARIABLES = frozenset(
    {
        "PORT", "MODEL_ID", "HF_MODEL_ID", "MODEL_NAME", "MODEL", "QUANTIZE", "DTYPE", "NUM_SHARD", "MAX_INPUT_TOKENS",
        "MAX_INPUT_LENGTH", "MAX_TOTAL_TOKENS", "MAX_BATCH_PREFILL_TOKENS", "MAX_BATCH_TOTAL_TOKENS",
        "MAX_CONCURRENT_REQUESTS", "OLLAMA_HOST", "OLLAMA_NUM_PARALLEL", "OLLAMA_MAX_QUEUE", "OLLAMA_CONTEXT_LENGTH",
        "OLLAMA_MAX_LOADED_MODELS", "OLLAMA_FLASH_ATTENTION", "OLLAMA_KV_CACHE_TYPE", "LLAMA_ARG_PORT",
        "LLAMA_ARG_CTX_SIZE", "LLAMA_ARG_N_PARALLEL", "SERVED_MODEL_NAME", "KSERVE_OPENAI_ROUTE_PREFIX",
    }
)  # fmt: skip
_LONGEST_ARGUMENT = 2000
_MOST_ARGUMENTS = 200
_LONGEST_QUANTITY = 40

Labels = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Meta:
    """What every object says of itself; `owners` are (kind, name)."""

    kind: str
    name: str
    namespace: str
    labels: Labels = field(default_factory=dict)
    annotations: Labels = field(default_factory=dict)
    owners: tuple[tuple[str, str], ...] = ()

    @property
    def called(self) -> str:
        """Return it as people write it: `Deployment chat`."""
        return f"{self.kind} {self.name}"


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod. `words` are its command and arguments; `ports` (name, number)."""

    name: str
    image: str = ""
    words: tuple[str, ...] = ()
    variables: Labels = field(default_factory=dict)
    ports: tuple[tuple[str, int], ...] = ()
    requests: Labels = field(default_factory=dict)
    limits: Labels = field(default_factory=dict)
    probe_schemes: Mapping[str, str] = field(default_factory=dict)  # scheme by port, as its probes write it


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod. `waiting` is why a container of it does not run; `host_ip` its node's address."""

    meta: Meta
    containers: tuple[Container, ...]
    node: str | None
    host_ip: str | None
    ready: bool
    phase: str
    waiting: str | None
    node_selector: Labels
    ending: bool = False
    ip: str | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """A Deployment or StatefulSet: the pods it makes, how many it should have and how many are ready."""

    meta: Meta
    containers: tuple[Container, ...]
    template_labels: Labels
    replicas: int
    ready: int
    node_selector: Labels


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service. `target` is a container's port by number or by name, None for the same number."""

    name: str
    number: int
    target: int | str | None = None
    node_port: int | None = None
    app_protocol: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """A Service, or what stands in its place: an InferencePool picks its pods itself and has no address."""

    meta: Meta
    type: str
    selector: Labels
    ports: tuple[ServicePort, ...]
    cluster_ip: str | None = None
    headless: bool = False
    external_name: str | None = None
    external_ips: tuple[str, ...] = ()
    balancers: tuple[str, ...] = ()  # addresses or hostnames of its load balancer
    local_nodes_only: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A node: its addresses by type, and whether it takes part."""

    meta: Meta
    addresses: tuple[tuple[str, str], ...]
    ready: bool


def meta_of(source: Json, kind: str) -> Meta | None:
    """Read the metadata; None where the object has no name."""
    told = mapping(source, "metadata")
    name, namespace = word(told, "name"), word(told, "namespace")
    if name is None:
        return None
    owners = [(word(owner, "kind"), word(owner, "name")) for owner in objects(told, "ownerReferences")]
    return Meta(
        kind,
        name,
        namespace or "",
        words_by_name(told, "labels"),
        words_by_name(told, "annotations"),
        tuple((kind, name) for kind, name in owners if kind is not None and name is not None),
    )


def read_pod(source: Json) -> Pod | None:
    """Read a Pod; one that has ended for good is none."""
    meta = meta_of(source, "Pod")
    spec, status = mapping(source, "spec"), mapping(source, "status")
    phase = word(status, "phase") or ""
    if meta is None or phase in ("Succeeded", "Failed"):
        return None
    return Pod(
        meta=meta,
        containers=containers_of(spec),
        node=word(spec, "nodeName"),
        host_ip=word(status, "hostIP"),
        ready=has_condition(status, "Ready"),
        phase=phase,
        waiting=_waiting(status),
        node_selector=words_by_name(spec, "nodeSelector"),
        ending="deletionTimestamp" in mapping(source, "metadata"),
        ip=word(status, "podIP"),
    )


def read_workload(kind: str, source: Json) -> Workload | None:
    """Read a Deployment or a StatefulSet. Without a number, Kubernetes means one replica."""
    meta = meta_of(source, kind)
    if meta is None:
        return None
    spec = mapping(source, "spec")
    template = mapping(spec, "template")
    replicas = spec.get("replicas")
    whole = isinstance(replicas, int) and not isinstance(replicas, bool) and replicas >= 0
    return Workload(
        meta=meta,
        containers=containers_of(mapping(template, "spec")),
        template_labels=words_by_name(mapping(template, "metadata"), "labels"),
        replicas=replicas if whole else 1,  # type: ignore[arg-type]  # `whole` says that it is a number
        ready=count(mapping(source, "status"), "readyReplicas") or 0,
        node_selector=words_by_name(mapping(template, "spec"), "nodeSelector"),
    )


def read_service(source: Json) -> Service | None:
    """Read a Service."""
    meta = meta_of(source, "Service")
    if meta is None:
        return None
    spec = mapping(source, "spec")
    ports = [_service_port(port) for port in objects(spec, "ports")]
    address = word(spec, "clusterIP")
    balancers = objects(mapping(mapping(source, "status"), "loadBalancer"), "ingress")
    return Service(
        meta=meta,
        type=word(spec, "type") or "ClusterIP",
        selector=words_by_name(spec, "selector"),
        ports=tuple(port for port in ports if port is not None),
        cluster_ip=None if address in (None, "None") else address,
        headless=address == "None",
        external_name=word(spec, "externalName"),
        external_ips=strings(spec, "externalIPs"),
        balancers=tuple(host for one in balancers if (host := word(one, "hostname") or word(one, "ip")) is not None),
        local_nodes_only=spec.get("externalTrafficPolicy") == "Local",
    )


def read_pool(source: Json) -> Service | None:
    """Read an InferencePool as what it is to its HTTPRoute: a way to pods. Its selector was a plain map before v1."""
    meta = meta_of(source, "InferencePool")
    if meta is None:
        return None
    spec = mapping(source, "spec")
    selector = mapping(spec, "selector")
    labels = words_by_name(selector, "matchLabels") or words_by_name(spec, "selector")
    numbers = [count(port, "number") for port in objects(spec, "targetPorts")] or [count(spec, "targetPortNumber")]
    ports = tuple(ServicePort("", number, number) for number in numbers if number is not None)
    return Service(meta=meta, type="InferencePool", selector=labels, ports=ports)


def read_node(source: Json) -> Node | None:
    """Read a Node."""
    meta = meta_of(source, "Node")
    if meta is None:
        return None
    status = mapping(source, "status")
    told = [(word(one, "type"), word(one, "address")) for one in objects(status, "addresses")]
    addresses = tuple((kind, address) for kind, address in told if kind is not None and address is not None)
    return Node(meta, addresses, has_condition(status, "Ready"))


def read_namespace(source: Json) -> str | None:
    """Read the name of a Namespace or an OpenShift Project."""
    return word(mapping(source, "metadata"), "name")


def containers_of(spec: Json) -> tuple[Container, ...]:
    """Read the containers of a pod's specification, and the sidecars among its init containers."""
    sidecars = [one for one in objects(spec, "initContainers") if one.get("restartPolicy") == "Always"]
    return tuple(_container(one) for one in (*objects(spec, "containers"), *sidecars))


def _container(source: Json) -> Container:
    ports = [(word(port, "name") or "", count(port, "containerPort")) for port in objects(source, "ports")]
    variables = {word(one, "name") or "": word(one, "value") for one in objects(source, "env")}
    resources = mapping(source, "resources")
    return Container(
        name=word(source, "name") or "",
        image=word(source, "image") or "",
        words=(*strings(source, "command"), *strings(source, "args")),
        variables={name: value for name, value in variables.items() if name in _VARIABLES and value is not None},
        ports=tuple((name, number) for name, number in ports if number is not None),
        requests=_quantities(resources, "requests"),
        limits=_quantities(resources, "limits"),
        probe_schemes=_probe_schemes(source),
    )


def _probe_schemes(source: Json) -> dict[str, str]:
    schemes: dict[str, str] = {}
    for probe in ("readinessProbe", "livenessProbe", "startupProbe"):
        get = mapping(mapping(source, probe), "httpGet")
        if "port" in get:
            scheme = (word(get, "scheme") or "HTTP").lower()
            if scheme in ("http", "https"):
                schemes.setdefault(str(get["port"]), scheme)
    return schemes


def _service_port(source: Json) -> ServicePort | None:
    number = count(source, "port")
    if number is None or source.get("protocol") not in (None, "TCP"):
        return None
    return ServicePort(
        name=word(source, "name") or "",
        number=number,
        target=count(source, "targetPort") or word(source, "targetPort"),
        node_port=count(source, "nodePort"),
        app_protocol=(word(source, "appProtocol") or "").lower(),
    )


def _waiting(status: Json) -> str | None:
    for one in objects(status, "containerStatuses"):
        reason = word(mapping(mapping(one, "state"), "waiting"), "reason")
        if reason is not None:
            return reason
    for one in objects(status, "conditions"):
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return word(one, "reason") or "Unschedulable"
    return None


def has_condition(status: Json, kind: str) -> bool:
    """Whether a condition of this type is true."""
    return any(one.get("type") == kind and one.get("status") == "True" for one in objects(status, "conditions"))


def condition(source: Json, kind: str) -> tuple[bool, str] | None:
    """Return whether a condition of this type is true, with its reason; None where it is not told."""
    for one in objects(source, "conditions"):
        if one.get("type") == kind:
            return one.get("status") == "True", word(one, "reason") or ""
    return None


def word(source: Json, key: str) -> str | None:
    """Return a non-empty string, cleaned for showing and bounded; numbers and the like are none."""
    value = source.get(key)
    return (clean_text(value, _LONGEST_ARGUMENT) or None) if isinstance(value, str) else None


def strings(source: Json, key: str) -> tuple[str, ...]:
    """Return the strings of a list."""
    value = source.get(key)
    listed = value[:_MOST_ARGUMENTS] if isinstance(value, list) else ()
    return tuple(clean_text(one, _LONGEST_ARGUMENT) for one in listed if isinstance(one, str))


def words_by_name(source: Json, key: str) -> dict[str, str]:
    """Return the strings of a map, such as labels."""
    return {name: value for name, value in mapping(source, key).items() if isinstance(value, str)}


def _quantities(source: Json, key: str) -> dict[str, str]:
    """Return resource quantities as written; YAML lets people write them as numbers."""
    told = mapping(source, key)
    plain = {name: value for name, value in told.items() if not isinstance(value, bool)}
    written = {name: str(value) for name, value in plain.items() if isinstance(value, str | int | float)}
    return {name: clean_text(value, _LONGEST_QUANTITY) for name, value in written.items()}
