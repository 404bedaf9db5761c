"""Checks the words of a configuration that other rooms own: engines, metrics, statistics. They are handed in.

Configuration stands below the rooms that know them, so `Vocabulary` carries what exists; a word of it that is None is
not checked.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from inference_bench.config.models import Settings
from inference_bench.config.problems import origin_of
from inference_bench.config.promise_models import SloSettings
from inference_bench.config.provenance import KeyPath, Problem, Provenance
from inference_bench.config.schema import closest


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What exists. `limited` are the values that can be held to a limit, `primaries` those that can decide."""

    engines: Collection[str] | None = None
    limited: Collection[str] | None = None
    primaries: Collection[str] | None = None


def unknown_words(settings: Settings, known: Vocabulary, origins: Mapping[KeyPath, Provenance]) -> list[Problem]:
    """Return a problem for every word that does not exist."""
    found = [*_engines(settings, known.engines)]
    if known.limited is not None:
        found += [(path, text) for path, name in _limited(settings) if (text := name_problem(name, known.limited))]
    primary = settings.comparison.primary
    if primary is not None and known.primaries is not None:
        text = name_problem(primary, known.primaries)
        found += [(("comparison", "primary"), text)] if text else []
    return [Problem(path, text, provenance=origin_of(path, origins)) for path, text in found]


def name_problem(name: str, known: Collection[str]) -> str | None:
    """Say what is wrong with the name of a value (`ttft_ms.p95`, `success_rate`), and what was meant; None if nothing.

    `known` holds whole names; what stands before a dot is a metric (or a group), what stands after it its statistics.
    """
    if name in known:
        return None
    base, _, statistic = name.partition(".")
    statistics = [other.partition(".")[2] for other in known if other.startswith(f"{base}.")]
    if statistics and not statistic:
        return f"needs a statistic, such as {base}.{statistics[0]}. It has: {', '.join(statistics)}"
    if statistics:
        # A percentile that is not given is no slip of the pen: the list says enough.
        near = None if statistic[:1] == "p" and statistic[1:].isdigit() else closest(statistic, statistics)
        return f"{base} has no {statistic!r}{_meant(near, base)} It has: {', '.join(statistics)}"
    if base in known:
        return f"{base} is one value and has no statistics: write {base} alone"
    bases = list(dict.fromkeys(other.partition(".")[0] for other in known))
    return f"there is no such value here{_meant(closest(base, bases))} There are: {', '.join(bases)}"


def _meant(near: str | None, base: str = "") -> str:
    return "." if near is None else f"; did you mean {base}{'.' if base else ''}{near}?"


def _engines(settings: Settings, engines: Collection[str] | None) -> Iterator[tuple[KeyPath, str]]:
    for position, endpoint in enumerate(settings.services.endpoints):
        if engines is None or endpoint.engine is None or endpoint.engine in engines:
            continue
        near = closest(endpoint.engine, engines)
        text = f"must be one of {', '.join(engines)}, not {endpoint.engine!r}"
        text += f"; did you mean {near}?" if near is not None else ""
        yield ("services", "endpoints", position, "engine"), text


def _limited(settings: Settings) -> Iterator[tuple[KeyPath, str]]:
    """Yield every name that stands where a value is limited, with its path."""
    places: list[tuple[KeyPath, SloSettings | None]] = [(("slo",), settings.slo)]
    places += [(("ttft_test", "slo"), settings.ttft_test.slo)]
    places += [(("load_tests", position, "slo"), test.slo) for position, test in enumerate(settings.load_tests)]
    for path, slo in places:
        for name in slo.limits if slo is not None else ():
            yield (*path, "limits", name), name
    for name in settings.scoring.references:
        yield ("scoring", "references", name), name
