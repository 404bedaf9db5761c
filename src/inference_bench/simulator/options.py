"""What can be set of one simulated engine, and how `--serve` spells it. No argument parser and no socket here."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from inference_bench.errors import UsageError
from inference_bench.simulator.drift import NO_DRIFT, Drift
from inference_bench.simulator.faults import FaultRule, parse_rule
from inference_bench.simulator.profile import PRESETS, ServingProfile

DEFAULT_MODEL = "simulated-model"
SLOT_ENGINES = frozenset({"ollama", "openai"})


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """One engine to simulate.

    `port` 0 picks a free one. `exact_ms` is (TTFT, gap between tokens) when timing is fixed instead of modelled.
    `api_key` is the secret itself; it appears in no repr. `faults_everywhere` extends the fault rules from the
    generation routes to all routes. `keep_alive_s` is the silence after which a stream gets a comment (0 is never);
    None is the engine's own default: 15 s for TGI, never for vLLM; the others have none. `drift` makes it slower with
    time; its epoch is set to one moment for all engines when they begin to listen.
    """

    engine: str
    name: str
    profile: ServingProfile
    port: int = 0
    model: str = DEFAULT_MODEL
    exact_ms: tuple[float, float] | None = None
    seed: int = 0
    faults: tuple[FaultRule, ...] = ()
    faults_everywhere: bool = False
    keep_alive_s: float | None = None
    api_key: str | None = field(default=None, repr=False)
    drift: Drift = NO_DRIFT


@dataclass(frozen=True, slots=True)
class Setting:
    """One thing that can be set by name: how its text is read and what it means."""

    read: Callable[[str], object]
    metavar: str
    meaning: str


def _at_least(minimum: float, convert: type[int] | type[float]) -> Callable[[str], object]:
    def read(text: str) -> object:
        try:
            value = convert(text)
        except ValueError:
            raise UsageError(f"simulator: {text!r} is no number") from None
        if not minimum <= value < 1e12:
            raise UsageError(f"simulator: {text!r} is out of range (at least {minimum})")
        return value

    return read


def _port(text: str) -> object:
    if not text.isdigit() or int(text) > 65_535:
        raise UsageError(f"simulator: {text!r} is no port (0 to 65535)")
    return int(text)


_WHOLE, _NUMBER = _at_least(0, int), _at_least(0, float)
SETTINGS: dict[str, Setting] = {
    "port": Setting(_port, "PORT", "port to listen on, 0 for a free one (0)"),
    "name": Setting(str, "NAME", "name of the service in the ready line and the truth log (the engine's)"),
    "model": Setting(str, "NAME", f"name of the served model ({DEFAULT_MODEL})"),
    "ttft-ms": Setting(_NUMBER, "MS", "exact time to first token, no model; needs --itl-ms"),
    "itl-ms": Setting(_NUMBER, "MS", "exact gap between tokens, no model; needs --ttft-ms"),
    "jitter": Setting(_NUMBER, "SHARE", "seeded variation: of each step's length, or of each exact gap (0 to 1)"),
    "prefill-rate": Setting(_NUMBER, "TOKENS/S", "prompt tokens prefilled per second"),
    "prefill-chunk": Setting(_WHOLE, "TOKENS", "most prompt tokens prefilled in one step"),
    "step-ms": Setting(_NUMBER, "MS", "length of a decode step apart from its streams"),
    "step-per-stream-ms": Setting(_NUMBER, "MS", "what each stream adds to a decode step"),
    "overhead-ms": Setting(_NUMBER, "MS", "from arrival until a request may be scheduled"),
    "load-ms": Setting(_NUMBER, "MS", "time to load the model at its first request (Ollama)"),
    "max-batch": Setting(_WHOLE, "N", "sequences in the batch; the rest wait"),
    "slots": Setting(_WHOLE, "N", "the same, as Ollama and llama-server call it"),
    "kv-tokens": Setting(_WHOLE, "TOKENS", "tokens the KV cache holds"),
    "queue-limit": Setting(_WHOLE, "N", "requests the engine takes before it refuses more"),
    "context": Setting(_WHOLE, "TOKENS", "longest prompt and answer together"),
    "answer-tokens": Setting(_WHOLE, "TOKENS", "median natural length of an answer"),
    "seed": Setting(_WHOLE, "N", "seed of texts, lengths, jitter and fault shares (0)"),
    "drift": Setting(_NUMBER, "SHARE", "slow down: each minute since the start adds this share to all its times (0)"),
    "fault": Setting(parse_rule, "FAULT", "fault, see below; repeatable"),
    "keep-alive-s": Setting(_NUMBER, "S", "silence after which TGI (15) and vLLM (0: never) write a comment"),
    "api-key-env": Setting(str, "VAR", "environment variable with the API key that clients must send"),
}
_PROFILE_FIELDS = {
    "jitter": "jitter", "prefill-rate": "prefill_rate", "prefill-chunk": "prefill_chunk", "step-ms": "step_ms",
    "step-per-stream-ms": "step_per_stream_ms", "overhead-ms": "overhead_ms", "load-ms": "load_ms",
    "max-batch": "max_batch", "slots": "max_batch", "kv-tokens": "kv_tokens", "queue-limit": "queue_limit",
    "context": "context", "answer-tokens": "answer_tokens",
}  # fmt: skip


def parse_serve(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Read `ENGINE[:PORT][,key=value…]` into the engine and its settings; raises UsageError."""
    head, *parts = text.split(",")
    engine, _, port = head.partition(":")
    if engine not in PRESETS:
        raise UsageError(f"simulator: unknown engine {engine!r}", hint=f"known: {', '.join(PRESETS)}")
    pairs = [("port", port)] if port else []
    for part in parts:
        key, equals, value = part.partition("=")
        key = key.strip().replace("_", "-")
        if not equals or key not in SETTINGS:
            raise UsageError(f"simulator: cannot read {part!r} in {text!r}", hint=f"known: {', '.join(SETTINGS)}")
        pairs.append((key, value))
    return engine, pairs


