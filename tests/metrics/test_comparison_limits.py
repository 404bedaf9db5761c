"""Comparisons at their limits: wild or constant blocks, stalls, shared noise, many looks, needed blocks."""

import math

import numpy as np
import pytest
from scipy import stats

from inference_bench.metrics.columns import Floats
from inference_bench.metrics.comparison import Decision, Hypothesis, NotComparable, decide, paired, unpaired
from inference_bench.metrics.power import mean_power
from inference_bench.metrics.sequential import alpha_at_look, look_schedule
from inference_bench.metrics.statistics import Estimate, base_length, freedom_of


def singles(values: Floats) -> list[Floats]:
    return list(values[:, None])


def estimated(made: Estimate | NotComparable) -> Estimate:
    assert isinstance(made, Estimate), made
    return made


def judged(estimate: Estimate, **options: float) -> Decision:
    return decide([Hypothesis(estimate, "less")], **options)[0]  # type: ignore[arg-type]


def test_wild_blocks_have_finite_limits() -> None:
    a, b = np.array([1e-9, 1.0, 1e12]), np.array([1.0, 1e9, 1.0])
    found = judged(estimated(paired(singles(a), singles(b), "p50", seed=0)), confidence=1 - 1e-6)
    assert 0 < found.ci_low < found.ratio < found.ci_high < math.inf
    assert found.verdict == "no_difference_shown"


def test_blocks_that_are_all_alike_differ_surely_or_not_at_all() -> None:
    slow, fast = np.full(4, 60.0), np.full(4, 50.0)
    surely = judged(estimated(paired(singles(slow), singles(fast), "p50", seed=0)))
    assert (surely.p, surely.verdict, surely.better) == (0, "better", "b")
    assert surely.ci_low == surely.ci_high == pytest.approx(1.2)
    alike = judged(estimated(paired(singles(slow), singles(slow), "p50", seed=0)))
    assert (alike.p, alike.verdict, alike.ratio) == (1, "equivalent", 1)


def test_a_difference_too_small_to_name_says_so() -> None:
    found = judged(Estimate(math.log(1.03), 0.01, 60, 61, "made"))
    assert found.p_adjusted < 0.05
    assert found.verdict == "no_difference_shown"
    assert "smaller than the 5 %" in (found.reason or "")


def test_a_few_stalls_do_not_move_a_p50() -> None:
    rng = np.random.default_rng(1)
    quick = np.exp(rng.normal(4, 0.03, 100))
    stalling = np.exp(rng.normal(4, 0.03, 100))
    stalling[::20] *= 10
    found = estimated(paired(singles(stalling), singles(quick), "p50", seed=0))
    assert abs(found.log_ratio) < 0.02
    assert judged(found).better is None
    mean = estimated(paired(singles(stalling), singles(quick), "mean", seed=0))
    assert mean.log_ratio > 0.08  # five stalls in a hundred, each ln(10): a mean is to show them


@pytest.mark.parametrize("blocks", [29, 30])
def test_what_both_services_share_cancels_whatever_the_number_of_blocks(blocks: int) -> None:
    rng = np.random.default_rng(2)
    shared = rng.normal(0, 0.5, blocks)  # prompts of very different lengths
    a, b = (np.exp(4 + shared + rng.normal(0, 0.02, blocks)) for _ in range(2))
    together = estimated(paired(singles(a), singles(b), "p50", seed=0))
    apart = estimated(unpaired(singles(a), singles(b), "p50", seed=0))
    assert together.standard_error < 0.1 * apart.standard_error


def test_two_runs_of_many_blocks_are_compared_by_their_percentiles() -> None:
    rng = np.random.default_rng(3)
    a, b = np.exp(rng.normal(4.2, 0.1, 60)), np.exp(rng.normal(4, 0.1, 40))
    found = estimated(unpaired(singles(a), singles(b), "p50", seed=0))
    assert found.log_ratio == pytest.approx(math.log(np.median(a) / np.median(b)))
    assert found.blocks == 40
    low, high = found.interval(0.99)
    assert low < 0.2 < high


def test_many_values_in_few_rounds_are_as_many_blocks_as_rounds() -> None:
    rng = np.random.default_rng(4)
    a, b = ([rng.lognormal(3, 0.3, 5000) for _ in range(4)] for _ in range(2))
    found = estimated(paired(a, b, "p95", seed=0))
    assert (found.blocks, found.freedom) == (4, 3)
    logs = [np.log(np.percentile(one, 95)) - np.log(np.percentile(other, 95)) for one, other in zip(a, b, strict=True)]
    assert found.p == pytest.approx(stats.ttest_1samp(logs, 0).pvalue)


def test_power_is_that_of_the_t_test_when_the_spread_is_known() -> None:
    critical = stats.t.isf(0.025, 9)
    assert mean_power(3.0, 9, 1e7, 0.05) == pytest.approx(stats.nct.sf(critical, 9, 3.0), abs=1e-3)
    assert mean_power(3.0, 9, 2, 0.05) < mean_power(3.0, 9, 1e7, 0.05)


@pytest.mark.parametrize("pilot", [3, 10])
def test_the_blocks_asked_for_find_the_smallest_effect(pilot: int) -> None:
    effect, rng, found = math.log(1.05), np.random.default_rng(5), 0
    for seed in range(100):
        logs = rng.normal(0, 0.06, (2, 2000))
        further = estimated(paired(*_pair(logs[:, :pilot], 0), "p50", seed=seed)).needed_blocks(effect, 0.05)
        assert further is not None
        later = estimated(paired(*_pair(logs[:, -pilot - min(further, 1900) :], effect), "p50", seed=seed))
        found += later.p < 0.05
    assert found >= 0.82 * 100


def _pair(logs: Floats, effect: float) -> tuple[list[Floats], list[Floats]]:
    return singles(np.exp(logs[0] + effect)), singles(np.exp(logs[1]))


def test_looking_often_makes_no_false_winners() -> None:
    rng, false = np.random.default_rng(6), 0
    for seed in range(150):
        logs = rng.normal(0, 0.3, (2, 96))
        for look, blocks in enumerate(look_schedule(3, 96), start=1):
            found = estimated(paired(*_pair(logs[:, :blocks], 0), "p50", seed=seed))
            if found.p < alpha_at_look(look):
                false += 1
                break
    assert false <= 0.1 * 150


@pytest.mark.parametrize("blocks", [3, 8, 9, 29, 30, 100, 1000])
def test_runs_are_shorter_than_what_they_are_runs_of(blocks: int) -> None:
    length = base_length(blocks)
    assert 1 <= length <= blocks / 2
    assert 2 <= freedom_of(blocks, length) <= blocks - 1
