"""Scores of each service in each test: latency, throughput and reliability against stated references, and their sum.

latency = min(1, target / value), throughput = min(1, achieved / asked), reliability = success rate. No score depends on
who else took part, and a part that is not known means that there is no overall score.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from pydantic import JsonValue

from inference_bench.results.comparison import ServiceScore
from inference_bench.results.manifest import TestKind
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary
from inference_bench.results.values import VALUES, better_of, missing_reason, value_of

# What the target of a test is for.
TARGETED: Final[Mapping[TestKind, str]] = {"ttft": "ttft_ms.p50", "load": "e2e_ms.p95"}
_RATES: Final = ("requests_per_s", "output_tokens_per_s", "total_tokens_per_s", "goodput.requests_per_s")


class Weights(NamedTuple):
    """What each part weighs; the sum is 1."""

    latency: float = 0.4
    throughput: float = 0.3
    reliability: float = 0.3


class _Part(NamedTuple):
    """A part of a score, or why there is none."""

    value: float | None
    reason: str | None = None


def scores_of(summary: Summary, config: Mapping[str, JsonValue]) -> dict[str, dict[str, ServiceScore]]:
    """Return the score of every service in every test, by the run's targets, `scoring.references` and weights."""
    section = config.get("scoring")
    section = section if isinstance(section, dict) else {}
    told = _numbers(section.get("references"))
    references = {name: value for name, value in told.items() if value > 0 and name in VALUES and better_of(name)}
    weights = _numbers(section.get("weights"))
    known = Weights(**{name: weights[name] for name in Weights._fields if name in weights})
    return {
        test.name: {name: score(test, service, references, known) for name, service in test.services.items()}
        for test in summary.tests
        if not test.probe
    }


def score(
    test: TestSummary, service: ServiceSummary, references: Mapping[str, float], weights: Weights
) -> ServiceScore:
    """Return a service's score in a test. `references` maps the names of values to what earns a full score."""
    latency, throughput = _latency(test, service, references), _throughput(test, service, references)
    rate = service.requests.success_rate
    reliability = _Part(rate, "no request ended" if rate is None else None)
    parts = (latency, throughput, reliability)
    reasons = [
        f"no {name}: {part.reason}" for name, part in zip(Weights._fields, parts, strict=True) if part.value is None
    ]
    if test.validity.verdict == "invalid":
        reasons.append("the test is invalid")
    total = sum(weight * (part.value or 0.0) for weight, part in zip(weights, parts, strict=True))
    return ServiceScore(
        latency=latency.value,
        throughput=throughput.value,
        reliability=reliability.value,
        overall=None if reasons else total,
        reason="; ".join(reasons) or None,
    )


def _latency(test: TestSummary, service: ServiceSummary, references: Mapping[str, float]) -> _Part:
    """Held against the test's own target; a reference for the same value comes first, for another one last."""
    name = TARGETED[test.kind]
    target = test.load.target_ms if test.kind == "ttft" else test.load.target_p95_ms
    if name in references or target is None:
        others = [other for other in references if other.partition(".")[0].endswith("_ms")]
        name = name if name in references else next(iter(others), name)
        target = references.get(name)
    if target is None:
        return _Part(None, f"there is no target for {name}")
    value = value_of(service, name)
    if value is None:
        return _Part(None, f"{name}: {missing_reason(service, name)}")
    return _Part(min(1.0, target / value) if value > 0 else 1.0)


def _throughput(test: TestSummary, service: ServiceSummary, references: Mapping[str, float]) -> _Part:
    """What was achieved of what was asked; a closed loop asks for nothing, so that a reference has to say it."""
    if test.kind == "ttft":
        return _Part(None, "a TTFT test has no rates")
    rates, achieved = service.throughput, service.throughput.requests_per_s
    if rates.rate_asked:
        return _Part(None, "no steady window") if achieved is None else _Part(min(1.0, achieved / rates.rate_asked))
    name = next((rate for rate in _RATES if rate in references), None)
    if name is None and achieved is None:
        return _Part(None, "no steady window")  # whatever was to be asked: nothing tells of it
    if name is None:
        return _Part(None, "a closed loop asks for no rate, and scoring.references has none")
    value = value_of(service, name)
    if value is None:
        return _Part(None, f"{name}: {missing_reason(service, name)}")
    return _Part(min(1.0, value / references[name]))


def _numbers(section: JsonValue) -> dict[str, float]:
    found = section.items() if isinstance(section, dict) else ()
    return {name: float(value) for name, value in found if isinstance(value, int | float)}
