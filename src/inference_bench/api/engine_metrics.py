"""What an engine says of itself on its metrics page, under one set of names, whatever the engine calls it.

A page is Prometheus text. Only the lines with a known name are read, so that a page of thousands of lines costs little;
what such a line holds beside a finite number is passed over. Times are seconds, as exported.

Sources of the names: recorded pages of vLLM 0.32 and llama.cpp, the router of TGI, the metrics modules of vLLM 0.6 to
0.32 and of SGLang. Where a version exports a metric under an old and a new name, the newer one is read.
"""

import math
import re
from collections.abc import Mapping
from typing import Final

PAGE: Final = "/metrics"
LARGEST_PAGE: Final = 4 << 20  # bytes; a vLLM page of many models has some hundred thousand
_LARGEST: Final = 1e18
_LONGEST_LINE: Final = 16_384

GAUGES: Final = ("running", "waiting", "kv_use", "prefix_hit_share")
COUNTERS: Final = (
    "prefix_hits_total",
    "prefix_queries_total",
    "preemptions_total",
    "prompt_tokens_total",
    "output_tokens_total",
)
TIMES: Final = ("ttft_s", "queue_s", "validation_s", "prefill_s", "decode_s", "inference_s", "e2e_s", "tpot_s")
NAMES: Final = (*GAUGES, *COUNTERS, *(f"{time}_{part}" for time in TIMES for part in ("sum", "count")))

# Of each the exported names, the preferred one first. Several label sets (models, engines) are added up.
_ADDED: Final[Mapping[str, tuple[str, ...]]] = {
    "running": (
        "vllm:num_requests_running",
        "tgi_batch_current_size",
        "sglang:num_running_reqs",
        "llamacpp:requests_processing",
    ),
    "waiting": (
        "vllm:num_requests_waiting",
        "tgi_queue_size",
        "sglang:num_queue_reqs",
        "llamacpp:requests_deferred",
    ),
    "prefix_hits_total": (
        "vllm:prefix_cache_hits_total",
        "vllm:prefix_cache_hits",
        "vllm:gpu_prefix_cache_hits_total",
        "vllm:gpu_prefix_cache_hits",
    ),
    "prefix_queries_total": (
        "vllm:prefix_cache_queries_total",
        "vllm:prefix_cache_queries",
        "vllm:gpu_prefix_cache_queries_total",
        "vllm:gpu_prefix_cache_queries",
    ),
    "preemptions_total": ("vllm:num_preemptions_total", "vllm:num_preemptions"),
    "prompt_tokens_total": (
        "vllm:prompt_tokens_total",
        "tgi_request_input_length_sum",
        "sglang:prompt_tokens_total",
        "llamacpp:prompt_tokens_total",
    ),
    "output_tokens_total": (
        "vllm:generation_tokens_total",
        "tgi_request_generated_tokens_sum",
        "sglang:generation_tokens_total",
        "llamacpp:tokens_predicted_total",
    ),
    # llama.cpp adds its seconds up without counting the requests.
    "prefill_s_sum": ("llamacpp:prompt_seconds_total",),
    "decode_s_sum": ("llamacpp:tokens_predicted_seconds_total",),
}
# Shares from 0 to 1 (what is more is none, and passed over); those of several engines are averaged.
_AVERAGED: Final[Mapping[str, tuple[str, ...]]] = {
    "kv_use": (
        "vllm:kv_cache_usage_perc",
        "vllm:gpu_cache_usage_perc",
        "sglang:token_usage",
        "llamacpp:kv_cache_usage_ratio",
    ),
    "prefix_hit_share": ("vllm:gpu_prefix_cache_hit_rate", "sglang:cache_hit_rate"),
}
_HISTOGRAMS: Final[Mapping[str, tuple[str, ...]]] = {
    "ttft_s": ("vllm:time_to_first_token_seconds", "sglang:time_to_first_token_seconds"),
    "queue_s": ("vllm:request_queue_time_seconds", "tgi_request_queue_duration", "sglang:queue_time_seconds"),
    "validation_s": ("tgi_request_validation_duration",),
    "prefill_s": ("vllm:request_prefill_time_seconds",),
    "decode_s": ("vllm:request_decode_time_seconds",),
    "inference_s": ("vllm:request_inference_time_seconds", "tgi_request_inference_duration"),
    "e2e_s": ("vllm:e2e_request_latency_seconds", "tgi_request_duration", "sglang:e2e_request_latency_seconds"),
    # One value for each request where there is such a histogram, else one for each token.
    "tpot_s": (
        "vllm:request_time_per_output_token_seconds",
        "tgi_request_mean_time_per_token_duration",
        "vllm:inter_token_latency_seconds",
        "vllm:time_per_output_token_seconds",
        "sglang:inter_token_latency_seconds",
        "sglang:time_per_output_token_seconds",
    ),
}
# TGI tells the tokens in its batch and the room for them, but no share.
_TGI_USED, _TGI_ROOM = "tgi_batch_current_max_tokens", "tgi_batch_max_total_tokens"

