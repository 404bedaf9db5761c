"""What a container, a label, a name and a port say of what runs there, and what says nothing."""

import pytest

from inference_bench.discovery.cluster.objects import Container
from inference_bench.discovery.cluster.recognition import (
    KSERVE,
    LLAMA_CPP,
    OLLAMA,
    OTHER,
    ROUTER,
    SGLANG,
    TGI,
    VLLM,
    Product,
    container_clues,
    flag_value,
    is_side_port,
    label_clues,
    listening_port,
    name_clues,
    port_clues,
    repository,
    weigh,
)

IMAGES: dict[str, Product | None] = {
    "vllm/vllm-openai:v0.10.0": VLLM,
    "docker.io/vllm/vllm-openai-cpu": VLLM,
    "registry.example.com:5000/ai/vllm-openai@sha256:" + "0" * 64: VLLM,
    "quay.io/modh/vllm": VLLM,
    "quay.io/vllm/vllm-cuda:latest": VLLM,
    "registry.redhat.io/rhaiis/vllm-cuda-rhel9:3": VLLM,
    "rocm/vllm:rocm6.2": VLLM,
    "lmcache/vllm-openai": VLLM,
    "ghcr.io/llm-d/llm-d-cuda:v0.8.0": VLLM,
    "ghcr.io/llm-d/llm-d-inference-sim:v0.5.0": VLLM,
    "VLLM/VLLM-OpenAI": VLLM,
    "ghcr.io/huggingface/text-generation-inference:3.3.5-rocm": TGI,
    "x.example.com/huggingface-text-generation-inference-cu121.2-2.ubuntu2204": TGI,
    "ollama/ollama": OLLAMA,
    "registry.example.com/ollama-rocm:1": OLLAMA,
    "lmsysorg/sglang:v0.5": SGLANG,
    "ghcr.io/ggml-org/llama.cpp:server-cuda": LLAMA_CPP,
    "kserve/huggingfaceserver:v0.20.0-gpu": KSERVE,
    "lmcache/lmstack-router": ROUTER,
    "nvcr.io/nim/meta/llama-3.1-8b-instruct:1": OTHER,
    "openmmlab/lmdeploy": OTHER,
    # What is called after an engine, and is none.
    "ghcr.io/acme/vllm-exporter:1": None,
    "vllm-benchmark": None,
    "ghcr.io/acme/vllm-operator": None,
    "ghcr.io/acme/ollama-operator": None,
    "ghcr.io/open-webui/open-webui:main": None,
    "ghcr.io/open-webui/open-webui:ollama": None,
    "ghcr.io/llm-d/llm-d-inference-scheduler:v0.5.0": None,
    "ghcr.io/llm-d/llm-d-routing-sidecar:v0.5.0": None,
    "ghcr.io/llm-d/llm-d-router-endpoint-picker": None,
    "ghcr.io/llm-d/llm-d-uds-tokenizer:vllm-v0.19.1": None,
    "quay.io/opendatahub/odh-kube-auth-proxy": None,
    "registry.k8s.io/gateway-api-inference-extension/epp:v1": None,
    "vllm.example.com/shop:vllm": None,
    "notvllm": None,
    "nginx": None,
    "": None,
}


@pytest.mark.parametrize("image", IMAGES)
def test_images(image: str) -> None:
    clues = container_clues(Container("main", image=image))
    product = IMAGES[image]
    assert [clue.product for clue in clues] == ([product] if product is not None else [])
    assert [clue.text for clue in clues] == ([f"image {repository(image)}"] if product is not None else [])


