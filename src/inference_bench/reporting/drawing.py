"""Small drawings in numbers: where intervals stand on a shared axis of ratios, how long bars are. No markup here."""

import math
from collections.abc import Mapping, Sequence

from inference_bench.reporting.labels import label
from inference_bench.reporting.text import clean
from inference_bench.reporting.text import sentence as as_sentence
from inference_bench.reporting.view import Axis, Bar, BarGroup, Contest, Drawn, Tick
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import (
    advantage,
    certainty_words,
    claim,
    direction,
    metric_words,
    sentence,
    verdict_words,
)
from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.summary_view import number
from inference_bench.results.values import better_of, missing_reason, value_of

_WIDEST = 32.0  # a factor beyond this is drawn at the edge of the axis, with a mark that it goes on
_ROUND = (2.0, 1.5, 1.25, 1.1, 1.05, 1.02, 4.0, 10.0, 20.0)  # factors worth a tick, in the order they get room
_FEWEST_APART = 9.0  # per cent of the width


def contests(comparison: Comparison, numbers: Mapping[str, int]) -> tuple[tuple[Contest, ...], Axis | None]:
    """Return the primary pairs for drawing, and the axis they share; no axis where nothing was estimated."""
    pairs = comparison.primary_pairs
    found = [_leans(pair) for pair in pairs]
    known = [one for one in found if one is not None]
    reach = None if not known else _reach(known, comparison)
    drawn = tuple(_contest(pair, comparison, numbers, one, reach) for pair, one in zip(pairs, found, strict=True))
    return drawn, None if reach is None else _axis(reach, comparison)


Ends = tuple[float, float, float]


def _leans(pair: Pair) -> Ends | None:
    """Return by how much b is better than a (low, estimate, high; logarithms, so below 0 a is the better one)."""
    found = advantage(pair, pair.b) if direction(pair) is not None else None
    if found is None or min(found) <= 0:
        return None
    middle, low, high = (math.log(value) for value in found)
    return low, middle, high


def _reach(ends: Sequence[Ends], comparison: Comparison) -> float:
    """Return the largest distance from 1, as a logarithm, that the axis shows on both sides."""
    least = 2.5 * math.log1p(_min_effect(comparison))
    most = max(abs(value) for end in ends for value in end)
    return min(max(most, least) * 1.08, math.log(_WIDEST))


def _min_effect(comparison: Comparison) -> float:
    effect = comparison.design.get("min_effect")
    return float(effect) if isinstance(effect, int | float) and effect > 0 else 0.05


def _axis(reach: float, comparison: Comparison) -> Axis:
    band = math.log1p(_min_effect(comparison))
    ticks = [Tick(50.0, "same")]
    for factor in _ROUND:
        for side in (-1, 1):
            at = _place(side * math.log(factor), reach)
            if 4 <= at <= 96 and all(abs(at - tick.at) >= _FEWEST_APART for tick in ticks):
                crowded = any(abs(at - tick.at) < 2 * _FEWEST_APART for tick in ticks if not tick.minor)
                ticks.append(Tick(at, f"{factor:g}x", minor=crowded))
    return Axis(50.0, (_place(-band, reach), _place(band, reach)), tuple(sorted(ticks, key=lambda tick: tick.at)))


def _place(value: float, reach: float) -> float:
    return round(50 + 50 * max(-1.0, min(1.0, value / reach)), 2)


def _contest(
    pair: Pair, comparison: Comparison, numbers: Mapping[str, int], ends: Ends | None, reach: float | None
) -> Contest:
    drawn = None
    if reach is not None and ends is not None:
        low, middle, high = (_place(value, reach) for value in ends)
        drawn = Drawn(low, middle, high, cut_low=ends[0] < -reach, cut_high=ends[2] > reach)
    words = (claim(pair), certainty_words(pair))
    return Contest(
        test=clean(pair.test),
        metric=metric_words(pair),
        a=clean(pair.a, limit=60),
        b=clean(pair.b, limit=60),
        slots=(numbers.get(pair.a), numbers.get(pair.b)),
        verdict=clean(verdict_words(pair)),
        kind=pair.verdict,
        better=None if pair.better is None else numbers.get(pair.better),
        sentence=as_sentence(clean(sentence(pair, comparison.design), limit=600)),
        interval=drawn,
        figures=clean("; ".join(word for word in words if word)),
    )


def bar_group(test: TestSummary, name: str, numbers: Mapping[str, int], target: float | None = None) -> BarGroup | None:
    """Return the services' values of `name` ("ttft_ms.p50") as bars with their intervals; None when nobody has one."""
    values = {service: value_of(found, name) for service, found in test.services.items()}
    known = [value for value in values.values() if value is not None]
    if not known:
        return None
    ends = {service: _interval(found, name) for service, found in test.services.items()}
    most = max([*known, *(end[1] for end in ends.values() if end is not None), target or 0.0]) * 1.02 or 1.0
    metric, _, statistic = name.partition(".")
    unit = "ms" if metric.endswith("_ms") else None
    title = label(metric, statistic or None, unit)
    better = better_of(name)
    bars = []
    for service, found in test.services.items():
        value, ci = values[service], ends[service]
        bars.append(
            Bar(
                name=service,
                slot=numbers.get(service),
                text=number(value),
                below=_below(found, name, value, ci),
                width=None if value is None else round(100 * value / most, 2),
                interval=None if ci is None else (round(100 * ci[0] / most, 2), round(100 * ci[1] / most, 2)),
            )
        )
    line = (
        None
        if target is None
        else Tick(round(100 * target / most, 2), f"target {number(target)}{f' {unit}' if unit else ''}")
    )
    direction = "" if better is None else f"{better} is better"
    return BarGroup(f"{test.name}: {_scalar_title(name) or title}", direction, tuple(bars), line)


def _interval(service: ServiceSummary, name: str) -> tuple[float, float] | None:
    metric, _, statistic = name.partition(".")
    found = service.metrics.get(metric)
    if found is None or found.ci is None or not statistic:
        return None
    bounds: tuple[float, float] | None = getattr(found.ci, statistic, None)
    return bounds


def _below(service: ServiceSummary, name: str, value: float | None, ci: tuple[float, float] | None) -> str:
    if value is None:
        return clean(missing_reason(service, name), limit=90)
    metric = name.partition(".")[0]
    found = service.metrics.get(metric)
    counted = f"n {found.n:,}" if found is not None else ""
    interval = f"{number(ci[0])} – {number(ci[1])}" if ci is not None else ""
    return " · ".join(filter(None, [interval, counted]))


def _scalar_title(name: str) -> str | None:
    return {"requests_per_s": "Requests/s", "output_tokens_per_s": "Output tokens/s"}.get(name)
