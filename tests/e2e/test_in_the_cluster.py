"""The command as a pod of a strict cluster runs it: an unknown user of group 0, and a file system that is read-only.

There is no container here; `strict_pod` says what stands for one, and the first test whether it is as strict as it
says. The image must be the same after each run, file by file.
"""

import pwd
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from front_door import read_json

from inference_bench.simulator.launcher import SimulatorProcess
from kubernetes_api import PLURALS, Faults, KubernetesApi
from strict_pod import ROOT, VERSION, Pod, contents, open_place, said, strictest_pod

Object = dict[str, Any]
# Shorter than the configuration files say; a command's own options still decide.
SHORTER = {
    "VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": "4",
    "VLLM_BENCHMARK__TTFT_TEST__MAX_TOKENS": "4",
    "VLLM_BENCHMARK__LOAD_TESTS__0__MAX_TOKENS": "8",
    "VLLM_BENCHMARK__LOAD_TESTS__0__CONCURRENT_USERS": "3",
    "VLLM_BENCHMARK__LOAD_TESTS__0__DURATION_SECONDS": "1",
    "VLLM_BENCHMARK__LOAD_TESTS__0__RAMP_UP_SECONDS": "0.2",
}


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with open_place() as directory:
        yield directory


@pytest.fixture(scope="module")
def pod(place: Path) -> Pod:
    return strictest_pod(place)


def test_the_pod_is_as_strict_as_it_says(pod: Pod) -> None:
    """Without this, the other tests would say nothing."""
    app = pod.image / "app"
    package = app / "lib" / VERSION / "site-packages" / "inference_bench"
    in_the_image = [pod.image, app, package, package / "__init__.py", app / "bin" / "vllm-benchmark"]
    in_the_system: list[Path | str] = [
        "/",
        "/etc",
        "/var/tmp",
        "/dev/shm",
        "/run",
        tempfile.gettempdir(),
        Path.home(),
        ROOT,
    ]
    probed = pod.probe(pod.results, pod.tmp, *in_the_image, *in_the_system)
    forbidden = set(probed["changed"]) - {str(pod.results), str(pod.tmp)}
    assert {str(pod.results), str(pod.tmp)} <= set(probed["changed"])
    if pod.user is not None:
        assert (probed["uid"], probed["gid"], probed["known"]) == (pod.user, 0, False)
        with pytest.raises(KeyError):
            pwd.getpwuid(pod.user)
    if pod.read_only:
        assert not forbidden
    elif pod.user is not None and not pod.in_namespace:
        assert not forbidden & set(map(str, in_the_image))
    # The probe can find something: without the pod, the same process can change the image.
    loose = Pod(pod.image, pod.results, pod.tmp, None, False, False)
    assert str(app) in loose.probe(app)["changed"]


def check_run(pod: Pod, done: subprocess.CompletedProcess[str], before: Mapping[str, object]) -> None:
    """Hold a run to what the cluster expects: it is complete, in its volume, and nothing else was touched."""
    assert done.returncode == 0, said(done)
    assert "Traceback" not in done.stderr, said(done)
    (folder,) = pod.results.glob("test_in-cluster_*")
    manifest = read_json(folder / "test_manifest.json")
    assert (manifest["status"], manifest["simulated"]) == ("complete", True)
    missing = {"requests.parquet", "chunks.parquet", "summary.json", "comparison.json", "executive_report.html"}
    missing -= {file.name for file in folder.iterdir()}
    assert not missing
    if pod.user is not None and not pod.in_namespace:
        assert {file.stat().st_uid for file in (folder, *folder.iterdir())} == {pod.user}
    readable = stat.S_IRUSR | stat.S_IRGRP
    assert all(file.stat().st_mode & readable == readable for file in folder.rglob("*")), "by whoever copies it out"
    assert list(pod.tmp.iterdir()) == [], "a run leaves nothing in /tmp"
    assert contents(pod.image) == before, "the image is as it was: not even bytecode was written"
    shutil.rmtree(folder)


@pytest.mark.slow
def test_the_quick_run_needs_nothing_but_its_volumes(pod: Pod) -> None:
    before = contents(pod.image)
    arguments = ("--quick", "--simulate", "--yes", "--name", "in-cluster", "-o", str(pod.results))
    check_run(pod, pod.command("benchmark", *arguments, **SHORTER), before)


def manifest(name: str) -> list[Object]:
    """Return the objects of a file of deploy/."""
    return list(yaml.safe_load_all((ROOT / "deploy" / name).read_text("utf-8")))


def engine(name: str, url: str) -> list[Object]:
    """Return what a cluster says of a vLLM server behind a load balancer at this address."""
    port = int(url.rpartition(":")[2])
    labels = {"app": name}
    meta = {"name": name, "namespace": "models", "labels": labels}
    container = {"name": "vllm", "image": "vllm/vllm-openai:v0.8.5", "ports": [{"containerPort": port}]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    ports = [{"name": "http", "port": port, "targetPort": port}]
    balancer = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
    service = {"type": "LoadBalancer", "selector": labels, "ports": ports}
    deployment = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": service, "status": balancer},
        {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template["spec"], "status": ready},
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": deployment},
    ]


def certificate(place: Path) -> tuple[Path, Path]:
    """Make a certificate for 127.0.0.1, which signs itself, and its key."""
    pem, key = place / "ca.crt", place / "ca.key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    return pem, key


@pytest.mark.slow
def test_the_job_s_own_command_with_the_rights_of_its_role(pod: Pod, place: Path) -> None:
    """Everything of the Job as it stands: its arguments, its configuration, its account, and what its Role lets it see.

    Three directories stand for the volumes, and a small API server for the cluster's; it refuses what the Role leaves
    out. The engines that it tells of are simulated.
    """
    (job,) = manifest("job.yaml")
    ((container,), config) = (job["spec"]["template"]["spec"]["containers"], place / "config")
    config.mkdir()
    for name, text in manifest("configmap.yaml")[0]["data"].items():
        (config / name).write_text(text, "utf-8")
    arguments = [one.replace("$(NAMESPACE)", "models") for one in container["args"]]
    for inside, outside in {"/config": config, "/results": pod.results}.items():
        arguments = [one.replace(inside, str(outside), 1) if one.startswith(inside) else one for one in arguments]
    pem, key = certificate(place)
    for name, text in {"token": "the-token", "namespace": "models"}.items():
        (place / name).write_text(text)
    (role,) = [one for one in manifest("rbac.yaml") if one["kind"] == "Role"]
    granted = {name for rule in role["rules"] for name in rule["resources"]}
    refusing = Faults(status=dict.fromkeys(set(PLURALS.values()) - granted, 403), cluster_wide=403)
    before = contents(pod.image)
    with SimulatorProcess(["vllm,name=blue", "vllm,name=green"]) as simulator:
        objects = [one for name, url in simulator.urls.items() for one in engine(name, url)]
        with KubernetesApi(objects, token="the-token", certificate=(pem, key), faults=refusing) as api:
            account = {
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": str(api.port),
                "KUBERNETES_SERVICE_ACCOUNT_DIR": str(place),
            }
            done = pod.command(*arguments, NAMESPACE="models", **account, **SHORTER)
    assert "blue (vllm), green (vllm)" in done.stdout + done.stderr, said(done)
    check_run(pod, done, before)
