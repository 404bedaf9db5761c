"""Sweeps as rows of text: the points of a curve, one row for each load and service. No markup here."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from inference_bench.results.summary import ServiceSummary, Summary, TestSummary
from inference_bench.results.summary_view import MISSING, number, percent, statistic
from inference_bench.results.values import value_of


class SweepRow(NamedTuple):
    """One service at one load: its cells in the order of `sweep_heads`."""

    load: str
    service: str
    cells: tuple[str, ...]
    verdict: str


_COLUMNS: Final[tuple[tuple[str, Callable[[ServiceSummary], str]], ...]] = (
    ("Req/s", lambda one: number(one.throughput.requests_per_s)),
    ("Tok/s", lambda one: number(one.throughput.output_tokens_per_s)),
    ("TTFT p50", lambda one: _figure(one, "ttft_ms", "p50")),
    ("TTFT p95", lambda one: _figure(one, "ttft_ms", "p95")),
    ("TPOT p50", lambda one: _figure(one, "tpot_ms", "p50")),
)
SWEEP_NOTE: Final = "Req/s and Tok/s: answers and output tokens per second. TTFT and TPOT in ms."


def single_tests(summary: Summary) -> list[TestSummary]:
    """Return the tests that stand for themselves: no points of a sweep, no loads that a search tried."""
    return [test for test in summary.tests if test.sweep is None and not test.probe]


def measured_tests(summary: Summary) -> list[TestSummary]:
    """Return every test of the plan: those of `single_tests` and the points of sweeps, not the loads of a search."""
    return [test for test in summary.tests if not test.probe]


def probe_tests(summary: Summary) -> list[TestSummary]:
    """Return the loads of searches that were the answer for a service."""
    return [test for test in summary.tests if test.probe]


def sweeps_of(summary: Summary) -> Mapping[str, Sequence[TestSummary]]:
    """Return the points of every sweep, in order of load."""
    found: dict[str, list[TestSummary]] = {}
    for test in summary.tests:
        if test.sweep is not None and not test.probe:
            found.setdefault(test.sweep, []).append(test)
    return {name: sorted(points, key=load_of) for name, points in found.items()}


def load_of(test: TestSummary) -> float:
    """Return the users or the rate (requests/s) of a load test."""
    return float(test.load.concurrent_users or test.load.rate or 0)


def load_name(test: TestSummary) -> str:
    """Return what the loads of a sweep are: "Users" or "Rate/s"."""
    return "Users" if test.load.concurrent_users is not None else "Rate/s"


def sweep_heads(points: Sequence[TestSummary]) -> tuple[str, ...]:
    """Return the heads of the cells of `sweep_rows`; "Kept" only where requests were promised something."""
    return (*(head for head, _ in _COLUMNS), *(("Kept",) if _promised(points) else ()))


def sweep_rows(points: Sequence[TestSummary]) -> list[SweepRow]:
    """Return the rows of a sweep, load by load."""
    promised = _promised(points)
    return [
        SweepRow(
            f"{load_of(test):g}",
            name,
            (*(cell(one) for _, cell in _COLUMNS), *((_kept(one),) if promised else ())),
            one.validity.verdict,
        )
        for test in points
        for name, one in test.services.items()
    ]


def sweep_words(points: Sequence[TestSummary]) -> str:
    """Return what a sweep is, in words: "4 loads, 1 to 24 users"."""
    first, last = load_of(points[0]), load_of(points[-1])
    unit = "users" if points[0].load.concurrent_users is not None else "requests/s"
    many = f"{len(points)} load{'' if len(points) == 1 else 's'}"
    return f"{many}, {first:g} to {last:g} {unit}" if len(points) > 1 else f"{many}, {first:g} {unit}"


def _promised(points: Sequence[TestSummary]) -> bool:
    return any(one.goodput is not None for test in points for one in test.services.values())


def _kept(service: ServiceSummary) -> str:
    return MISSING if service.goodput is None else percent(service.goodput.attainment)


def _figure(service: ServiceSummary, metric: str, name: str) -> str:
    """Return a figure, a dash where it is missing: a narrow column has no room for why."""
    return MISSING if value_of(service, f"{metric}.{name}") is None else statistic(service, metric, name)
