"""What a container runs, and how that is known: its image, its command, its labels, its ports.

A clue is a guess with a weight; who a server really is, it says itself when it is asked (`api.probes`). Names of
namespaces are no clue at all.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from inference_bench.api.probe_http import clean_text
from inference_bench.discovery.cluster.objects import Container, Labels

# Weights: what is built to be an engine; what says so itself; what a person called it; where it listens.
_IMAGE, _COMMAND, _LABEL, _NAME, _OWN_PORT, _USUAL_PORT = 100, 90, 50, 20, 30, 10
STRONG = 50  # kept in a list of services even while nobody answers there
ENOUGH = 30  # worth asking who it is
_SPLIT = re.compile(r"[^a-z0-9]+")
_NUMBER = re.compile(r"[0-9]{1,5}")
_LONGEST_LABEL = 63  # as the API itself bounds them


@dataclass(frozen=True, slots=True)
class Product:
    """Software that serves a model: the protocol to speak first, and its usual port."""

    name: str
    engine: str
    port: int
    router: bool = False


VLLM = Product("vLLM", "vllm", 8000)
TGI = Product("TGI", "tgi", 80)
OLLAMA = Product("Ollama", "ollama", 11434)
SGLANG = Product("SGLang", "openai", 30000)
LLAMA_CPP = Product("llama.cpp", "openai", 8080)
KSERVE = Product("KServe's Hugging Face runtime", "openai", 8080)
ROUTER = Product("vLLM production-stack router", "vllm", 8000, router=True)
OTHER = Product("an OpenAI-compatible server", "openai", 8000)

# Last parts of image repositories. A part of a name counts only as a whole word: `vllm-benchmark` is no engine.
_IMAGES: tuple[tuple[re.Pattern[str], Product], ...] = tuple(
    (re.compile(pattern), product)
    for pattern, product in (
        (r"lmstack-router|router-vllm|vllm-router|production-stack-router", ROUTER),
        (r"(text-generation-inference|tgi)([-_.].*)?|huggingface-text-generation-inference.*", TGI),
        (r"ollama([-_](rocm|cuda|gpu|cpu|intel|ipex).*)?", OLLAMA),
        (r"huggingfaceserver([-_].*)?", KSERVE),
        (r"sglang([-_.].*)?", SGLANG),
        (r"(llama\.cpp|llama-cpp|llama-server|llamacpp|ramalama)([-_.].*)?", LLAMA_CPP),
        (r"llm-d(-(cuda|aws|gke|rocm|xpu|hpu|cpu|dev|inference-sim)([-_.].*)?)?", VLLM),
        (r"((odh|rhaiis|rhai|openvino|ibm)-)?vllm([-_.](?!.*(router|operator|exporter|bench|client|proxy)).*)?", VLLM),
        (
            r"(lmdeploy|localai|local-ai|tensorrt-llm|trtllm|aphrodite-engine|tabbyapi|mlc-llm|mistralrs)([-_.].*)?",
            OTHER,
        ),
    )
)
_COMMANDS: tuple[tuple[re.Pattern[str], Product], ...] = tuple(
    (re.compile(pattern), product)
    for pattern, product in (
        (r"\bvllm\s+serve\b|\bvllm\.entrypoints\.(openai\.)?api_server\b", VLLM),
        (r"\btext-generation-launcher\b", TGI),
        (r"\bollama\s+serve\b", OLLAMA),
        (r"\bsglang\.launch_server\b|\bsglang\s+serve\b", SGLANG),
        (r"\bllama-server\b|\bllama_cpp\.server\b", LLAMA_CPP),
        (r"\bvllm_router\b|\bvllm-router\b", ROUTER),
    )
)
# An engine's image that runs something else: a load generator, a cache, a download, a helper of another pod.
_NOT_SERVING = re.compile(
    r"\bvllm\s+bench\b|\bbench(mark)?_serving\b|\bollama\s+(pull|run|create)\b|^\s*bench\s|\blmcache_server\b"
    r"|\bray\s+start\s+--address\b"
    # The workers of an engine on several nodes; their leader takes the requests.
    r"|\bmulti-node-serving\.sh\s+worker\b"
)
_SERVES, _HEADLESS, _COMMAND_ENDS = (
    re.compile(r"\bvllm\s+serve\b"),
    re.compile(r"\s--headless\b"),
    re.compile(r"[\n;&|]"),
)
_NIM = re.compile(r"(^|/)nim/[^/]+/[^/]+$")
_LABEL_KEYS = (
    "app.kubernetes.io/name", "app.kubernetes.io/component", "app", "k8s-app", "component",
    "helm.sh/chart", "inference-engine", "engine", "serving.kserve.io/servingruntime", "opendatahub.io/runtime",
)  # fmt: skip
_OPERATOR_LABELS = (
    ("serving.kserve.io/inferenceservice", "an InferenceService"),
    ("serving.kserve.io/llminferenceservice", "an LLMInferenceService"),
    ("llm-d.ai/inferenceServing", "llm-d"),
    ("llm-d.ai/inference-serving", "llm-d"),
    ("model.aibrix.ai/name", "AIBrix"),
)
_WORDS: tuple[tuple[frozenset[str], Product], ...] = (
    (frozenset({"vllm"}), VLLM),
    (frozenset({"tgi"}), TGI),
    (frozenset({"text", "generation", "inference"}), TGI),
    (frozenset({"ollama"}), OLLAMA),
    (frozenset({"sglang"}), SGLANG),
    (frozenset({"llamacpp"}), LLAMA_CPP),
)
# Words that make a thing around an engine of what is called after it.
_AROUND = frozenset(
    {
        "benchmark", "bench", "operator", "exporter", "metrics", "webui", "ui", "proxy", "gateway", "epp", "scheduler",
        "controller", "dashboard", "grafana", "prometheus", "loader", "downloader", "client", "cache", "redis",
        "postgres", "db", "test", "sidecar", "manager", "webhook", "loadgen",
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Clue:
    """Something that points to a product, in words, with its weight."""

    product: Product
    weight: int
    text: str


@dataclass(frozen=True, slots=True)
class Guess:
    """What something seems to be: the best product, the weight of all its clues, and the clues in words.

    `strong` says that one clue alone makes it an engine, even while nobody answers there.
    """

    product: Product
    score: int
    evidence: tuple[str, ...]
    strong: bool


def container_clues(container: Container) -> tuple[Clue, ...]:
    """Return what a container's image and command say. What runs an engine's image to measure or load is no engine."""
    command = " ".join(container.words)
    if _NOT_SERVING.search(command) or _is_headless(command):
        return ()
    clues = []
    product = _image_product(container.image)
    if product is not None:
        clues.append(Clue(product, _IMAGE, f"image {repository(container.image)}"))
    for pattern, runs in _COMMANDS:
        match = pattern.search(command)
        if match is not None:
            clues.append(Clue(runs, _COMMAND, f"command {match.group(0)}"))
            break
    return tuple(clues)


def _is_headless(command: str) -> bool:
    """Whether one of a line's commands is vLLM without its API. In steps: one pattern would try every beginning."""
    for one in _COMMAND_ENDS.split(command) if "--headless" in command else ():
        serves = _SERVES.search(one)
        if serves is not None and _HEADLESS.search(one, serves.end()):
            return True
    return False


