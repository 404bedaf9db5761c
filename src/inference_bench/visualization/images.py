"""Charts as PNG and SVG, through an extra (Kaleido) and an installed browser; refused before anything is drawn."""

import importlib.util
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import plotly.graph_objects as go

from inference_bench.errors import BenchError
from inference_bench.results.atomic import replacing
from inference_bench.visualization.chart import Chart

FORMATS: Final = ("png", "svg")
WIDTH: Final = 1000
_SCALE: Final = 2  # a PNG for a screen of today
_BROWSERS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


class ImagesUnavailableError(BenchError):
    """What pictures need is not there: the extra, or a browser."""


def check_images() -> str:
    """Return the path of the browser that will draw.

    Raises:
        ImagesUnavailableError: the extra or a browser is missing.
    """
    if importlib.util.find_spec("kaleido") is None:
        raise ImagesUnavailableError(
            "PNG and SVG need the extra `images`",
            hint="pip install 'vllm-benchmark[images]'; --format html needs nothing",
        )
    named = os.environ.get("BROWSER_PATH")
    if named:
        if shutil.which(named) is None:
            raise ImagesUnavailableError(f"BROWSER_PATH names {named}, which cannot be run", hint="correct or unset it")
        return named
    for name in _BROWSERS:
        found = shutil.which(name)
        if found is not None:
            return found
    raise ImagesUnavailableError(
        "PNG and SVG are drawn by a browser, and none was found",
        hint="install Chromium or Chrome, or name one in BROWSER_PATH; --format html needs nothing",
    )


def write_images(charts: Sequence[Chart], directory: Path, formats: Sequence[str], *, run: str) -> list[Path]:
    """Write every chart that has a figure in each format and return the files, on a white ground.

    Raises:
        ImagesUnavailableError: as `check_images`, before anything is drawn; or the browser failed.
        ValueError: there is no such format.
    """
    unknown = [form for form in formats if form not in FORMATS]
    if unknown:
        raise ValueError(f"there is no image format {unknown[0]!r}")
    browser = check_images()
    drawn = [chart for chart in charts if chart.figure is not None]
    if not drawn or not formats:
        return []
    pictures = _draw([(_titled(chart, run), form) for chart in drawn for form in formats], browser)
    directory.mkdir(parents=True, exist_ok=True)
    paths = [directory / f"{chart.name}.{form}" for chart in drawn for form in formats]
    for path, data in zip(paths, pictures, strict=True):
        with replacing(path) as temporary:
            temporary.write_bytes(data)
    return paths


def _titled(chart: Chart, run: str) -> go.Figure:
    """Return the figure as it must stand alone: its title and the run above it, a solid ground."""
    figure = go.Figure(chart.figure)
    below = figure.layout.title.text
    figure.update_layout(
        paper_bgcolor="white",
        title={"text": f"<b>{chart.title}</b><br>{run}<br>{below}", "y": 0.975, "yanchor": "top", "yref": "container"},
        margin={"t": (figure.layout.margin.t or 60) + 44, "l": 24, "r": 24, "b": 24},
        height=(figure.layout.height or 480) + 50,
    )
    return figure


def _draw(wanted: Sequence[tuple[go.Figure, str]], browser: str) -> list[bytes]:
    import asyncio  # noqa: PLC0415 - only pictures need them
    import logging  # noqa: PLC0415

    import kaleido  # noqa: PLC0415

    logging.getLogger("kaleido").setLevel(logging.CRITICAL)
    logging.getLogger("choreographer").setLevel(logging.CRITICAL)

    async def every() -> list[bytes]:
        # No MathJax: it would come from the network. The library comes from Plotly's own package.
        page = kaleido.PageGenerator(mathjax=False)
        async with kaleido.Kaleido(n=1, page_generator=page, path=browser) as drawer:
            return [
                await drawer.calc_fig(figure, opts={"format": form, "width": WIDTH, "scale": _SCALE})
                for figure, form in wanted
            ]

    try:
        return asyncio.run(every())
    except Exception as error:  # a browser fails in many ways, all of them the same to a user
        raise ImagesUnavailableError(
            f"the browser {browser} could not draw: {type(error).__name__}: {error}", hint="--format html needs none"
        ) from error
