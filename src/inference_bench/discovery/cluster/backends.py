"""Which engines run in the cluster: pods that serve, together with every Service that leads to them.

What leads to the same container of the same pods is one engine, however many Services there are; engines with pods of
their own are apart, however alike they look.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from inference_bench.discovery.cluster.inventory import Inventory
from inference_bench.discovery.cluster.objects import Container, Labels, Meta, Pod, Service, ServicePort, Workload
from inference_bench.discovery.cluster.recognition import (
    ENOUGH,
    OTHER,
    Clue,
    Guess,
    container_clues,
    is_side_port,
    label_clues,
    listening_port,
    name_clues,
    port_clues,
    weigh,
)
from inference_bench.discovery.cluster.routing import Inference

_KSERVE, _KSERVE_LLM = "serving.kserve.io/inferenceservice", "serving.kserve.io/llminferenceservice"
_KNATIVE = "serving.knative.dev/service"
_Selected = tuple[tuple[Pod, ...], tuple[Workload, ...]]
_FRONTS = ("proxy", "oauth", "auth", "sidecar")


@dataclass(frozen=True, slots=True)
class Door:
    """A port of a Service that leads to an engine; `front` says that another container stands before it."""

    service: Service
    port: ServicePort
    target: int
    front: bool = False


@dataclass(slots=True)
class Backend:
    """One engine of the cluster: what it seems to be and why, its pods, what makes them, and what leads to it.

    `port` is where its container listens. `container` is None where neither pods nor templates could be read.
    """

    name: str
    namespace: str
    guess: Guess
    port: int
    container: Container | None
    pods: tuple[Pod, ...] = ()
    workloads: tuple[Workload, ...] = ()
    doors: list[Door] = field(default_factory=list)
    inference: Inference | None = None

    @property
    def product(self) -> str:
        """What it seems to be."""
        return self.guess.product.name

    @property
    def ready_pods(self) -> tuple[Pod, ...]:
        """The pods that take requests."""
        return tuple(pod for pod in self.pods if pod.ready and not pod.ending)


@dataclass(slots=True)
class _Group:
    """What is being put together under one key."""

    namespace: str
    container: Container | None
    pods: tuple[Pod, ...]
    workloads: tuple[Workload, ...]
    port: int
    doors: list[Door] = field(default_factory=list)
    clues: list[Clue] = field(default_factory=list)


def find_backends(inventory: Inventory) -> list[Backend]:
    """Return all engines, those with the best evidence first, then by namespace and name; names are not unique yet."""
    index = _Index(inventory)
    groups: dict[object, _Group] = {}
    for service in (*inventory.services, *inventory.pools):
        _add_service(groups, service, index)
    _add_unserved(groups, inventory, index)
    backends = [backend for group in groups.values() if (backend := _backend(group, index)) is not None]
    backends += _add_inferences(backends, index)
    return sorted(backends, key=lambda one: (-one.guess.score, one.namespace, one.name))


class _Index:
    """The inventory by namespace."""

    def __init__(self, inventory: Inventory) -> None:
        self.pods: dict[str, list[Pod]] = defaultdict(list)
        self.workloads: dict[str, list[Workload]] = defaultdict(list)
        for pod in inventory.pods:
            self.pods[pod.meta.namespace].append(pod)
        for workload in inventory.workloads:
            self.workloads[workload.meta.namespace].append(workload)
        self.inferences = {(one.meta.namespace, one.meta.name): one for one in inventory.inferences}

    def selected(self, service: Service) -> _Selected:
        """Return the pods a Service sends to, and the workloads that make such pods."""
        if not service.selector:
            return (), ()
        namespace = service.meta.namespace
        matching = [pod for pod in self.pods[namespace] if _matches(service.selector, pod.meta.labels)]
        # A benchmark's or a download's pod may carry the labels of what it is for.
        pods = [pod for pod in matching if not _of_job(pod)] or matching
        workloads = [one for one in self.workloads[namespace] if _matches(service.selector, one.template_labels)]
        return tuple(sorted(pods, key=lambda pod: pod.meta.name)), tuple(workloads)

    def inference_of(self, labels: Labels, namespace: str) -> Inference | None:
        """Return the InferenceService that an object belongs to by its labels."""
        for key in (_KSERVE, _KSERVE_LLM):
            if key in labels:
                return self.inferences.get((namespace, labels[key]))
        if labels.get("app.kubernetes.io/part-of") == "llminferenceservice":
            return self.inferences.get((namespace, labels.get("app.kubernetes.io/name", "")))
        return None


def _matches(selector: Labels, labels: Labels) -> bool:
    return all(labels.get(key) == value for key, value in selector.items())


def _add_service(groups: dict[object, _Group], service: Service, index: _Index) -> None:
    """Find the engine behind each port of a Service, and put the Service to it."""
    pods, workloads = index.selected(service)
    containers = _containers(pods, workloads)
    engines = [(container, clues) for container in containers if (clues := container_clues(container))]
    own = [
        *label_clues(service.meta.labels, f"Service {service.meta.name}"),
        *name_clues(service.meta.name, _called(service)),
    ]
    if service.type == "InferencePool":
        own.append(Clue(OTHER, ENOUGH, f"InferencePool {service.meta.name}"))
    for container, clues in engines:
        product = clues[0].product
        number = listening_port(container, product)
        doors = _doors_to(service, container, number, containers)
        if doors:
            group = _group(groups, service, container, (pods, workloads), number)
            group.doors += doors
            group.clues += [*clues, *own, *port_clues(doors[0].port.name, doors[0].target)]
    if engines or not service.ports:
        return
    if _KNATIVE in service.meta.labels or (
        not service.selector and index.inference_of(service.meta.labels, service.meta.namespace)
    ):
        return  # shadows of an InferenceService, which is found by itself
    door = _likely_door(service, containers)
    if door is not None:
        group = _group(groups, service, None, (pods, workloads), door.target)
        group.doors.append(door)
        group.clues += [*own, *port_clues(door.port.name, door.target)]


def _group(
    groups: dict[object, _Group], service: Service, container: Container | None, selected: _Selected, number: int
) -> _Group:
    """Return the group of a container of these pods, a new one where there is none yet."""
    pods, workloads = selected
    behind = frozenset(pod.meta.name for pod in pods) or frozenset(one.meta.called for one in workloads)
    own = container.name if container is not None else (service.meta.kind, service.meta.name)
    key = (service.meta.namespace, behind, own)
    if key not in groups:
        groups[key] = _Group(service.meta.namespace, container, pods, workloads, number)
    return groups[key]


def _doors_to(service: Service, container: Container, number: int, containers: Sequence[Container]) -> list[Door]:
    """Return the ports of a Service that lead to a container, or else to what stands before it in its pod."""
    straight, fronts = [], []
    declared = {port for _, port in container.ports}
    for port in service.ports:
        target, owner = _target(port, containers)
        if target == number or (owner is container and target in declared and not is_side_port(port.name, target)):
            straight.append(Door(service, port, target))
        elif owner is not None and owner is not container and _is_front(owner) and not is_side_port(port.name, target):
            fronts.append(Door(service, port, target, front=True))
    straight.sort(key=lambda door: door.target != number)
    if straight or fronts:
        return straight or fronts
    # Nothing declares its ports: a lone port that is no side port must be the one.
    lone = [port for port in service.ports if not is_side_port(port.name, port.number)]
    if len(lone) == 1 and len(containers) == 1:
        target, owner = _target(lone[0], containers)
        return [Door(service, lone[0], target)] if owner is None else []
    return []


def _target(port: ServicePort, containers: Sequence[Container]) -> tuple[int, Container | None]:
    """Return the container's port that a Service's port leads to, and the container that declares it."""
    for container in containers:
        for name, number in container.ports:
            if port.target in (name, number) or (port.target is None and number == port.number):
                return number, container
    return (port.target if isinstance(port.target, int) else port.number), None


def _likely_door(service: Service, containers: Sequence[Container]) -> Door | None:
    """Return the port of a Service of unknown pods that is likeliest to take requests."""
    ports = [port for port in service.ports if not is_side_port(port.name, port.number)]
    if not ports:
        return None
    best = max(
        ports, key=lambda port: (sum(clue.weight for clue in port_clues(port.name, port.number)), "http" in port.name)
    )
    return Door(service, best, _target(best, containers)[0])


def _is_front(container: Container) -> bool:
    return any(word in container.name or word in container.image.rpartition("/")[2] for word in _FRONTS)


def _containers(pods: Sequence[Pod], workloads: Sequence[Workload]) -> tuple[Container, ...]:
    """Return the containers of the first pod that takes requests, else of the first workload's template.

    Pods with an engine come first: a test's pod may carry the labels of what it tests.
    """
    ordered = sorted(pods, key=lambda pod: (not _serves(pod), not pod.ready, pod.ending, pod.meta.name))
    everything: list[Pod | Workload] = [*ordered, *workloads]
    return next((one.containers for one in everything if one.containers), ())


def _serves(pod: Pod) -> bool:
    return any(container_clues(container) for container in pod.containers)


def _add_unserved(groups: dict[object, _Group], inventory: Inventory, index: _Index) -> None:
    """Add the engines that no Service leads to: workloads first, then pods that nothing here makes."""
    served = {(group.namespace, pod.meta.name) for group in groups.values() for pod in group.pods if group.container}
    made = {
        (group.namespace, one.meta.called) for group in groups.values() for one in group.workloads if group.container
    }
    for workload in inventory.workloads:
        meta = workload.meta
        if (meta.namespace, meta.called) in made:
            continue
        pods = tuple(pod for pod in index.pods[meta.namespace] if _made_by(pod, workload))
        if not any((meta.namespace, pod.meta.name) in served for pod in pods):
            _add_bare(groups, meta, pods, (workload,))
            served |= {(meta.namespace, pod.meta.name) for pod in pods}
    loose: dict[tuple[str, str], list[Pod]] = defaultdict(list)
    for pod in inventory.pods:
        if (pod.meta.namespace, pod.meta.name) in served or _of_job(pod):
            continue
        loose[pod.meta.namespace, _maker(pod)].append(pod)
    for (namespace, name), pods_of_it in loose.items():
        _add_bare(groups, Meta("Pod", name, namespace, pods_of_it[0].meta.labels), tuple(pods_of_it), ())


def _add_bare(groups: dict[object, _Group], meta: Meta, pods: tuple[Pod, ...], workloads: tuple[Workload, ...]) -> None:
    for container in _containers(pods, workloads):
        clues = container_clues(container)
        if clues:
            number = listening_port(container, clues[0].product)
            group = _Group(meta.namespace, container, pods, workloads, number, clues=list(clues))
            groups[meta.namespace, meta.called, container.name] = group


def _made_by(pod: Pod, workload: Workload) -> bool:
    kind, name = workload.meta.kind, workload.meta.name
    if kind == "Deployment":  # by way of a ReplicaSet, called after it with a hash
        return any(owner == "ReplicaSet" and whose.rpartition("-")[0] == name for owner, whose in pod.meta.owners)
    return (kind, name) in pod.meta.owners


def _of_job(pod: Pod) -> bool:
    return any(kind == "Job" for kind, _ in pod.meta.owners)


def _maker(pod: Pod) -> str:
    """Return the name of what made a pod, else its own."""
    for kind, name in pod.meta.owners:
        return name.rpartition("-")[0] if kind == "ReplicaSet" and "-" in name else name
    return pod.meta.name


def _backend(group: _Group, index: _Index) -> Backend | None:
    """Weigh a group's evidence; None where it is not worth asking."""
    clues = list(group.clues)
    makers: Iterable[Meta] = [one.meta for one in group.workloads] or [pod.meta for pod in group.pods[:1]]
    for maker in makers:
        clues += [*label_clues(maker.labels, maker.called), *name_clues(maker.name, maker.called)]
    for pod in group.pods[:1]:
        clues += label_clues(pod.meta.labels, "its pods")
    guess = weigh(clues)
    if guess is None or guess.score < ENOUGH:
        return None
    labels: list[Labels] = [pod.meta.labels for pod in group.pods[:1]]
    for workload in group.workloads:
        labels += [workload.meta.labels, workload.template_labels]
    labels += [door.service.meta.labels for door in group.doors]
    inference = next((one for label in labels if (one := index.inference_of(label, group.namespace)) is not None), None)
    return Backend(
        name=inference.meta.name if inference is not None else _name(group),
        namespace=group.namespace,
        guess=guess,
        port=group.port,
        container=group.container,
        pods=group.pods,
        workloads=group.workloads,
        doors=sorted(_without_metrics(group.doors), key=_door_order),
        inference=inference,
    )


