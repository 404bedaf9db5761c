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
    """One definition. `better` is None where neither direction is. `pooled` values are gaps, not requests.

    `words` says what it is to somebody who waits for an answer, `formula` how it comes from the marks.
    """

    id: str
    unit: str
    better: Better | None
    words: str
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


# An id, then what it is in words, its formula, when it is missing, and the marks it is the distance of.
def _latency(name: str, words: str, formula: str, missing: str, marks: tuple[str, str]) -> Metric:
    return Metric(name, "ms", "less", words, formula, _STAMPS, missing, _elapsed(*marks))


def _server(name: str, words: str) -> Metric:
    return Metric(name, "ms", "less", words, "as the server tells it", _SERVER, "not reported", _column(name))


def _tokens(name: str, words: str) -> Metric:
    return Metric(name, "tokens", None, words, "as counted", _COUNTS, "not told", _column(name))


_ALL = (
    _latency(
        "ttft_ms",
        "time to first token: how long a request waits for the first piece of generated text, answer or reasoning. "
        "Connection set-up is not in it; a chunk without text does not end it",
        "first_token - sent",
        "no text arrived",
        ("first_token_ns", "sent_ns"),
    ),
    _latency(
        "ttft_intended_ms",
        "time to first token from the moment the plan wanted the request sent: it also charges what the client and its "
        "queue were late",
        "first_token - intended",
        "closed loop",
        ("first_token_ns", "intended_ns"),
    ),
    _latency(
        "ttfa_ms",
        "time to first answer token, of a model that reasons first: when the answer itself begins",
        "first_answer_token - sent",
        "no reasoning before it",
        ("first_answer_token_ns", "sent_ns"),
    ),
    Metric(
        "tpot_ms",
        "ms",
        "less",
        "time per output token of one request after its first chunk, on average; TTFT is not in it",
        "(last_token - first_token) / (output_tokens - tokens in the first text chunk, 1 when unknown)",
        f"{_STAMPS}; tokens: {_COUNTS}",
        "fewer than 2 tokens or 2 text chunks, or the number of tokens is unknown",
        tpot_ms,
    ),
    Metric(
        "output_tok_per_s_user",
        "tokens/s",
        "more",
        "how fast one reader sees tokens arrive: the cadence of a request, not the throughput of the server",
        "1000 / tpot_ms",
        f"{_STAMPS}; tokens: {_COUNTS}",
        "as tpot_ms, or tpot_ms is 0",
        _tokens_per_second,
    ),
    Metric(
        "icl_ms",
        "ms",
        "less",
        "inter-chunk latency: every gap between one piece of text and the next, the raw cadence that a reader sees. "
        "Its p99 is one over all gaps, not one of means",
        "gaps between consecutive text chunks, pooled; zero gaps stay",
        _STAMPS,
        "fewer than 2 chunks",
        None,
    ),
    Metric(
        "itl_ms",
        "ms",
        "less",
        "inter-token latency: the same gaps per token, for engines that put several tokens into one chunk",
        "gap per token, pooled, amortised: a gap before a chunk of k tokens counts as k values of gap/k",
        f"{_STAMPS}; tokens per chunk as the protocol tells them",
        "tokens per chunk unknown",
        None,
    ),
    Metric(
        "stall_ms",
        "ms",
        "less",
        "the longest silence in the middle of an answer",
        "the longest icl gap of a request",
        _STAMPS,
        "fewer than 2 chunks",
        _stall_ms,
    ),
    _latency(
        "e2e_ms",
        "end to end: from sending the request to its last piece of text. It grows with the answer's length",
        "last_token - sent",
        "the stream did not end properly",
        ("last_token_ns", "sent_ns"),
    ),
    _latency(
        "e2e_intended_ms",
        "end to end from the moment the plan wanted the request sent",
        "last_token - intended",
        "the stream did not end properly; closed loop",
        ("last_token_ns", "intended_ns"),
    ),
    _latency(
        "send_lag_ms",
        "how late the client sent a request against its plan: a sign of the client's health, not of the server's",
        "sent - intended",
        "closed loop",
        ("sent_ns", "intended_ns"),
    ),
    _latency(
        "connect_ms",
        "what it takes to open a connection, where one was needed; never inside TTFT",
        "TCP and TLS set-up of a new connection",
        "connection reused",
        ("connected_ns", "connect_start_ns"),
    ),
    _tokens("output_tokens", "how many tokens were generated for a request, reasoning included"),
    _tokens("prompt_tokens", "how many tokens the prompt of a request has, as this server's tokenizer cuts it"),
    _server("server_ttft_ms", "time to first token as the server saw it, the network not in it"),
    _server("server_queue_ms", "how long a request waited in the server before it was worked on"),
    _server("server_prefill_ms", "how long the server took to read the prompt"),
    _server("server_decode_ms", "how long the server took to generate the answer"),
    _server("server_total_ms", "how long the request took inside the server"),
    _server("server_load_ms", "how long the server took to load the model, where it had to (Ollama)"),
)

METRICS: Mapping[str, Metric] = {metric.id: metric for metric in _ALL}
