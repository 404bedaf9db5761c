"""What the times mean: definitions, the calculator, distributions. No files, no HTTP, no configuration file.

`from inference_bench.metrics import MetricsCalculator` is the front door. It is resolved on first use, so that a
process which only needs the record columns does not pay for NumPy and Arrow.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from inference_bench.metrics.calculator import MetricsCalculator
    from inference_bench.metrics.definitions import METRICS, Metric
    from inference_bench.metrics.distribution import Distribution

__all__ = ["METRICS", "Distribution", "Metric", "MetricsCalculator"]

_HOMES = {
    "METRICS": "definitions",
    "Distribution": "distribution",
    "Metric": "definitions",
    "MetricsCalculator": "calculator",
}


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - the point of this function

    return getattr(import_module(f"{__name__}.{home}"), name)
