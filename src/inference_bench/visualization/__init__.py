"""A run as pictures: charts of a stored run folder. What a figure means is said in `metrics`.

`from inference_bench.visualization import BenchmarkVisualizer` is the front door, resolved on first use: a process
that draws nothing does not pay for Plotly.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_bench.visualization.chart import Chart
    from inference_bench.visualization.visualizer import BenchmarkVisualizer

__all__ = ["BenchmarkVisualizer", "Chart"]

_HOMES = {"BenchmarkVisualizer": "visualizer", "Chart": "chart"}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the point of this function

    return getattr(import_module(f"{__name__}.{home}"), name)
