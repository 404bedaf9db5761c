"""What charts and operators leave in a cluster: which services come out, by which ways, and what is taken for none."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from cluster_objects import Searched, facts, search, urls
from kubernetes_api import load

CHARTS = Path(__file__).parents[1] / "data" / "clusters" / "charts"
KSERVE = "KServe's Hugging Face runtime"


class Expected(NamedTuple):
    """A service that must come out, and what of it."""

    product: str
    ways: list[tuple[str, str]]  # from outside
    inside: list[tuple[str, str]]  # more of them from inside, in this order
    evidence: str  # one of its clues
    facts: dict[str, object]


def dns(service: str, namespace: str, ip: str | None, port: int | None = None, scheme: str = "http") -> list[Any]:
    """Return the two addresses of a Service inside the cluster; a headless one has but its name."""
    shown = f":{port}" if port is not None else ""
    hosts = [f"{service}.{namespace}.svc"] + ([ip] if ip is not None else [])
    return [("cluster DNS", f"{scheme}://{host}{shown}") for host in hosts]


def told(url: str) -> tuple[str, str]:
    return ("cluster DNS", url)


SEARCHES: dict[str, dict[str, Expected]] = {
    "vllm-production-stack": {
        "stack-llama3-engine-service": Expected(
            "vLLM", [], dns("stack-llama3-engine-service", "llm-serving", "10.96.40.20"), "command vllm serve",
            {"replicas_ready": 1, "gpu": "NVIDIA GPU", "gpus_per_replica": 1, "nodes": ["gpu-node-1"]},
        ),
        "stack-mistral-engine-service": Expected(
            "vLLM", [], dns("stack-mistral-engine-service", "llm-serving", "10.96.40.27"), "image lmcache/vllm-openai",
            {"replicas_ready": 1, "replicas_wanted": 2, "gpus_per_replica": 2},
        ),
        "stack-router-service": Expected(
            "vLLM production-stack router", [("Ingress", "https://chat.example.com")],
            dns("stack-router-service", "llm-serving", "10.96.40.34"), "image lmcache/lmstack-router",
            {"workload": "Deployment stack-deployment-router", "cpu_request": "400m"},
        ),
    },
    "kserve-raw": {
        "llama3": Expected(
            KSERVE,
            [("KServe URL", "http://llama3-team-a.example.com/openai"),
             ("Ingress", "http://llama3-predictor-team-a.example.com/openai")],
            [told("http://llama3-predictor.team-a.svc/openai"), told("http://10.96.30.20/openai"),
             told("http://llama3-predictor.team-a.svc.cluster.local/openai")],
            "label serving.kserve.io/inferenceservice=llama3 of Service llama3-predictor (an InferenceService)",
            {"replicas_ready": 2, "workload": "Deployment llama3-predictor"},
        ),
        "qwen3": Expected(
            "vLLM",
            [("KServe URL", "http://qwen3-team-a.example.com"),
             ("Ingress", "http://qwen3-predictor-team-a.example.com")],
            [*dns("qwen3-predictor", "team-a", "10.96.30.27"),
             told("http://qwen3-predictor.team-a.svc.cluster.local")],
            "command vllm.entrypoints.openai.api_server",
            {"image": "vllm/vllm-openai:latest", "memory_limit": "24Gi"},
        ),
        "llama3-70b": Expected(
            KSERVE,
            [("KServe URL", "http://llama3-70b-team-a.example.com/openai"),
             ("Ingress", "http://llama3-70b-predictor-team-a.example.com/openai")],
            [told("http://llama3-70b-predictor.team-a.svc/openai"), told("http://10.96.30.34/openai"),
             told("http://llama3-70b-predictor.team-a.svc.cluster.local/openai")],
            "image kserve/huggingfaceserver", {"workload": "Deployment llama3-70b-predictor", "replicas_ready": 1},
        ),
    },
    "kserve-knative": {
        "llama3": Expected(
            KSERVE, [("KServe URL", "http://llama3.research.example.com/openai")],
            [told("http://llama3-predictor-00001-private.research.svc/openai"), told("http://10.96.50.27/openai"),
             told("https://llama3-predictor-00001-private.research.svc/openai"), told("https://10.96.50.27/openai"),
             told("http://llama3-predictor-00001-private.research.svc:8012/openai"),
             told("http://10.96.50.27:8012/openai"), told("http://llama3.research.svc.cluster.local/openai")],
            "image kserve/huggingfaceserver", {"replicas_ready": 1},
        ),
        "summarizer": Expected(
            KSERVE, [("KServe URL", "http://summarizer.research.example.com/openai")],
            [told("http://summarizer-predictor-00001-private.research.svc/openai"), told("http://10.96.50.41/openai"),
             told("https://summarizer-predictor-00001-private.research.svc/openai"),
             told("https://10.96.50.41/openai"),
             told("http://summarizer-predictor-00001-private.research.svc:8012/openai"),
             told("http://10.96.50.41:8012/openai"), told("http://summarizer.research.svc.cluster.local/openai")],
            "image kserve/huggingfaceserver",
            {"replicas_ready": 0, "replicas_wanted": 0, "state": "it is scaled to zero"},
        ),
    },
    "kserve-openshift-ai": {
        "granite-8b": Expected(
            "vLLM", [],
            [*dns("granite-8b-predictor", "ai-project", None, 8080),
             told("http://granite-8b-predictor.ai-project.svc.cluster.local"),
             told("http://granite-8b-predictor.ai-project.svc.cluster.local:8080")],
            "image quay.io/vllm/vllm-cuda", {"replicas_ready": 1},
        ),
        "llama-31-8b": Expected(
            "vLLM", [("Route", "https://llama-31-8b-ai-project.apps.ocp.example.com")],
            [*dns("llama-31-8b-predictor", "ai-project", "10.217.60.20", 8443, "https"),
             told("https://llama-31-8b-predictor.ai-project.svc.cluster.local:8443")],
            "image registry.redhat.io/rhaiis/vllm-cuda-rhel9", {"gpus_per_replica": 2},
        ),
        "mistral-7b": Expected(
            "vLLM", [("Route", "https://mistral-7b-ai-project.apps.ocp.example.com")],
            [*dns("mistral-7b-predictor", "ai-project", "10.217.60.34", 8443, "https"),
             told("https://mistral-7b-predictor.ai-project.svc.cluster.local:8443")],
            "image quay.io/modh/vllm", {"cpu_limit": "4"},
        ),
        "qwen-edge": Expected(
            "vLLM", [("Route", "https://qwen-edge-ai-project.apps.ocp.example.com")],
            [*dns("qwen-edge-predictor", "ai-project", "10.217.60.62"),
             told("http://qwen-edge-predictor.ai-project.svc.cluster.local")],
            "port 8080", {"start_flags": [
                "--port=8080", "--model=/mnt/models", "--served-model-name=qwen-edge", "--max_model_len", "8192",
            ]},
        ),
    },
    "llminferenceservice": {
        "qwen2-7b-instruct": Expected(
            "vLLM",
            [("KServe URL", "http://203.0.113.50/llm-tenants/qwen2-7b-instruct"),
             ("KServe URL", "http://203.0.113.50/publishers/llm-tenants/models/Qwen/Qwen2.5-7B-Instruct")],
            [*dns("qwen2-7b-instruct-kserve-workload-svc", "llm-tenants", "10.96.110.20", 8000, "https"),
             told("http://kserve-ingress-gateway-istio.kserve.svc.cluster.local/llm-tenants/qwen2-7b-instruct"),
             told("http://kserve-ingress-gateway-istio.kserve.svc.cluster.local"
                  "/publishers/llm-tenants/models/Qwen/Qwen2.5-7B-Instruct")],
            "InferencePool qwen2-7b-instruct-inference-pool", {"replicas_ready": 2, "gpus_per_replica": 2},
        ),
        "opt-125m": Expected(
            "vLLM", [],
            [*dns("opt-125m-kserve-workload-svc", "llm-tenants", "10.96.110.34", 8000, "https"),
             told("https://opt-125m-kserve-workload-svc.llm-tenants.svc.cluster.local")],
            "image ghcr.io/llm-d/llm-d-cuda", {"workload": "Deployment opt-125m-kserve"},
        ),
    },
    "llm-d": {
        "gaie-pd": Expected(
            "vLLM", [("HTTPRoute", "http://203.0.113.60")], [],
            "label llm-d.ai/inference-serving=true of its pods (llm-d)",
            {"workload": "Deployment ms-pd-llm-d-modelservice-decode, Deployment ms-pd-llm-d-modelservice-prefill",
             "replicas_ready": 3, "nodes": ["gpu-node-1", "gpu-node-2"]},
        ),
    },
    "ollama-helm": {
        "chat-ollama": Expected(
            "Ollama", [("Ingress", "https://chat-b.example.com"), ("NodePort", "http://192.0.2.11:31434")],
            dns("chat-ollama", "team-b", "10.96.70.20", 11434), "port 11434",
            {"replicas_ready": 1, "settings": {"OLLAMA_HOST": "0.0.0.0:11434", "OLLAMA_CONTEXT_LENGTH": "8192"}},
        ),
    },
    "tgi-deployment": {
        "tgi-service": Expected(
            "TGI", [("Ingress", "http://203.0.113.32")], dns("tgi-service", "team-c", "10.96.80.20", 8080),
            "label app=tgi-server of its pods", {"gpus_per_replica": 1},
        ),
        "zephyr": Expected(
            "TGI", [], dns("zephyr", "team-c", "10.96.80.27"), "image ghcr.io/huggingface/text-generation-inference",
            {"image": "ghcr.io/huggingface/text-generation-inference:3.3.5", "cpu_request": "4"},
        ),
    },
    "vllm-deployment": {
        "mistral-7b": Expected(
            "vLLM", [], dns("mistral-7b", "team-d", "10.96.90.20"), "command vllm serve",
            {"start_flags": ["mistralai/Mistral-7B-Instruct-v0.3", "--trust-remote-code", "--enable-chunked-prefill",
                             "--max_num_batched_tokens", "1024"], "memory_request": "6G"},
        ),
        "vllm-server": Expected(
            "vLLM", [], dns("vllm-server", "team-d", "10.96.90.27", 8000), "name of Service vllm-server", {},
        ),
        "mixtral": Expected(
            "vLLM", [("LoadBalancer", "https://203.0.113.33"), ("NodePort", "https://192.0.2.11:30443")],
            dns("mixtral", "team-d", "10.96.90.34", None, "https"), "image rocm/vllm",
            {"gpu": "AMD GPU", "gpus_per_replica": 4, "memory_limit": "200G"},
        ),
    },
}  # fmt: skip


def searched(chart: str, *, inside: bool = False) -> Searched:
    objects = load(CHARTS / f"{chart}.yaml")
    (namespace,) = {one["metadata"].get("namespace") for one in objects} - {None}
    return search(objects, namespace=namespace, inside=inside)


def test_every_chart_is_tried() -> None:
    assert {file.stem for file in CHARTS.glob("*.yaml")} == set(SEARCHES)


@pytest.mark.parametrize("chart", SEARCHES)
def test_a_chart_gives_its_services_and_nothing_else(chart: str) -> None:
    found = searched(chart)
    assert sorted(found.names) == sorted(SEARCHES[chart])
    assert found.notes == ()
    for name, expected in SEARCHES[chart].items():
        one = found[name]
        assert one.cluster is not None
        assert (one.cluster.product, urls(one)) == (expected.product, expected.ways), name
        assert expected.evidence in one.cluster.evidence, name
        assert {key: facts(one).get(key) for key in expected.facts} == expected.facts, name
        assert set(one.cluster.sources) == set(facts(one)), name
        assert (one.certain, one.named) == (True, False)
        assert (one.no_way is None) == bool(expected.ways), name


@pytest.mark.parametrize("chart", SEARCHES)
def test_from_inside_the_same_services_have_their_own_addresses_as_well(chart: str) -> None:
    found = searched(chart, inside=True)
    assert {name: urls(found[name]) for name in found.names} == {
        name: [*expected.ways, *expected.inside] for name, expected in SEARCHES[chart].items()
    }
    assert all(one.certain for one in found.candidates)


def test_what_has_no_way_says_what_would_be_one() -> None:
    stack = searched("vllm-production-stack")["stack-llama3-engine-service"]
    assert stack.no_way == (
        "it has an address inside the cluster only; --port-forward reaches it through the API server"
    )
    assert stack.endpoint.url == "http://stack-llama3-engine-service.llm-serving.svc"
    assert stack.last_way is None


def test_an_engine_scaled_to_zero_has_its_url_and_says_why_nobody_may_answer() -> None:
    one = searched("kserve-knative")["summarizer"]
    assert one.cluster is not None
    assert one.cluster.state == "it is scaled to zero"
    assert one.ways


def test_the_secret_file_of_a_flag_is_hidden_and_where_a_fact_comes_from_is_told() -> None:
    one = searched("vllm-deployment")["mixtral"]
    assert one.cluster is not None
    flags = facts(one)["start_flags"]
    assert isinstance(flags, list)
    assert "--ssl-keyfile=…" in flags
    assert one.cluster.sources["image"].startswith("Pod mixtral-rocm-")
    assert one.cluster.sources["image"].endswith(", container engine")
    assert one.cluster.sources["replicas_wanted"] == "Deployment mixtral-rocm"
