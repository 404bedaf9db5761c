"""What the words of a summary and a comparison mean that are no metric: counts, rates, signs, verdicts, scores.

Words only; which of them exist as values of a summary stands in `values`, how they are computed in the metrics.
"""

from collections.abc import Mapping
from typing import Final

from inference_bench.api.protocols import ErrorClass
from inference_bench.metrics import sanity
from inference_bench.results.explained_kinds import Explained
from inference_bench.results.explained_server import SERVER_TERMS

_RECORDS: Final = "the client's records of the window's requests"
_NO_WINDOW: Final = "no steady window, or every request was the first of its user"
_ARRIVAL: Final = "arrival stamps; tokens: server usage first, then a given tokenizer"


def _value(words: str, formula: str, unit: str, missing: str = "no steady window") -> Explained:
    return Explained("value", words, formula, unit, _RECORDS, missing)


def _count(words: str, formula: str) -> Explained:
    return Explained("value", words, formula, "requests", _RECORDS, "never")


def _error(words: str) -> Explained:
    return Explained("error class", words, "requests of the window that ended so", "requests", _RECORDS, "never")


def _sign(words: str, suspect: str, invalid: str, missing: str) -> Explained:
    return Explained(
        "validity sign",
        words,
        f"suspect: {suspect}; invalid: {invalid}",
        source="the client and its machine, never the server",
        missing=missing,
    )


_ERRORS: Final[Mapping[ErrorClass, str]] = {
    ErrorClass.CONNECT: "no connection came about",
    ErrorClass.DNS: "the host's name could not be resolved",
    ErrorClass.TLS: "the TLS handshake failed, or the certificate is not trusted",
    ErrorClass.RESET: "the connection was reset (a reused one that was reset before any answer is sent again once)",
    ErrorClass.TIMEOUT: "the exchange, or a silence in it, lasted longer than its limit",
    ErrorClass.HTTP_4XX: "the server refused the request with a status from 400 to 499, 429 excepted",
    ErrorClass.HTTP_5XX: "the server failed with a status from 500 on, 503 excepted",
    ErrorClass.OVERLOADED: "the server was too busy: status 429 or 503, or the engine's own way to say so",
    ErrorClass.STREAM_ERROR: "an error event came inside a stream that had begun with 200",
    ErrorClass.TRUNCATED: "the stream ended without its proper end",
    ErrorClass.MALFORMED: "what came is not what the protocol says",
    ErrorClass.EMPTY: "the answer ended well and held no text",
    ErrorClass.INTERRUPTED: "the run was interrupted meanwhile: neither good nor failed, outside success_rate",
}