_WANTED: Final = frozenset(
    name.encode()
    for name in (
        *(name for names in (*_ADDED.values(), *_AVERAGED.values()) for name in names),
        *(f"{name}_{part}" for names in _HISTOGRAMS.values() for name in names for part in ("sum", "count")),
        _TGI_USED,
        _TGI_ROOM,
    )
)
# Braces and quotes may stand in a label's value, and an exemplar with labels of its own after the number.
_LABELS: Final = re.compile(rb'\{(?:[^"}]|"(?:[^"\\]|\\.)*")*\}')
_Found = Mapping[str, list[float]]


def read_engine_metrics(page: bytes) -> dict[str, float]:
    """Return what a metrics page tells, by the names of NAMES; what it does not tell is not there.

    Never raises for what the page holds. Beyond `LARGEST_PAGE` bytes nothing is read.
    """
    found = _values(page[:LARGEST_PAGE])
    told: dict[str, float] = {}
    for name, exported in _ADDED.items():
        _keep(told, name, _first(found, exported))
    for name, exported in _AVERAGED.items():
        _keep(told, name, [value for value in _first(found, exported) if value <= 1], mean=True)
    for name, exported in _HISTOGRAMS.items():
        chosen = next((one for one in exported if f"{one}_sum" in found and f"{one}_count" in found), None)
        if chosen is not None:
            _keep(told, f"{name}_sum", found[f"{chosen}_sum"])
            _keep(told, f"{name}_count", found[f"{chosen}_count"])
    used, room = sum(found.get(_TGI_USED, ())), sum(found.get(_TGI_ROOM, ()))
    if _TGI_USED in found and room > 0:
        _keep(told, "kv_use", [used / room])
    return told


def _values(page: bytes) -> dict[str, list[float]]:
    """Return the finite, not negative numbers of each wanted name, one for each label set."""
    found: dict[str, list[float]] = {}
    for line in page.split(b"\n"):
        name = line.partition(b" ")[0].partition(b"{")[0]
        if name not in _WANTED or len(line) > _LONGEST_LINE:
            continue
        rest = line[len(name) :]
        labels = _LABELS.match(rest)
        value = _number(rest[labels.end() if labels is not None else 0 :].split())
        if value is not None:
            found.setdefault(name.decode(), []).append(value)
    return found


def _number(words: list[bytes]) -> float | None:
    """Return the value that stands after a name and its labels; a time stamp may follow."""
    try:
        value = float(words[0]) if words else math.nan
    except ValueError:
        return None
    return value if 0 <= value <= _LARGEST else None


def _first(found: _Found, exported: tuple[str, ...]) -> list[float]:
    return next((found[name] for name in exported if name in found), [])


def _keep(told: dict[str, float], name: str, values: list[float], *, mean: bool = False) -> None:
    if values:
        told[name] = sum(values) / (len(values) if mean else 1)