def _without_metrics(doors: Sequence[Door]) -> Sequence[Door]:
    """Leave out Services that are there for metrics, where others lead to the same: they may go past a proxy."""
    others = [door for door in doors if "metrics" not in door.service.meta.name.split("-")]
    return others or doors


def _door_order(door: Door) -> tuple[object, ...]:
    """Order doors: straight ones first, those with an address of their own, by name."""
    return (
        door.front,
        door.service.type == "InferencePool",
        door.service.headless,
        len(door.service.meta.name),
        door.service.meta.name,
    )


def _name(group: _Group) -> str:
    if group.doors:
        return min(_without_metrics(group.doors), key=_door_order).service.meta.name
    maker = group.workloads[0].meta.name if group.workloads else _maker(group.pods[0])
    several = any(len(one.containers) > 1 and group.container for one in group.pods[:1])
    engines = sum(bool(container_clues(one)) for pod in group.pods[:1] for one in pod.containers)
    return f"{maker}-{group.container.name}" if several and engines > 1 and group.container else maker


def _add_inferences(backends: Sequence[Backend], index: _Index) -> list[Backend]:
    """Return the InferenceServices behind which no engine was found: scaled to zero, or with pods out of sight."""
    there = {(one.namespace, one.inference.meta.name) for one in backends if one.inference is not None}
    added = []
    for key, inference in index.inferences.items():
        if key in there:
            continue
        clues = [
            Clue(OTHER, ENOUGH, inference.meta.called),
            *name_clues(inference.runtime, f"runtime {inference.runtime}"),
        ]
        guess = weigh(clues)
        served = (
            inference.meta.kind == "LLMInferenceService" or len(clues) > 1 or "hugging" in inference.runtime.lower()
        )
        if guess is not None and served:  # other model formats (sklearn, onnx, …) serve no chat
            added.append(
                Backend(
                    inference.meta.name, inference.meta.namespace, guess, guess.product.port, None, inference=inference
                )
            )
    return added


def _called(service: Service) -> str:
    return f"{service.meta.kind} {service.meta.name}"