def label_clues(labels: Labels, whose: str) -> tuple[Clue, ...]:
    """Return what labels say, and which of them. `whose` names the object they are on."""
    clues = []
    for key in _LABEL_KEYS:
        value = labels.get(key, "")
        product = _words_product(value)
        if product is not None:
            clues.append(Clue(product, _LABEL, f"label {key}={clean_text(value, _LONGEST_LABEL)} of {whose}"))
    for key, operator in _OPERATOR_LABELS:
        if key in labels:
            shown = clean_text(labels[key], _LONGEST_LABEL)
            clues.append(Clue(OTHER, ENOUGH, f"label {key}={shown} of {whose} ({operator})"))
    return tuple(clues)


def name_clues(name: str, whose: str) -> tuple[Clue, ...]:
    """Return what the name of an object says; people name things after what they do."""
    product = _words_product(name)
    return (Clue(product, _NAME, f"name of {whose}"),) if product is not None else ()


def port_clues(name: str, number: int) -> tuple[Clue, ...]:
    """Return what a port says: 11434 is Ollama's own, 8000 and 8080 are everybody's."""
    if number == OLLAMA.port:
        return (Clue(OLLAMA, _OWN_PORT, f"port {number}"),)
    product = _words_product(name)
    if product is not None:
        return (Clue(product, _NAME, f"port {name}"),)
    usual = {8000: VLLM, 8080: OTHER, 80: TGI, 30000: SGLANG}.get(number)
    return (Clue(usual, _USUAL_PORT, f"port {number}"),) if usual is not None else ()


