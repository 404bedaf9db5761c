"""The registry of metrics: one object each, with its unit, its better direction, its formula and its missing rule.

A per-request metric has a `compute` that gives one value per request, NaN where it is missing. The gap metrics (icl,
itl) are pooled over all gaps of all requests and computed in `gaps`; they stand here with `compute` None. Which
requests count (good ones, in the window, no warm-ups) is the calculator's business.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from inference_bench.metrics.columns import NS_PER_MS, Floats, RequestColumns

Better = Literal["less", "more"]

_STAMPS = "client: receive stamps and send times"
_SERVER = "server: its own report in the answer"
_COUNTS = "server usage first, then a given tokenizer (token_source says which)"


@dataclass(frozen=True, slots=True)
class Metric:
    """One definition. `better` is None where neither direction is. `pooled` values are gaps, not requests."""

    id: str
    unit: str
    better: Better | None
    formula: str
    source: str
    missing_when: str
    compute: Callable[[RequestColumns], Floats] | None

    @property
    def pooled(self) -> bool:
        """Whether the values are gaps of all requests rather than one value per request."""
        return self.compute is None


def _elapsed(later: str, earlier: str) -> Callable[[RequestColumns], Floats]:
    return lambda columns: columns.elapsed_ms(later, earlier)


def _column(name: str) -> Callable[[RequestColumns], Floats]:
    return lambda columns: columns.number(name)


def tpot_ms(columns: RequestColumns) -> Floats:
    """Return (last_token - first_token) / (output_tokens - tokens in the first text chunk, 1 when unknown), in ms.

    The first chunk's tokens came with TTFT, which is not in it. An answer that came as one chunk shows no time
    between tokens: missing, not 0.
    """
    span = columns.elapsed_ms("last_token_ns", "first_token_ns")
    first = columns.number("first_chunk_tokens")
    after_first = columns.number("output_tokens") - np.where(np.isnan(first), 1.0, first)
    usable = (columns.number("output_tokens") >= 2) & (after_first >= 1) & (columns.whole("text_chunks").value >= 2)
    result = np.full(len(columns), np.nan)
    result[usable] = span[usable] / after_first[usable]
    return result


def _tokens_per_second(columns: RequestColumns) -> Floats:
    tpot = tpot_ms(columns)
    result = np.full(len(columns), np.nan)
    usable = tpot > 0
    result[usable] = 1000.0 / tpot[usable]
    return result


def _stall_ms(columns: RequestColumns) -> Floats:
    return columns.number("stall_ns") / NS_PER_MS


def _latency(name: str, formula: str, missing: str, later: str, earlier: str) -> Metric:
    return Metric(name, "ms", "less", formula, _STAMPS, missing, _elapsed(later, earlier))


def _server(name: str, meaning: str) -> Metric:
    return Metric(name, "ms", "less", meaning, _SERVER, "not reported", _column(name))


_ALL = (
    _latency("ttft_ms", "first_token - sent", "no text arrived", "first_token_ns", "sent_ns"),
    _latency("ttft_intended_ms", "first_token - intended", "closed loop", "first_token_ns", "intended_ns"),
    _latency("ttfa_ms", "first_answer_token - sent", "no reasoning before it", "first_answer_token_ns", "sent_ns"),
    Metric(
        "tpot_ms",
        "ms",
        "less",
        "(last_token - first_token) / (output_tokens - tokens in the first text chunk, 1 when unknown)",
        f"{_STAMPS}; tokens: {_COUNTS}",
        "fewer than 2 tokens or 2 text chunks, or the number of tokens is unknown",
        tpot_ms,
    ),
    Metric(
        "output_tok_per_s_user",
        "tokens/s",
        "more",
        "1000 / tpot_ms",
        f"{_STAMPS}; tokens: {_COUNTS}",
        "as tpot_ms, or tpot_ms is 0",
        _tokens_per_second,
    ),
    Metric(
        "icl_ms",
        "ms",
        "less",
        "gaps between consecutive text chunks, pooled; zero gaps stay",
        _STAMPS,
        "fewer than 2 chunks",
        None,
    ),
    Metric(
        "itl_ms",
        "ms",
        "less",
        "gap per token, pooled, amortised: a gap before a chunk of k tokens counts as k values of gap/k",
        f"{_STAMPS}; tokens per chunk as the protocol tells them",
        "tokens per chunk unknown",
        None,
    ),
    Metric("stall_ms", "ms", "less", "the longest icl gap of a request", _STAMPS, "fewer than 2 chunks", _stall_ms),
    _latency("e2e_ms", "last_token - sent", "the stream did not end properly", "last_token_ns", "sent_ns"),
    _latency(
        "e2e_intended_ms",
        "last_token - intended",
        "the stream did not end properly; closed loop",
        "last_token_ns",
        "intended_ns",
    ),
    _latency("send_lag_ms", "sent - intended", "closed loop", "sent_ns", "intended_ns"),
    _latency(
        "connect_ms", "TCP and TLS set-up of a new connection", "connection reused", "connected_ns", "connect_start_ns"
    ),
    Metric("output_tokens", "tokens", None, "generated tokens", _COUNTS, "not told", _column("output_tokens")),
    Metric("prompt_tokens", "tokens", None, "prompt tokens", _COUNTS, "not told", _column("prompt_tokens")),
    _server("server_ttft_ms", "time to first token as the server tells it"),
    _server("server_queue_ms", "time in the server's queue as it tells it"),
    _server("server_prefill_ms", "prefill time as the server tells it"),
    _server("server_decode_ms", "decode time as the server tells it"),
    _server("server_total_ms", "total time as the server tells it"),
    _server("server_load_ms", "model load time as the server tells it"),
)

METRICS: Mapping[str, Metric] = {metric.id: metric for metric in _ALL}
