"""The statistics of comparisons: known answers, laws, and how often intervals hold the truth."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference_bench.metrics.block_values import percent_of, value_of
from inference_bench.metrics.columns import Floats
from inference_bench.metrics.comparison import (
    Hypothesis,
    NotComparable,
    decide,
    paired,
    unpaired,
)
from inference_bench.metrics.pooled import PooledPercentile
from inference_bench.metrics.sequential import alpha_at_look, look_schedule
from inference_bench.metrics.statistics import Estimate, autocorrelation, of_values, resampled_blocks

positive = st.floats(1e-3, 1e6)
few = st.lists(positive, min_size=3, max_size=8)


def singles(values: Floats) -> list[Floats]:
    """Return blocks of one value each."""
    return [value[None] for value in values]


def estimated(made: Estimate | NotComparable) -> Estimate:
    assert isinstance(made, Estimate), made
    return made


def noisy(seed: int, blocks: int, ratio: float = 1.0, spread: float = 0.05) -> tuple[list[Floats], list[Floats]]:
    rng = np.random.default_rng(seed)
    shared = rng.normal(0, 0.3, blocks)
    a, b = (np.exp(shared + rng.normal(0, spread, blocks)) * 50 for _ in range(2))
    return singles(a * ratio), singles(b)


def test_few_blocks_are_the_paired_t_test_on_logarithms() -> None:
    a, b = noisy(1, 8, ratio=1.1)
    found = estimated(paired(a, b, "p50", seed=0))
    wanted = stats.ttest_rel(np.log(np.concatenate(a)), np.log(np.concatenate(b)))
    assert found.p == pytest.approx(wanted.pvalue)
    interval = wanted.confidence_interval(0.95)
    assert found.interval(0.95) == pytest.approx((interval.low, interval.high))


def test_unpaired_few_blocks_are_welch() -> None:
    a, b = noisy(2, 7, ratio=1.2)
    found = estimated(unpaired(a, b[:5], "p50", seed=0))
    wanted = stats.ttest_ind(np.log(np.concatenate(a)), np.log(np.concatenate(b[:5])), equal_var=False)
    assert found.p == pytest.approx(wanted.pvalue)


@pytest.mark.parametrize("blocks", [3, 12, 40])
@pytest.mark.parametrize("compare", [paired, unpaired])
def test_a_service_against_itself_shows_nothing(blocks: int, compare: object) -> None:
    a, _ = noisy(3, blocks)
    assert callable(compare)
    found = estimated(compare(a, a, "p50", seed=0))
    assert found.log_ratio == pytest.approx(0, abs=0.05)
    assert decide([Hypothesis(found, "less")])[0].verdict != "better"


@given(few, few, st.floats(0.5, 0.9999))
@settings(deadline=None)
def test_p_and_interval_never_disagree(a: list[float], b: list[float], confidence: float) -> None:
    n = min(len(a), len(b))
    found = estimated(paired(singles(np.array(a[:n])), singles(np.array(b[:n])), "p50", seed=0))
    low, high = found.interval(confidence)
    if abs(found.p - (1 - confidence)) > 1e-6 and found.standard_error > 1e-9:
        assert (low > 0 or high < 0) == (found.p < 1 - confidence)


@given(few, few)
@settings(deadline=None)
def test_swapping_the_services_turns_the_ratio_and_keeps_p(a: list[float], b: list[float]) -> None:
    n = min(len(a), len(b))
    left, right = singles(np.array(a[:n])), singles(np.array(b[:n]))
    one, other = estimated(paired(left, right, "p50", seed=0)), estimated(paired(right, left, "p50", seed=0))
    assert one.log_ratio == pytest.approx(-other.log_ratio)
    assert one.p == pytest.approx(other.p)


@given(few, st.floats(0.01, 100))
@settings(deadline=None)
def test_the_unit_does_not_matter(values: list[float], factor: float) -> None:
    a = np.array(values)
    b = a[::-1] * 1.3
    one = estimated(paired(singles(a), singles(b), "p50", seed=0))
    other = estimated(paired(singles(a * factor), singles(b * factor), "p50", seed=0))
    assert one.log_ratio == pytest.approx(other.log_ratio, abs=1e-9)
    assert one.standard_error == pytest.approx(other.standard_error, abs=1e-9)


@given(st.lists(st.floats(1e-12, 1), min_size=1, max_size=8))
@settings(deadline=None, max_examples=50)
def test_holm_is_monotone_and_matches_its_intervals(p_values: list[float]) -> None:
    estimates = [Estimate(float(stats.norm.isf(p / 2)), 1.0, 1e9, 10, "made") for p in p_values]
    decisions = decide([Hypothesis(one, "less") for one in estimates])
    ranked = sorted(decisions, key=lambda one: one.p)
    adjusted = [one.p_adjusted for one in ranked]
    assert all(later >= earlier - 1e-12 for earlier, later in pairwise(adjusted))
    for one in decisions:
        assert one.p <= one.p_adjusted <= min(1.0, one.p * len(p_values) + 1e-12)
        if abs(one.p_adjusted - 0.05) > 1e-6:
            assert (one.ci_low > 1) == (one.p_adjusted < 0.05)


def test_without_a_family_nothing_is_adjusted() -> None:
    estimate = Estimate(0.2, 0.05, 9, 10, "made")
    one, *_ = decide([Hypothesis(estimate, "less")] * 5, multiplicity=None)
    assert one.p_adjusted == one.p
    assert one.confidence == 0.95


@pytest.mark.parametrize(
    ("log_ratio", "error", "verdict", "winner"),
    [
        (-0.3, 0.01, "better", "a"),
        (0.3, 0.01, "better", "b"),
        (0.01, 0.005, "equivalent", None),
        (0.04, 0.005, "no_difference_shown", None),  # a difference, but too small to name
        (0.2, 0.2, "no_difference_shown", None),
    ],
)
def test_verdicts(log_ratio: float, error: float, verdict: str, winner: str | None) -> None:
    (found,) = decide([Hypothesis(Estimate(log_ratio, error, 50, 51, "made"), "less")])
    assert (found.verdict, found.better) == (verdict, winner)
    (turned,) = decide([Hypothesis(Estimate(log_ratio, error, 50, 51, "made"), "more")])
    assert turned.better == {"a": "b", "b": "a", None: None}[winner]
    if verdict == "no_difference_shown":
        assert found.needed_n is not None or found.reason


def test_more_spread_and_smaller_effects_need_more_blocks() -> None:
    needs = [Estimate(0, error, 9, 10, "made").needed_blocks(0.05, 0.05) for error in (0.01, 0.02, 0.05, 0.2)]
    known = [need for need in needs if need is not None]
    assert len(known) == 4
    assert known == sorted(known)
    estimate = Estimate(0, 0.05, 9, 10, "made")
    assert (estimate.needed_blocks(0.05, 0.01) or 0) > (estimate.needed_blocks(0.05, 0.05) or 0)
    assert (estimate.needed_blocks(0.1, 0.05) or 0) < (estimate.needed_blocks(0.05, 0.05) or 0)
    assert Estimate(0, 0.0, 9, 10, "made").needed_blocks(0.05, 0.05) is None
    assert Estimate(0, 1e6, 2, 3, "made").needed_blocks(0.05, 0.05) is None


@pytest.mark.parametrize("compare", [paired, unpaired])
@pytest.mark.parametrize(
    ("values", "statistic", "why"),
    [
        ([1.0, 2.0], "p50", "2 blocks"),
        ([1.0, 2.0, 0.0], None, "no ratio"),
        ([1.0, 2.0, 3.0], "p95", "73 are needed"),
        ([1.0] * 300, "p99", "368 are needed"),
    ],
)
def test_what_cannot_be_compared_says_why(compare: object, values: list[float], statistic: str, why: str) -> None:
    blocks = singles(np.array(values))
    assert callable(compare)
    found = compare(blocks, blocks, statistic, seed=0)
    assert isinstance(found, NotComparable)
    assert why in found.reason


def test_blocks_with_one_side_empty_are_left_out() -> None:
    a, b = noisy(4, 6)
    b[2] = np.empty(0)
    assert estimated(paired(a, b, "p50", seed=0)).blocks == 5
    with pytest.raises(ValueError, match="pairs"):
        paired(a, b[:3], "p50", seed=0)
    with pytest.raises(ValueError, match="no statistic"):
        percent_of("median")


@pytest.mark.parametrize("blocks", [4, 40])
def test_tails_of_small_blocks_are_compared_pooled(blocks: int) -> None:
    rng = np.random.default_rng(5)
    a, b = ([rng.lognormal(3, 0.1, 19) * factor for _ in range(blocks)] for factor in (1.3, 1.0))
    found = estimated(paired(a, b, "p95", seed=0))
    whole = value_of(np.concatenate(a), "p95") / value_of(np.concatenate(b), "p95")
    assert found.log_ratio == pytest.approx(math.log(whole))
    low, high = found.interval(0.99)
    assert low < math.log(1.3) < high


@given(st.lists(st.lists(positive, min_size=1, max_size=5), min_size=2, max_size=6), st.integers(1, 99), st.data())
@settings(deadline=None, max_examples=60)
def test_a_pooled_percentile_is_that_of_the_drawn_values(
    blocks: list[list[float]], percent: int, data: st.DataObject
) -> None:
    arrays = [np.array(block) for block in blocks]
    row = np.array(data.draw(st.lists(st.integers(0, len(blocks) - 1), min_size=1, max_size=8)))
    found = PooledPercentile(arrays, percent).logs(row[None, :])
    wanted = math.log(np.percentile(np.concatenate([arrays[place] for place in row]), percent))
    assert float(found[0]) == pytest.approx(wanted, abs=1e-9)


def test_dependent_blocks_widen_the_interval() -> None:
    rng = np.random.default_rng(6)
    steps = rng.normal(0, 1, 200)
    walk = np.convolve(steps, 0.8 ** np.arange(20), mode="valid")[:100]
    shuffled = rng.permutation(walk)
    assert autocorrelation(walk) > 0.5
    assert of_values(walk, method="t").standard_error > 1.5 * of_values(shuffled, method="t").standard_error


def test_resampled_runs_keep_neighbours_together() -> None:
    rows = resampled_blocks(12, 4, np.random.default_rng(1), 50)
    assert rows.shape == (50, 12)
    assert np.all(np.diff(rows.reshape(50, 3, 4), axis=2) % 12 == 1)


@pytest.mark.parametrize("blocks", [3, 5, 10, 30, 100])
def test_intervals_hold_the_truth_about_as_often_as_they_say(blocks: int) -> None:
    held = 0
    for seed in range(120):
        low, high = estimated(paired(*noisy(seed, blocks, ratio=1.2), "p50", seed=seed)).interval(0.95)
        held += low <= math.log(1.2) <= high
    assert held / 120 >= 0.87


def test_the_levels_of_all_looks_add_up_to_alpha() -> None:
    assert sum(alpha_at_look(look) for look in range(1, 10_000)) == pytest.approx(0.05, rel=1e-3)
    assert list(look_schedule(5, 30)) == [5, 10, 20, 30]
    assert list(look_schedule(5, 5)) == [5]
    with pytest.raises(ValueError, match="numbered"):
        alpha_at_look(0)
