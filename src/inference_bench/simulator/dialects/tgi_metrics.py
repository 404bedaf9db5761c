"""TGI's /metrics page: no model label, no `_total`, no help lines; series appear only once they have been used."""

from collections.abc import Mapping, Sequence

from inference_bench.simulator.profile import ServingProfile
from inference_bench.simulator.scheduling import Load
from inference_bench.simulator.stats import Exposition, ServingStats

_DURATIONS = tuple(0.0001 * 1.5**k for k in range(1, 36))
_LENGTHS = tuple(float(100 * k) for k in range(1, 101))
_BATCHES = tuple(float(2**k) for k in range(11))

BOUNDS: Mapping[str, Sequence[float]] = {
    **dict.fromkeys(ServingStats.TIMES, _DURATIONS),
    "prompt_tokens": _LENGTHS,
    "output_tokens": _LENGTHS,
    "max_tokens": _LENGTHS,
    "batch_size": _BATCHES,
}
_HISTOGRAMS = (
    ("tgi_request_duration", "e2e"),
    ("tgi_request_queue_duration", "queue"),
    ("tgi_request_inference_duration", "inference"),
    ("tgi_request_mean_time_per_token_duration", "tpot"),
    ("tgi_request_input_length", "prompt_tokens"),
    ("tgi_request_generated_tokens", "output_tokens"),
    ("tgi_request_max_new_tokens", "max_tokens"),
    ("tgi_batch_next_size", "batch_size"),
)
_FAILURES = {"http-422": "validation", "http-429": "overloaded", "stream-error": "generation", "disconnect": "dropped"}


def page(stats: ServingStats, load: Load, profile: ServingProfile) -> str:
    """Return the page."""
    out = Exposition(help_lines=False)
    if stats.received:
        out.metric("tgi_request_count", "counter", "", [({}, float(stats.received))])
    if stats.finished:
        out.metric("tgi_request_success", "counter", "", [({}, float(sum(stats.finished.values())))])
    failures = [
        ({"err": err}, float(stats.failed[reason])) for reason, err in _FAILURES.items() if reason in stats.failed
    ]
    if failures:
        out.metric("tgi_request_failure", "counter", "", failures)
    out.metric("tgi_queue_size", "gauge", "", [({}, float(load.waiting))])
    out.metric("tgi_batch_current_size", "gauge", "", [({}, float(load.running))])
    out.metric("tgi_batch_current_max_tokens", "gauge", "", [({}, float(load.kv_used))])
    out.metric("tgi_batch_max_total_tokens", "gauge", "", [({}, float(profile.kv_tokens))])
    for name, key in _HISTOGRAMS:
        if stats.histograms[key].count:
            out.histogram(name, "", {}, stats.histograms[key])
    forward = stats.histograms["prefill"], stats.histograms["itl"]
    for method, histogram in zip(("prefill", "decode"), forward, strict=True):
        if histogram.count:
            out.histogram("tgi_batch_forward_duration", "", {"method": method}, histogram)
    return out.text()
