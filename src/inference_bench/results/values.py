"""The named values of a service's summary: `ttft_ms.p95`, `success_rate`, `goodput.attainment`, `errors.timeout`.

Gates, promises and the primary metric name a value by these words. A value is a metric with one of its statistics, or
a scalar of its own. Missing is None here too, with a reason.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from inference_bench.api.protocols import ErrorClass
from inference_bench.metrics.definitions import METRICS, Better
from inference_bench.results.summary import ServiceSummary
from inference_bench.results.summary_parts import GoodputFacts, LowerTail, UpperTail

Number = float | None
_COUNTS: Final = ("n", "missing")
_MOMENTS: Final = ("mean", "std", "min", "max")
_DIRECTED: Final = ("mean", "min", "max")  # statistics that are better when the metric is


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value of a service that is no metric's statistic. `better` is None where neither direction is."""

    better: Better | None
    read: Callable[[ServiceSummary], Number]
    missing: str


def _goodput(read: Callable[[GoodputFacts], Number]) -> Callable[[ServiceSummary], Number]:
    return lambda service: None if service.goodput is None else read(service.goodput)


def _sound_rate(service: ServiceSummary) -> Number:
    return None if service.sanity is None else service.sanity.sound_rate


def _errors(kind: str) -> Callable[[ServiceSummary], Number]:
    return lambda service: service.requests.errors.get(kind, 0)


_NO_WINDOW: Final = "no steady window, or every request was the first of its user"
_NO_TOKENS: Final = f"output tokens that nobody told, {_NO_WINDOW}"
_NO_LIMITS: Final = "the test has no slo.per_request, or nothing was sent"
_NO_GOOD_RATE: Final = f"the test has no slo.per_request, {_NO_WINDOW}"

SCALARS: Final[Mapping[str, Scalar]] = {
    "success_rate": Scalar("more", lambda service: service.requests.success_rate, "no request ended"),
    "requests_per_s": Scalar("more", lambda service: service.throughput.requests_per_s, _NO_WINDOW),
    "output_tokens_per_s": Scalar("more", lambda service: service.throughput.output_tokens_per_s, _NO_TOKENS),
    "total_tokens_per_s": Scalar("more", lambda service: service.throughput.total_tokens_per_s, _NO_TOKENS),
    "sound_rate": Scalar("more", _sound_rate, "no request ended, or nothing looked at the texts"),
    "goodput.requests_per_s": Scalar("more", _goodput(lambda good: good.requests_per_s), _NO_GOOD_RATE),
    "goodput.attainment": Scalar("more", _goodput(lambda good: good.attainment), _NO_LIMITS),
    "sent": Scalar(None, lambda service: service.requests.sent, ""),
    "ok": Scalar(None, lambda service: service.requests.ok, ""),
    "failed": Scalar("less", lambda service: service.requests.failed, ""),
    "errors": Scalar("less", lambda service: service.requests.failed, ""),  # of all classes: what failed
    "interrupted": Scalar(None, lambda service: service.requests.interrupted, ""),
    **{
        f"errors.{kind}": Scalar("less", _errors(kind.value), "")
        for kind in ErrorClass
        if kind is not ErrorClass.INTERRUPTED
    },
}

# The rates that each round of a load test has by itself, so that rounds can be compared by them.
RATES: Final = ("requests_per_s", "output_tokens_per_s")


def statistics(metric: str) -> tuple[str, ...]:
    """Return the statistics of a metric, in the order of the summary. Raises KeyError for an unknown one."""
    model = LowerTail if METRICS[metric].better == "more" else UpperTail
    return (*(name for name in model.model_fields if name[:1] == "p" and name[1:].isdigit()), *_MOMENTS, *_COUNTS)


def better_of(name: str) -> Better | None:
    """Return which direction of a value is better; None where neither is. Raises KeyError for an unknown name."""
    if name in SCALARS:
        return SCALARS[name].better
    metric, _, statistic = name.partition(".")
    return METRICS[metric].better if statistic in _DIRECTED or statistic.startswith("p") else None


VALUES: Final[tuple[str, ...]] = (
    *(f"{metric}.{statistic}" for metric in METRICS for statistic in statistics(metric)),
    *SCALARS,
)
# What can be held to a limit: less or more of it is better.
LIMITED: Final[tuple[str, ...]] = tuple(name for name in VALUES if better_of(name) is not None)
# What can decide between services: a percentile or the mean of a metric, or a rate.
PRIMARIES: Final[tuple[str, ...]] = (
    *(name for name in LIMITED if name not in SCALARS and not name.endswith((".min", ".max"))),
    *RATES,
)


def value_of(service: ServiceSummary, name: str) -> Number:
    """Return a value of VALUES; None when it is missing. Raises KeyError for an unknown name."""
    if name in SCALARS:
        return SCALARS[name].read(service)
    metric, _, statistic = name.partition(".")
    if metric not in METRICS or statistic not in statistics(metric):
        raise KeyError(name)
    found = service.metrics.get(metric)
    value: Number = None if found is None else getattr(found, statistic)
    return value


def missing_reason(service: ServiceSummary, name: str) -> str:
    """Say why a value is missing. Raises KeyError for an unknown name."""
    if name in SCALARS:
        return SCALARS[name].missing
    metric, _, statistic = name.partition(".")
    found = service.metrics.get(metric)
    if service.requests.ok == 0:
        return "no request succeeded in the steady window"
    if found is None or found.n == 0:
        return METRICS[metric].missing_when
    needed = found.needed_n.get(statistic)
    return f"{statistic} needs n {needed}, there are {found.n}" if needed is not None else f"n is {found.n}"
