"""Requests over time: each request a bar of waiting for its first token and of streaming; failures are marked."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.results.summary import TestSummary
from inference_bench.visualization.chart import Chart, axis_title, dress, missing, shown
from inference_bench.visualization.run_data import TIMELINE_REQUESTS, Lane, RunData
from inference_bench.visualization.theme import BAD, WAITING, ServiceStyle

NAME, TITLE = "requests_over_time", "Requests over time"


def requests_over_time(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the timeline of the last load test (the heaviest as configured) that has one, else of the TTFT test."""
    if not data.tests:
        return missing(NAME, TITLE, data.no_test)
    for test in data.heaviest_first():
        lanes = {service: data.lanes(test.name, service) for service in data.services_of(test)}
        lanes = {service: found for service, found in lanes.items() if found}
        if lanes:
            return _chart(data, styles, test, lanes)
    return missing(NAME, TITLE, "no request lies in a steady window, or the records were not kept")


def _chart(data: RunData, styles: dict[str, ServiceStyle], test: TestSummary, lanes: dict[str, list[Lane]]) -> Chart:
    made = make_subplots(
        rows=len(lanes),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=min(0.08, 0.3 / len(lanes)),
        subplot_titles=[shown(service) for service in lanes],
    )
    for row, (service, found) in enumerate(lanes.items(), 1):
        _waiting(made, found, row)
        _streaming(made, found, row, service, styles[service])
        _failed(made, found, row)
        made.update_yaxes(autorange="reversed", showticklabels=False, showgrid=False, row=row, col=1)
    counts = [f"{shown(service)} n = {len(found)}" for service, found in lanes.items()]
    dress(
        made,
        height=120 + 190 * len(lanes),
        parts=[f"test {shown(test.name)}", *counts],
        simulated=data.simulated,
        above=20,
    )
    made.update_layout(barmode="overlay", bargap=0.15)
    made.update_annotations(font={"size": 12}, x=0, xanchor="left")
    made.update_xaxes(title=axis_title("seconds since the service's window opened"), row=len(lanes), col=1)
    caption = (
        f"The first {TIMELINE_REQUESTS} requests that each service was sent in its first steady window, one bar each: "
        "grey until the first token came, then streaming. A cross marks a request that failed."
    )
    return Chart(NAME, f"{TITLE}: {test.name}", made, caption)


def _waiting(made: go.Figure, lanes: list[Lane], row: int) -> None:
    ends = [lane.first_token_s if lane.first_token_s is not None else lane.end_s for lane in lanes]
    made.add_trace(
        go.Bar(
            y=[lane.index for lane in lanes],
            base=[round(lane.sent_s, 5) for lane in lanes],
            x=[round(end - lane.sent_s, 5) for lane, end in zip(lanes, ends, strict=True)],
            orientation="h",
            marker={"color": WAITING},
            name="waiting for the first token",
            legendgroup="waiting",
            showlegend=row == 1,
            hovertemplate="waited %{x:.3f} s<extra></extra>",
        ),
        row=row,
        col=1,
    )


def _streaming(made: go.Figure, lanes: list[Lane], row: int, service: str, style: ServiceStyle) -> None:
    streamed = [(lane, lane.first_token_s) for lane in lanes if lane.first_token_s is not None]
    made.add_trace(
        go.Bar(
            y=[lane.index for lane, _ in streamed],
            base=[round(first, 5) for _, first in streamed],
            x=[round(lane.end_s - first, 5) for lane, first in streamed],
            orientation="h",
            marker={"color": style.colour},
            name=f"{shown(service)} streaming",
            hovertemplate="streamed %{x:.3f} s<extra>" + shown(service) + "</extra>",
        ),
        row=row,
        col=1,
    )


def _failed(made: go.Figure, lanes: list[Lane], row: int) -> None:
    failed = [lane for lane in lanes if not lane.ok]
    if not failed:
        return
    made.add_trace(
        go.Scatter(
            x=[lane.end_s for lane in failed],
            y=[lane.index for lane in failed],
            mode="markers",
            marker={"symbol": "x", "size": 9, "color": BAD},
            name="failed",
            legendgroup="failed",
            showlegend=row == 1,
            text=[shown(lane.error or "failed") for lane in failed],
            hovertemplate="%{text}<extra></extra>",
        ),
        row=row,
        col=1,
    )
