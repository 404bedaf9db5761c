"""What the engines told of themselves over the run: requests running and waiting, and how full the KV cache was."""

from itertools import pairwise
from typing import Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.metrics.columns import NS_PER_S, Floats
from inference_bench.results.server_series import ServerSeries, load_server_samples
from inference_bench.visualization.chart import Chart, axis_title, dress, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import ServiceStyle

NAME, TITLE = "server_series", "What the engines told while they were measured"
POINTS: Final = 600  # of a line; beyond, the largest value of each stretch is drawn
_LONG_SECONDS: Final = 2.0
_NAMED: Final = 12
_PANELS: Final = (
    ("running", "requests running", 1.0),
    ("waiting", "requests waiting", 1.0),
    ("kv_use", "KV cache, %", 100.0),
)


def server_series(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the levels over time, the steady windows shaded."""
    samples = load_server_samples(data.run.folder)
    series = {service: ServerSeries(samples, service) for service in data.services}
    panels = [panel for panel in _PANELS if any(one.level(panel[0])[0].size for one in series.values())]
    told = [service for service, one in series.items() if any(one.level(name)[0].size for name, *_ in panels)]
    if not panels:
        return missing(NAME, TITLE, "no engine told its load on a metrics page while it was measured")
    made = make_subplots(
        rows=len(panels),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=0.09,
        subplot_titles=[text for _, text, _ in panels],
    )
    began = min(int(one.level(name)[0][0]) for one in series.values() for name, *_ in panels if one.level(name)[0].size)
    for row, (name, _, scale) in enumerate(panels, 1):
        for service in told:
            at, value = series[service].level(name)
            _line(made, row, service, styles[service], ((at - began) / NS_PER_S, value * scale))
    counts = [f"{shown(service)} n = {series[service].level(panels[0][0])[0].size:,} samples" for service in told]
    dress(made, height=150 + 150 * len(panels), parts=["all tests", *counts], simulated=data.simulated, above=20)
    _windows(made, data, told, styles, began)
    made.update_annotations(font={"size": 12}, x=0, xanchor="left")
    made.update_yaxes(rangemode="tozero")
    made.update_xaxes(title=axis_title("seconds since the first sample"), row=len(panels), col=1)
    silent = [service for service in data.services if service not in told]
    names = [test.name for test in data.tests]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    caption = (
        "Told by each engine's own metrics page, about once a second; a line ends where the page was not read for a "
        "while, because the engine answered slowly or this machine had no time. Shaded: the steady windows, each in "
        "the colour of its service, grey where the services take turns within a block"
        + (f"; tests in their order: {', '.join(names[:_NAMED])}{more}." if names else ".")
        + (f" Longer lines are thinned out to {POINTS} points, the largest of each stretch." if _long(series) else "")
        + (f" {', '.join(silent)} told nothing." if silent else "")
    )
    return Chart(NAME, TITLE, made, caption)


def _long(series: dict[str, ServerSeries]) -> bool:
    return any(one.level("running")[0].size > POINTS for one in series.values())


def _line(made: go.Figure, row: int, service: str, style: ServiceStyle, points: tuple[Floats, Floats]) -> None:
    if not points[0].size:
        return
    xs, ys = broken(*thinned(*points))
    made.add_trace(
        go.Scatter(
            x=np.round(xs, 3),
            y=np.round(ys, 4),
            mode="lines+markers",
            line={"color": style.colour, "dash": style.dash, "width": 1.8},
            marker={"size": 3.5},
            name=shown(service),
            legendgroup=service,
            showlegend=row == 1,
            hovertemplate="%{x:.1f} s: %{y:.4g}<extra>" + shown(service) + "</extra>",
        ),
        row=row,
        col=1,
    )


def thinned(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    """Return at most POINTS points of a line: of each stretch of equal count the largest value, where it was."""
    if xs.size <= POINTS:
        return xs, ys
    edges = np.linspace(0, xs.size, POINTS + 1).astype(np.int64)
    chosen = np.array([low + int(np.argmax(ys[low:high])) for low, high in pairwise(edges.tolist())])
    return xs[chosen], ys[chosen]


def broken(xs: Floats, ys: Floats) -> tuple[Floats, Floats]:
    """Return a line with a gap wherever no sample was taken for long: nothing is known of what lies between."""
    steps = np.diff(xs)
    if not steps.size:
        return xs, ys
    after = np.flatnonzero(steps > max(_LONG_SECONDS, 3 * float(np.median(steps)))) + 1
    return np.insert(xs, after, np.nan), np.insert(ys, after, np.nan)


def _windows(made: go.Figure, data: RunData, told: list[str], styles: dict[str, ServiceStyle], began: int) -> None:
    """Shade the steady windows."""
    for test in data.tests:
        shared = test.kind == "ttft"
        bounds = {service: data.manifest.window_bounds(test.name, service) for service in told}
        for service, windows in list(bounds.items())[: 1 if shared else None]:
            colour = "rgba(128, 136, 148, 0.16)" if shared else styles[service].faded(0.14)
            for start, end in windows:
                made.add_vrect(
                    x0=(start - began) / NS_PER_S,
                    x1=(end - began) / NS_PER_S,
                    fillcolor=colour,
                    line_width=0,
                    layer="below",
                    row="all",
                    col=1,
                )
