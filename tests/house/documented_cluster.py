"""The cluster that the documents speak of: three engines in the namespace `llm`, reached in three ways.

`chat` (vLLM) has a load balancer, `tgi` a node port, `ollama` nothing but a port-forward. Behind each stands a
simulated engine; the API server is that of the tests, and a kubeconfig with the contexts `dev` and `prod` leads to it.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from kubernetes_api import KubernetesApi, Object

NAMESPACE = "llm"
_TOKEN = "for-the-documents"


@contextmanager
def documented_cluster(vllm: str, tgi: str, ollama: str, folder: Path) -> Iterator[Path]:
    """Serve the cluster while the block lasts; gives the kubeconfig. The arguments are the engines' base URLs."""
    ports = {"chat": _port(vllm), "tgi": _port(tgi), "ollama": _port(ollama)}
    forwards = {(NAMESPACE, "ollama-0", 11434): ports["ollama"]}
    with KubernetesApi(_objects(ports), token=_TOKEN, forwards=forwards) as api:
        kubeconfig = folder / "kubeconfig"
        kubeconfig.write_text(yaml.safe_dump(_kubeconfig(api.url)), "utf-8")
        yield kubeconfig


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


def _objects(ports: Mapping[str, int]) -> list[Object]:
    balanced = _service("chat", port=ports["chat"], target=8000, kind="LoadBalancer")
    balanced["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
    node = _object("v1", "Node", "gpu-1")
    node["metadata"]["labels"] = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    node["status"] = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    return [
        node,
        *_application("chat", "vllm/vllm-openai:v0.10.2", 8000, "--model", "org/model"),
        balanced,
        *_application("tgi", "ghcr.io/huggingface/text-generation-inference:3.3.5", 80, "--model-id", "org/model"),
        _service("tgi", port=80, target=80, kind="NodePort", node_port=ports["tgi"]),
        *_application("ollama", "docker.io/ollama/ollama:0.12.3", 11434),
        _service("ollama", port=11434, target=11434),
        *_application("shop", "registry.example.com/team/shop:4.2", 8080),
        _service("shop", port=80, target=8080),
    ]


def _application(name: str, image: str, port: int, *flags: str) -> list[Object]:
    """Return a Deployment and its one Pod, which is ready."""
    labels = {"app": name}
    limits = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    container = {"name": "main", "image": image, "args": list(flags), "ports": [{"containerPort": port}]}
    spec = {"containers": [{**container, "resources": {"limits": limits}}]}
    template = {"metadata": {"labels": labels}, "spec": spec}
    deployment = _object("apps/v1", "Deployment", name, NAMESPACE)
    deployment["spec"] = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    deployment["status"] = {"readyReplicas": 1}
    pod = _object("v1", "Pod", f"{name}-0", NAMESPACE)
    pod["metadata"]["labels"] = labels
    pod["spec"] = {**spec, "nodeName": "gpu-1"}
    pod["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    return [deployment, pod]


def _service(name: str, *, port: int, target: int, kind: str = "ClusterIP", node_port: int | None = None) -> Object:
    service = _object("v1", "Service", name, NAMESPACE)
    numbers = {"port": port, "targetPort": target} | ({"nodePort": node_port} if node_port is not None else {})
    service["spec"] = {"type": kind, "clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": [numbers]}
    return service


def _object(api: str, kind: str, name: str, namespace: str | None = None) -> Object:
    metadata = {"name": name} | ({"namespace": namespace} if namespace is not None else {})
    return {"apiVersion": api, "kind": kind, "metadata": metadata}


def _kubeconfig(url: str) -> Object:
    context = {"cluster": "documented", "user": "reader", "namespace": NAMESPACE}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "dev",
        "contexts": [{"name": name, "context": context} for name in ("dev", "prod")],
        "clusters": [{"name": "documented", "cluster": {"server": url}}],
        "users": [{"name": "reader", "user": {"token": _TOKEN}}],
    }
