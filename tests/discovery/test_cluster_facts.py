"""What the cluster tells of an engine: accelerators, resources, flags and states, each with the object that told it."""

from typing import Any

import pytest

from cluster_objects import changed, chat, container, facts, made, node, pod, search, service, workload
from inference_bench.discovery.cluster.facts import CLUSTER_FACTS
from inference_bench.discovery.cluster.flags import masked, start_flags
from inference_bench.discovery.cluster.objects import Container
from inference_bench.discovery.sources import Candidate
from kubernetes_api import Faults, Object


def limited(**resources: object) -> list[Object]:
    """Return vLLM whose container has these limits, behind a Service."""
    named = {name.replace("__", "/").replace("_", "."): value for name, value in resources.items()}
    return [*made("chat", container(resources={"limits": named})), service("chat", selector={"app": "chat"})]


def sources(one: Candidate) -> dict[str, str]:
    assert one.cluster is not None
    return dict(one.cluster.sources)


H100 = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def test_the_kind_of_gpu_is_that_of_its_node_before_what_was_asked_for_and_the_resource() -> None:
    objects = changed(
        limited(nvidia_com__gpu="2"),
        "Pod",
        lambda one: one["spec"].update(nodeSelector={"nvidia.com/gpu.product": "A"}),
    )
    labelled = search([*objects, node(labels=H100)]).only
    assert (facts(labelled)["gpu"], facts(labelled)["gpus_per_replica"]) == ("NVIDIA-H100-80GB-HBM3", 2)
    assert sources(labelled)["gpu"] == "Node node-1"
    assert sources(labelled)["gpus_per_replica"] == "Pod chat-7d9-0, container main"
    selected = search([*objects, node()]).only
    assert (facts(selected)["gpu"], sources(selected)["gpu"]) == ("A", "Pod chat-7d9-0, container main: nodeSelector")
    assert facts(search(limited(nvidia_com__gpu="2")).only)["gpu"] == "NVIDIA GPU"


def test_another_nodes_gpu_is_not_its_own() -> None:
    assert facts(search([*limited(nvidia_com__gpu="1"), node("node-2", labels=H100)]).only)["gpu"] == "NVIDIA GPU"


def test_replicas_on_different_nodes_tell_every_kind() -> None:
    own = container(resources={"limits": {"nvidia.com/gpu": "1"}})
    objects = [service("chat", selector={"app": "chat"})]
    objects += [pod(f"chat-{one}", own, labels={"app": "chat"}, spec={"nodeName": f"node-{one}"}) for one in "12"]
    objects += [node("node-1", labels=H100), node("node-2", labels={"nvidia.com/gpu.product": "NVIDIA-L40S"})]
    one = search(objects).only
    assert facts(one)["gpu"] == "NVIDIA-H100-80GB-HBM3, NVIDIA-L40S"
    assert facts(one)["nodes"] == ["node-1", "node-2"]


@pytest.mark.parametrize(
    ("resources", "gpu", "count"),
    [
        ({"nvidia_com__gpu": "1"}, "NVIDIA GPU", 1),
        ({"nvidia_com__gpu": 4}, "NVIDIA GPU", 4),
        ({"nvidia_com__mig-3g_20gb": "1"}, "NVIDIA mig-3g.20gb", 1),
        ({"nvidia_com__gpu_shared": "1"}, "NVIDIA gpu.shared", 1),
        ({"amd_com__gpu": "8"}, "AMD GPU", 8),
        ({"habana_ai__gaudi": "2"}, "Intel Gaudi", 2),
        ({"gpu_intel_com__xe": "1"}, "Intel GPU", 1),
        ({"google_com__tpu": "4"}, "Google TPU", 4),
        ({"aws_amazon_com__neuron": "1"}, "AWS Neuron", 1),
        ({"nvidia_com__gpu": "0"}, None, None),
        ({"nvidia_com__gpu": "²"}, None, None),
        ({"nvidia_com__gpu": "9" * 5000}, None, None),
        ({"nvidia_com__gpu": True}, None, None),
        ({"nvidia_com__gpu": None}, None, None),
        ({"cpu": "4"}, None, None),
        ({}, None, None),
    ],
)
def test_accelerators(resources: dict[str, object], gpu: str | None, count: int | None) -> None:
    told = facts(search(limited(**resources)).only)
    assert (told.get("gpu"), told.get("gpus_per_replica")) == (gpu, count)


@pytest.mark.parametrize(
    "label",
    ["amd.com/gpu.product-name", "cloud.google.com/gke-accelerator", "cloud.google.com/gke-tpu-accelerator",
     "k8s.amazonaws.com/accelerator"],
)  # fmt: skip
def test_labels_by_which_other_clouds_name_an_accelerator(label: str) -> None:
    one = search([*limited(google_com__tpu="4"), node(labels={label: "special-9"})]).only
    assert facts(one)["gpu"] == "special-9"


