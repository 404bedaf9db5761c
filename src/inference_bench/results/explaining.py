"""`explain`: what a word of a summary or a comparison means. A name may carry a statistic: `ttft_ms.p95`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from inference_bench.config.schema import closest
from inference_bench.errors import UsageError
from inference_bench.metrics.definitions import METRICS, Better
from inference_bench.metrics.distribution import CONFIDENCE, interval_needs, percentile_needs
from inference_bench.results.explained_kinds import Kind
from inference_bench.results.explained_values import TERMS
from inference_bench.results.values import SCALARS, better_of, statistics

_BETTER: Final = {"less": "less is better", "more": "more is better", None: "neither direction is better"}
_STATISTICS: Final = {
    "mean": "arithmetic mean, with Student's interval",
    "std": "standard deviation of the sample",
    "min": "smallest value",
    "max": "largest value",
    "n": "values that there are",
    "missing": "good requests of the window that gave no value",
}
_LISTED: Final = "`results explain` lists every name."


@dataclass(frozen=True, slots=True)
class Statistic:
    """A figure of a metric, and the n it needs to be given, and to be given with an interval (None: any)."""

    name: str
    words: str
    needs: int | None = None
    interval_needs: int | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """Everything there is to say of a name. `statistic` is the one that was asked for by name."""

    name: str
    kind: Kind
    words: str
    formula: str | None
    unit: str | None
    better: str | None
    source: str | None
    missing: str | None
    statistics: tuple[Statistic, ...] = ()
    statistic: str | None = None


def names() -> tuple[str, ...]:
    """Return every name that can be explained: the metrics first, then the rest by kind."""
    return (*METRICS, *TERMS)


def explain(name: str) -> Explanation:
    """Return what a name means.

    Raises:
        UsageError: there is no such name (with the one that was probably meant), or no such statistic.
    """
    asked = name.strip().lower()
    if asked in TERMS:
        return _term(asked)
    metric, _, statistic = asked.partition(".")
    if metric not in METRICS:
        near = closest(asked, names())
        meant = f"; did you mean {near}?" if near is not None else ""
        raise UsageError(f"there is nothing called {name!r} here{meant}", hint=_LISTED)
    if statistic and statistic not in statistics(metric):
        raise UsageError(f"{metric} has no statistic {statistic!r}", hint=f"It has: {', '.join(statistics(metric))}.")
    return _metric(metric, statistic or None)


def everything() -> Iterator[Explanation]:
    """Yield the explanation of every name."""
    return (explain(name) for name in names())


def _term(name: str) -> Explanation:
    found = TERMS[name]
    return Explanation(
        name=name,
        kind=found.kind,
        words=found.words,
        formula=found.formula,
        unit=found.unit,
        better=_direction(better_of(name)) if name in SCALARS else None,
        source=found.source,
        missing=found.missing,
    )


def _metric(name: str, statistic: str | None) -> Explanation:
    metric = METRICS[name]
    return Explanation(
        name=name,
        kind="metric",
        words=metric.words,
        formula=metric.formula,
        unit=metric.unit,
        better=_direction(metric.better),
        source=metric.source,
        missing=metric.missing_when,
        statistics=tuple(_statistic(one) for one in statistics(name) if statistic in (None, one)),
        statistic=statistic,
    )


def _direction(better: Better | None) -> str:
    return _BETTER[better]


def _statistic(name: str) -> Statistic:
    if name in _STATISTICS:
        return Statistic(name, _STATISTICS[name])
    percent = int(name[1:])
    words = f"{percent} % of the values are at or below it" if percent != 50 else "the median"
    return Statistic(name, words, percentile_needs(percent), interval_needs(percent))


INTERVALS: Final = (
    f"Percentiles interpolate linearly between order statistics; a {100 * CONFIDENCE:.0f} % interval comes from order "
    "statistics too. Below the n it needs a figure is null: missing, not 0."
)
