"""What is known of blocks is enough to compare them: the same estimates, and one side's values are never held."""

import weakref
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics.block_values import BlockValues
from inference_bench.metrics.columns import Floats
from inference_bench.metrics.comparison import paired, unpaired

STATISTICS = ("p50", "p95", "p99", "mean", None)


def blocks(seed: int, sizes: Sequence[int]) -> list[Floats]:
    rng = np.random.default_rng(seed)
    return [rng.lognormal(3, 0.3, size) for size in sizes]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 1000), st.data(), st.sampled_from(STATISTICS))
def test_what_is_known_gives_the_same_estimate(seed: int, data: st.DataObject, statistic: str | None) -> None:
    count = data.draw(st.integers(1, 40))
    size = st.integers(0, 1) if statistic is None else st.sampled_from([0, 1, 19, 20, 120])
    sizes = st.lists(size, min_size=count, max_size=count)
    a, b = blocks(seed, data.draw(sizes)), blocks(seed + 1, data.draw(sizes))
    known = BlockValues.of(lambda: iter(a), statistic), BlockValues.of(lambda: iter(b), statistic)
    assert paired(*known, statistic, seed=seed) == paired(a, b, statistic, seed=seed)
    assert unpaired(*known, statistic, seed=seed) == unpaired(a, b, statistic, seed=seed)


def test_one_side_is_gone_before_the_other_is_made() -> None:
    alive: list[weakref.ref[Floats]] = []
    made = 0

    def side(seed: int) -> BlockValues:
        def values() -> list[Floats]:
            nonlocal made
            assert not any(one() is not None for one in alive), "the other side's values are still held"
            found = blocks(seed, [200] * 12)
            alive.extend(weakref.ref(one) for one in found)
            made += 1
            return found

        return BlockValues.of(values, "p99")

    one, other = side(1), side(2)
    assert one.carried
    assert paired(one, other, "p99", seed=0) == paired(blocks(1, [200] * 12), blocks(2, [200] * 12), "p99", seed=0)
    assert made == 2  # each side once: its blocks carry the statistic


def test_values_are_made_again_where_a_tail_needs_all_of_them() -> None:
    made: list[str] = []

    def values(name: str, seed: int) -> list[Floats]:
        made.append(name)
        return blocks(seed, [30] * 20)

    a = BlockValues.of(lambda: values("a", 1), "p99")
    b = BlockValues.of(lambda: values("b", 2), "p99")
    assert not a.carried
    assert np.isnan(a.statistics).all()
    paired(a, b, "p99", seed=0)
    assert made == ["a", "b", "a", "b"]


def test_blocks_are_compared_by_the_statistic_they_are_known_by() -> None:
    known = BlockValues.of(lambda: blocks(1, [5] * 5), "p50")
    with pytest.raises(ValueError, match="p50, not by their mean"):
        paired(known, known, "mean", seed=0)
    with pytest.raises(ValueError, match="median"):
        BlockValues.of(lambda: blocks(1, [5]), "median")
