"""What waiting is like, in words: the sum that is shown is the sum of the figures that are shown."""

import re

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.live.feeling import Saving

WAITS = st.floats(0.1, 99_999)


@given(WAITS, WAITS)
def test_whoever_does_the_sum_again_finds_the_same(one: float, other: float) -> None:
    words = Saving("a", "b", min(one, other), max(one, other)).words
    found = re.search(r"x \(([\d,.]+) - ([\d,.]+) ms\) = ([\d.]+) (s|minutes|hours) less", words)
    assert found is not None, words
    slow, fast = (float(part.replace(",", "")) for part in found.group(1, 2))
    unit = {"s": 1, "minutes": 60, "hours": 3_600}[found[4]]
    assert abs(4 * (slow - fast) / unit - float(found[3])) < 0.0501
