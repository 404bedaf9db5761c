"""Arrival processes against their mathematics: Kolmogorov-Smirnov on many seeded draws, counts, and time rescaling."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference_bench.testing.arrivals import (
    Constant,
    Gamma,
    Piece,
    Poisson,
    RateProfile,
    offsets_ns,
    process_of,
    ramp,
    steady,
    steps,
)
from inference_bench.testing.plan import seeded

DRAWS = 20_000
SHAPES = [0.1, 0.25, 0.5, 1.0, 3.0, 20.0]


def gaps_of(process: Poisson | Gamma, rate: float, *words: object) -> np.ndarray:
    """Return about DRAWS gaps in units of the mean gap, the one from the start left out."""
    times = offsets_ns(process, steady(rate, DRAWS / rate), seeded(11, *words)) / 1e9
    return np.diff(times) * rate


def test_poisson_gaps_are_exponential() -> None:
    assert stats.kstest(gaps_of(Poisson(), 37.0, "poisson"), "expon").pvalue > 0.01


@pytest.mark.parametrize("shape", SHAPES)
def test_gamma_gaps_have_their_distribution(shape: float) -> None:
    gaps = gaps_of(Gamma(shape), 12.5, "gamma", shape)
    # Times are whole nanoseconds, and of very bursty arrivals many share one: what is larger is held against the
    # distribution of what is larger.
    gamma, least = stats.gamma(shape, scale=1 / shape), 1e-5
    assert stats.kstest(gaps[gaps > least], lambda x: 1 - gamma.sf(x) / gamma.sf(least)).pvalue > 0.01
    assert np.mean(gaps > least) == pytest.approx(gamma.sf(least), abs=0.02)
    assert np.std(gaps) == pytest.approx(1 / np.sqrt(shape), rel=0.1)


def test_a_wrong_shape_is_told_from_the_right_one() -> None:
    gaps = gaps_of(Gamma(0.8), 12.5, "wrong")
    assert stats.kstest(gaps, "expon").pvalue < 1e-6


@pytest.mark.parametrize("shape", [0.25, 4.0])
def test_the_first_gap_has_the_equilibrium_distribution(shape: float) -> None:
    gamma = stats.gamma(shape, scale=1 / shape)
    rng = seeded(5, "first", shape)
    firsts = [float(Gamma(shape).unit_gaps(1, rng, first=True)[0]) for _ in range(4000)]

    def equilibrium(x: np.ndarray) -> np.ndarray:
        """F_e(x) = integral of 1 - F from 0 to x, the mean being 1: x (1 - F(x)) + E[gap; gap <= x]."""
        return np.asarray(x * gamma.sf(x) + stats.gamma(shape + 1, scale=1 / shape).cdf(x))

    assert stats.kstest(firsts, equilibrium).pvalue > 0.01


@pytest.mark.parametrize("shape", [0.1, 0.5, 5.0])
def test_a_renewal_process_has_its_rate_from_the_start(shape: float) -> None:
    counts = [len(offsets_ns(Gamma(shape), steady(10.0, 1.0), seeded(seed, "count", shape))) for seed in range(3000)]
    error = np.std(counts) / np.sqrt(len(counts))
    assert np.mean(counts) == pytest.approx(10.0, abs=4 * error)


PROFILES = {
    "steps": steps([5, 40, 15], 600.0),
    "ramp up": ramp(1.0, 60.0, 600.0),
    "ramp down": ramp(60.0, 2.0, 600.0),
    "steady after a ramp": steady(30.0, 500.0, ramp_seconds=200.0),
}


@pytest.mark.parametrize("name", PROFILES)
def test_rescaled_by_the_integral_of_the_rate_arrivals_are_of_rate_one(name: str) -> None:
    """The time-rescaling theorem: M(t) of a Poisson process with rate m(t) is one of rate 1 (Brown et al. 2002)."""
    profile = PROFILES[name]
    times = offsets_ns(Poisson(), profile, seeded(3, name)) / 1e9
    rescaled = np.array([_mean_value(profile, time) for time in times])
    assert stats.kstest(np.diff(rescaled), "expon").pvalue > 0.01
    assert len(times) == pytest.approx(profile.expected, abs=4 * np.sqrt(profile.expected))


def test_each_step_has_its_rate() -> None:
    times = offsets_ns(Constant(), steps([2, 8, 4], 30.0), seeded(1)) / 1e9
    assert np.histogram(times, bins=[0, 10, 20, 30])[0].tolist() == [20, 80, 40]


def test_a_ramp_s_middle_third_has_the_middle_rate() -> None:
    times = offsets_ns(Constant(), ramp(0.5, 9.5, 90.0), seeded(1)) / 1e9
    assert np.histogram(times, bins=[0, 30, 60, 90])[0].tolist() == pytest.approx([60, 150, 240], abs=1)


@given(
    pieces=st.lists(
        st.tuples(st.just(0.0) | st.floats(1e-3, 50), st.floats(0, 200), st.floats(0.01, 200)),
        min_size=1,
        max_size=5,
    ),
    share=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30),
)
@settings(max_examples=200, deadline=None)
def test_mapping_back_inverts_the_integral_of_the_rate(
    pieces: list[tuple[float, float, float]], share: list[float]
) -> None:
    profile = RateProfile(tuple(Piece(*piece) for piece in pieces))
    values = np.sort(np.array(share)) * profile.expected
    times = profile.times(values)
    assert (np.diff(times) >= -1e-9).all()
    assert ((times >= 0) & (times <= profile.seconds * (1 + 1e-9))).all()
    back = np.array([_mean_value(profile, time) for time in times])
    assert back == pytest.approx(values, rel=1e-6, abs=1e-6 * max(1.0, profile.expected))


@given(
    arrivals=st.sampled_from(["constant", "poisson", "gamma", "steps", "ramp"]),
    shape=st.floats(0.05, 50),
    rates=st.tuples(st.floats(0.2, 300), st.floats(0.2, 300)),
    seconds=st.floats(0.5, 20),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=100, deadline=None)
def test_times_ascend_inside_the_turn_and_follow_from_the_seed(
    arrivals: str, shape: float, rates: tuple[float, float], seconds: float, seed: int
) -> None:
    process = process_of(arrivals, shape if arrivals == "gamma" else None)
    profile = steps(rates, seconds) if arrivals == "steps" else ramp(*rates, seconds)
    times = offsets_ns(process, profile, seeded(seed, "law"))
    assert times.dtype == np.int64
    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times <= seconds * 1e9 + 1)).all()
    assert (offsets_ns(process, profile, seeded(seed, "law")) == times).all()


def _mean_value(profile: RateProfile, time: float) -> float:
    """Return the integral of the rate from 0 to `time`, by itself."""
    total = 0.0
    for piece in profile.pieces:
        within = min(max(time, 0.0), piece.seconds)
        slope = (piece.end - piece.start) / piece.seconds if piece.seconds else 0.0
        total += piece.start * within + slope * within**2 / 2
        time -= piece.seconds
    return total
