"""How a capacity was found: the share of requests that kept their promises against load, every probe a point."""

from collections.abc import Iterator
from statistics import fmean

import plotly.graph_objects as go

from inference_bench.results.capacity import CapacityFacts, ProbeFacts, ServiceCapacity, capacity_words
from inference_bench.results.capacity_rows import load_text, probes_by_load
from inference_bench.results.slo import slo_of
from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import NEUTRAL, TARGET, ServiceStyle

NAME, TITLE = "capacity", "How much load each service carries"
_SHADE = 0.14


def capacity_charts(data: RunData, styles: dict[str, ServiceStyle]) -> Iterator[Chart]:
    """Yield a chart for each test whose capacity was searched for."""
    for facts in data.summary.capacity:
        yield capacity_chart(data, styles, facts)


def capacity_chart(data: RunData, styles: dict[str, ServiceStyle], facts: CapacityFacts) -> Chart:
    """Return the chart of one search: `capacity_TEST`."""
    name, title = f"{NAME}_{facts.test}", f"{TITLE}: {facts.test}"
    probes = [probe for found in facts.services.values() for probe in found.probes]
    if not any(probe.kept is not None for probe in probes):
        return missing(name, title, "no probe could be judged")
    shares = any(probe.attainment is not None for probe in probes)
    said = [f"{shown(service)} {capacity_words(found, facts.unit)}" for service, found in facts.services.items()]
    made = figure(height=460, parts=[f"test {shown(facts.test)}", *said], simulated=data.simulated)
    most = max(probe.load for probe in probes)
    for service, found in facts.services.items():
        _interval(made, found, styles[service], most)
        _mean_line(made, service, found, styles[service], shares=shares)
        _points(made, service, found, styles[service], shares=shares, unit=facts.unit)
    promised = slo_of(data.manifest.config, facts.test)
    if shares and promised is not None and promised.attainment is not None:
        made.add_hline(
            y=promised.attainment,
            line={"color": TARGET, "width": 1.5, "dash": "dash"},
            annotation={"text": f"promised {promised.attainment:.4g}", "font": {"color": TARGET, "size": 11}},
            annotation_position="bottom left",
        )
    what = "share of requests within the limits" if shares else "share of probes that kept the promises"
    made.update_yaxes(title=axis_title(what), tickformat=".0%", range=[-0.04, 1.06])
    made.update_xaxes(title=axis_title(facts.unit), range=[0, most * 1.06])
    caption = (
        "Each point is one probe: filled, it kept every promise; hollow, it did not; a grey cross could not be judged, "
        "because this client was disturbed. Lines join the means of each load. Shaded: the interval of each capacity, "
        "with a line at the capacity itself."
    )
    return Chart(name, title, made, caption)


def _share(probe: ProbeFacts, *, shares: bool) -> float | None:
    if shares:
        return probe.attainment
    return None if probe.kept is None else float(probe.kept)


def _interval(made: go.Figure, found: ServiceCapacity, style: ServiceStyle, most: float) -> None:
    if found.low is not None or found.high is not None:
        ends = (found.low or 0.0, most * 1.06 if found.high is None else found.high)
        made.add_vrect(x0=ends[0], x1=ends[1], fillcolor=style.colour, opacity=_SHADE, line_width=0, layer="below")
    if found.value is not None:
        made.add_vline(x=found.value, line={"color": style.colour, "width": 1.5, "dash": style.dash})


def _mean_line(made: go.Figure, service: str, found: ServiceCapacity, style: ServiceStyle, *, shares: bool) -> None:
    xs: list[float] = []
    ys: list[float] = []
    for load, probes in probes_by_load(found).items():
        known = [
            share for probe in probes if probe.kept is not None and (share := _share(probe, shares=shares)) is not None
        ]
        if known:
            xs.append(load)
            ys.append(fmean(known))
    made.add_trace(
        go.Scatter(
            x=xs,
            y=ys,
            mode="lines",
            line={"color": style.colour, "dash": style.dash, "width": 2},
            name=shown(service),
            legendgroup=service,
            showlegend=False,
            hoverinfo="skip",
        )
    )


def _points(
    made: go.Figure, service: str, found: ServiceCapacity, style: ServiceStyle, *, shares: bool, unit: str
) -> None:
    drawn = [(probe, share) for probe in found.probes if (share := _share(probe, shares=shares)) is not None]
    # The legend shows the first marker: one that kept the promises where there is one, never another's cross.
    drawn.sort(key=lambda found: (True, False, None).index(found[0].kept))
    symbols = {True: style.marker, False: f"{style.marker}-open", None: "x-thin"}
    colours = [NEUTRAL if probe.kept is None else style.colour for probe, _ in drawn]
    made.add_trace(
        go.Scatter(
            x=[probe.load for probe, _ in drawn],
            y=[share for _, share in drawn],
            mode="markers",
            marker={
                "symbol": [symbols[probe.kept] for probe, _ in drawn],
                "size": 10,
                "color": colours,
                "line": {"color": colours, "width": 2},
            },
            text=[f"{load_text(probe.load, unit)}, {probe.sent:,} requests" for probe, _ in drawn],
            name=shown(service),
            legendgroup=service,
            hovertemplate="%{text}: %{y:.1%}<extra>" + shown(service) + "</extra>",
        )
    )
