"""What is said of capacities: intervals that do not overlap name who carries more, others show no difference."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.results.capacity import ServiceCapacity, capacity_words, interval_words
from inference_bench.results.capacity_rows import (
    apart,
    at_capacity,
    capacity_rows,
    comparison_sentence,
    leader,
    limit_words,
)
from searched_runs import FOUND, capacity, facts, probe


def test_a_row_has_the_answer_the_interval_and_the_medians_of_the_judged_probes() -> None:
    vllm, tgi = capacity_rows(FOUND)
    assert vllm.service == "vllm"
    # The turns of 8 users that were judged had 8 and 10 requests/s; the spoiled one, of 99, says nothing.
    assert vllm.cells == ("8 users", "8 to 9", "9", "80", "51", "5 (1 void)")
    assert vllm.limit == "broken at 9 users in 1 of 1 probes (goodput.attainment 0.5)"
    assert tgi.cells == ("2 users", "2 to 4", "2", "20", "50", "2")


def test_what_no_judged_probe_tells_is_missing() -> None:
    unmeasured = capacity(4, 4, 5, probe(4, kept=True, ttft_p50_ms=None), probe(5, kept=False))
    assert at_capacity(unmeasured, "ttft_p50_ms") is None
    assert at_capacity(capacity(None, None, 1, probe(1, kept=False)), "requests_per_s") is None


@pytest.mark.parametrize(
    ("low", "high", "words"), [(39, 44, "39 to 44"), (64, None, "from 64 on"), (None, 2, "under 2"), (None, None, None)]
)
def test_intervals_are_said_as_they_are(low: float | None, high: float | None, words: str | None) -> None:
    assert interval_words(capacity(low, low, high)) == words
    if high is not None:
        assert capacity_words(capacity(4, low, high), "users") == f"4 users ({words})"


def test_a_search_that_no_load_ended_says_what_did() -> None:
    limited = capacity(64, 64, None, probe(64, kept=True)).model_copy(update={"limited_by": "ports"})
    assert limit_words(limited, FOUND) == "no load broke the promises; what ended the search: ports"
    assert limit_words(capacity(64, 64, None, probe(64, kept=True)), FOUND) == "no load broke the promises"
    cut = facts({"vllm": capacity(4, 4, None, probe(4, kept=True))}, complete=False)
    assert limit_words(cut.services["vllm"], cut) == "the search did not run to its end"


def test_an_edge_of_few_requests_is_called_rough_and_one_that_was_never_judged_is_no_edge() -> None:
    rough = capacity(2, 2, 3, probe(2, kept=True), probe(3, kept=False, sent=40), probe(3, kept=False, sent=6))
    assert limit_words(rough, FOUND).endswith("; a rough answer: 20 requests or more make a probe, one had 6")
    void = capacity(None, None, None, probe(1, kept=None)).model_copy(update={"limited_by": "too few requests"})
    assert limit_words(void, FOUND) == "no load could be judged; what ended the search: too few requests"
    assert capacity_words(void, "users") == "not known"


def test_intervals_that_do_not_overlap_are_compared() -> None:
    assert comparison_sentence(FOUND) == "vllm carries 8 users, tgi 2: 4 times as many"
    assert leader(FOUND) == "vllm"


def test_intervals_that_overlap_show_no_difference() -> None:
    found = facts({"a": capacity(10, 8, 12), "b": capacity(11, 10, 13)})
    assert comparison_sentence(found) == "No difference in capacity shown between a and b: their intervals overlap"
    assert leader(found) is None


def test_each_of_several_is_held_against_the_highest() -> None:
    found = facts({"a": capacity(10, 10, 11), "b": capacity(40, 38, 42), "c": capacity(41, 40, 43)})
    said = comparison_sentence(found)
    assert said == "c carries 41 users, a 10: 4.1 times as many; no difference shown to b"
    assert leader(found) is None


def test_at_least_and_not_even_one_are_no_figures_to_divide_by() -> None:
    most = facts({"a": capacity(64, 64, None), "b": capacity(8, 8, 9)})
    assert comparison_sentence(most) == "a carries at least 64 users, b 8: at least 8 times as many"
    none = facts({"a": capacity(5, 5, 6), "b": capacity(None, None, 1, probe(1, kept=False))})
    assert comparison_sentence(none) == "a carries 5 users, b not even 1"
    assert capacity_words(none.services["b"], "users") == "not even 1 user"
    assert capacity_words(none.services["b"], "requests/s") == "not even 1 requests/s"


def test_nothing_is_compared_before_the_search_ends_or_with_one_service() -> None:
    said = comparison_sentence(FOUND.model_copy(update={"complete": False}))
    assert said is not None
    assert "did not run to its end" in said
    assert comparison_sentence(facts({"vllm": capacity(8, 8, 9)})) is None


BOUNDS = st.none() | st.integers(1, 20).map(float)


@st.composite
def answers(draw: st.DrawFn) -> ServiceCapacity:
    """Return an answer whose ends are in order."""
    low, high = draw(BOUNDS), draw(BOUNDS)
    if low is not None and high is not None and low >= high:
        high = low + 1
    value = low if high is None else draw(st.sampled_from([low, high - 0.5]))
    return capacity(value, low, high)


@given(answers(), answers())
def test_of_two_services_at_most_one_carries_more(one: ServiceCapacity, other: ServiceCapacity) -> None:
    assert not (apart(one, other) and apart(other, one))
    found = facts({"one": one, "other": other})
    ahead = leader(found)
    assert ahead == ("other" if apart(one, other) else "one" if apart(other, one) else None)
    said = comparison_sentence(found)
    assert said is not None
    if not all(service.value is not None or service.high is not None for service in (one, other)):
        assert ahead is None
        assert "is not known, so nothing is said" in said
        return
    assert said.startswith("No difference" if ahead is None else f"{ahead} carries"), said
