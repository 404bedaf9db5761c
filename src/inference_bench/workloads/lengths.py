"""Draws lengths in tokens from a distribution, each a function of (seed, purpose, index) alone.

One uniform number u in (0, 1) is made of 53 bits of a BLAKE2b digest, and turned into a length by the distribution's
inverse (inverse transform sampling). With F the distribution function of the continuous law and [a, b] the bounds:

    constant    the mean
    uniform     a + floor(u (b - a + 1)): every whole number from a to b is as likely
    normal      F of N(mean, stdev²), cut to [a - 1/2, b + 1/2]: x = F⁻¹(F(a - 1/2) + u (F(b + 1/2) - F(a - 1/2))),
                rounded to the nearest whole number
    lognormal   the same, with ln X normal: sigma² = ln(1 + (stdev / mean)²), mu = ln(mean) - sigma² / 2, so that X
                itself has the mean and the standard deviation that were given (Crow and Shimizu 1988)

Cutting moves the mean: a normal length cut at its mean from below is longer on average than the mean.
"""

import math
from hashlib import blake2b
from statistics import NormalDist
from typing import TYPE_CHECKING

from inference_bench.errors import ConfigError

if TYPE_CHECKING:
    from inference_bench.config.length_models import LengthSettings

_MANTISSA_BITS = 53
_STEP = 1.0 / (1 << _MANTISSA_BITS)
_LEAST_MASS = 1e-9


def uniform_draw(seed: int, purpose: str, index: int) -> float:
    """Return a number in (0, 1), uniform over indices, equal for equal arguments on any machine."""
    digest = blake2b(f"{seed}:{purpose}:{index}".encode(), digest_size=8).digest()
    bits = int.from_bytes(digest, "big") >> (64 - _MANTISSA_BITS)
    return (bits + 0.5) * _STEP


class LengthLaw:
    """A distribution of lengths, ready to be drawn from. `key` is the setting it came from, for messages.

    ConfigError when hardly any of the distribution lies between its bounds.
    """

    def __init__(self, settings: "LengthSettings", key: str) -> None:
        self._settings = settings
        self._normal: NormalDist | None = None
        self._low = self._high = 0.0
        if settings.mean is not None and settings.stdev is not None:
            self._prepare(settings.mean, settings.stdev, key)

    def _prepare(self, mean: float, stdev: float, key: str) -> None:
        low, high = self._settings.shortest - 0.5, self._settings.longest + 0.5
        if self._settings.distribution == "lognormal":
            variance = math.log1p((stdev / mean) ** 2)
            self._normal = NormalDist(math.log(mean) - variance / 2, math.sqrt(variance))
            low, high = math.log(low), math.log(high)
        else:
            self._normal = NormalDist(mean, stdev)
        self._low, self._high = self._normal.cdf(low), self._normal.cdf(high)
        if self._high - self._low < _LEAST_MASS:
            raise ConfigError(
                f"workload.{key}: hardly any length of this distribution lies between its bounds",
                key=f"workload.{key}",
                hint="move the mean between min and max, or widen them",
            )

    def draw(self, seed: int, purpose: str, index: int) -> int:
        """Return the length in tokens at an index: whole, within the bounds."""
        bounds = self._settings
        if bounds.distribution == "constant":
            return bounds.shortest
        u = uniform_draw(seed, purpose, index)
        if self._normal is None:
            width = bounds.longest - bounds.shortest + 1
            return bounds.shortest + min(int(u * width), width - 1)
        share = min(max(self._low + u * (self._high - self._low), 1e-300), 1 - _STEP)
        value = self._normal.inv_cdf(share)
        if bounds.distribution == "lognormal":
            value = math.exp(min(value, 50.0))
        return min(max(round(value), bounds.shortest), bounds.longest)

    def in_words(self) -> str:
        """Return the distribution in a few words: `512`, `normal 200 ± 50 in 1 to 400`."""
        one = self._settings
        if one.distribution == "constant":
            return f"{one.shortest}"
        if one.distribution == "uniform":
            return f"uniform {one.shortest} to {one.longest}"
        return f"{one.distribution} {one.mean:g} ± {one.stdev:g} in {one.shortest} to {one.longest}"
