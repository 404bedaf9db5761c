"""What the cluster tells of an engine: replicas, accelerators, resources, nodes, image, flags. Only what was told, each
fact with the object that told it.
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from inference_bench.api.probe_http import clean_text
from inference_bench.discovery.cluster.backends import Backend
from inference_bench.discovery.cluster.flags import masked, start_flags
from inference_bench.discovery.cluster.inventory import Inventory
from inference_bench.discovery.cluster.objects import Container, Labels, Pod, Workload

# Resources that are accelerators, and what they are called where no node says more.
_ACCELERATORS = {
    "nvidia.com/gpu": "NVIDIA GPU",
    "amd.com/gpu": "AMD GPU",
    "gpu.intel.com/xe": "Intel GPU",
    "gpu.intel.com/i915": "Intel GPU",
    "habana.ai/gaudi": "Intel Gaudi",
    "google.com/tpu": "Google TPU",
    "aws.amazon.com/neuron": "AWS Neuron",
}
_COUNT = re.compile(r"[1-9][0-9]{0,3}")
_SHARED = re.compile(r"nvidia\.com/(gpu\.shared|mig-.+)")
_GPU_LABELS = (
    "nvidia.com/gpu.product", "amd.com/gpu.product-name", "cloud.google.com/gke-accelerator",
    "cloud.google.com/gke-tpu-accelerator", "k8s.amazonaws.com/accelerator",
)  # fmt: skip
_LONGEST_LABEL = 63  # as the API itself bounds them
_MOST_NODES, _MOST_MAKERS = 8, 4

SCALED_TO_ZERO = "it is scaled to zero"
CLUSTER_FACTS = (
    "namespace", "workload", "replicas_ready", "replicas_wanted", "image", "start_flags", "settings", "gpu",
    "gpus_per_replica", "cpu_request", "cpu_limit", "memory_request", "memory_limit", "nodes", "state",
)  # fmt: skip


def cluster_facts(backend: Backend, inventory: Inventory) -> tuple[dict[str, object], dict[str, str]]:
    """Return the facts by name, and the source of each by the same name.

    Names: namespace, workload ("Deployment chat"), replicas_ready, replicas_wanted, image, start_flags (list of words,
    secrets hidden), settings (variables of the image by name), gpu, gpus_per_replica, cpu_request, cpu_limit,
    memory_request, memory_limit (as written), nodes (names), state (why pods do not run).
    """
    facts: dict[str, object] = {}
    sources: dict[str, str] = {}
    for name, value, source in _told(backend, inventory):
        if value not in (None, "", [], {}) and name not in facts:
            facts[name], sources[name] = value, source
    return facts, sources


def _told(backend: Backend, inventory: Inventory) -> Iterator[tuple[str, object, str]]:
    workload = backend.workloads[0] if backend.workloads else None
    pods, container = backend.pods, backend.container
    maker = workload.meta.called if workload is not None else (pods[0].meta.called if pods else "")
    yield "namespace", backend.namespace, maker or backend.name
    if workload is not None:
        yield "workload", ", ".join(one.meta.called for one in backend.workloads[:_MOST_MAKERS]), maker
        yield "replicas_wanted", sum(one.replicas for one in backend.workloads), maker
    if pods:
        yield "replicas_ready", len(backend.ready_pods), "pods"
    elif workload is not None:
        yield "replicas_ready", sum(one.ready for one in backend.workloads), maker
    yield "state", state_of(backend), "pods" if pods else maker
    if container is None:
        return
    where = f"{pods[0].meta.called}, container {container.name}" if pods else f"{maker}, container {container.name}"
    yield "image", container.image, where
    yield "start_flags", start_flags(container), where
    yield "settings", {name: masked(value) for name, value in container.variables.items()}, where
    yield from _resources(container, where)
    yield from _accelerator(container, where, pods, workload, inventory)
    nodes = sorted({pod.node for pod in pods if pod.node is not None})
    yield "nodes", nodes[:_MOST_NODES], "pods"


def state_of(backend: Backend) -> str | None:
    """Say why an engine has no pod that takes requests; None while it has one or nothing is known."""
    if backend.ready_pods:
        return None
    if backend.pods:
        waiting = [_why_not(pod) for pod in backend.pods]
        reasons = ", ".join(dict.fromkeys(one for one in waiting if one))
        return (
            f"none of its {len(backend.pods)} pods is ready ({reasons})"
            if len(waiting) > 1
            else f"its pod is not ready ({reasons})"
        )
    if backend.workloads:
        wanted = sum(one.replicas for one in backend.workloads)
        return SCALED_TO_ZERO if wanted == 0 else "it has no pods"
    if backend.inference is not None and backend.inference.ready is False:
        reason = f" ({backend.inference.reason})" if backend.inference.reason else ""
        return f"{backend.inference.meta.called} is not ready{reason}"
    return None


def _why_not(pod: Pod) -> str:
    if pod.ending:
        return "terminating"
    return pod.waiting or ("not ready" if pod.phase in ("Running", "") else pod.phase)


def _resources(container: Container, where: str) -> Iterator[tuple[str, object, str]]:
    for kind, told in (("request", container.requests), ("limit", container.limits)):
        for name in ("cpu", "memory"):
            yield f"{name}_{kind}", told.get(name), where


def _accelerator(
    container: Container, where: str, pods: Sequence[Pod], workload: Workload | None, inventory: Inventory
) -> Iterator[tuple[str, object, str]]:
    """Tell how many accelerators a pod has, and which: the node says it, else what was asked for, else the name."""
    name, amount = accelerator_of(container)
    if name is None:
        return
    yield "gpus_per_replica", amount, where
    used = {pod.node for pod in pods}
    kinds = {
        node.meta.name: kind
        for node in inventory.nodes
        if node.meta.name in used and (kind := _gpu_label(node.meta.labels)) is not None
    }
    # Replicas may have gone to nodes of different kinds: then one kind alone would be wrong of some of them.
    yield "gpu", ", ".join(sorted(set(kinds.values()))), f"Node {next(iter(kinds), '')}"
    selectors: Iterable[Labels] = [pod.node_selector for pod in pods] or ([workload.node_selector] if workload else [])
    for selector in selectors:
        yield "gpu", _gpu_label(selector), f"{where}: nodeSelector"
    yield "gpu", _ACCELERATORS.get(name, name.replace("nvidia.com/", "NVIDIA ")), where


def accelerator_of(container: Container) -> tuple[str | None, int | None]:
    """Return the resource and the number of accelerators of one pod, (None, None) without any."""
    for name, amount in {**container.requests, **container.limits}.items():
        if (name in _ACCELERATORS or _SHARED.fullmatch(name)) and _COUNT.fullmatch(amount):
            return name, int(amount)
    return None, None


def _gpu_label(labels: Labels) -> str | None:
    return next((clean_text(labels[key], _LONGEST_LABEL) for key in _GPU_LABELS if labels.get(key)), None)
