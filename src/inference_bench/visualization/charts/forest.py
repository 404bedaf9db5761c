"""The comparison as a forest: each pair's ratio with its interval, the smallest effect worth naming as a band."""

import math
from collections.abc import Mapping

import plotly.graph_objects as go

from inference_bench.results.comparison import Comparison, Pair
from inference_bench.visualization.chart import Chart, axis_title, figure, missing, shown
from inference_bench.visualization.theme import NEUTRAL, ServiceStyle, service_styles

NAME, TITLE = "comparison", "Who is better, by how much, and how sure"
_WORDS = {
    "better": "better",
    "equivalent": "equivalent",
    "no_difference_shown": "no difference shown",
    "not_comparable": "not comparable",
}
# The ticks of an axis that reaches so far to either side of 1: few enough for a narrow screen.
_TICKS = (
    (1.6, (0.67, 0.8, 0.9, 1, 1.1, 1.25, 1.5)),
    (6.0, (0.2, 0.33, 0.5, 0.67, 1, 1.5, 2, 3, 5)),
    (13.0, (0.1, 0.2, 0.5, 1, 2, 5, 10)),
    (math.inf, (0.0001, 0.001, 0.01, 0.1, 1, 10, 100, 1000, 10_000)),
)


def comparison_chart(comparison: Comparison, styles: Mapping[str, ServiceStyle] | None = None) -> Chart:
    """Return the forest of the pairs that decide; one row each."""
    pairs = [pair for pair in comparison.primary_pairs if pair.ratio is not None]
    if not pairs:
        reasons = "; ".join(dict.fromkeys(pair.reason for pair in comparison.primary_pairs if pair.reason))
        return missing(NAME, TITLE, f"there is nothing to compare{f': {reasons}' if reasons else ''}")
    names = dict.fromkeys(name for pair in comparison.pairs for name in (pair.a, pair.b))
    made = figure(
        height=140 + 84 * len(pairs),
        parts=_said(comparison, pairs),
        simulated=comparison.simulated,
        legend=False,
    )
    for row, pair in enumerate(pairs):
        _row(made, row, pair, styles or service_styles(tuple(names)))
    reach = _reach(pairs)
    effect = comparison.design.get("min_effect")
    if isinstance(effect, int | float):
        made.add_vrect(x0=1 / (1 + effect), x1=1 + effect, fillcolor=NEUTRAL, opacity=0.16, line_width=0)
    made.add_vline(x=1, line={"color": NEUTRAL, "width": 1.2})
    made.update_yaxes(
        tickvals=list(range(len(pairs))),
        ticktext=["" for _ in pairs],
        range=[len(pairs) - 0.5, -0.85],
        showgrid=False,
    )
    wanted = next(ticks for limit, ticks in _TICKS if reach <= limit)
    ticks = [tick for tick in wanted if 1 / reach <= tick <= reach]
    made.update_xaxes(
        type="log",
        range=[-math.log10(reach), math.log10(reach)],
        tickvals=ticks,
        ticktext=[f"{tick:g}×" for tick in ticks],
        title=axis_title("ratio of the first to the second"),
    )
    band = f" The band is the smallest effect worth naming (±{effect:.0%})." if isinstance(effect, int | float) else ""
    caption = (
        "Each row is one primary metric of two services: the ratio with the interval that matches its adjusted p. "
        "Filled: a winner was named, in its colour; left of 1 the first has the smaller value." + band
    )
    return Chart(NAME, TITLE, made, caption)


def _said(comparison: Comparison, pairs: list[Pair]) -> list[str]:
    blocks = sorted({pair.blocks for pair in pairs})
    of = f"n = {blocks[0]} blocks" if len(blocks) == 1 else f"n = {blocks[0]} to {blocks[-1]} blocks"
    tests = ", ".join(dict.fromkeys(shown(pair.test) for pair in pairs))
    between = ["between runs"] if comparison.scope == "between_runs" else []
    return [f"tests {tests}", of, *between]


def _row(made: go.Figure, row: int, pair: Pair, styles: Mapping[str, ServiceStyle]) -> None:
    assert pair.ratio is not None
    winner = pair.better if pair.verdict == "better" else None
    style = styles.get(winner) if winner is not None else None
    colour = style.colour if style is not None else NEUTRAL
    low, high = pair.ci_low, pair.ci_high
    level = f"{pair.confidence:.1%} interval {low:.3g} to {high:.3g}" if low and high and pair.confidence else ""
    if low is not None and high is not None:
        made.add_trace(
            go.Scatter(x=[low, high], y=[row, row], mode="lines", line={"color": colour, "width": 4}, hoverinfo="skip")
        )
    made.add_trace(
        go.Scatter(
            x=[pair.ratio],
            y=[row],
            mode="markers",
            marker={
                "size": 13,
                "color": colour if winner else "rgba(0,0,0,0)",
                "symbol": style.marker if style is not None else "circle",
                "line": {"color": colour, "width": 2.5},
            },
            hovertemplate=f"{shown(pair.a)} / {shown(pair.b)}: {pair.ratio:.3g}<br>{level}<extra></extra>",
        )
    )
    metric = pair.metric if pair.statistic is None else f"{pair.metric} {pair.statistic}"
    verdict = f"{shown(pair.better)} is better" if winner and pair.better else _WORDS[pair.verdict]
    made.add_annotation(
        x=0,
        xref="paper",
        xanchor="left",
        y=row - 0.18,
        yanchor="bottom",
        align="left",
        text=f"<b>{shown(pair.a)} / {shown(pair.b)}</b><br>{shown(pair.test)}, {metric}: {verdict}",
        showarrow=False,
        font={"size": 12},
    )


def _reach(pairs: list[Pair]) -> float:
    """Return how far the axis goes to either side of 1: all ratios, and intervals up to ten times."""
    far = [1.2]
    for pair in pairs:
        assert pair.ratio is not None
        far.append(max(pair.ratio, 1 / pair.ratio) * 1.1)
        bounds = [bound for bound in (pair.ci_low, pair.ci_high) if bound is not None and bound > 0]
        far += [min(max(bound, 1 / bound) * 1.1, 10.5) for bound in bounds]
    return max(far)
