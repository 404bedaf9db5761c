"""Where the time goes, in means that add up: the server's own parts, the network's and the client's, per service."""

from typing import Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.results.server_facts import PART_NAMES, PartFacts, ServerFacts, parts_line
from inference_bench.results.summary import TestSummary
from inference_bench.visualization.chart import Chart, axis_title, dress, number, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import NEUTRAL

_COLOURS: Final = {
    "queue_ms": "#E69F00",
    "load_ms": "#CC79A7",
    "prefill_ms": "#56B4E9",
    "decode_ms": "#009E73",
    "inference_ms": "#0072B2",
    "rest_ms": "#8a6d3b",
    "untold_ms": NEUTRAL,
    "network_ms": "#9aa4b0",
    "client_ms": "#D55E00",
}
_BETWEEN: Final = 66  # pixels between two panels: numbers of the upper one, title of the lower one
_PANELS: Final = (("first_token", "until the first token"), ("parts", "until the last token"))


def reconciled_test(data: RunData) -> TestSummary | None:
    """Return the test to be drawn: the last planned load test in which parts are known, else the last of any."""
    known = [test for test in data.tests if any(_facts(test, service) is not None for service in data.services)]
    planned = [test for test in known if test.kind == "load" and not test.probe]
    return next(reversed(planned or known), None)


def server_parts(data: RunData, test: TestSummary, name: str, title: str) -> Chart:
    """Return the parts of every service of which they are known in this test."""
    facts = {service: found for service in data.services if (found := _facts(test, service)) is not None}
    panels = [(field, text) for field, text in _PANELS if any(getattr(one, field) for one in facts.values())]
    plots = len(panels) * (70 + 46 * len(facts))  # pixels
    spacing = _BETWEEN / plots if len(panels) > 1 else 0.0
    titles = [text for _, text in panels]
    made = make_subplots(rows=len(panels), cols=1, vertical_spacing=spacing, subplot_titles=titles)
    legend: set[str] = set()
    for row, (field, _) in enumerate(panels, 1):
        parts = {service: found for service, one in facts.items() if (found := getattr(one, field)) is not None}
        _panel(made, row, parts, legend)
    counts = [f"{shown(service)} n = {one.parts.n:,}" for service, one in facts.items() if one.parts is not None]
    dress(
        made,
        height=120 + plots,
        parts=[f"test {shown(test.name)}", "means", *counts],
        simulated=data.simulated,
        above=20,
    )
    made.update_layout(barmode="overlay")
    made.update_annotations(font={"size": 12}, x=0, xanchor="left")
    made.update_yaxes(autorange="reversed", categoryorder="array", categoryarray=[shown(name) for name in facts])
    made.update_xaxes(rangemode="tozero")
    made.update_xaxes(title=axis_title("ms, mean"), row=len(panels), col=1)
    return Chart(name, f"{title} ({test.name})", made, _caption(data, test, facts))


def _facts(test: TestSummary, service: str) -> ServerFacts | None:
    found = test.services.get(service)
    return None if found is None or found.server is None or found.server.parts is None else found.server


def _panel(made: go.Figure, row: int, parts: dict[str, PartFacts], legend: set[str]) -> None:
    """Draw one bar per service, a piece for each part, laid end to end."""
    at = dict.fromkeys(parts, 0.0)
    for rank, (field, name) in enumerate(PART_NAMES):
        told = {service: value for service, one in parts.items() if (value := getattr(one, field)) is not None}
        if not told:
            continue
        made.add_trace(
            go.Bar(
                y=[shown(service) for service in told],
                base=[round(at[service], 4) for service in told],
                x=[round(value, 4) for value in told.values()],
                orientation="h",
                marker={"color": _COLOURS[field]},
                name=name,
                legendgroup=field,
                legendrank=rank,
                showlegend=field not in legend,
                hovertemplate="%{x:.4g} ms<extra>" + name + "</extra>",
            ),
            row=row,
            col=1,
        )
        legend.add(field)
        for service, value in told.items():
            at[service] += value
    made.add_trace(
        go.Scatter(
            x=[one.whole_ms for one in parts.values()],
            y=[shown(service) for service in parts],
            mode="text",
            text=[f" {number(one.whole_ms)} ms" for one in parts.values()],
            textposition="middle right",
            cliponaxis=False,
            showlegend=False,
            hoverinfo="skip",
        ),
        row=row,
        col=1,
    )
    made.update_xaxes(range=[0, 1.22 * max(one.whole_ms for one in parts.values())], row=row, col=1)


def _caption(data: RunData, test: TestSummary, facts: dict[str, ServerFacts]) -> str:
    lines = [f"{service}: {parts_line(one.parts)}." for service, one in facts.items() if one.parts is not None]
    sources = {one.source for one in facts.values()}
    page = " Means of a metrics page are of whole turns, ramp and drain included." if "metrics page" in sources else ""
    silent = [service for service in data.services if service in test.services and service not in facts]
    notes = [f"{service}: {note}." for service, one in facts.items() for note in one.notes]
    return (
        "Means that add up: what the server told of its own parts, what remains for the network, and this machine's "
        "own part. A part that was not told is in the one that says so."
        + page
        + f" {' '.join([*lines, *notes])}"
        + (f" Nothing to be put beside ours: {', '.join(silent)}." if silent else "")
    )
