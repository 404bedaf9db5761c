"""What figures are called in a document, and which of them a test's table shows in which order."""

from collections.abc import Mapping
from typing import Final

METRIC_LABELS: Final[Mapping[str, str]] = {
    "ttft_ms": "TTFT",
    "ttft_intended_ms": "TTFT from intended",
    "ttfa_ms": "Time to first answer token",
    "tpot_ms": "TPOT",
    "output_tok_per_s_user": "Tokens/s per user",
    "icl_ms": "Chunk gap",
    "itl_ms": "Token gap, amortised",
    "stall_ms": "Longest stall",
    "e2e_ms": "End to end",
    "e2e_intended_ms": "End to end from intended",
    "send_lag_ms": "Send lag",
    "connect_ms": "Connecting",
    "output_tokens": "Output tokens",
    "prompt_tokens": "Prompt tokens",
    "server_ttft_ms": "Server: TTFT",
    "server_queue_ms": "Server: queue",
    "server_prefill_ms": "Server: prefill",
    "server_decode_ms": "Server: decode",
    "server_total_ms": "Server: total",
    "server_load_ms": "Server: model load",
}

# (group, ((metric, statistics), …)): the order of a test's table.
FIGURES: Final = (
    (
        "Latency",
        (
            ("ttft_ms", ("p50", "p90", "p95", "p99")),
            ("ttft_intended_ms", ("p50", "p95", "p99")),
            ("ttfa_ms", ("p50", "p95")),
            ("e2e_ms", ("p50", "p95", "p99")),
            ("e2e_intended_ms", ("p50", "p95")),
        ),
    ),
    (
        "Cadence",
        (
            ("tpot_ms", ("p50", "p95")),
            ("output_tok_per_s_user", ("p50", "p5")),
            ("icl_ms", ("p50", "p99")),
            ("itl_ms", ("p50", "p99")),
            ("stall_ms", ("p50", "p95")),
        ),
    ),
    ("Lengths", (("output_tokens", ("p50",)), ("prompt_tokens", ("p50",)))),
    (
        "As the server tells it",
        (
            ("server_ttft_ms", ("p50",)),
            ("server_queue_ms", ("p50", "p95")),
            ("server_prefill_ms", ("p50",)),
            ("server_decode_ms", ("p50",)),
            ("server_total_ms", ("p50",)),
            ("server_load_ms", ("max",)),
        ),
    ),
    ("This client", (("send_lag_ms", ("p50", "p99")), ("connect_ms", ("p50",)))),
)


def label(metric: str, statistic: str | None = None, unit: str | None = None) -> str:
    """Return "TTFT p95, ms"."""
    words = METRIC_LABELS.get(metric, metric)
    if statistic is not None:
        words = f"{words} {statistic}"
    return f"{words}, {unit}" if unit and unit.lower() not in words.lower() else words
