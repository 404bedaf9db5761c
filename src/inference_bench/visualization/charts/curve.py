"""Throughput against latency, and goodput against load: one point per load, a line per service.

The points are those of a sweep; without one, the load tests that differ in their load alone.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import plotly.graph_objects as go

from inference_bench.results.capacity_rows import load_text
from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.sweep_rows import load_of, sweep_words
from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import ServiceStyle

NAME, TITLE = "throughput_latency", "What more load costs"
GOODPUT, GOODPUT_TITLE = "goodput", "How many requests keep their promises"
_LINEAR = 12  # from this ratio of latencies on, the axis is logarithmic
_HOLLOW = "Hollow: the measurement of that point is invalid."


class _Point(NamedTuple):
    x: float
    y: float
    label: str
    hollow: bool


def curve_charts(data: RunData, styles: dict[str, ServiceStyle]) -> Iterator[Chart]:
    """Yield the curve of every sweep, and its goodput where requests were promised something; without sweeps, the
    curve of the load tests that differ in their load alone, or why there is none.
    """
    sweeps = data.sweeps
    for name, points in sweeps.items():
        said = f"sweep {shown(name)}"
        yield _curve(data, styles, points, name=f"{NAME}_{name}", title=f"{TITLE}: {name}", said=said)
        if any(one.goodput is not None for test in points for one in test.services.values()):
            yield _goodput(data, styles, points, name)
    if not sweeps or len(comparable_loads(data)) > 1:
        yield throughput_latency(data, styles)


def throughput_latency(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the curve over the load tests, no points of sweeps, that differ in their load alone."""
    tests = comparable_loads(data)
    if len(tests) < 2:
        return missing(
            NAME,
            TITLE,
            "the curve needs at least two load tests that ask the same at different loads; the run has "
            f"{len(data.load_tests())} load test(s). Configure several users or rates to get it",
        )
    said = f"tests {', '.join(shown(test.name) for test in tests)}"
    return _curve(data, styles, tests, name=NAME, title=TITLE, said=said)


def comparable_loads(data: RunData) -> list[TestSummary]:
    """Return the load tests that differ in nothing but users or rate, in order of load; the largest such group."""
    groups: dict[tuple[object, ...], dict[float, TestSummary]] = {}
    for test in data.load_tests():
        load = test.load
        key = (load.arrivals, load.max_tokens, load.temperature, load.think_time_seconds)
        if test.sweep is None:
            groups.setdefault(key, {})[load_of(test)] = test
    largest = max(groups.values(), key=len, default={})
    return [largest[load] for load in sorted(largest)]


def _curve(
    data: RunData,
    styles: dict[str, ServiceStyle],
    tests: Sequence[TestSummary],
    *,
    name: str,
    title: str,
    said: str,
) -> Chart:
    smallest = min(service.requests.ok for test in tests for service in test.services.values())
    made = figure(height=460, parts=[said, f"n ≥ {smallest:,} per point"], simulated=data.simulated)
    drawn: list[float] = []
    for service in data.services:
        points = [point for test in tests if (point := _latency(test, service)) is not None]
        if len(points) > 1:
            _line(made, points, service, styles[service], "%{x:.4g} tokens/s, TTFT p50 %{y:.1f} ms")
            drawn += [point.y for point in points]
    if not drawn:
        return missing(name, title, "no service has both a throughput and a TTFT p50 at two loads")
    made.update_xaxes(title=axis_title("output tokens per second, all users together"), rangemode="tozero")
    # A service whose queue has taken over would press all others onto the axis.
    wide = max(drawn) > _LINEAR * min(drawn)
    made.update_yaxes(title=axis_title(f"TTFT p50, ms{', logarithmic' if wide else ''}"), rangemode="tozero")
    if wide:
        made.update_yaxes(type="log", dtick=1)
    caption = "Each point is one load test, labelled with its users or rate; lines join a service's loads in order. "
    return Chart(name, title, made, caption + _HOLLOW)


def _goodput(data: RunData, styles: dict[str, ServiceStyle], tests: Sequence[TestSummary], sweep: str) -> Chart:
    """Return the rate of requests that met every limit against load; more load than a service carries lowers it."""
    name, title = f"{GOODPUT}_{sweep}", f"{GOODPUT_TITLE}: {sweep}"
    parts = [f"sweep {shown(sweep)}", sweep_words(tests)]
    made = figure(height=420, parts=parts, simulated=data.simulated)
    several = False
    for service in data.services:
        points = [point for test in tests if (point := _good(test, service)) is not None]
        if len(points) > 1:
            several = True
            _line(made, points, service, styles[service], "%{y:.4g} good requests/s")
    if not several:
        return missing(name, title, "no service has a goodput at two loads")
    users = tests[0].load.concurrent_users is not None
    made.update_xaxes(title=axis_title("users" if users else "requests per second, asked"), rangemode="tozero")
    made.update_yaxes(title=axis_title("requests/s that kept every promise"), rangemode="tozero")
    caption = (
        "Each point is one load: the requests per second that met every limit of slo.per_request, labelled with their "
        f"share of those sent. {_HOLLOW}"
    )
    return Chart(name, title, made, caption)


def _latency(test: TestSummary, service: str) -> _Point | None:
    one = test.services.get(service)
    ttft = None if one is None else getattr(one.metrics.get("ttft_ms"), "p50", None)
    if one is None or ttft is None or one.throughput.output_tokens_per_s is None:
        return None
    return _Point(one.throughput.output_tokens_per_s, ttft, _label(test), _untrusted(one))


def _good(test: TestSummary, service: str) -> _Point | None:
    one = test.services.get(service)
    good = None if one is None else one.goodput
    if one is None or good is None or good.requests_per_s is None:
        return None
    share = "" if good.attainment is None else f"{good.attainment:.0%}"
    return _Point(load_of(test), good.requests_per_s, share, _untrusted(one))


def _untrusted(service: ServiceSummary) -> bool:
    return service.validity.verdict == "invalid"


def _label(test: TestSummary) -> str:
    return load_text(load_of(test), "users") if test.load.concurrent_users else f"{load_of(test):g}/s"


def _line(made: go.Figure, points: Sequence[_Point], service: str, style: ServiceStyle, told: str) -> None:
    made.add_trace(
        go.Scatter(
            x=[point.x for point in points],
            y=[point.y for point in points],
            mode="lines+markers+text",
            text=[point.label for point in points],
            # Labels of two services at one place must not cover each other.
            textposition="top center" if len(made.data) % 2 == 0 else "bottom center",
            line={"color": style.colour, "dash": style.dash, "width": 2.2},
            marker={
                "symbol": [f"{style.marker}-open" if point.hollow else style.marker for point in points],
                "size": 9,
                "color": style.colour,
                "line": {"color": style.colour, "width": 2},
            },
            name=shown(service),
            hovertemplate="%{text}: " + told + "<extra>" + shown(service) + "</extra>",
        )
    )
