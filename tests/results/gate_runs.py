"""Summaries with known figures, for tests of gates and of what is made of them. Nothing here asserts."""

from collections.abc import Mapping, Sequence

import numpy as np

from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.distribution import describe
from inference_bench.results.manifest import LoadShape
from inference_bench.results.summarise import figures
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity
from inference_bench.results.summary_parts import GoodputFacts, RequestFacts, StampsSummary, ThroughputFacts

VALID = Validity(verdict="valid")


def service(
    ttft: Sequence[float] = (100.0,) * 20,
    *,
    values: Mapping[str, Sequence[float]] | None = None,
    errors: Mapping[str, int] | None = None,
    attainment: float | None = None,
    validity: Validity = VALID,
) -> ServiceSummary:
    """Return a service with these TTFTs (one per good request), these values of other metrics, these errors."""
    given = {"ttft_ms": ttft, **(values or {})}
    failed = sum((errors or {}).values())
    ok = len(ttft)
    metrics = {
        name: figures(name, describe(np.array(given.get(name, ()), float), missing=0, better=METRICS[name].better))
        for name in METRICS
    }
    return ServiceSummary(
        engine="vllm",
        simulated=True,
        window_s=10.0,
        requests=RequestFacts(
            sent=ok + failed,
            ok=ok,
            failed=failed,
            interrupted=0,
            success_rate=ok / (ok + failed) if ok + failed else None,
            errors=dict(errors or {}),
        ),
        metrics=metrics,
        throughput=ThroughputFacts(
            requests_per_s=ok / 10,
            output_tokens_per_s=None,
            total_tokens_per_s=None,
            tokens_unknown=ok,
            rate_asked=None,
            rate_sent=None,
            concurrency_mean=None,
            concurrency_max=None,
        ),
        goodput=None
        if attainment is None
        else GoodputFacts(requests_per_s=attainment, attainment=attainment, met=round(100 * attainment), of=100),
        cold_start=None,
        stamps=StampsSummary(
            first_tokens=ok, first_tokens_merged=0, merged_share=None, merged_reads=0, zero_gap_share=None
        ),
        cost=None,
        validity=validity,
    )


def summary(tests: Mapping[str, Mapping[str, ServiceSummary]]) -> Summary:
    """Return a summary of these tests, each with these services; the test `ttft` is of kind ttft."""
    return Summary(
        test_id="test_small_20260102_101500",
        simulated=True,
        tests=tuple(
            TestSummary(
                name=name,
                kind="ttft" if name == "ttft" else "load",
                load=LoadShape(),
                rounds=1,
                window_s=10.0,
                services=dict(services),
                validity=VALID,
            )
            for name, services in tests.items()
        ),
    )
