"""TTFT distributions of a test: the ECDF with median, interval and target, and boxes beside it."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.results.summary import TestSummary
from inference_bench.results.summary_parts import UpperTail
from inference_bench.visualization.chart import Chart, axis_title, dress, missing, shown
from inference_bench.visualization.run_data import QUANTILES, RunData, Spread
from inference_bench.visualization.theme import TARGET, ServiceStyle

TITLE = "How long people wait for the first token"


def ttft_analysis(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the TTFT chart of the TTFT test, else of the first load test that has one."""
    if not data.tests:
        return missing("ttft_analysis", TITLE, data.no_test)
    for test in sorted(data.tests, key=lambda test: test.kind != "ttft"):
        chart = ttft_of(data, styles, test, "ttft_analysis")
        if chart.figure is not None:
            return chart
    return missing("ttft_analysis", TITLE, "no first token came in a steady window, or the records were not kept")


def ttft_of(data: RunData, styles: dict[str, ServiceStyle], test: TestSummary, name: str) -> Chart:
    """Return the TTFT chart of one test."""
    title = f"{TITLE}: {test.name}"
    spreads = {service: data.spread(test.name, service, "ttft_ms") for service in data.services_of(test)}
    known = {service: spread for service, spread in spreads.items() if spread is not None}
    if not known:
        return missing(name, title, f"no request of {test.name} brought a first token in the steady window")
    made = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.62, 0.38], vertical_spacing=0.06)
    for service, spread in known.items():
        _curve(made, service, spread, styles[service])
        _median(made, test, service, styles[service])
        _box(made, service, spread, styles[service])
    counts = [f"{shown(service)} n = {spread.n:,}" for service, spread in known.items()]
    dress(made, height=520, parts=[f"test {shown(test.name)}", *counts], simulated=data.simulated)
    if test.load.target_ms is not None:
        made.add_vline(
            x=test.load.target_ms,
            line={"color": TARGET, "width": 1.5, "dash": "dash"},
            annotation={"text": f"target p50 {test.load.target_ms:g} ms", "font": {"color": TARGET, "size": 11}},
            annotation_position="top right",
            row=1,
            col=1,
        )
    made.update_yaxes(title=axis_title("share of requests"), tickformat=".0%", range=[0, 1.03], row=1, col=1)
    made.update_yaxes(showgrid=False, row=2, col=1)
    made.update_xaxes(title=axis_title("time to first token, ms"), rangemode="tozero", row=2, col=1)
    absent = [service for service, spread in spreads.items() if spread is None]
    note = f" No first token was measured for {', '.join(absent)}." if absent else ""
    caption = (
        f"Above: the share of requests that had their first token by then; the bar at one half is the 95 % interval of "
        f"the median. Below: quartiles, with whiskers from the 5th to the 95th percentile. Drawn from at most "
        f"{QUANTILES} evenly spaced quantiles of each service's values.{note}"
    )
    return Chart(name, title, made, caption)


def _curve(made: go.Figure, service: str, spread: Spread, style: ServiceStyle) -> None:
    made.add_trace(
        go.Scatter(
            x=spread.values.round(4),
            y=spread.shares.round(5),
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2.2, "shape": "hv"},
            name=shown(service),
            legendgroup=service,
            hovertemplate="%{y:.0%} by %{x:.1f} ms<extra>" + shown(service) + "</extra>",
        ),
        row=1,
        col=1,
    )


def _median(made: go.Figure, test: TestSummary, service: str, style: ServiceStyle) -> None:
    figures = test.services[service].metrics.get("ttft_ms")
    if not isinstance(figures, UpperTail) or figures.p50 is None:
        return
    low, high = figures.ci.p50 if figures.ci is not None and figures.ci.p50 is not None else (None, None)
    errors = (
        {"type": "data", "symmetric": False, "array": [high - figures.p50], "arrayminus": [figures.p50 - low]}
        if low is not None and high is not None
        else {}
    )
    said = f"p50 {figures.p50:.1f} ms" + (f" ({low:.1f} to {high:.1f})" if low is not None else "")
    made.add_trace(
        go.Scatter(
            x=[figures.p50],
            y=[0.5],
            mode="markers",
            marker={"symbol": style.marker, "size": 9, "color": style.colour},
            error_x={**errors, "color": style.colour, "thickness": 3, "width": 7} if errors else None,
            name=f"{shown(service)}, median",
            legendgroup=service,
            showlegend=False,
            hovertemplate=f"{said}<extra>{shown(service)}</extra>",
        ),
        row=1,
        col=1,
    )


def _box(made: go.Figure, service: str, spread: Spread, style: ServiceStyle) -> None:
    low, first, middle, third, high = (
        float(spread.values[_at(spread, share)]) for share in (0.05, 0.25, 0.5, 0.75, 0.95)
    )
    made.add_trace(
        go.Box(
            y=[shown(service)],
            lowerfence=[low],
            q1=[first],
            median=[middle],
            q3=[third],
            upperfence=[high],
            orientation="h",
            line={"color": style.colour, "width": 1.8},
            fillcolor=style.faded(0.25),
            name=shown(service),
            legendgroup=service,
            showlegend=False,
        ),
        row=2,
        col=1,
    )


def _at(spread: Spread, share: float) -> int:
    return round(share * (spread.values.size - 1))