def weigh(clues: Iterable[Clue]) -> Guess | None:
    """Return the product with the weightiest clue and all that speaks for anything; None without clues.

    The weights of all clues are added up, each kind of evidence once. A port alone is no reason to ask anybody.
    """
    ordered = sorted(clues, key=lambda clue: -clue.weight)
    if not ordered:
        return None
    best = ordered[0].product
    named = next((clue.product for clue in ordered if clue.product is not OTHER and clue.weight >= _NAME), best)
    product = named if best is OTHER else best
    weights = {clue.weight for clue in ordered}
    texts: dict[str, str] = {}
    for clue in ordered:  # a label of the Deployment says no more than the same one of its Service
        texts.setdefault(clue.text.partition(" of ")[0], clue.text)
    return Guess(product, sum(weights), tuple(texts.values()), strong=ordered[0].weight >= STRONG)


def listening_port(container: Container, product: Product) -> int:
    """Return the port a server listens on: its flag, its variable, its only declared port, else the usual one."""
    flagged = flag_value(container.words, "--port", "-p") or ""
    variable = container.variables.get("PORT") or container.variables.get("LLAMA_ARG_PORT") or ""
    if product is OLLAMA:
        variable = container.variables.get("OLLAMA_HOST", "").rpartition(":")[2]
    for told in (flagged, variable):
        if _NUMBER.fullmatch(told) and 0 < int(told) < 65536:
            return int(told)
    numbers = [number for name, number in container.ports if not is_side_port(name, number)]
    return numbers[0] if len(numbers) == 1 else product.port


def after_command(words: Sequence[str]) -> list[str]:
    """Return what a server was given: the words after its command, all of them where the image knows the command."""
    text = " ".join(words)
    match = next((found for pattern, _ in _COMMANDS if (found := pattern.search(text)) is not None), None)
    return (text[match.end() :] if match is not None else text).split()


def flag_value(words: Sequence[str], *names: str) -> str | None:
    """Return the value of a flag: `--port 8000` or `--port=8000`, also inside a shell's one string."""
    flat = [part for word in words for part in word.split()]
    for position, part in enumerate(flat):
        name, equals, value = part.partition("=")
        if name in names:
            if equals:
                return value.strip("'\"")
            return flat[position + 1].strip("'\"") if position + 1 < len(flat) else None
    return None


def is_side_port(name: str, number: int) -> bool:
    """Whether a port is for something else than requests: metrics, gRPC, key-value events, Ray."""
    words = set(_SPLIT.split(name.lower()))
    side = {
        "metrics",
        "grpc",
        "prometheus",
        "ray",
        "dashboard",
        "nixl",
        "kv",
        "zmq",
        "lmcache",
        "probe",
        "health",
        "admin",
        "pd",
        "ucx",
        "autometric",
        "usermetric",
        "queueadm",
    }
    return bool(words & side) or number in (9090, 9002, 9003, 5557, 5600, 6379, 8265, 9091, 22)


def repository(image: str) -> str:
    """Return an image's repository without its tag and digest; a registry may have a port."""
    without_digest = image.partition("@")[0]
    head, colon, tag = without_digest.rpartition(":")
    return head if colon and "/" not in tag else without_digest


def _image_product(image: str) -> Product | None:
    if _NIM.search(repository(image)):
        return OTHER
    last = repository(image).rpartition("/")[2].lower()
    if set(_SPLIT.split(last)) & _AROUND:
        return None
    return next((product for pattern, product in _IMAGES if pattern.fullmatch(last)), None)


def _words_product(value: str) -> Product | None:
    words = set(_SPLIT.split(value.lower()))
    if words & _AROUND:
        return None
    router = "router" in words
    for needed, product in _WORDS:
        if needed <= words:
            return ROUTER if router and product is VLLM else product
    return None
