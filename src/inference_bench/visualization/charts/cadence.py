"""The cadence of tokens: how large the gaps between chunks are, and where in the answer."""

import math

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from inference_bench.metrics.columns import Floats
from inference_bench.results.summary import TestSummary
from inference_bench.visualization.chart import Chart, axis_title, dress, missing, shown
from inference_bench.visualization.run_data import CADENCE_SIZES, Cadence, RunData
from inference_bench.visualization.theme import ServiceStyle

NAME, TITLE = "token_cadence", "The rhythm of the answer"
_LONGEST_ANSWER = 512  # gaps beyond this position are left out: few answers reach it
_SMALLEST_MS = 0.01


def token_cadence(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the heat maps of the last load test that has any, else of the TTFT test."""
    if not data.tests:
        return missing(NAME, TITLE, data.no_test)
    for test in data.heaviest_first():
        grids = _grids(data, test)
        if grids:
            return _chart(data, styles, test, grids)
    why = "the times of chunks were not kept (output.save_raw_data), or no answer had two chunks"
    return missing(NAME, TITLE, why)


def _grids(data: RunData, test: TestSummary) -> dict[str, Cadence]:
    edges, most = _edges(test), _longest(test)
    if edges is None or most < 1:
        return {}
    found = {service: data.cadence(test.name, service, edges, most) for service in data.services_of(test)}
    return {service: grid for service, grid in found.items() if grid is not None}


def _chart(data: RunData, styles: dict[str, ServiceStyle], test: TestSummary, grids: dict[str, Cadence]) -> Chart:
    made = make_subplots(
        rows=len(grids),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=min(0.1, 0.3 / len(grids)),
        subplot_titles=[shown(service) for service in grids],
    )
    for row, (service, grid) in enumerate(grids.items(), 1):
        _map(made, row, grid, styles[service])
    counts = [f"{shown(service)} n = {grid.gaps:,} gaps" for service, grid in grids.items()]
    dress(
        made,
        height=110 + 210 * len(grids),
        parts=[f"test {shown(test.name)}", *counts],
        simulated=data.simulated,
        legend=False,
        above=18,
    )
    made.update_annotations(font={"size": 12}, x=0, xanchor="left")
    made.update_yaxes(type="log", title=axis_title("gap, ms"), dtick=1)
    made.update_xaxes(title=axis_title("gap number within the answer"), row=len(grids), col=1)
    caption = (
        "Darker is more frequent: the share of gaps of each size among the gaps at that place in the answer. A narrow "
        f"band is an even flow; what lies far above it are stalls. Gaps are counted in {CADENCE_SIZES} sizes and at "
        f"most 32 places, up to place {_LONGEST_ANSWER}; smaller ones than {_SMALLEST_MS} ms (chunks that came "
        "together) stand at the bottom."
    )
    return Chart(NAME, f"{TITLE}: {test.name}", made, caption)


def _map(made: go.Figure, row: int, grid: Cadence, style: ServiceStyle) -> None:
    middles = np.sqrt(grid.edges_ms[:-1] * grid.edges_ms[1:])
    shares = np.where(grid.shares > 0, grid.shares, np.nan)
    made.add_trace(
        go.Heatmap(
            x=grid.positions,
            y=middles.round(4),
            z=[[None if math.isnan(value) else round(value, 4) for value in line] for line in shares.tolist()],
            colorscale=[[0, style.faded(0.06)], [0.25, style.faded(0.55)], [1, style.colour]],
            zmin=0,
            zmax=max(0.2, float(np.nanmax(shares))),
            showscale=False,
            hovertemplate="gap %{x}: %{y:.2f} ms, %{z:.1%} of the gaps there<extra></extra>",
        ),
        row=row,
        col=1,
    )


def _edges(test: TestSummary) -> Floats | None:
    """Return the edges of the sizes, geometric over what was seen, the same for every service."""
    found = [service.metrics.get("icl_ms") for service in test.services.values()]
    lows = [one.p50 for one in found if one is not None and one.p50 is not None]
    highs = [one.max for one in found if one is not None and one.max is not None]
    if not lows or not highs or max(highs) <= 0:
        return None
    low = max(_SMALLEST_MS, min(value for value in (*lows, max(highs)) if value > 0) / 8)
    return np.geomspace(low, max(max(highs) * 1.01, low * 4), CADENCE_SIZES + 1)


def _longest(test: TestSummary) -> int:
    """Return the last place worth drawing: the longest answer's, by the tokens told, else by those asked for."""
    told = [service.metrics.get("output_tokens") for service in test.services.values()]
    longest = max((one.max for one in told if one is not None and one.max is not None), default=None)
    tokens = longest if longest is not None else (test.load.max_tokens or _LONGEST_ANSWER)
    return min(_LONGEST_ANSWER, max(1, int(tokens) - 1))
