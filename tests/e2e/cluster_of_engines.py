"""A cluster whose engines are simulated, for the real command: an API server, a kubeconfig, and what its pods say.

Namespace `llm` holds `chat` (vLLM behind a load balancer), `tgi` (behind a node port), `ollama` (no way in but a
port-forward), and two things that are no engines; namespace `lab` holds `draft`, another vLLM. The load balancer, the
node and the cluster's own addresses are this machine's loopback.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cluster_objects import container, made, node, service
from inference_bench.simulator.launcher import SimulatorProcess
from kubernetes_api import Faults, KubernetesApi, Object

LLM, LAB = "llm", "lab"
TOKEN = "sha256~kept-from-everybody-4711"
FLAG_KEY = "flag-key-of-the-engine-0815"  # in the start flags of `chat`
VARIABLE_KEY = "hf_keptfromeverybody1234567890"  # in the environment of its container
SECRETS = (TOKEN, FLAG_KEY, VARIABLE_KEY)
GPU = "NVIDIA-H100-80GB-HBM3"
VLLM = "vllm/vllm-openai:v0.10.2"
TGI = "ghcr.io/huggingface/text-generation-inference:3.3.5"
OLLAMA = "docker.io/ollama/ollama:0.12.3"
_SRC = Path(__file__).parents[2] / "src"
QUICK = "ttft-ms=5,itl-ms=1"
# Slow enough that the first chunk is there before the last is written.
SERVE = (f"vllm,{QUICK}", f"tgi,{QUICK}", "ollama,ttft-ms=20,itl-ms=15,load-ms=1", f"vllm,name=draft,{QUICK}")
# Shorter than the built-in defaults say; a command's own options and files are left alone.
SHORT = {
    "VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": "3",
    "VLLM_BENCHMARK__TTFT_TEST__MAX_TOKENS": "12",
    "VLLM_BENCHMARK__LOAD_TESTS": "[]",
}


@dataclass(frozen=True)
class Place:
    """The cluster and the person at it: the API server, where each engine listens, and the kubeconfig."""

    api: KubernetesApi
    ports: Mapping[str, int]
    kubeconfig: Path

    def url(self, name: str) -> str:
        """Return the address of an engine."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment of somebody with this kubeconfig."""
        return {**nobody(self.kubeconfig.parent), "KUBECONFIG": str(self.kubeconfig), **more}


def nobody(home: Path) -> dict[str, str]:
    """Return the environment of somebody without any cluster, whatever the tests themselves run in."""
    return {"KUBECONFIG": "", "HOME": str(home), "KUBERNETES_SERVICE_HOST": "", "KUBERNETES_SERVICE_ACCOUNT_DIR": ""}


@contextmanager
def engines(*serve: str, truth_log: Path | None = None) -> Iterator[dict[str, int]]:
    """Run simulated engines; gives their ports by name, vLLM's under `chat`."""
    with SimulatorProcess(serve or SERVE, truth_log=truth_log) as simulator:
        yield {"chat" if name == "vllm" else name: port_of(url) for name, url in simulator.urls.items()}


@contextmanager
def cluster(ports: Mapping[str, int], folder: Path, *objects: Object, **server: Any) -> Iterator[Place]:
    """Serve the cluster of these engines, or other `objects`; `server` are fields of KubernetesApi."""
    forwards = {(LLM, "ollama-7d9-0", 11434): ports["ollama"]} if "ollama" in ports else {}
    given = {"token": TOKEN, "faults": Faults(), "forwards": forwards, **server}
    with KubernetesApi(list(objects or inhabitants(ports)), **given) as api:
        yield Place(api, ports, kubeconfig(folder, api.url, token=TOKEN))


def inhabitants(ports: Mapping[str, int]) -> list[Object]:
    """Return all objects of the cluster."""
    return [*gpu_node(), *chat(ports["chat"]), *tgi(ports["tgi"]), *ollama(), *strangers(), *draft(ports["draft"])]


def gpu_node() -> list[Object]:
    """Return the one node, which has accelerators and this machine's address."""
    return [node(labels={"nvidia.com/gpu.product": GPU}, InternalIP="127.0.0.1")]


