"""The performance radar: each axis is a share of a stated reference, 1 (the rim) is the reference or better."""

from typing import NamedTuple

import plotly.graph_objects as go

from inference_bench.results.summary import TestSummary
from inference_bench.results.values import better_of, missing_reason, value_of
from inference_bench.visualization.chart import Chart, figure, missing, shown
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import GRID, ServiceStyle

NAME, TITLE = "performance_radar", "Against the references, at a glance"
FEWEST_AXES = 3


class Axis(NamedTuple):
    """One axis: a value of a test, held against a reference."""

    test: TestSummary
    value: str
    reference: float

    @property
    def label(self) -> str:
        """What stands at its end."""
        return f"{shown(self.test.name)}<br>{self.value}<br>ref. {self.reference:g}"


def performance_radar(data: RunData, styles: dict[str, ServiceStyle]) -> Chart:
    """Return the radar over all axes that have a reference and a value of every service."""
    known = [axis for axis in _axes(data) if not _gap(axis)]
    left_out = [f"{axis.value} of {axis.test.name} ({_gap(axis)})" for axis in _axes(data) if _gap(axis)]
    if len(known) < FEWEST_AXES:
        given = ", ".join(axis.value for axis in known) or "none"
        return missing(
            NAME,
            TITLE,
            f"a radar needs {FEWEST_AXES} axes with a stated reference and a value of every service; there are "
            f"{len(known)} ({given}). Targets and scoring.references give references."
            + (f" Left out: {'; '.join(left_out)}." if left_out else ""),
        )
    parts = [f"{shown(one.name)} n = {_smallest(one):,}" for one in data.tests]
    made = figure(height=520, parts=["least n of a service", *parts], simulated=data.simulated)
    labels = [axis.label for axis in known]
    for service in data.services:
        if not all(service in axis.test.services for axis in known):
            continue
        shares = [_share(axis, service) for axis in known]
        style = styles[service]
        made.add_trace(
            go.Scatterpolar(
                r=[*shares, shares[0]],
                theta=[*labels, labels[0]],
                mode="lines+markers",
                line={"color": style.colour, "dash": style.dash, "width": 2.2},
                marker={"symbol": style.marker, "size": 8},
                fill="toself",
                fillcolor=style.faded(0.1),
                name=shown(service),
                hovertemplate="%{theta}: %{r:.2f}<extra>" + shown(service) + "</extra>",
            )
        )
    ring = {
        "range": [0, 1.02],
        "tickvals": [0.25, 0.5, 0.75, 1],
        "gridcolor": GRID,
        "linecolor": GRID,
        "angle": 90,
        "tickangle": 90,
    }
    made.update_layout(
        polar={
            "bgcolor": "rgba(0,0,0,0)",
            "radialaxis": {**ring, "tickfont": {"size": 10}},
            "angularaxis": {"gridcolor": GRID, "linecolor": GRID, "tickfont": {"size": 11}},
        },
        margin={"l": 76, "r": 76},
    )
    caption = (
        "The rim is the reference or better: min(1, reference / value) where less is better, min(1, value / reference) "
        "where more is. References are the configured targets, scoring.references, and a success rate of 1. No axis "
        "depends on who else took part." + (f" Left out: {'; '.join(left_out)}." if left_out else "")
    )
    return Chart(NAME, TITLE, made, caption)


def _axes(data: RunData) -> list[Axis]:
    axes: list[Axis] = []
    for test in data.tests:
        if test.load.target_ms is not None:
            axes.append(Axis(test, "ttft_ms.p50", test.load.target_ms))
        if test.load.target_p95_ms is not None:
            axes.append(Axis(test, "e2e_ms.p95", test.load.target_p95_ms))
        axes += [Axis(test, name, reference) for name, reference in _configured(data).items()]
        axes.append(Axis(test, "success_rate", 1.0))
    return axes


def _configured(data: RunData) -> dict[str, float]:
    scoring = data.manifest.config.get("scoring")
    references = scoring.get("references") if isinstance(scoring, dict) else None
    pairs = references.items() if isinstance(references, dict) else ()
    return {name: float(value) for name, value in pairs if isinstance(value, int | float) and _direction(name)}


def _direction(name: str) -> str | None:
    try:
        return better_of(name)
    except KeyError:
        return None


def _gap(axis: Axis) -> str | None:
    """Return why an axis cannot be drawn; None when it can."""
    for name, service in axis.test.services.items():
        if value_of(service, axis.value) is None:
            return f"{name}: {missing_reason(service, axis.value)}"
    return None


def _share(axis: Axis, service: str) -> float:
    value = value_of(axis.test.services[service], axis.value)
    assert value is not None
    if _direction(axis.value) == "less":
        return min(1.0, axis.reference / value) if value > 0 else 1.0
    return min(1.0, value / axis.reference)


def _smallest(test: TestSummary) -> int:
    return min((service.requests.ok for service in test.services.values()), default=0)
