"""The load dashboard of one test: latency with its intervals, throughput, success, requests in flight."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.summary_parts import Bounds
from inference_bench.visualization.chart import Chart, axis_title, dress, missing, number, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import TARGET, ServiceStyle

_LATENCIES = (
    ("TTFT p50", "ttft_ms", "p50"),
    ("TTFT p95", "ttft_ms", "p95"),
    ("E2E p50", "e2e_ms", "p50"),
    ("E2E p95", "e2e_ms", "p95"),
)
_ROWS = ("latency, ms", "requests per second", "output tokens per second", "requests, by how they ended", "in flight")


def load_dashboard(data: RunData, styles: dict[str, ServiceStyle], test: TestSummary) -> Chart:
    """Return the dashboard of one load test."""
    name, title = f"load_{test.name}", f"Under load: {test.name}"
    services = {service: test.services[service] for service in data.services if service in test.services}
    if not any(service.requests.sent for service in services.values()):
        return missing(name, title, f"nothing was sent in the steady window of {test.name}")
    made = make_subplots(
        rows=5, cols=1, row_heights=[0.4, 0.14, 0.14, 0.16, 0.16], vertical_spacing=0.075, subplot_titles=_ROWS
    )
    for service, figures in services.items():
        _latency(made, service, figures, styles[service])
    for rate in _RATES:
        _bars(made, rate, services, styles)
    _outcomes(made, services, styles)
    _in_flight(made, services, styles)
    counts = [f"{shown(service)} n = {one.requests.ok:,} of {one.requests.sent:,}" for service, one in services.items()]
    parts = [f"test {shown(test.name)}", _load(test), f"{test.rounds} rounds", *counts]
    dress(made, height=980, parts=parts, simulated=data.simulated, above=22)
    made.update_annotations(font={"size": 12}, x=0, xanchor="left")
    if test.load.target_p95_ms is not None:
        _target(made, test.load.target_p95_ms)
    for row in (2, 3, 4, 5):
        made.update_yaxes(showticklabels=False, row=row, col=1)
        made.update_xaxes(rangemode="tozero", row=row, col=1)
    made.update_yaxes(rangemode="tozero", title=axis_title("ms"), row=1, col=1)
    caption = (
        "Latency of good requests in the steady window, with 95 % intervals where n can carry one; rates inside the "
        "window; a missing bar is a value that could not be measured, not zero."
    )
    return Chart(name, title, made, caption)


def _load(test: TestSummary) -> str:
    load = test.load
    if load.concurrent_users is not None:
        return f"{load.concurrent_users} users"
    return f"{load.arrivals} {load.rate:g}/s" if load.rate is not None else (load.arrivals or "load")


def _latency(made: go.Figure, service: str, figures: ServiceSummary, style: ServiceStyle) -> None:
    values: list[float | None] = []
    bounds: list[Bounds | None] = []
    for _, metric, statistic in _LATENCIES:
        found = figures.metrics.get(metric)
        values.append(getattr(found, statistic, None))
        interval = None if found is None or found.ci is None else getattr(found.ci, statistic)
        bounds.append(interval)
    pairs = list(zip(values, bounds, strict=True))
    made.add_trace(
        go.Bar(
            x=[label for label, _, _ in _LATENCIES],
            y=values,
            name=shown(service),
            legendgroup=service,
            marker=style.fill,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [bound[1] - value if bound and value is not None else 0 for value, bound in pairs],
                "arrayminus": [value - bound[0] if bound and value is not None else 0 for value, bound in pairs],
                "thickness": 1.5,
                "width": 4,
            },
            hovertemplate="%{x}: %{y:.1f} ms<extra>" + shown(service) + "</extra>",
        ),
        row=1,
        col=1,
    )


class Rate(NamedTuple):
    """A row of bars, one for each service: and what it reads."""

    row: int
    read: Callable[[ServiceSummary], float | None]


_RATES = (
    Rate(2, lambda service: service.throughput.requests_per_s),
    Rate(3, lambda service: service.throughput.output_tokens_per_s),
)


def _bars(
    made: go.Figure, rate: Rate, services: Mapping[str, ServiceSummary], styles: Mapping[str, ServiceStyle]
) -> None:
    for service in reversed(list(services)):
        value = rate.read(services[service])
        style = styles[service]
        made.add_trace(
            go.Bar(
                y=[shown(service)],
                x=[value],
                orientation="h",
                marker=style.fill,
                text=[f"{shown(service)} {'missing' if value is None else number(value)}"],
                textposition="auto",
                insidetextanchor="start",
                name=shown(service),
                legendgroup=service,
                showlegend=False,
                hovertemplate="%{x:.4g}<extra>" + shown(service) + "</extra>",
            ),
            row=rate.row,
            col=1,
        )


def _outcomes(made: go.Figure, services: Mapping[str, ServiceSummary], styles: Mapping[str, ServiceStyle]) -> None:
    names = list(reversed(list(services)))
    parts: Sequence[tuple[str, list[int], float]] = (
        ("good", [services[name].requests.ok for name in names], 0.9),
        ("failed", [services[name].requests.failed for name in names], 0.35),
        ("interrupted", [services[name].requests.interrupted for name in names], 0.15),
    )
    base = [0] * len(names)
    for label, counts, opacity in parts:
        if label != "good" and not any(counts):
            continue
        made.add_trace(
            go.Bar(
                y=[shown(name) for name in names],
                x=counts,
                base=list(base),
                orientation="h",
                marker={"color": [styles[name].faded(opacity) for name in names]},
                text=[_ended(name, services[name]) for name in names] if label == "good" else None,
                textposition="inside",
                insidetextanchor="start",
                constraintext="none",
                showlegend=False,
                offsetgroup="outcome",
                hovertemplate="%{y}: %{x:,} " + label + "<extra></extra>",
            ),
            row=4,
            col=1,
        )
        base = [below + count for below, count in zip(base, counts, strict=True)]


def _ended(name: str, service: ServiceSummary) -> str:
    """Return how a service's requests ended, for beside its bar."""
    requests = service.requests
    others = {"failed": requests.failed, "interrupted": requests.interrupted}
    said = [f"{shown(name)} good {requests.ok:,}", *(f"{word} {count:,}" for word, count in others.items() if count)]
    return ", ".join(said)


def _in_flight(made: go.Figure, services: Mapping[str, ServiceSummary], styles: Mapping[str, ServiceStyle]) -> None:
    for service in reversed(list(services)):
        rates = services[service].throughput
        if rates.concurrency_mean is None:
            continue
        made.add_trace(
            go.Bar(
                y=[shown(service)],
                x=[rates.concurrency_mean],
                orientation="h",
                marker=styles[service].fill,
                text=[f"{shown(service)} mean {rates.concurrency_mean:.3g}, most {rates.concurrency_max}"],
                textposition="auto",
                insidetextanchor="start",
                legendgroup=service,
                showlegend=False,
                hovertemplate="mean %{x:.3g} in flight<extra>" + shown(service) + "</extra>",
            ),
            row=5,
            col=1,
        )


def _target(made: go.Figure, target: float) -> None:
    made.add_trace(
        go.Scatter(
            x=["E2E p95"],
            y=[target],
            mode="markers",
            marker={"symbol": "line-ew", "size": 46, "line": {"color": TARGET, "width": 2.5}},
            name=f"target E2E p95 {target:g} ms",
            hovertemplate=f"target E2E p95 {target:g} ms<extra></extra>",
        ),
        row=1,
        col=1,
    )
