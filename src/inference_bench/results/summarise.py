"""From a calculator to the models of summary.json: figures are copied and named here, nothing is measured."""

from collections.abc import Mapping
from typing import Any

from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.distribution import CONFIDENCE, Distribution
from inference_bench.metrics.sanity import Answers, judge_answers
from inference_bench.metrics.throughput import cost_per_million_tokens
from inference_bench.results.summary import ServiceSummary, Validity, Verdict
from inference_bench.results.summary_parts import (
    ColdStartFacts,
    CostFacts,
    GoodputFacts,
    Intervals,
    LowerTail,
    RequestFacts,
    SanityFacts,
    StampsSummary,
    ThroughputFacts,
    UpperTail,
)

_SEVERITY: tuple[Verdict, ...] = ("valid", "suspect", "invalid")


def summarise_service(
    calculator: MetricsCalculator,
    *,
    engine: str,
    simulated: bool,
    validity: Validity,
    price: tuple[str, float] | None = None,
) -> ServiceSummary:
    """Return the summary of one service in one test. `price` is (currency, price per hour) when one is given."""
    counts, rates = calculator.counts(), calculator.throughput()
    good, cold, stamps = calculator.goodput(), calculator.cold_start(), calculator.stamps()
    return ServiceSummary(
        engine=engine,
        simulated=simulated,
        window_s=calculator.window_seconds,
        requests=RequestFacts(
            sent=counts.sent,
            ok=counts.ok,
            failed=counts.failed,
            interrupted=counts.interrupted,
            success_rate=calculator.success_rate(),
            errors=dict(counts.errors),
        ),
        metrics={name: figures(name, found) for name, found in calculator.distributions().items()},
        throughput=ThroughputFacts.model_validate(rates, from_attributes=True),
        goodput=None if good is None else GoodputFacts.model_validate(good, from_attributes=True),
        cold_start=None if cold is None else ColdStartFacts.model_validate(cold, from_attributes=True),
        stamps=StampsSummary(
            first_tokens=stamps.first_tokens,
            first_tokens_merged=stamps.first_tokens_merged,
            merged_share=stamps.merged_share,
            merged_reads=stamps.merged_reads,
            zero_gap_share=calculator.zero_gap_share(),
        ),
        cost=None if price is None else _cost(price, rates.output_tokens_per_s),
        validity=validity,
    )


def figures(metric_id: str, found: Distribution) -> UpperTail | LowerTail:
    """Return a distribution as the summary shows it.

    Raises:
        KeyError: there is no such metric.
    """
    metric = METRICS[metric_id]
    # The field names of the models are made of the percents, so their values are too: pydantic checks them.
    values: dict[str, Any] = {f"p{percent}": value for percent, value in found.percentiles.items()}
    values |= {"unit": metric.unit, "n": found.n, "missing": found.missing, "mean": found.mean, "std": found.std}
    values |= {"min": found.min, "max": found.max, "ci": _intervals(found), "needed_n": dict(found.needed_n)}
    values["relative_error"] = found.relative_error
    return LowerTail(**values) if metric.better == "more" else UpperTail(**values)


def with_sanity(services: Mapping[str, ServiceSummary], answers: Mapping[str, Answers]) -> dict[str, ServiceSummary]:
    """Return the services of one test with the judgement of their answers, which needs all of them to be seen."""
    judged = judge_answers(answers)
    facts = {
        name: None if one is None else SanityFacts.model_validate(one, from_attributes=True)
        for name, one in judged.items()
    }
    return {name: service.model_copy(update={"sanity": facts[name]}) for name, service in services.items()}


def worst(validities: Mapping[str, Validity]) -> Validity:
    """Return the validity of a test from its services': the worst verdict, each reason with its service, those of the
    worst service first.
    """
    if not validities:
        return Validity(verdict="invalid", reasons=("no service was measured",))
    verdict = max((validity.verdict for validity in validities.values()), key=_SEVERITY.index)
    ranked = sorted(validities.items(), key=lambda found: -_SEVERITY.index(found[1].verdict))
    reasons = tuple(f"{name}: {reason}" for name, validity in ranked for reason in validity.reasons)
    return Validity(verdict=verdict, reasons=reasons)


def _intervals(found: Distribution) -> Intervals | None:
    if found.n == 0:
        return None
    bounds: dict[str, Any] = dict(found.ci)
    return Intervals(confidence=CONFIDENCE, **bounds, needed_n=dict(found.ci_needed_n), reason=found.ci_reason)


def _cost(price: tuple[str, float], rate: float | None) -> CostFacts:
    currency, per_hour = price
    return CostFacts(
        currency=currency, per_hour=per_hour, per_million_output_tokens=cost_per_million_tokens(per_hour, rate)
    )