def test_where_nodes_may_not_be_read_the_resource_tells_and_a_note_says_so() -> None:
    found = search(limited(nvidia_com__gpu="1"), faults=Faults(status={"nodes": 403}))
    assert facts(found.only)["gpu"] == "NVIDIA GPU"
    (note,) = found.notes
    assert note.startswith("nodes cannot be read: their addresses and kinds of GPU are known only as far as pods tell")
    assert search(limited(), faults=Faults(status={"nodes": 403})).notes == ()


def test_requests_and_limits_as_they_are_written() -> None:
    resources = {
        "requests": {"cpu": "500m", "memory": "16Gi", "nvidia.com/gpu": "1"},
        "limits": {"cpu": 2, "memory": "20G", "ephemeral-storage": "x"},
    }
    objects = [*made("chat", container(resources=resources)), service("chat", selector={"app": "chat"})]
    one = search(objects).only
    told = {name: facts(one)[name] for name in ("cpu_request", "memory_request", "cpu_limit", "memory_limit")}
    assert told == {"cpu_request": "500m", "memory_request": "16Gi", "cpu_limit": "2", "memory_limit": "20G"}
    assert facts(one)["gpus_per_replica"] == 1
    assert "ephemeral-storage" not in facts(one)


def test_only_what_was_told_is_a_fact() -> None:
    bare = search([pod("chat", container(port=None), spec={"nodeName": None})]).only
    assert set(facts(bare)) == {"namespace", "replicas_ready", "image"}
    assert sources(bare) == {"namespace": "Pod chat", "replicas_ready": "pods", "image": "Pod chat, container main"}
    full = search(limited(nvidia_com__gpu="1", cpu="1")).only
    assert set(facts(full)) <= set(CLUSTER_FACTS)
    assert sources(full)["workload"] == "Deployment chat"


def test_without_rights_to_see_pods_the_workload_tells() -> None:
    one = search(limited(nvidia_com__gpu="2"), faults=Faults(status={"pods": 403})).only
    assert (facts(one)["replicas_ready"], sources(one)["replicas_ready"]) == (1, "Deployment chat")
    assert (facts(one)["gpus_per_replica"], sources(one)["image"]) == (2, "Deployment chat, container main")


def test_settings_are_those_variables_that_name_no_secret() -> None:
    env: list[Any] = [
        {"name": "MODEL_ID", "value": "https://me:word@models.example.com/m"},
        {"name": "NUM_SHARD", "value": "2"},
        {"name": "HF_TOKEN", "value": "hf_sesame"},
        {"name": "PASSWORD", "value": "sesame"},
        {"name": "MAX_TOTAL_TOKENS", "valueFrom": {"secretKeyRef": {"name": "x", "key": "y"}}},
        {"name": "QUANTIZE"}, None, 3,
    ]  # fmt: skip
    objects = [*made("chat", container(env=env)), service("chat", selector={"app": "chat"})]
    assert facts(search(objects).only)["settings"] == {
        "MODEL_ID": "https://…@models.example.com/m",
        "NUM_SHARD": "2",
    }