def chat(port: int, *, ready: bool = True, replicas: int = 1) -> list[Object]:
    """Return vLLM with secrets in its start flags and its environment, behind a load balancer."""
    flags = ["--model", "org/model", "--api-key", FLAG_KEY, "--max-model-len", "8192"]
    runs = _on_gpu(VLLM, 8000, args=flags, env=[{"name": "HF_TOKEN", "value": VARIABLE_KEY}])
    ways = [{"ip": "127.0.0.1"}]
    numbers = {"port": port, "targetPort": 8000}
    labels = {"app": "chat"}
    balanced = service("chat", numbers, selector=labels, namespace=LLM, balancers=ways, type="LoadBalancer")
    balanced["spec"]["clusterIP"] = "127.0.0.1"
    return [*made("chat", runs, namespace=LLM, ready=ready, replicas=replicas), balanced]


def tgi(port: int) -> list[Object]:
    """Return TGI behind a node port."""
    numbers = {"port": 80, "targetPort": 80, "nodePort": port}
    behind = service("tgi", numbers, selector={"app": "tgi"}, namespace=LLM, type="NodePort")
    return [*made("tgi", _on_gpu(TGI, 80, args=["--model-id", "org/model"]), namespace=LLM), behind]


def ollama() -> list[Object]:
    """Return Ollama, which nothing leads to from outside."""
    numbers = {"port": 11434, "targetPort": 11434}
    inside = service("ollama", numbers, selector={"app": "ollama"}, namespace=LLM)
    return [*made("ollama", _on_gpu(OLLAMA, 11434), namespace=LLM), inside]


def draft(port: int) -> list[Object]:
    """Return another vLLM in another namespace."""
    numbers = {"port": port, "targetPort": 8000}
    labels, ways = {"app": "draft"}, [{"ip": "127.0.0.1"}]
    balanced = service("draft", numbers, selector=labels, namespace=LAB, balancers=ways, type="LoadBalancer")
    return [*made("draft", container(VLLM, port=8000), namespace=LAB), balanced]


def strangers() -> list[Object]:
    """Return what is no engine: a shop and its database."""
    shop = service("shop", {"port": 80, "targetPort": 8080}, selector={"app": "shop"}, namespace=LLM)
    ledger = service("ledger", {"port": 5432}, selector={"app": "ledger"}, namespace=LLM)
    return [
        *made("shop", container("registry.example.com/shop:4.2", port=8080), namespace=LLM),
        *made("ledger", container("docker.io/postgres:16", port=5432), namespace=LLM),
        shop,
        ledger,
    ]


def kubeconfig(folder: Path, server: str, *, token: str = TOKEN, namespace: str = LLM) -> Path:
    """Write a kubeconfig with the one context `here`."""
    file = folder / "kubeconfig"
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "here",
        "contexts": [{"name": "here", "context": {"cluster": "it", "user": "me", "namespace": namespace}}],
        "clusters": [{"name": "it", "cluster": {"server": server}}],
        "users": [{"name": "me", "user": {"token": token}}],
    }
    file.write_text(json.dumps(told), "utf-8")  # JSON is YAML
    return file


def account(folder: Path, api: KubernetesApi, certificate: Path) -> dict[str, str]:
    """Give the account of a pod in namespace `llm`; returns the environment of the pod. The API server has HTTPS."""
    for name, text in {"token": TOKEN, "namespace": LLM, "ca.crt": certificate.read_text()}.items():
        (folder / name).write_text(text)
    return {
        **nobody(folder),
        "KUBERNETES_SERVICE_HOST": "127.0.0.1",
        "KUBERNETES_SERVICE_PORT": str(api.port),
        "KUBERNETES_SERVICE_ACCOUNT_DIR": str(folder),
    }


def looking_at(folder: Path, *ports: int) -> dict[str, str]:
    """Return the environment of a program whose usual local ports are these: the real ones may be taken, or in use."""
    stub = folder / "ports"
    stub.mkdir(exist_ok=True)
    words = (
        f"import sys\nsys.path.insert(0, {str(_SRC)!r})\n"
        "from inference_bench.discovery.sources import LocalSource\n"
        f"LocalSource.__init__.__defaults__ = ({tuple(ports)!r},)\n"
    )
    (stub / "sitecustomize.py").write_text(words)
    return {"PYTHONPATH": str(stub)}


def port_of(url: str) -> int:
    """Return the port of a URL."""
    port = urlsplit(url).port
    assert port is not None
    return port


def bytes_of(folder: Path) -> bytes:
    """Return all bytes of all files below a folder, to be searched for what must not be in any."""
    return b"\0".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def _on_gpu(image: str, port: int, **more: Any) -> Object:
    limits = {"cpu": "8", "memory": "64Gi", "nvidia.com/gpu": "1"}
    return container(image, port=port, resources={"limits": limits}, **more)
