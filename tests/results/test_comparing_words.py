"""A comparison in words: who is faster, by how much and how surely; or why that cannot be said."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import JsonValue

from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.comparison_words import (
    advantage,
    block_words,
    certainty_words,
    factor_words,
    leader,
    percent_words,
    sentence,
    verdict_sentences,
    winner_sentence,
)

DESIGN: dict[str, JsonValue] = {"min_effect": 0.05, "tests": {"ttft": {"unit": "block"}, "load": {"unit": "round"}}}


def pair(**fields: object) -> Pair:
    told: dict[str, object] = {
        "test": "ttft",
        "metric": "ttft_ms",
        "statistic": "p50",
        "primary": True,
        "a": "vllm",
        "b": "ollama",
        "ratio": 0.5,
        "ci_low": 0.4,
        "ci_high": 0.625,
        "confidence": 0.95,
        "verdict": "better",
        "better": "vllm",
        "blocks": 20,
        **fields,
    }
    return Pair.model_validate(told)


def test_the_better_one_is_the_subject_and_the_factor_is_above_one() -> None:
    assert sentence(pair(), DESIGN) == "vllm is 2.00x faster than ollama on TTFT p50 (95 % CI 1.60 to 2.50)"
    other = pair(ratio=2.0, ci_low=1.6, ci_high=2.5, better="ollama")
    assert sentence(other, DESIGN) == "ollama is 2.00x faster than vllm on TTFT p50 (95 % CI 1.60 to 2.50)"


def test_where_more_is_better_nobody_is_called_faster() -> None:
    rate = pair(metric="requests_per_s", statistic=None, ratio=2.0, ci_low=1.6, ci_high=2.5)
    assert sentence(rate, DESIGN) == "vllm has 2.00x the requests/s of ollama (95 % CI 1.60 to 2.50)"
    behind = pair(metric="requests_per_s", statistic=None, better="ollama")
    assert sentence(behind, DESIGN) == "ollama has 2.00x the requests/s of vllm (95 % CI 1.60 to 2.50)"


def test_how_far_a_verdict_reaches_stands_beside_it() -> None:
    said = sentence(pair(reason="within this run only: 1 round cut into 9 slices"), DESIGN)
    assert said.endswith("(95 % CI 1.60 to 2.50; within this run only: 1 round cut into 9 slices)")


def test_equivalent_says_within_what() -> None:
    same = pair(verdict="equivalent", better=None, ratio=0.99, ci_low=0.97, ci_high=1.01, confidence=0.975)
    expected = "vllm and ollama are equivalent within 5 % on TTFT p50 (vllm 1.01x faster, 97.5 % CI 0.99 to 1.03)"
    assert sentence(same, DESIGN) == expected


def test_no_difference_says_what_it_would_take() -> None:
    unsure = pair(verdict="no_difference_shown", better=None, ratio=0.97, ci_low=0.8, ci_high=1.2, needed_n=340)
    said = sentence(unsure, DESIGN)
    assert said.startswith(
        "no difference shown between vllm and ollama on TTFT p50 (vllm 1.03x faster, 95 % CI 0.83 to"
    )
    assert said.endswith("; about 340 more blocks would probably show 5 %")
    one = sentence(unsure.model_copy(update={"needed_n": 1, "test": "load"}), DESIGN)
    assert one.endswith("; about 1 more round would probably show 5 %")
    found = sentence(unsure.model_copy(update={"needed_n": 0, "reason": "it would have been found"}), DESIGN)
    assert found.endswith("to 1.25); it would have been found")
    never = unsure.model_copy(update={"needed_n": None, "reason": "no spread was seen; within this run only: 9 slices"})
    assert sentence(never, DESIGN).endswith(" to 1.25; within this run only: 9 slices); no spread was seen")


def test_a_small_difference_that_is_there_is_not_denied() -> None:
    small = pair(verdict="no_difference_shown", better=None, ratio=0.97, ci_low=0.94, ci_high=0.99)
    assert sentence(small, DESIGN).startswith("no difference of 5 % or more shown between vllm and ollama")


def test_not_comparable_gives_the_reason() -> None:
    never = pair(verdict="not_comparable", better=None, ratio=None, ci_low=None, ci_high=None, reason="ollama is gone")
    assert sentence(never, DESIGN) == "vllm and ollama on TTFT p50 are not comparable: ollama is gone"
    assert certainty_words(never) is None
    assert leader(never) is None


def test_without_a_design_nothing_is_invented() -> None:
    unsure = pair(verdict="no_difference_shown", better=None, ratio=1.1, ci_low=0.8, ci_high=1.4, needed_n=3)
    assert sentence(unsure).endswith("about 3 more blocks would probably show the smallest effect")


def test_a_metric_of_a_later_version_still_makes_a_sentence() -> None:
    odd = pair(metric="joules_per_token", statistic="p50", verdict="no_difference_shown", better=None)
    assert "joules_per_token p50" in sentence(odd, DESIGN)


@pytest.mark.parametrize(
    ("factors", "shown"),
    [
        ((1.8, 1.6, 2.0), ("1.80", "1.60", "2.00")),
        ((1.01, 1.004, 1.02), ("1.010", "1.004", "1.020")),
        ((12.34, 11.0, 14.0), ("12.3", "11.0", "14.0")),
        ((1234.5, 1000.0, 2000.0), ("1,234.5", "1,000.0", "2,000.0")),
        ((1.0, 1.0, 1.0), ("1.00", "1.00", "1.00")),
        ((1.00001, 1.000005, 1.00002), ("1.000", "1.000", "1.000")),
    ],
)
def test_ratios_have_the_digits_that_tell_something(factors: tuple[float, ...], shown: tuple[str, ...]) -> None:
    assert factor_words(*factors) == shown


@pytest.mark.parametrize(("share", "shown"), [(0.05, "5 %"), (0.975, "97.5 %"), (0.991666, "99.17 %"), (1.0, "100 %")])
def test_per_cent(share: float, shown: str) -> None:
    assert percent_words(share) == shown


@given(
    ratio=st.floats(0.01, 100),
    spread=st.floats(1.0, 3.0),
    metric=st.sampled_from([("ttft_ms", "p95"), ("requests_per_s", None), ("output_tok_per_s_user", "p50")]),
)
def test_the_leader_leads_and_both_views_agree(ratio: float, spread: float, metric: tuple[str, str | None]) -> None:
    found = pair(
        metric=metric[0],
        statistic=metric[1],
        ratio=ratio,
        ci_low=ratio / spread,
        ci_high=ratio * spread,
        verdict="no_difference_shown",
        better=None,
    )
    mine, theirs = advantage(found, "vllm"), advantage(found, "ollama")
    assert mine is not None
    assert theirs is not None
    assert math.isclose(mine[0] * theirs[0], 1)
    assert mine[1] <= mine[0] <= mine[2]
    assert math.isclose(mine[1] * theirs[2], 1)
    first = leader(found)
    assert (first is None) == (ratio == 1)
    if first is not None:
        ahead = advantage(found, first)
        assert ahead is not None
        assert ahead[0] >= 1


def test_the_winner_or_why_there_is_none() -> None:
    won = Comparison(
        test_id="t",
        simulated=False,
        design=DESIGN,
        pairs=(pair(), pair(primary=False, statistic="p95"), pair(test="load", statistic="p95", blocks=1)),
        winners={"overall": "vllm"},
        winner_reasons={"overall": "better on both primary comparisons"},
    )
    assert winner_sentence(won) == "Overall winner: vllm (better on both primary comparisons)"
    assert [test for test, _ in verdict_sentences(won)] == ["ttft", "load"]
    assert block_words(won) == (("ttft", "20 blocks"), ("load", "1 round"))
    none = won.model_copy(update={"winners": {"overall": None}, "winner_reasons": {"overall": "ttft is invalid"}})
    assert winner_sentence(none) == "No overall winner: ttft is invalid"
    assert winner_sentence(won.model_copy(update={"winners": {}, "winner_reasons": {}})) == "No overall winner"