FLAGS: dict[str, tuple[tuple[str, ...], list[str]]] = {
    "after the command": (("vllm", "serve", "m", "--port", "80"), ["m", "--port", "80"]),
    "the image's own command": (("--model", "m"), ["--model", "m"]),
    "a key": (("vllm", "serve", "--api-key", "sesame", "-x"), ["--api-key", "…", "-x"]),
    "a key with =": (("vllm", "serve", "--api-key=sesame", "-x"), ["--api-key=…", "-x"]),
    "a key of two words": (("vllm", "serve", "--api-key", "open sesame", "-x"), ["--api-key", "…", "-x"]),
    "a key of two words with =": (("vllm", "serve", "--api-key=open sesame", "-x"), ["--api-key=…", "-x"]),
    "a token": (("x", "--hf-token", "sesame", "--hf_token=sesame"), ["x", "--hf-token", "…", "--hf_token=…"]),
    "in a shell": (("sh", "-c", "vllm serve m --api-key sesame -x"), ["m", "--api-key", "…", "-x"]),
    "in a shell, quoted": (("sh", "-c", "vllm serve m --api-key 'open sesame' -x"), ["m", "--api-key", "…", "-x"]),
    "in a shell, quoted with =": (("sh", "-c", 'vllm serve m --api-key="open sesame" -x'), ["m", "--api-key=…", "-x"]),
    "before the command": (("sh", "-c", "export HF_TOKEN=sesame; vllm serve m"), ["m"]),
    "a variable for the command": (("env", "VLLM_API_KEY=sesame", "python"), ["env", "VLLM_API_KEY=…", "python"]),
    "a header": (("x", "-H", "Authorization: Bearer sesame", "-x"), ["x", "-H", "Authorization:…", "-x"]),
    "a header in a shell": (
        ("sh", "-c", 'vllm serve m & curl -H "Authorization: Bearer sesame" -x'),
        ["m", "&", "curl", "-H", "Authorization:…", "-x"],
    ),
    "JSON": (("x", '--config={"token":"sesame"}', "-x"), ["x", '--config={"token":…', "-x"]),
    "the user of a URL": (("x", "--redis", "redis://me:sesame@db:6379"), ["x", "--redis", "redis://…@db:6379"]),
    "well-known keys": (("x", "hf_sesame", "--a=sk-sesame", '{"b":"hf_sesame"}'), ["x", "…", "--a=…", '{"b":"…"}']),
    "a key that begins with a digit": (("x", "--2nd-key=sesame"), ["x", "--2nd-key=…"]),
    "a file of a key": (("x", "--ssl-keyfile", "/sesame"), ["x", "--ssl-keyfile", "…"]),
    "no secrets": (
        ("x", "--max-num-batched-tokens", "2048", "--tokenizer=t", "--tokenizer-mode", "auto", "--max-model-len=4k"),
        ["x", "--max-num-batched-tokens", "2048", "--tokenizer=t", "--tokenizer-mode", "auto", "--max-model-len=4k"],
    ),
    "endless": (("x", *("w" * 500 for _ in range(100))), ["x", *["w" * 120] * 39]),
}  # fmt: skip


@pytest.mark.parametrize("case", FLAGS)
def test_start_flags(case: str) -> None:
    words, shown = FLAGS[case]
    assert start_flags(Container("main", words=words)) == shown
    assert "sesame" not in repr(start_flags(Container("main", words=words)))


def test_a_masked_value_is_else_as_it_was() -> None:
    assert masked("meta-llama/Llama-3.1-8B") == "meta-llama/Llama-3.1-8B"
    assert masked("sk-sesame") == "…"


def states(*pods: dict[str, Any], replicas: int = 1) -> str | None:
    """Return the state of vLLM whose pods have these statuses."""
    objects = [workload("chat", container(), labels={"app": "chat"}, replicas=replicas)]
    objects.append(service("chat", selector={"app": "chat"}))
    for number, status in enumerate(pods):
        ending = status.pop("ending", False)
        one = pod(f"chat-{number}", container(), labels={"app": "chat"}, ready=False, status=status)
        one["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z"} if ending else {}
        objects.append(one)
    told = search(objects).only.cluster
    assert told is not None
    assert told.facts.get("state") == told.state
    return told.state


def waits(reason: str) -> dict[str, Any]:
    return {"containerStatuses": [{"state": {"waiting": {"reason": reason}}}]}


READY = {"conditions": [{"type": "Ready", "status": "True"}]}


def test_words_for_states() -> None:
    crash = waits("CrashLoopBackOff")
    assert states(dict(READY)) is None
    assert states(dict(READY), dict(crash)) is None
    assert states() == "it has no pods"
    assert states(replicas=0) == "it is scaled to zero"
    assert states({}) == "its pod is not ready (not ready)"
    assert states(dict(crash)) == "its pod is not ready (CrashLoopBackOff)"
    assert states({"phase": "Pending"}) == "its pod is not ready (Pending)"
    assert states({**READY, "ending": True}) == "its pod is not ready (terminating)"
    assert states(dict(crash), {}) == "none of its 2 pods is ready (CrashLoopBackOff, not ready)"
    assert states(dict(crash), dict(crash), dict(crash)) == "none of its 3 pods is ready (CrashLoopBackOff)"


def test_at_most_eight_nodes_are_named() -> None:
    objects = [service("chat", selector={"app": "chat"})]
    objects += [pod(f"c-{one}", container(), labels={"app": "chat"}, spec={"nodeName": f"n-{one}"}) for one in range(9)]
    assert facts(search(objects).only)["nodes"] == [f"n-{one}" for one in range(8)]


def test_labels_of_a_node_are_bounded_and_clean() -> None:
    objects = [*limited(nvidia_com__gpu="1"), node(labels={"nvidia.com/gpu.product": "\x1b[31mH100" + "x" * 999})]
    gpu = facts(search(objects).only)["gpu"]
    assert isinstance(gpu, str)
    assert gpu.isprintable()
    assert len(gpu) <= 63


def test_a_service_with_no_pods_in_sight_has_only_its_place() -> None:
    one = search([service("vllm", {"port": 8000}, selector={"app": "x"})]).only
    assert facts(one) == {"namespace": "team"}
    assert facts(search(chat()).only)["namespace"] == "team"
