"""How long it takes to search a large cluster, and what that asks of its API server.

A cluster of 500 Services in 50 namespaces, with their Deployments and 1,000 Pods, is served over HTTP by a process of
its own; 30 of them are engines, and simulated ones answer behind them. Measured are the search alone (from the open
client to the list of candidates) and the whole command, `discover --all-namespaces --json`, as a process; at once, with
cluster-wide lists forbidden (then every namespace is listed by itself), and both with 20 ms added to each answer.

    python benchmarks/cluster_search.py --runs 7
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import yaml
from aiohttp import web

from harness import ROOT, machine
from inference_bench.discovery.cluster.access import find_credentials
from inference_bench.discovery.cluster.source import EVERY_NAMESPACE, ClusterRequest, cluster_source
from inference_bench.simulator.launcher import SimulatorProcess

sys.path.insert(0, str(ROOT / "tests"))

from kubernetes_api import Faults, KubernetesApi, Object

NAMESPACES, SERVICES_EACH, PODS_EACH, NODES = 50, 10, 2, 12
ENGINES = 30
AIM_SECONDS = 5.0
SIZES = {"Pod": 8000, "Deployment": 7000, "Service": 4000, "Node": 8000}  # bytes of JSON; 4,000 for all others
# What each engine runs: the simulator's engine, image, port and start flags.
KINDS = (
    ("vllm", "vllm/vllm-openai:v0.10.2", 8000, ("--model", "org/model", "--max-model-len", "8192")),
    ("tgi", "ghcr.io/huggingface/text-generation-inference:3.3.5", 80, ("--model-id", "org/model")),
    ("ollama", "ollama/ollama:0.12.3", 11434, ()),
    ("openai", "lmsysorg/sglang:v0.5.3", 30000, ("python3", "-m", "sglang.launch_server", "--port", "30000")),
)
OTHERS = (
    ("postgres", "docker.io/library/postgres:16", 5432), ("redis", "docker.io/library/redis:7", 6379),
    ("web", "docker.io/library/nginx:1.27", 80), ("django", "registry.example.com:5000/team/shop:4.2", 8000),
    ("api", "registry.example.com:5000/team/api:1.9", 8080), ("open-webui", "ghcr.io/open-webui/open-webui:main", 8080),
    ("grafana", "docker.io/grafana/grafana:11.2", 3000), ("kafka", "quay.io/strimzi/kafka:0.45", 9092),
    ("worker", "registry.example.com:5000/team/worker:3", 9000), ("minio", "quay.io/minio/minio:latest", 9000),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """How the API server behaves."""

    name: str
    forbidden: bool = False
    delay_seconds: float = 0.0


CASES = (
    Case("at once"),
    Case("20 ms an answer", delay_seconds=0.02),
    Case("50 lists of each kind", forbidden=True),
    Case("50 lists of each kind, 20 ms an answer", forbidden=True, delay_seconds=0.02),
)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the API server saw of one search: requests in all, most at once, bytes of lists."""

    requests: int
    peak: int
    bytes: int


class CountingApi(KubernetesApi):
    """The API server of the tests, which also counts the bytes of its lists."""

    sent = 0

    async def _list(
        self, request: web.Request, group_version: str, plural: str, namespace: str | None
    ) -> web.StreamResponse:
        await asyncio.sleep(0)  # what else has come in is seen as being under way
        answer = await super()._list(request, group_version, plural, namespace)
        self.sent += len(answer.body) if isinstance(answer, web.Response) and isinstance(answer.body, bytes) else 0
        return answer

    def behave(self, case: Case) -> None:
        """Behave as a case says from now on, and count anew."""
        slow = {"apis": case.delay_seconds} if case.delay_seconds else {}
        self.faults = Faults(cluster_wide=403 if case.forbidden else None, delay_seconds=slow)
        self.hold_seconds = case.delay_seconds
        self.requests, self.peak, self.sent = [], 0, 0


class Served:
    """The API server in a process of its own."""

    def __init__(self, line: Connection) -> None:
        self._line = line
        self.url = str(line.recv())

    def behave(self, case: Case) -> None:
        """Behave as a case says from now on, and count anew."""
        self._line.send(case)
        self._line.recv()

    def seen(self) -> Seen:
        """Return what was seen since then."""
        self._line.send(None)
        seen: Seen = self._line.recv()
        return seen


@contextmanager
def served(ports: Mapping[str, int]) -> Iterator[Served]:
    """Serve the cluster; `ports` are those of its engines by name."""
    context = multiprocessing.get_context("spawn")
    line, far = context.Pipe()
    process = context.Process(target=_serve, args=(far, dict(ports)), daemon=True)
    process.start()
    far.close()
    try:
        yield Served(line)
    finally:
        line.close()
        process.join(10)


