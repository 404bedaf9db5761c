"""Ollama's model as a thing that is loaded, kept for a while and unloaded; what /api/tags, /ps and /show say of it."""

import hashlib
import re
import time
from datetime import UTC, datetime
from time import monotonic_ns

from inference_bench.simulator.dialects.reading import BadFieldError, Fields, JsonObject
from inference_bench.simulator.profile import NS_PER_MS, NS_PER_S

DEFAULT_KEEP_ALIVE_S = 300.0
FOREVER_S = 100 * 365 * 86_400.0
MODEL_BYTES = 1_000_000_000
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ns|us|µs|ms|s|m|h)")
_UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
# A believable model, for those who ask; like every figure of the simulator it is no real one's.
_DETAILS: JsonObject = {
    "parent_model": "", "format": "gguf", "family": "simulated", "families": ["simulated"],
    "parameter_size": "7.6B", "quantization_level": "Q4_K_M",
}  # fmt: skip


def rfc3339(epoch_ns: int) -> str:
    """Return a UTC time as Go's RFC3339Nano: no trailing zeros in the fraction."""
    seconds, fraction = divmod(epoch_ns, NS_PER_S)
    whole = _whole_second(seconds)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{whole}.{digits}Z" if digits else f"{whole}Z"


_second_cache: tuple[int, str] = (-1, "")


def _whole_second(seconds: int) -> str:
    global _second_cache  # noqa: PLW0603 - every token asks for the same second
    if _second_cache[0] != seconds:
        _second_cache = (seconds, datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    return _second_cache[1]


def read_keep_alive(fields: Fields) -> float:
    """Return keep_alive in seconds: a number, or a Go duration; negative is for ever. Raises BadFieldError."""
    value = fields.values.get("keep_alive")
    if value is None:
        return DEFAULT_KEEP_ALIVE_S
    if isinstance(value, int | float) and not isinstance(value, bool):
        return FOREVER_S if value < 0 else float(value)
    if isinstance(value, str):
        if value.lstrip("-").isdigit():
            return FOREVER_S if value.startswith("-") else float(value)
        parts = _DURATION_PART.findall(value)
        if parts and "".join(number + unit for number, unit in parts) == value.lstrip("-"):
            seconds = sum(float(number) * _UNITS_S[unit] for number, unit in parts)
            return FOREVER_S if value.startswith("-") else seconds
    raise BadFieldError("keep_alive", f'time: invalid duration "{value}"', value)


class OllamaRunner:
    """The one model of a simulated Ollama: when it is loaded, with which context, and until when."""

    def __init__(self, model: str, load_ms: float, context: int) -> None:
        self.model = model
        self._load_ns = round(load_ms * NS_PER_MS)
        self._default_context = context
        self._context = context
        self._ready_ns: int | None = monotonic_ns() if load_ms == 0 else None
        self._expires_ns = monotonic_ns() + round(FOREVER_S * NS_PER_S)
        self._modified_ns = time.time_ns()

    def matches(self, name: str) -> bool:
        """Say whether a name means this model; `:latest` may be left out."""
        return name.removesuffix(":latest") == self.model.removesuffix(":latest")

    def use(self, context: int, keep_alive_s: float) -> int:
        """Load the model if need be (another context reloads it); return the nanoseconds until it is ready."""
        now_ns = monotonic_ns()
        if not self.loaded(now_ns) or context != self._context:
            self._ready_ns = now_ns + self._load_ns
            self._context = context
        self._expires_ns = now_ns + round(keep_alive_s * NS_PER_S)
        return max(0, (self._ready_ns or now_ns) - now_ns)

    def unload(self) -> None:
        """Unload the model."""
        self._ready_ns = None

    def loaded(self, now_ns: int) -> bool:
        """Say whether the model is loaded or loading, and not expired."""
        return self._ready_ns is not None and now_ns < self._expires_ns

    def tag(self) -> JsonObject:
        """Return the entry of /api/tags."""
        return {**self._named(), "modified_at": rfc3339(self._modified_ns), **self._sized()}

    def running(self) -> list[JsonObject]:
        """Return the entries of /api/ps: this model while it is loaded."""
        now_ns = monotonic_ns()
        if not self.loaded(now_ns):
            return []
        expires = rfc3339(time.time_ns() + self._expires_ns - now_ns)
        loaded = {"expires_at": expires, "size_vram": MODEL_BYTES, "context_length": self._context}
        return [{**self._named(), **self._sized(), **loaded}]

    def show(self) -> JsonObject:
        """Return the answer of /api/show."""
        info = {"general.architecture": "simulated", "simulated.context_length": self._default_context}
        return {
            "license": "none: this model is simulated",
            "modelfile": f"# simulated\nFROM {self.model}\nPARAMETER num_ctx {self._default_context}\n",
            "parameters": f"num_ctx                        {self._default_context}",
            "template": "{{ .Prompt }}",
            "details": _DETAILS,
            "model_info": info,
            "capabilities": ["completion"],
            "modified_at": rfc3339(self._modified_ns),
        }

    @property
    def modified_s(self) -> int:
        """When the model file changed, in whole seconds of the epoch."""
        return self._modified_ns // NS_PER_S

    def _named(self) -> JsonObject:
        full = self.model if ":" in self.model else f"{self.model}:latest"
        return {"name": full, "model": full}

    def _sized(self) -> JsonObject:
        return {"size": MODEL_BYTES, "digest": hashlib.sha256(self.model.encode()).hexdigest(), "details": _DETAILS}
