"""Distributions: percentiles and their laws, the n that carries them, intervals, the sketch."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from inference_bench.metrics import distribution as module
from inference_bench.metrics.definitions import Better
from inference_bench.metrics.distribution import (
    describe,
    interval_needs,
    interval_ranks,
    percentile_needs,
)
from inference_bench.metrics.sketch import QuantileSketch

VALUES = st.lists(st.floats(0, 1e6, allow_nan=False), min_size=1, max_size=300)


def test_golden() -> None:
    found = describe(np.array([4.0, 1.0, 3.0, 2.0]), missing=3, better="less")
    assert (found.n, found.missing, found.mean, found.min, found.max) == (4, 3, 2.5, 1.0, 4.0)
    assert found.std == pytest.approx((5 / 3) ** 0.5)
    assert found.percentiles == {50: 2.5, 90: None, 95: None, 99: None}
    assert found.needed_n == {"p90": 10, "p95": 20, "p99": 100}
    assert found.ci_needed_n == {"p50": 6, "p90": 36, "p95": 73, "p99": 368}
    # t(3, 0.975) = 3.182446: 2.5 +- 3.182446 * 1.290994 / 2
    assert found.ci["mean"] == pytest.approx((0.4457397, 4.5542603), abs=1e-6)


def test_one_value_has_neither_spread_nor_median() -> None:
    found = describe(np.array([7.0]), missing=0, better="less")
    assert (found.mean, found.std, found.min, found.max) == (7.0, None, 7.0, 7.0)
    assert found.percentiles[50] is None
    assert found.ci["mean"] is None


@pytest.mark.parametrize(("percent", "n"), [(50, 2), (90, 10), (95, 20), (99, 100), (10, 10), (5, 20), (1, 100)])
def test_a_percentile_is_given_from_its_n_on(percent: int, n: int) -> None:
    assert percentile_needs(percent) == n
    better: Better = "more" if percent < 50 else "less"
    assert describe(np.arange(n - 1.0), missing=0, better=better).percentiles[percent] is None
    assert describe(np.arange(float(n)), missing=0, better=better).percentiles[percent] is not None


@pytest.mark.parametrize(("percent", "n"), [(50, 6), (90, 36), (95, 73), (99, 368), (5, 73), (1, 368)])
def test_an_interval_is_given_from_its_n_on(percent: int, n: int) -> None:
    assert interval_needs(percent) == n
    assert interval_ranks(n - 1, percent) is None
    assert interval_ranks(n, percent) is not None


def test_a_metric_where_more_is_better_shows_its_low_tail() -> None:
    found = describe(np.arange(200.0), missing=0, better="more")
    assert list(found.percentiles) == [1, 5, 10, 50]
    assert found.percentiles[1] == pytest.approx(1.99)


@given(st.integers(6, 3000), st.sampled_from([1, 5, 10, 50, 90, 95, 99]))
def test_ranks_are_the_narrowest_that_hold_the_confidence(n: int, percent: int) -> None:
    ranks = interval_ranks(n, percent)
    if ranks is None:
        return
    lower, upper = ranks
    binomial = stats.binom(n, percent / 100)
    assert 1 <= lower < upper <= n
    assert binomial.cdf(lower - 1) <= 0.025 + 1e-12
    assert binomial.cdf(lower) > 0.025 - 1e-12
    assert binomial.cdf(upper - 1) >= 0.975 - 1e-12
    assert binomial.cdf(upper - 2) < 0.975 + 1e-12


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    truth = {"p50": np.log(2.0), "p95": np.log(20.0)}  # of the exponential distribution
    held = dict.fromkeys(truth, 0)
    for _ in range(400):
        found = describe(rng.exponential(1.0, 120), missing=0, better="less")
        for name, value in truth.items():
            interval = found.ci[name]
            assert interval is not None
            held[name] += interval[0] <= value <= interval[1]
    assert min(held.values()) >= 0.93 * 400


@given(VALUES)
def test_figures_are_in_order(values: list[float]) -> None:
    found = describe(np.array(values), missing=0, better="less")
    assert found.min is not None
    assert found.max is not None
    assert found.mean is not None
    given_ = [value for _, value in sorted(found.percentiles.items()) if value is not None]
    chain = [found.min, *given_, found.max]
    assert chain == sorted(chain)
    assert found.min <= found.mean <= found.max
    for name, interval in found.ci.items():
        if interval is not None and name != "mean":
            value = found.percentiles[int(name[1:])]
            assert value is not None
            assert interval[0] <= value <= interval[1]


@given(VALUES, st.floats(0.001, 1000), st.floats(0, 1000))
def test_scaling_and_shifting_the_values_does_so_to_the_figures(
    values: list[float], scale: float, shift: float
) -> None:
    plain = describe(np.array(values), missing=0, better="less")
    moved = describe(np.array(values) * scale + shift, missing=0, better="less")
    assert plain.mean is not None
    assert moved.mean == pytest.approx(plain.mean * scale + shift, rel=1e-9, abs=1e-6)
    for percent, value in plain.percentiles.items():
        if value is None:
            assert moved.percentiles[percent] is None
        else:
            assert moved.percentiles[percent] == pytest.approx(value * scale + shift, rel=1e-9, abs=1e-6)


@given(VALUES, st.randoms(use_true_random=False))
def test_the_order_of_values_is_irrelevant(values: list[float], random: Random) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other = (describe(np.array(each), missing=0, better="less") for each in (values, shuffled))
    assert one.percentiles == other.percentiles
    assert one.ci.keys() == other.ci.keys()
    assert one.mean == pytest.approx(other.mean)


@given(st.lists(st.floats(0, 1e8, allow_nan=False), min_size=1, max_size=200), st.floats(0, 1))
def test_the_sketch_keeps_its_stated_error(values: list[float], q: float) -> None:
    sketch = QuantileSketch.of(np.array(values))
    truth = float(np.quantile(np.array(values), q, method="lower"))
    assert sketch.n == len(values)
    assert sketch.quantile(q) == pytest.approx(truth, rel=sketch.relative_error * 1.000001, abs=1e-6)


@given(VALUES, VALUES)
def test_merged_sketches_are_the_sketch_of_all(left: list[float], right: list[float]) -> None:
    merged = QuantileSketch.of(np.array(left))
    merged.merge(QuantileSketch.of(np.array(right)))
    whole = QuantileSketch.of(np.array(left + right))
    assert [merged.quantile(q / 10) for q in range(11)] == [whole.quantile(q / 10) for q in range(11)]
    assert merged.n == whole.n


def test_sketches_of_different_errors_do_not_merge_and_an_empty_one_has_no_quantile() -> None:
    with pytest.raises(ValueError, match="do not merge"):
        QuantileSketch(0.01).merge(QuantileSketch(0.02))
    with pytest.raises(ValueError, match="empty"):
        QuantileSketch().quantile(0.5)


def test_beyond_the_exact_limit_the_error_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT_UP_TO", 1000)
    values = np.random.default_rng(2).exponential(5.0, 5000)
    exact = np.percentile(values, [50, 99])
    found = describe(values.copy(), missing=0, better="less", pooled=True)
    assert found.relative_error == 0.001
    assert [found.percentiles[50], found.percentiles[99]] == pytest.approx(exact.tolist(), rel=0.005)
    assert found.max == values.max()
    assert describe(values[:1000].copy(), missing=0, better="less", pooled=True).relative_error is None