TERMS: Final[Mapping[str, Explained]] = {
    "sent": _count("requests of the steady window, warm-ups left out", "ok + failed + interrupted"),
    "ok": _count("requests that ended properly, with text", "counted"),
    "failed": _count("requests that ended in an error; they enter no latency metric", "counted"),
    "errors": _count("failed requests of all classes together; errors.CLASS counts one class", "failed"),
    "interrupted": _count("requests that a Ctrl-C cut short: neither good nor failed", "counted"),
    "success_rate": _value("share of good requests", "ok / (ok + failed)", "share, 0 to 1", "no request ended"),
    "requests_per_s": _value(
        "how many requests a second the service completed",
        "good ends inside the window / window_s",
        "requests/s",
        _NO_WINDOW,
    ),
    "output_tokens_per_s": Explained(
        "value",
        "how many tokens a second the service generated, for all users together",
        "output tokens by their arrival inside the window / window_s; an unknown split inside a chunk is prorated",
        "tokens/s",
        _ARRIVAL,
        f"output tokens that nobody told, {_NO_WINDOW}",
    ),
    "total_tokens_per_s": Explained(
        "value",
        "prompt and output tokens a second: how much text the service worked through",
        "(prompt tokens of answers that began in the window + output tokens by arrival) / window_s",
        "tokens/s",
        _ARRIVAL,
        f"tokens that nobody told, {_NO_WINDOW}",
    ),
    "goodput.requests_per_s": _value(
        "good requests a second that met every limit of slo.per_request",
        "requests sent in the window, ok, and within every limit / window_s; failed and missing do not meet them",
        "requests/s",
        f"the test has no slo.per_request, {_NO_WINDOW}",
    ),
    "goodput.attainment": _value(
        "share of requests that met every limit of slo.per_request",
        "met / sent in the window, interrupted ones left out",
        "share, 0 to 1",
        "the test has no slo.per_request, or nothing was sent",
    ),
    "window_s": _value(
        "length of the steady window: after ramp and warm-up, before the drain", "summed over rounds", "s"
    ),
    "rate_asked": _value(
        "requests a second that the plan intended", "intended in the window / window_s", "requests/s", "closed loop"
    ),
    "rate_sent": _value("requests a second that were sent", "sent in the window / window_s", "requests/s"),
    "concurrency_mean": _value(
        "requests in flight on average", "time in flight inside the window / window_s", "requests"
    ),
    "concurrency_max": _value("most requests in flight at one moment of the window", "counted", "requests"),
    "tokens_unknown": _count("good requests whose output tokens nobody told", "counted"),
    "zero_gap_share": _value(
        "share of chunk gaps that are 0: chunks that arrived under one stamp",
        "zero gaps / gaps of icl_ms",
        "share, 0 to 1",
        "no gaps",
    ),
    "cold_start": Explained(
        "value",
        "what the very first request of the test saw, warm-ups included: its TTFT, and the model load time it was told",
        "ttft_ms and server_load_ms of the first request sent",
        "ms",
        "the first record",
        "it failed; server_load_ms: not reported",
    ),
    "per_million_output_tokens": _value(
        "what a million output tokens cost at the measured rate",
        "price per hour / output_tokens_per_s / 3600 x 1e6",
        "the price's currency",
        "no price is configured, or output_tokens_per_s is missing",
    ),
    **{f"errors.{kind}": _error(words) for kind, words in _ERRORS.items()},
    "sound_rate": Explained(
        "output sanity",
        "share of requests that were answered with a text that looks sound: not garbled, not wildly short. A service "
        "whose share is more than a point lower is never called better",
        "sound / (ok + failed)",
        "share, 0 to 1",
        "the generated text, judged outside the measured path",
        "no request ended, or the records are of a version that did not look at texts",
    ),
    "garbled": Explained(
        "output sanity",
        "answers that cannot be text: broken characters, hardly any different characters, or a few characters "
        "repeated from the beginning. Whether an answer is right is not judged",
        f"by the first {sanity.SAMPLE_CHARS:,} characters: more than {100 * sanity.BROKEN_SHARE:.0f} % U+FFFD, control "
        f"or unassigned characters; at most {sanity.FEW_DIFFERENT} different in {sanity.FEW_LEAST} or one alone in "
        f"{sanity.SINGLE_LEAST}; a unit of at most {sanity.UNIT_LONGEST} characters {sanity.UNIT_TIMES} times or more",
        "requests",
        "the generated text, reasoning included",
        "the records are of a version that did not look at texts",
    ),
    "short": Explained(
        "output sanity",
        "answers that ended before max_tokens, wildly shorter than the other services' to the same prompts",
        f"fewer tokens than {100 * sanity.SHORT_SHARE:.0f} % of the others' lower median, where that is at least "
        f"{sanity.SHORT_REFERENCE_TOKENS}; counted where they are more than {100 * sanity.SHORT_PATTERN:.0f} % of "
        f"at least {sanity.SHORT_PAIRED} that could be paired",
        "requests",
        "output_tokens of all services",
        "the records are of a version that did not look at texts",
    ),
    "validity": Explained(
        "validity sign",
        "whether the figures are the server's and not the client's: valid, suspect or invalid. The worst sign of the "
        "worst service stands for the test; an invalid test names no winner",
        source="the client and its machine, never the server",
    ),
    "send_lag": _sign(
        "how late requests were sent, p99",
        "over 2 ms, or 1 % of median TTFT if larger",
        "over 10 ms, or 5 %",
        "closed loop",
    ),
    "rate": _sign("requests sent in time of those asked for", "under 0.99", "under 0.95", "closed loop"),
    "merged_reads": _sign(
        "first tokens that came in one read with later ones: their stamp is an upper bound",
        "over 1 %",
        "over 5 %",
        "no first token",
    ),
    "worker_wait": _sign(
        "time the measuring processes waited for a CPU, share of the window",
        "over 2 %",
        "over 10 %",
        "the workers' samples do not reach over the window",
    ),
    "clock_step": _sign(
        "wall clock against monotonic clock, sampled each second", "over 1 ms", "over 10 ms", "no samples"
    ),
    "window": _sign(
        "the steady window against the one asked for", "under 80 %", "under 50 %", "the test has no duration"
    ),
    "stall": _sign(
        "the longest time at a stretch that a worker could not run", "over 100 ms", "over 500 ms", "no samples"
    ),
    "unstamped": _sign(
        "reads of answers without the kernel stamp that was asked for: the time of the read stood in",
        "over 1 %",
        "over 5 %",
        "this system has no kernel stamps, or nothing was read",
    ),
    "turn_wait": _sign(
        "time that users of conversations waited for this client to make their next turn of the answer before it, "
        "beyond 5 ms each; share of the time from turn to turn",
        "over 2 %",
        "over 10 %",
        "no conversations, or no turn was due in the window",
    ),
    "turn_lag": _sign(
        "the longest time from when a turn of a conversation was due (the answer before it, and the user's think time, "
        "had ended) until it was sent",
        "over 100 ms",
        "over 500 ms",
        "no conversations, or no turn was due in the window",
    ),
    "phases": Explained(
        "trust",
        "a service's requests of the warm-up, the ramp, the steady window and after it, and how long each lasted. Only "
        "the window is measured",
        "counted by when they were sent",
        "requests; s",
        _RECORDS,
        "never; the lengths: no steady window",
    ),
    "calibration": Explained(
        "trust",
        "what this machine adds at a test's load: the same load against a null server on it, before the run "
        "(--calibrate). An invalid one makes the test suspect",
        "our marks of TTFT and TPOT less those of the null server's own writes, on one clock; suspect: TTFT over 5 ms "
        "off at p99, invalid: over 20 ms, or as its own signs say",
        "ms",
        "the null server's write stamps",
        "--calibrate was not given; of a sweep only the largest load has one",
    ),
    "omission": Explained(
        "trust",
        "what a closed loop left out: while its service was silent and all users waited, nobody asked, and those who "
        "would have waited longest are not in the sample. No verdict",
        "unsent requests: pace of the rest x length of the silences; TTFT p99 anew with what these would have waited, "
        "as HdrHistogram's correction for an expected interval does (G. Tene, 2015); a queue after the silence is left "
        "out, so it is too low rather than too high",
        "requests; ms",
        "sends and chunks of the window",
        "open loop, no such silence, or the chunks were not kept",
    ),
    "near": Explained(
        "trust",
        "signs, and limits of this machine (open files, local ports, memory), that came within a fifth of a limit. No "
        "verdict",
        source="the client and its machine, never the server",
    ),
    "not_watched": Explained("trust", "what of the client nobody could look at, and why. No verdict"),
    **SERVER_TERMS,
    "better": Explained(
        "verdict",
        "one service is better on the metric that decides: the difference is both sure and large enough to name",
        "adjusted p below 1 - comparison.confidence, and the effect at least comparison.min_effect",
        missing="withheld from a service with more failed or unsound answers, and from an invalid test",
    ),
    "equivalent": Explained(
        "verdict",
        "the services differ by less than the smallest effect worth naming, and that is sure",
        "the interval of the ratio lies inside plus or minus ln(1 + comparison.min_effect) on the log scale",
    ),
    "no_difference_shown": Explained(
        "verdict",
        "the run does not tell: a difference may be there, and may not. needed_n says how much more would probably "
        "show one worth naming",
        "neither better nor equivalent",
    ),
    "not_comparable": Explained("verdict", "the two cannot be compared by this metric; the reason is given"),
    "ratio": Explained(
        "verdict",
        "a's value over b's, by the blocks that both have",
        "exp of the mean log ratio over blocks",
        missing="too few blocks with values on both sides",
    ),
    "p_adjusted": Explained(
        "verdict",
        "how surprising the difference would be if there were none, after all questions asked at once",
        "p after Holm over primary metric x pairs x tests; an exploratory row's own p",
        "probability",
    ),
    "needed_n": Explained(
        "verdict",
        "how many further blocks would probably (90 %) show comparison.min_effect, from the scatter of this run's. "
        "In a metric's figures: the n from which a statistic that is null would be given",
        unit="blocks",
        missing="not estimable; the reason is given",
    ),
    "winner": Explained(
        "verdict",
        "better on the metric that decides, against every other service. The overall winner is better on at least one "
        "test's and worse on none; else there is none, with the reason",
    ),
    "latency_score": Explained(
        "score",
        "how near the target the decisive latency is",
        "min(1, target / value)",
        "0 to 1",
        missing="no target is configured, or the value is missing",
    ),
    "throughput_score": Explained(
        "score",
        "how much of the asked load was done",
        "achieved / asked",
        "0 to 1",
        missing="a closed loop without a reference",
    ),
    "reliability_score": Explained(
        "score", "how reliably it answered", "success_rate", "0 to 1", missing="no request ended"
    ),
    "overall_score": Explained(
        "score",
        "the three parts, weighted. It depends on targets alone, never on who else took part",
        "weighted mean of latency, throughput and reliability (0.4 / 0.3 / 0.3 by default)",
        "0 to 1",
        missing="a part is missing",
    ),
}