def _serve(line: Connection, ports: Mapping[str, int]) -> None:
    api = CountingApi(cluster(ports))
    with api:
        line.send(api.url)
        try:
            while True:
                case = line.recv()
                if case is None:
                    line.send(Seen(len(api.requests), api.peak, api.sent))
                else:
                    api.behave(case)
                    line.send("ready")
        except (EOFError, OSError):
            return


def cluster(ports: Mapping[str, int]) -> list[Object]:
    """Return the objects: engines spread evenly over the namespaces, everything else around them."""
    names = list(ports)
    step = NAMESPACES * SERVICES_EACH // len(names)
    found: list[Object] = [_node(number) for number in range(NODES)]
    for number in range(NAMESPACES * SERVICES_EACH):
        namespace = f"team-{number // SERVICES_EACH:02}"
        if number % SERVICES_EACH == 0:
            found += [_object("v1", "Namespace", namespace), _object("project.openshift.io/v1", "Project", namespace)]
        place, rest = divmod(number, step)
        if rest == 0 and place < len(names):
            _, image, port, flags = KINDS[place % len(KINDS)]
            found += _application(namespace, names[place], image, port, flags)
            found += _way_in(namespace, names[place], port, ports[names[place]], place)
        else:
            word, image, port = OTHERS[number % len(OTHERS)]
            name = f"{word}-{number}"
            found += [*_application(namespace, name, image, port), _service(namespace, name, port)]
            if number % 5 == 0:
                found.append(_route(namespace, name))
    return [_padded(one) for one in found]


def _way_in(namespace: str, name: str, port: int, real: int, place: int) -> list[Object]:
    """Return what leads to an engine that listens on a port of this machine: three kinds of ways, in turn."""
    if place % 3 == 0:
        balanced = _service(namespace, name, port, number=real, kind="LoadBalancer")
        return [{**balanced, "status": {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}}]
    if place % 3 == 1:
        return [_service(namespace, name, port, node_port=real, kind="NodePort")]
    api = "gateway.networking.k8s.io/v1"
    listeners = [{"name": "http", "port": real, "protocol": "HTTP"}]
    rules = [{"backendRefs": [{"name": name, "port": port}]}]
    parents = {"parentRefs": [{"name": name}], "hostnames": ["localhost"], "rules": rules}
    accepted = {"parents": [{"conditions": [{"type": "Accepted", "status": "True"}]}]}
    return [
        _service(namespace, name, port),
        _object(api, "Gateway", name, namespace, spec={"listeners": listeners}),
        _object(api, "HTTPRoute", name, namespace, spec=parents, status=accepted),
    ]


def _application(namespace: str, name: str, image: str, port: int, flags: tuple[str, ...] = ()) -> list[Object]:
    """Return a Deployment and its Pods."""
    labels = {"app": name, "team": namespace, "app.kubernetes.io/managed-by": "Helm"}
    container: Object = {
        "name": "main",
        "image": image,
        "args": list(flags),
        "ports": [{"containerPort": port}],
        "env": [{"name": f"SETTING_{number}", "value": f"value {number}"} for number in range(12)],
        "resources": {"limits": {"cpu": "4", "memory": "16Gi", **({"nvidia.com/gpu": "1"} if flags else {})}},
    }
    spec: Object = {"containers": [container], "serviceAccountName": name}
    template = {"metadata": {"labels": labels}, "spec": spec}
    wanted = {"replicas": PODS_EACH, "selector": {"matchLabels": {"app": name}}, "template": template}
    made = _object("apps/v1", "Deployment", name, namespace, spec=wanted, status={"readyReplicas": PODS_EACH})
    made["metadata"]["labels"] = labels
    running = {"phase": "Running", "hostIP": "127.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    found = [made]
    for number in range(PODS_EACH):
        placed = {**spec, "nodeName": f"node-{(hash_of(name) + number) % NODES}"}
        pod = _object("v1", "Pod", f"{name}-7d9f-{number}", namespace, spec=placed, status=running)
        pod["metadata"] |= {"labels": labels, "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-7d9f"}]}
        found.append(pod)
    return found


def hash_of(name: str) -> int:
    """Return the same number for a name in every process."""
    return sum(name.encode())


def _service(
    namespace: str, name: str, target: int, *, number: int = 0, node_port: int = 0, kind: str = "ClusterIP"
) -> Object:
    port = {"port": number or target, "targetPort": target} | ({"nodePort": node_port} if node_port else {})
    spec = {"type": kind, "clusterIP": "10.0.0.1", "selector": {"app": name}, "ports": [port]}
    return _object("v1", "Service", name, namespace, spec=spec)


def _route(namespace: str, name: str) -> Object:
    host = f"{name}-{namespace}.apps.invalid"
    admitted = {"ingress": [{"host": host, "conditions": [{"type": "Admitted", "status": "True"}]}]}
    spec = {"host": host, "to": {"kind": "Service", "name": name}, "tls": {"termination": "edge"}}
    return _object("route.openshift.io/v1", "Route", name, namespace, spec=spec, status=admitted)


