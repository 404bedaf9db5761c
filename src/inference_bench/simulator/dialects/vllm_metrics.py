"""vLLM's /metrics page: the families of the recorded server that the serving model can fill, with its buckets."""

from collections.abc import Mapping, Sequence

from inference_bench.simulator.profile import ServingProfile
from inference_bench.simulator.scheduling import Load
from inference_bench.simulator.stats import Exposition, ServingStats

_TTFT = (
    .001, .005, .01, .02, .04, .06, .08, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80, 160, 640, 2560,
)  # fmt: skip
_ITL = (.01, .025, .05, .075, .1, .15, .2, .3, .4, .5, .75, 1, 2.5, 5, 7.5, 10, 20, 40, 80)  # fmt: skip
_LATENCY = (.3, .5, .8, 1, 1.5, 2, 2.5, 5, 10, 15, 20, 30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680)  # fmt: skip
_TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)

BOUNDS: Mapping[str, Sequence[float]] = {
    "ttft": _TTFT,
    "itl": _ITL,
    "tpot": _ITL,
    "e2e": _LATENCY,
    "queue": _LATENCY,
    "prefill": _LATENCY,
    "decode": _LATENCY,
    "inference": _LATENCY,
    "prompt_tokens": _TOKENS,
    "output_tokens": _TOKENS,
    "max_tokens": _TOKENS,
    "batch_size": _TOKENS,
}
_HISTOGRAMS = (
    ("vllm:time_to_first_token_seconds", "ttft", "Histogram of time to first token in seconds."),
    ("vllm:inter_token_latency_seconds", "itl", "Histogram of inter-token latency in seconds."),
    ("vllm:request_time_per_output_token_seconds", "tpot", "Histogram of time_per_output_token_seconds per request."),
    ("vllm:e2e_request_latency_seconds", "e2e", "Histogram of e2e request latency in seconds."),
    ("vllm:request_queue_time_seconds", "queue", "Histogram of time spent in WAITING phase for request."),
    ("vllm:request_inference_time_seconds", "inference", "Histogram of time spent in RUNNING phase for request."),
    ("vllm:request_prefill_time_seconds", "prefill", "Histogram of time spent in PREFILL phase for request."),
    ("vllm:request_decode_time_seconds", "decode", "Histogram of time spent in DECODE phase for request."),
    ("vllm:request_prompt_tokens", "prompt_tokens", "Number of prefill tokens processed."),
    ("vllm:request_generation_tokens", "output_tokens", "Number of generation tokens processed."),
    ("vllm:request_params_max_tokens", "max_tokens", "Histogram of the max_tokens request parameter."),
)
_BLOCK_TOKENS = 16
# The labels of the recorded server; what it was started with, as text. The simulator has no prefix cache and says so.
_CACHE_CONFIG: Mapping[str, str] = {
    "_block_size_resolved": "True", "cache_dtype": "auto", "cache_hit_alignment_tokens": "None",
    "enable_mamba_shared_prefix_checkpoint": "False", "enable_prefix_caching": "False", "engine": "0",
    "gpu_memory_utilization": "0.92", "hash_block_size": "None", "is_attention_free": "False",
    "kv_cache_dtype_skip_layers": "[]", "kv_cache_layout": "None", "kv_cache_memory_bytes": "None",
    "kv_offloading_backend": "native", "kv_offloading_size": "None", "kv_sharing_fast_prefill": "False",
    "mamba_block_size": "None", "mamba_cache_dtype": "auto", "mamba_cache_mode": "none",
    "mamba_page_size_padded": "None", "mamba_ssm_cache_dtype": "auto", "num_cpu_blocks": "None",
    "num_gpu_blocks_override": "None", "prefix_cache_retention_interval": "0", "prefix_caching_hash_algo": "sha256",
    "prefix_match_unit": "None", "replayssm_buffer_len": "16", "skip_page_size_padded": "None",
    "sliding_window": "None", "swa_bounded_replay": "True", "use_kda_recoverssm": "False", "use_replayssm": "False",
    "user_specified_block_size": "False",
}  # fmt: skip
_FINISHED = {"stop": ("eos", "stop_sequence"), "length": ("length",)}


def page(stats: ServingStats, load: Load, model: str, profile: ServingProfile) -> str:
    """Return the page."""
    labels = {"engine": "0", "model_name": model}
    out = Exposition()

    def gauge(name: str, text: str, value: float) -> None:
        out.metric(name, "gauge", text, [(labels, value)])

    def counter(name: str, text: str, value: float) -> None:
        out.metric(name, "counter", text, [(labels, value)])

    gauge("vllm:num_requests_running", "Number of requests in model execution batches.", load.running)
    gauge("vllm:num_requests_waiting", "Number of requests waiting to be processed.", load.waiting)
    by_reason = [({**labels, "reason": "capacity"}, float(load.waiting)), ({**labels, "reason": "deferred"}, 0.0)]
    out.metric("vllm:num_requests_waiting_by_reason", "gauge", "Number of waiting requests by reason.", by_reason)
    gauge("vllm:kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", load.kv_used / profile.kv_tokens)
    counter("vllm:num_preemptions_total", "Cumulative number of preemption from the engine.", load.preemptions)
    counter("vllm:prompt_tokens_total", "Number of prefill tokens processed.", stats.prompt_tokens)
    counter("vllm:generation_tokens_total", "Number of generation tokens processed.", stats.output_tokens)
    counter("vllm:prefix_cache_queries_total", "Prefix cache queries, in tokens.", stats.prompt_tokens)
    counter("vllm:prefix_cache_hits_total", "Prefix cache hits, in tokens.", 0)
    success = [
        ({**labels, "finished_reason": reason}, float(sum(stats.finished.get(ending, 0) for ending in endings)))
        for reason, endings in _FINISHED.items()
    ]
    success.append(({**labels, "finished_reason": "abort"}, float(stats.failed.get("disconnect", 0))))
    out.metric("vllm:request_success_total", "counter", "Count of successfully processed requests.", success)
    for name, key, text in _HISTOGRAMS:
        out.histogram(name, text, labels, stats.histograms[key])
    config = [(_cache_config(profile), 1.0)]
    out.metric("vllm:cache_config_info", "gauge", "Information of the LLMEngine CacheConfig", config)
    return out.text()


def _cache_config(profile: ServingProfile) -> dict[str, str]:
    blocks = profile.kv_tokens // _BLOCK_TOKENS
    return {
        **_CACHE_CONFIG,
        "block_size": str(_BLOCK_TOKENS),
        "effective_attention_block_size": str(_BLOCK_TOKENS),
        "num_gpu_blocks": str(blocks),
        "kv_cache_size_tokens": str(blocks * _BLOCK_TOKENS),
        "kv_cache_max_concurrency": str(blocks * _BLOCK_TOKENS / profile.context),
    }
