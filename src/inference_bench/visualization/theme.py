"""How charts look: one colour, dash and marker for each service throughout, on a light ground or a dark one.

The colours are those of Okabe and Ito (Color Universal Design, 2008) without black and yellow, which vanish on a dark
or a light ground; beyond six services they repeat with another dash and marker.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
_MARKERS: Final = ("circle", "square", "diamond", "triangle-up", "x", "cross")
_PATTERNS: Final = ("", "/", "x", ".", "-", "|")

FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"
INK: Final = "#24292f"  # on a light ground; the page's script changes it on a dark one
GRID: Final = "rgba(128, 136, 148, 0.25)"  # seen on both grounds
TARGET: Final = "#8250df"
BAD: Final = "#c6372b"
NEUTRAL: Final = "#7d8590"
WAITING: Final = "rgba(128, 136, 148, 0.55)"


@dataclass(frozen=True, slots=True)
class ServiceStyle:
    """How a service is drawn in every chart; colour is never its only sign."""

    colour: str
    dash: str
    marker: str
    pattern: str

    @property
    def fill(self) -> dict[str, object]:
        """Return the marker of its bars: its colour under its pattern."""
        pattern = {"shape": self.pattern, "fillmode": "overlay", "fgcolor": "rgba(255,255,255,0.45)", "solidity": 0.18}
        return {"color": self.colour, "pattern": pattern}

    def faded(self, share: float) -> str:
        """Return its colour with this opacity."""
        red, green, blue = (int(self.colour[at : at + 2], 16) for at in (1, 3, 5))
        return f"rgba({red}, {green}, {blue}, {share:g})"


def service_styles(names: Sequence[str]) -> dict[str, ServiceStyle]:
    """Return each service's style by its place in the run, so that it is the same in every chart of it."""
    return {
        name: ServiceStyle(
            colour=_COLOURS[place % len(_COLOURS)],
            dash=_DASHES[(place + place // len(_COLOURS)) % len(_DASHES)],
            marker=_MARKERS[(place + place // len(_COLOURS)) % len(_MARKERS)],
            pattern=_PATTERNS[place % len(_PATTERNS)],
        )
        for place, name in enumerate(names)
    }
