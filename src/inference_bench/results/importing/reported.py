"""The figures that a foreign file gives, as a service's summary: what it does not give is missing, never 0.

Percentiles are kept from the number of values that can carry them, as for figures of our own.
"""

from typing import Any

from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.distribution import LESS_IS_BETTER, MORE_IS_BETTER, percentile_needs
from inference_bench.results.importing.model import ForeignTest, Reported
from inference_bench.results.summary import ServiceSummary, Validity
from inference_bench.results.summary_parts import (
    Intervals,
    LowerTail,
    RequestFacts,
    StampsSummary,
    ThroughputFacts,
    UpperTail,
)

_CONFIDENCE = 0.95
_NO_VALUES = "the requests themselves were not imported"


def reported_service(
    test: ForeignTest, seconds: float, *, engine: str, simulated: bool, validity: Validity
) -> ServiceSummary:
    """Return the summary of a test of which only figures are known; it took so many seconds."""
    ended = test.ok + test.failed
    return ServiceSummary(
        engine=engine,
        simulated=simulated,
        window_s=seconds,
        requests=RequestFacts(
            sent=ended + test.interrupted,
            ok=test.ok,
            failed=test.failed,
            interrupted=test.interrupted,
            success_rate=test.ok / ended if ended else None,
            errors=dict(test.errors) or ({"unknown": test.failed} if test.failed else {}),
        ),
        metrics={name: _figures(name, test.reported.get(name), test.ok) for name in METRICS},
        throughput=ThroughputFacts(
            requests_per_s=test.requests_per_s,
            output_tokens_per_s=test.output_tokens_per_s,
            total_tokens_per_s=test.total_tokens_per_s,
            tokens_unknown=0,
            rate_asked=test.rate_asked,
            rate_sent=None,
            concurrency_mean=test.concurrency_mean,
            concurrency_max=test.concurrency_max,
        ),
        goodput=None,
        cold_start=None,
        stamps=StampsSummary(
            first_tokens=0, first_tokens_merged=0, merged_share=None, merged_reads=0, zero_gap_share=None
        ),
        cost=None,
        validity=validity,
    )


def _figures(metric_id: str, told: Reported | None, ok: int) -> UpperTail | LowerTail:
    metric = METRICS[metric_id]
    percents = MORE_IS_BETTER if metric.better == "more" else LESS_IS_BETTER
    n = 0 if told is None else told.n
    needed = {f"p{percent}": percentile_needs(percent) for percent in percents if n < percentile_needs(percent)}
    values: dict[str, Any] = {
        f"p{percent}": None if told is None or f"p{percent}" in needed else told.percentiles.get(percent)
        for percent in percents
    }
    values |= {"unit": metric.unit, "n": n, "missing": max(0, ok - n), "std": None, "relative_error": None}
    values |= {"mean": None, "min": None, "max": None, "needed_n": needed, "ci": None}
    if told is not None:
        values |= {"mean": told.mean, "min": told.least, "max": told.most}
        values["ci"] = Intervals(confidence=_CONFIDENCE, reason=_NO_VALUES)
    return LowerTail(**values) if metric.better == "more" else UpperTail(**values)