def _node(number: int) -> Object:
    status = {
        "addresses": [{"type": "InternalIP", "address": "127.0.0.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }
    node = _object("v1", "Node", f"node-{number}", status=status)
    node["metadata"]["labels"] = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    return node


def _object(api: str, kind: str, name: str, namespace: str | None = None, **parts: Object) -> Object:
    metadata: Object = {"name": name, "uid": f"{hash_of(name):036d}", "resourceVersion": "1000"}
    if namespace is not None:
        metadata["namespace"] = namespace
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **parts}


def _padded(one: Object) -> Object:
    """Add what real lists are mostly made of: who manages which field."""
    fields: Object = {}
    room = SIZES.get(one["kind"], 4000) - len(json.dumps(one)) - 200
    for number in range(max(room, 0) // 52):
        part = fields.setdefault(f"f:part-{number // 10}", {})
        part[f'k:{{"name":"setting-{number:06}"}}'] = {".": {}}
    managed = {"manager": "helm", "operation": "Update", "apiVersion": one["apiVersion"], "fieldsV1": fields}
    return {**one, "metadata": {**one["metadata"], "managedFields": [managed]}}


def search_alone(environ: Mapping[str, str]) -> tuple[float, int]:
    """Search once; return the seconds it took and the number of candidates."""

    async def searched() -> tuple[float, int]:
        credentials = find_credentials(environ)
        assert credentials is not None
        async with cluster_source(credentials, ClusterRequest(EVERY_NAMESPACE), environ) as source:
            start = time.perf_counter()
            candidates = await source.candidates()
            return time.perf_counter() - start, len(candidates)

    return asyncio.run(searched())


def whole_command(environ: Mapping[str, str]) -> tuple[float, int]:
    """Run the command; return the seconds it took, interpreter included, and the number of usable services."""
    command = [sys.executable, str(ROOT / "vllm_benchmark.py"), "--quiet", "discover", "--all-namespaces", "--json"]
    start = time.perf_counter()
    done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - start
    if done.returncode != 0:
        raise SystemExit(f"the command failed with {done.returncode}:\n{done.stderr[-2000:]}")
    return seconds, int(json.loads(done.stdout)["usable"])


def main() -> None:
    """Serve, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()
    print(machine())
    names = {f"{KINDS[number % len(KINDS)][0]}-{number}": KINDS[number % len(KINDS)][0] for number in range(ENGINES)}
    simulated = [f"{engine},name={name}" for name, engine in names.items()]
    with tempfile.TemporaryDirectory() as place, SimulatorProcess(simulated) as simulator:
        ports = {name: urlsplit(simulator.urls[name]).port or 0 for name in names}
        with served(ports) as api:
            environ = {**os.environ, "KUBECONFIG": str(_kubeconfig(Path(place), api.url))}
            _table(api, environ, given.runs)


def _kubeconfig(place: Path, url: str) -> Path:
    file = place / "kubeconfig"
    chosen = {"context": {"cluster": "large", "user": "reader"}, "name": "large"}
    told = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "large",
        "contexts": [chosen],
        "clusters": [{"name": "large", "cluster": {"server": url}}],
        "users": [{"name": "reader", "user": {"token": "of-the-benchmark"}}],
    }
    file.write_text(yaml.safe_dump(told), "utf-8")
    return file


def _table(api: Served, environ: Mapping[str, str], runs: int) -> None:
    objects = NAMESPACES * SERVICES_EACH
    print(f"\n{objects} Services in {NAMESPACES} namespaces, {objects * PODS_EACH} Pods; {runs} runs of each\n")
    print("| lists | what | engines found | s: min / median / max | requests | at once | MB |")
    print("|---|---|---:|---:|---:|---:|---:|")
    slowest = 0.0
    for case in CASES:
        for what, measure in (("search alone", search_alone), ("whole command", whole_command)):
            times, seen = [], []
            for _ in range(runs):
                api.behave(case)
                seconds, found = measure(environ)
                times.append(seconds)
                seen.append(api.seen())
                if found != ENGINES:
                    raise SystemExit(f"{case.name}: {found} engines found instead of {ENGINES}")
            slowest = max(slowest, *times)
            cells = (
                case.name,
                what,
                found,
                f"{min(times):.2f} / {np.median(times):.2f} / {max(times):.2f}",
                max(one.requests for one in seen),
                max(one.peak for one in seen),
                f"{max(one.bytes for one in seen) / 1e6:.1f}",
            )
            print(f"| {' | '.join(map(str, cells))} |")
    verdict = "yes" if slowest < AIM_SECONDS else "NO"
    print(f"\nunder {AIM_SECONDS:g} s every time: {verdict} (the slowest took {slowest:.2f} s)")


if __name__ == "__main__":
    main()
