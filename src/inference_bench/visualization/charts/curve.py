"""Throughput against latency: one point per load, a line per service; needs several loads of one kind."""

import plotly.graph_objects as go

from inference_bench.results.summary import TestSummary
from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import ServiceStyle

NAME, TITLE = "throughput_latency", "What more load costs"
_LINEAR = 12  # from this ratio of latencies on, the axis is logarithmic


def throughput_latency(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the curve over the load tests that differ in their load alone."""
    tests = comparable_loads(data)
    if len(tests) < 2:
        return missing(
            NAME,
            TITLE,
            "the curve needs at least two load tests that ask the same at different loads; the run has "
            f"{len(data.load_tests())} load test(s). Configure several users or rates to get it",
        )
    parts = [f"tests {', '.join(shown(test.name) for test in tests)}"]
    smallest = min(service.requests.ok for test in tests for service in test.services.values())
    made = figure(height=460, parts=[*parts, f"n ≥ {smallest:,} per point"], simulated=data.simulated)
    drawn = [latency for service in data.services for latency in _line(made, tests, service, styles[service])]
    if not drawn:
        return missing(NAME, TITLE, "no service has both a throughput and a TTFT p50 at two loads")
    made.update_xaxes(title=axis_title("output tokens per second, all users together"), rangemode="tozero")
    # A service whose queue has taken over would press all others onto the axis.
    wide = max(drawn) > _LINEAR * min(drawn)
    made.update_yaxes(title=axis_title(f"TTFT p50, ms{', logarithmic' if wide else ''}"), rangemode="tozero")
    if wide:
        made.update_yaxes(type="log", dtick=1)
    caption = "Each point is one load test, labelled with its users or rate; lines join a service's loads in order."
    return Chart(NAME, TITLE, made, caption)


def comparable_loads(data: RunData) -> list[TestSummary]:
    """Return the load tests that differ in nothing but users or rate, in order of load; the largest such group."""
    groups: dict[tuple[object, ...], dict[float, TestSummary]] = {}
    for test in data.load_tests():
        load = test.load
        key = (load.arrivals, load.max_tokens, load.temperature, load.think_time_seconds)
        groups.setdefault(key, {})[load_of(test)] = test
    largest = max(groups.values(), key=len, default={})
    return [largest[load] for load in sorted(largest)]


def load_of(test: TestSummary) -> float:
    """Return the users or the rate of a load test."""
    return float(test.load.concurrent_users or test.load.rate or 0)


def _line(made: go.Figure, tests: list[TestSummary], service: str, style: ServiceStyle) -> list[float]:
    xs: list[float] = []
    ys: list[float] = []
    labels: list[str] = []
    for test in tests:
        one = test.services.get(service)
        ttft = None if one is None else getattr(one.metrics.get("ttft_ms"), "p50", None)
        rate = None if one is None else one.throughput.output_tokens_per_s
        if ttft is None or rate is None:
            continue
        xs.append(rate)
        ys.append(ttft)
        labels.append(f"{load_of(test):g} users" if test.load.concurrent_users else f"{load_of(test):g}/s")
    if len(xs) < 2:
        return []
    made.add_trace(
        go.Scatter(
            x=xs,
            y=ys,
            mode="lines+markers+text",
            text=labels,
            textposition="top center",
            line={"color": style.colour, "dash": style.dash, "width": 2.2},
            marker={"symbol": style.marker, "size": 9},
            name=shown(service),
            hovertemplate="%{text}: %{x:.4g} tokens/s, TTFT p50 %{y:.1f} ms<extra>" + shown(service) + "</extra>",
        )
    )
    return ys