COMMANDS: dict[tuple[str, ...], Product | None] = {
    ("vllm", "serve", "m"): VLLM,
    ("/usr/bin/vllm", "serve"): VLLM,
    ("python3", "-m", "vllm.entrypoints.openai.api_server", "--port", "8080"): VLLM,
    ("/bin/sh", "-c", "pip install x && exec vllm serve m --port 9000"): VLLM,
    ("bash", "-c", 'eval "exec vllm serve /mnt/models $ARGS"'): VLLM,
    ("text-generation-launcher", "--model-id", "m"): TGI,
    ("ollama", "serve"): OLLAMA,
    ("python3", "-m", "sglang.launch_server", "--model-path", "m"): SGLANG,
    ("llama-server", "-m", "m.gguf"): LLAMA_CPP,
    ("python", "-m", "llama_cpp.server"): LLAMA_CPP,
    ("vllm-router", "--port", "8000"): ROUTER,
    ("sh", "-c", "vllm serve m & x --headless"): VLLM,
    ("vllm", "bench", "serve"): None,
    ("python", "benchmark_serving.py", "--backend", "vllm"): None,
    ("ollama", "pull", "m"): None,
    ("sh", "-c", "ollama pull m && echo done"): None,
    ("vllm-benchmark", "test"): None,
    ("gunicorn", "shop.wsgi"): None,
    (): None,
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands(command: tuple[str, ...]) -> None:
    clues = container_clues(Container("main", image="registry.example.com/x", words=command))
    product = COMMANDS[command]
    assert [clue.product for clue in clues] == ([product] if product is not None else [])


@pytest.mark.parametrize(
    "command",
    [
        ("vllm", "bench", "serve"),
        ("lmcache_server", "0.0.0.0", "1"),
        ("ray", "start", "--address", "head:6379"),
        ("vllm", "serve", "m", "--headless"),
        ("sh", "-c", "sleep 1; vllm serve m --headless -x && vllm serve m"),
    ],
)
def test_an_engines_image_that_runs_something_else_is_none(command: tuple[str, ...]) -> None:
    assert container_clues(Container("main", image="vllm/vllm-openai", words=command)) == ()


LABELS: dict[tuple[str, str], Product | None] = {
    ("app", "vllm"): VLLM,
    ("app.kubernetes.io/name", "my-vllm-server"): VLLM,
    ("app.kubernetes.io/name", "text-generation-inference"): TGI,
    ("app", "ollama"): OLLAMA,
    ("engine", "sglang"): SGLANG,
    ("helm.sh/chart", "ollama-1.77.0"): OLLAMA,
    ("serving.kserve.io/servingruntime", "kserve-vllm"): VLLM,
    ("app", "vllm-router"): ROUTER,
    ("serving.kserve.io/inferenceservice", "x"): OTHER,
    ("llm-d.ai/inference-serving", "true"): OTHER,
    ("app", "vllm-exporter"): None,
    ("app", "ollama-webui"): None,
    ("app", "redis-for-vllm"): None,
    ("app", "chat"): None,
    ("team", "vllm"): None,  # a label that names no product
    ("model", "vllm"): None,
}


@pytest.mark.parametrize(("key", "value"), LABELS)
def test_labels(key: str, value: str) -> None:
    product = LABELS[key, value]
    clues = label_clues({key: value}, "Deployment x")
    assert [clue.product for clue in clues] == ([product] if product is not None else [])
    assert all(clue.text.startswith(f"label {key}={value} of Deployment x") for clue in clues)


@pytest.mark.parametrize(
    ("name", "product"),
    [("vllm", VLLM), ("my-ollama-2", OLLAMA), ("tgi-large", TGI), ("llamacpp", LLAMA_CPP), ("vllm-router", ROUTER),
     ("chat", None), ("vllm-metrics", None), ("ollama-db", None), ("kvllm", None)],
)  # fmt: skip
def test_names(name: str, product: Product | None) -> None:
    assert [clue.product for clue in name_clues(name, "x")] == ([product] if product is not None else [])


def test_ports_say_little_and_no_port_alone_makes_an_engine_worth_asking() -> None:
    assert [clue.product for clue in port_clues("", 11434)] == [OLLAMA]
    assert [clue.product for clue in port_clues("vllm", 9999)] == [VLLM]
    assert port_clues("", 5432) == ()
    for number in (80, 8000, 8080, 30000):
        guess = weigh(port_clues("http", number))
        assert guess is not None
        assert (guess.strong, guess.score < 30) == (False, True), number
    assert weigh(()) is None


def test_the_weightiest_clue_names_the_product_and_each_kind_of_evidence_counts_once() -> None:
    clues = [
        *name_clues("ollama", "Service ollama"),
        *label_clues({"app": "ollama", "k8s-app": "ollama"}, "Service ollama"),
        *container_clues(Container("c", image="vllm/vllm-openai", words=("vllm", "serve"))),
    ]
    guess = weigh(clues)
    assert guess is not None
    assert (guess.product, guess.score, guess.strong) == (VLLM, 100 + 90 + 50 + 20, True)
    assert guess.evidence[:2] == ("image vllm/vllm-openai", "command vllm serve")
    operator = weigh([*label_clues({"llm-d.ai/inference-serving": "true"}, "p"), *name_clues("vllm", "p")])
    assert operator is not None
    assert operator.product is VLLM  # an operator's label names no product


@pytest.mark.parametrize("name", ["metrics", "http-metrics", "grpc", "zmq-port", "ucx-port", "http-queueadm", "nixl"])
def test_side_ports(name: str) -> None:
    assert is_side_port(name, 8000)


@pytest.mark.parametrize("name", ["", "http", "https", "router-sport", "service-port", "gpu"])
def test_ports_for_requests(name: str) -> None:
    assert not is_side_port(name, 8000)
    assert is_side_port(name, 9090)


@pytest.mark.parametrize(
    ("runs", "product", "port"),
    [
        (Container("c", words=("vllm", "serve", "--port", "9000"), ports=(("", 8000),)), VLLM, 9000),
        (Container("c", words=("vllm", "serve", "--port=9000")), VLLM, 9000),
        (Container("c", words=("sh", "-c", "vllm serve m --port '9000' --x")), VLLM, 9000),
        (Container("c", variables={"PORT": "8080"}), TGI, 8080),
        (Container("c", variables={"OLLAMA_HOST": "0.0.0.0:8081"}), OLLAMA, 8081),
        (Container("c", variables={"OLLAMA_HOST": "0.0.0.0"}), OLLAMA, 11434),
        (Container("c", variables={"OLLAMA_HOST": "[::]:8081", "PORT": "1"}), OLLAMA, 8081),
        (Container("c", variables={"LLAMA_ARG_PORT": "8090"}), LLAMA_CPP, 8090),
        (Container("c", ports=(("http", 8123), ("metrics", 8124))), VLLM, 8123),
        (Container("c", ports=(("a", 1), ("b", 2))), VLLM, 8000),
        (Container("c"), TGI, 80),
        *((Container("c", words=("--port", wrong)), VLLM, 8000) for wrong in ("$PORT", "0", "70000", "²", "9" * 5000)),
    ],
)
def test_where_a_server_listens(runs: Container, product: Product, port: int) -> None:
    assert listening_port(runs, product) == port


def test_the_value_of_a_flag() -> None:
    assert flag_value(("--a", "1", "--b=2"), "--b") == "2"
    assert flag_value(("sh", "-c", "x --a '3' --b"), "--a") == "3"
    assert flag_value(("--b",), "--b") is None
    assert flag_value(("--bb=1",), "--b") is None
