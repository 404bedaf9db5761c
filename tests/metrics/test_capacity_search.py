"""The search for the highest load that keeps the promises: what it tries, what it answers, that it ends."""

import math
import random
from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.metrics.capacity import Answer, CapacitySearch


def searched(keeps: Callable[[float], bool], search: CapacitySearch) -> tuple[Answer, list[float]]:
    """Run a search against a service that answers with `keeps`."""
    tried: list[float] = []
    while (load := search.next_load()) is not None:
        tried.append(load)
        search.record(load, kept=keeps(load))
    return search.answer(), tried


@given(knee=st.integers(1, 5000), start=st.integers(1, 200))
@settings(deadline=None)
def test_a_sharp_edge_is_found_to_within_one_user_or_five_percent(knee: int, start: int) -> None:
    answer, tried = searched(lambda load: load <= knee, CapacitySearch(start, whole=True, least=1))
    assert answer.value is not None
    assert answer.value <= knee <= max(answer.value * 1.05, answer.value + 1)
    assert (answer.low, answer.at_least) == (answer.value, False)
    assert answer.high is not None
    assert answer.high > knee
    assert all(load == int(load) >= 1 for load in tried)
    assert [tried.count(end) for end in (answer.value, answer.high)] == [3, 3]


@given(knee=st.floats(0.05, 5000), start=st.floats(0.1, 500))
@settings(deadline=None)
def test_a_rate_is_enclosed_in_five_percent(knee: float, start: float) -> None:
    answer, _ = searched(lambda load: load <= knee, CapacitySearch(start, whole=False, least=start / 1024))
    if knee < start / 1024:
        assert answer.value is None
        return
    assert answer.value is not None
    assert answer.high is not None
    assert answer.value <= knee < answer.high
    assert answer.high <= answer.value * 1.06  # five percent, and what rounding to three figures adds


def test_not_even_one_user() -> None:
    answer, tried = searched(lambda _: False, CapacitySearch(8, whole=True, least=1))
    assert answer == Answer(None, None, 1, at_least=False)
    assert tried == [8, 4, 2, 1, 1, 1]


@given(knee=st.floats(3, 400), seed=st.integers(0, 10_000))
@settings(max_examples=200, deadline=None)
def test_chance_at_the_edge_neither_runs_on_nor_leads_astray(knee: float, seed: int) -> None:
    draw = random.Random(seed)

    def keeps(load: float) -> bool:
        return draw.random() < 1 / (1 + math.exp(min(700.0, 60 * math.log(load / knee))))

    search = CapacitySearch(5, whole=True, least=1)
    answer, tried = searched(keeps, search)
    assert len(tried) < search.most_probes
    assert answer.value is not None
    assert knee / 1.25 - 1 <= answer.value <= knee * 1.25 + 1
    if answer.low is not None and answer.high is not None:
        assert answer.low <= answer.value < answer.high


def test_an_edge_that_moves_when_it_is_tried_again_is_looked_for_again() -> None:
    outcomes = {10.0: [True], 20.0: [True, False, False]}
    search = CapacitySearch(10, whole=True, least=1)

    def keeps(load: float) -> bool:
        return outcomes[load].pop(0) if outcomes.get(load) else load <= 12

    answer, _ = searched(keeps, search)
    assert answer.value == 12


def test_what_cannot_be_offered_ends_the_search_below_it() -> None:
    search = CapacitySearch(10, whole=True, least=1)
    tried = []
    while (load := search.next_load()) is not None:
        tried.append(load)
        if load > 50:
            search.cannot_offer(load)
        else:
            search.record(load, kept=True)
    assert max(load for load in tried if load <= 50) >= 48
    answer = search.answer()
    assert answer.at_least
    assert answer.high is None
    assert answer.value is not None
    assert answer.value >= 48


@given(start=st.integers(1, 200), whole=st.booleans(), kept=st.integers(0, 3))
def test_a_load_that_cannot_be_offered_is_never_asked_for_again(start: int, whole: bool, kept: int) -> None:
    """Not even the one to begin with, nor one whose earlier probes said something."""
    search = CapacitySearch(start, whole=whole, least=1 if whole else start / 1024)
    refused: list[float] = []
    while (load := search.next_load()) is not None:
        assert all(load < one for one in refused)
        if search.probes < kept:
            search.record(load, kept=search.probes > 0)
        else:
            search.cannot_offer(load)
            refused.append(load)
    assert refused
    assert search.answer().value is None or kept > 1


@given(knee=st.floats(0.5, 400), start=st.floats(0.1, 50), enough=st.floats(0.1, 100))
def test_where_a_load_sends_too_few_requests_a_higher_one_is_tried(knee: float, start: float, enough: float) -> None:
    search = CapacitySearch(start, whole=False, least=start / 1024)
    tried: list[float] = []
    while (load := search.next_load()) is not None:
        tried.append(load)
        if load >= enough:
            search.record(load, kept=load <= knee)
        elif not search.says_too_little(load):
            search.cannot_offer(load)
    assert len(tried) < 60
    answer = search.answer()
    if knee > 1.1 * enough:
        assert answer.value is not None
        assert answer.value <= knee <= answer.value * 1.06
    elif knee < enough:
        assert answer.value is None
