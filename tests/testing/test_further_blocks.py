"""Blocks and rounds that come after the plan: the same streams of orders and times go on, as if planned longer."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.config.models import LoadTestSettings, TtftTestSettings
from inference_bench.results.design import pack_order, unpack_order
from inference_bench.testing.plan import further_load, further_ttft, plan_load, plan_ttft


@given(planned=st.integers(1, 30), more=st.integers(1, 30), services=st.integers(1, 5), seed=st.integers(0, 99))
def test_further_blocks_are_those_a_longer_plan_would_have_had(
    planned: int, more: int, services: int, seed: int
) -> None:
    short = plan_ttft(TtftTestSettings(iterations=planned), services, seed)
    long = plan_ttft(TtftTestSettings(iterations=planned + more), services, seed)
    further = further_ttft(short, services, seed, first=planned, blocks=more, stretch=1)
    assert np.concatenate([short.order, further.order]).tolist() == long.order.tolist()
    assert (further.first, further.stretch, further.name) == (planned, 1, short.name)


@given(rounds=st.integers(1, 6), services=st.integers(1, 4), cycles=st.integers(1, 3))
def test_further_rounds_go_on_with_numbers_and_rotation_and_are_as_long(
    rounds: int, services: int, cycles: int
) -> None:
    settings = LoadTestSettings(name="load", rounds=rounds, concurrent_users=2, duration_seconds=30)
    plan = plan_load(settings, services, seed=1)
    further = further_load(plan, services, seed=1, first=plan.rounds, rounds=cycles * services)
    assert {turn.steady_seconds for turn in further.turns} == {plan.turns[0].steady_seconds}
    every = [*plan.turns, *further.turns]
    assert [turn.round_no for turn in every] == [number // services for number in range(len(every))]
    for place in range(services):
        stood = [turn.service for turn in every[place::services]]
        assert stood == [(place + number) % services for number in range(len(stood))]


def test_further_rounds_of_an_open_loop_have_intended_times_of_their_own() -> None:
    settings = LoadTestSettings(name="load", rounds=2, arrivals="poisson", rate=20, duration_seconds=4)
    plan = plan_load(settings, 2, seed=1)
    further = further_load(plan, 2, seed=1, first=2, rounds=2)
    times = [(plan if number < 2 else further).intended(number).tolist() for number in range(4)]
    assert all(times)
    assert len({tuple(one) for one in times}) == 4
    again = further_load(plan, 2, seed=1, first=3, rounds=1)
    assert again.intended(3).tolist() == times[3]


def test_a_count_that_does_not_divide_goes_on_round_by_round() -> None:
    settings = LoadTestSettings(name="load", rounds=2, concurrent_users=2, requests=7)
    plan = plan_load(settings, 2, seed=1)
    further = further_load(plan, 2, seed=1, first=2, rounds=4)
    assert [turn.requests for turn in further.turns if turn.service == 0] == [4, 3, 4, 3]


@given(st.integers(1, 12).flatmap(lambda size: st.lists(st.permutations(range(size)), max_size=8)))
def test_orders_survive_being_packed(rows: list[list[int]]) -> None:
    assert unpack_order(pack_order(rows)) == tuple(map(tuple, rows))


def test_a_packed_order_reads_at_a_glance() -> None:
    assert pack_order([(0, 1), (1, 0)]) == "01 10"
