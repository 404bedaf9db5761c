"""A chart: a figure that says what it is of, or the reason why there is none. Common layout; no data is read here."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from inference_bench.visualization.theme import FONT, GRID, INK

SIMULATED = "SIMULATED"
_LONGEST_WORD = 60


@dataclass(frozen=True, slots=True)
class Chart:
    """One chart. `figure` is None when it cannot be drawn, and `reason` says why.

    `name` is the file's; `caption` says what is drawn, of how many, how it was thinned out, and whether simulated.
    """

    name: str
    title: str
    figure: go.Figure | None
    caption: str
    reason: str | None = None


def missing(name: str, title: str, reason: str) -> Chart:
    """Return the chart that cannot be drawn."""
    return Chart(name, title, None, caption="", reason=reason)


def shown(text: str) -> str:
    """Return foreign text for a figure: Plotly reads a few tags in texts, so these are escaped; bounded in length."""
    plain = "".join(character if character.isprintable() else " " for character in text)
    return html.escape(plain if len(plain) <= _LONGEST_WORD else plain[: _LONGEST_WORD - 1] + "…", quote=False)


def figure(*, height: int, parts: Sequence[str], simulated: bool, legend: bool = True) -> go.Figure:
    """Return an empty figure with the common layout."""
    made = go.Figure()
    dress(made, height=height, parts=parts, simulated=simulated, legend=legend)
    return made


def dress(
    made: go.Figure, *, height: int, parts: Sequence[str], simulated: bool, legend: bool = True, above: int = 0
) -> None:
    """Give a figure the common layout: transparent ground, room for every label, the legend below.

    `parts` are what the figure says of itself above (test, n); SIMULATED stands before them. `above` is room in
    pixels for a title of the uppermost subplot.
    """
    lines = wrapped([f"<b>{SIMULATED}</b>", *parts] if simulated else parts)
    top = 26 + 16 * len(lines) + above
    made.update_layout(
        template="none",
        height=height,
        autosize=True,
        margin={"l": 12, "r": 14, "t": top, "b": 12},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": FONT, "size": 12, "color": INK},
        title={
            "text": "<br>".join(lines),
            "font": {"size": 12},
            "x": 0,
            "xref": "container",
            "xanchor": "left",
            "y": 1,
            "yref": "container",
            "yanchor": "top",
            "pad": {"l": 12, "t": 10},
        },
        showlegend=legend,
        # Below the axis title, in pixels of this height: Plotly makes room for what hangs out of the plot.
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": -52 / max(120, height - top - 84),
            "yanchor": "top",
            "font": {"size": 12},
        },
        hoverlabel={"font": {"family": FONT}},
        barmode="group",
        bargap=0.3,
    )
    made.update_xaxes(automargin=True, gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, ticks="")
    made.update_yaxes(automargin=True, gridcolor=GRID, zerolinecolor=GRID, linecolor=GRID, ticks="")


def wrapped(parts: Sequence[str], width: int = 44) -> list[str]:
    """Return what a figure says of itself in lines that a narrow screen holds."""
    lines: list[str] = []
    for part in parts:
        if lines and len(_plain(lines[-1])) + len(_plain(part)) + 3 <= width:
            lines[-1] += f" · {part}"
        else:
            lines.append(part)
    return lines


def _plain(text: str) -> str:
    """Return a line without its tags, as long as it looks."""
    return html.unescape(text.replace("<b>", "").replace("</b>", ""))


def number(value: float) -> str:
    """Return a figure as people read it."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def axis_title(text: str) -> dict[str, Any]:
    """Return the title of an axis, not too close to its numbers."""
    return {"text": text, "standoff": 8, "font": {"size": 12}}
