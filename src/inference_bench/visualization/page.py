"""Charts in HTML that needs no network: the one library, a chart as a fragment, and a page of one chart."""

import html
import json
from functools import cache
from importlib import resources
from typing import Final

from plotly.offline import get_plotlyjs

from inference_bench.visualization.chart import Chart

_ICON: Final = '<link rel="icon" href="data:,">'  # else a browser asks for a file that is not there


@cache
def library() -> str:
    """Return the chart library as one script element."""
    return f"<script>{get_plotlyjs()}</script>"


@cache
def page_script() -> str:
    """Return the script that draws the fragments of a page and follows its colour scheme; it comes after them."""
    return f"<script>{_asset('page.js')}</script>"


def fragment(chart: Chart) -> str:
    """Return a chart with its caption as HTML without the library; for one that cannot be drawn, the reason.

    The figure travels as data in a script element that is not run; a "<" in it can end nothing.
    """
    caption = f"<figcaption>{html.escape(chart.caption)}</figcaption>"
    if chart.figure is None:
        said = html.escape(chart.reason or "it cannot be drawn")
        return f'<figure class="chart missing"><p><strong>Not drawn:</strong> {said}</p></figure>'
    name = html.escape(chart.name, quote=True)
    label = html.escape(f"{chart.title}. {chart.caption}", quote=True)
    return (
        f'<figure class="chart"><div class="plot" data-figure="figure-{name}" role="img" aria-label="{label}"></div>'
        f'<script type="application/json" id="figure-{name}">{_data(chart)}</script>{caption}</figure>'
    )


def chart_page(chart: Chart, *, run: str, simulated: bool) -> str:
    """Return a page of its own for a chart that can be drawn."""
    title = html.escape(chart.title)
    of = html.escape(run) + (" · SIMULATED: figures of simulated engines, not of real ones" if simulated else "")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n{_ICON}\n<style>{_asset('page.css')}</style>\n{library()}\n</head>\n"
        f'<body>\n<main>\n<p class="run">{of}</p>\n<h1>{title}</h1>\n{fragment(chart)}\n</main>\n'
        f"{page_script()}\n</body>\n</html>\n"
    )


def _data(chart: Chart) -> str:
    assert chart.figure is not None
    # Plotly's own encoder: it knows NumPy; what it makes is JSON without NaN.
    plain = json.loads(chart.figure.to_json())
    text = json.dumps(plain, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _asset(name: str) -> str:
    return resources.files("inference_bench.visualization").joinpath("assets", name).read_text(encoding="utf-8")