def build_options(
    engine: str,
    pairs: Sequence[tuple[str, str]],
    *,
    faults_everywhere: bool = False,
    environ: Mapping[str, str] = os.environ,
) -> EngineOptions:
    """Make the options of one engine from its preset and settings in order; a later one wins.

    Raises UsageError, naming the setting.
    """
    values: dict[str, object] = {}
    rules: list[FaultRule] = []
    for key, text in pairs:
        try:
            value = SETTINGS[key].read(text)
        except UsageError as error:
            raise UsageError(
                f"simulator: {key}: {error.message.removeprefix('simulator: ')}", hint=error.hint
            ) from None
        if isinstance(value, FaultRule):
            rules.append(value)
        else:
            values[key] = value
    changes = {_PROFILE_FIELDS[key]: value for key, value in values.items() if key in _PROFILE_FIELDS}
    exact_ms = _exact_ms(values)
    if exact_ms is not None:
        changes.setdefault("jitter", 0.0)
        changes.setdefault("load_ms", 0.0)
    return EngineOptions(
        engine=engine,
        name=str(values.get("name", engine)),
        profile=_profile(engine, changes),
        port=int(str(values.get("port", 0))),
        model=str(values.get("model", DEFAULT_MODEL)),
        exact_ms=exact_ms,
        seed=int(str(values.get("seed", 0))),
        faults=tuple(rules),
        faults_everywhere=faults_everywhere,
        keep_alive_s=float(str(values["keep-alive-s"])) if "keep-alive-s" in values else None,
        api_key=_api_key(values.get("api-key-env"), environ),
        drift=Drift(float(str(values.get("drift", 0.0)))),
    )


def _profile(engine: str, changes: dict[str, object]) -> ServingProfile:
    preset = PRESETS[engine]
    if "kv_tokens" not in changes:
        # A longer context, or another slot where each has a context of its own, brings the memory it needs.
        sequences = int(str(changes.get("max_batch", preset.max_batch))) if engine in SLOT_ENGINES else 1
        needed = sequences * int(str(changes.get("context", preset.context)))
        changes["kv_tokens"] = max(preset.kv_tokens, needed)
    return replace(preset, **changes)  # type: ignore[arg-type]  # read by SETTINGS, checked by ServingProfile


def _exact_ms(values: Mapping[str, object]) -> tuple[float, float] | None:
    given = [key for key in ("ttft-ms", "itl-ms") if key in values]
    if not given:
        return None
    if len(given) == 1:
        raise UsageError("simulator: exact timing needs both ttft-ms and itl-ms", hint=f"only {given[0]} was given")
    return float(str(values["ttft-ms"])), float(str(values["itl-ms"]))


def _api_key(variable: object, environ: Mapping[str, str]) -> str | None:
    if variable is None:
        return None
    key = environ.get(str(variable), "")
    if not key:
        raise UsageError(f"simulator: the environment variable {variable} is not set or empty")
    return key
