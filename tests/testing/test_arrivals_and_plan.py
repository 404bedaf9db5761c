"""Arrival times follow their distribution; plans give every service the same work in balanced order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from inference_bench.config.models import LoadTestSettings, Settings, TtftTestSettings
from inference_bench.errors import ConfigError
from inference_bench.testing.arrivals import Constant, Poisson, offsets_ns, process_of, steady
from inference_bench.testing.estimates import estimate
from inference_bench.testing.plan import make_plans, plan_load, plan_ttft, seeded


def load_test(**values: object) -> LoadTestSettings:
    return LoadTestSettings.model_validate({"name": "load", "rounds": 3, **values})


def test_poisson_gaps_are_exponential() -> None:
    times = offsets_ns(Poisson(), steady(50.0, 400), seeded(1, "ks")) / 1e9
    gaps = np.diff(times)
    assert len(times) == pytest.approx(20_000, rel=0.03)
    assert stats.kstest(gaps, "expon", args=(0, 1 / 50)).pvalue > 0.01


def test_constant_arrivals_are_evenly_spaced_and_centred() -> None:
    times = offsets_ns(Constant(), steady(4.0, 2), seeded(1))
    assert times.tolist() == [125_000_000 + 250_000_000 * k for k in range(8)]


@given(
    rate=st.floats(0.2, 200),
    ramp=st.floats(0, 20),
    seconds=st.floats(0.5, 20),
    name=st.sampled_from(["constant", "poisson", "gamma"]),
)
@settings(max_examples=60, deadline=None)
def test_offsets_are_ascending_and_inside_the_turn(rate: float, ramp: float, seconds: float, name: str) -> None:
    process = process_of(name, 0.3 if name == "gamma" else None)
    times = offsets_ns(process, steady(rate, seconds, ramp_seconds=ramp), seeded(7, name))
    assert (np.diff(times) >= 0).all()
    assert times.size == 0 or (times[0] >= 0 and times[-1] <= (ramp + seconds) * 1e9 + 1)


def test_ramp_sends_half_as_many_as_the_same_time_at_full_rate() -> None:
    times = offsets_ns(Constant(), steady(100.0, 10, ramp_seconds=10), seeded(1))
    assert np.count_nonzero(times < 10e9) == pytest.approx(500, abs=1)
    assert np.count_nonzero(times >= 10e9) == pytest.approx(1000, abs=1)
    first_half = np.count_nonzero(times < 5e9)
    assert first_half == pytest.approx(125, abs=1)  # the rate grows linearly: a quarter of the ramp's requests


def test_same_seed_same_times_and_rounds_differ() -> None:
    one = plan_load(load_test(arrivals="poisson", rate=20, duration_seconds=30), 3, seed=5)
    two = plan_load(load_test(arrivals="poisson", rate=20, duration_seconds=30), 3, seed=5)
    other = plan_load(load_test(arrivals="poisson", rate=20, duration_seconds=30), 3, seed=6)
    assert all((a == b).all() for a, b in zip(one.offsets, two.offsets, strict=True))
    assert one.offsets[0].tolist() != one.offsets[1].tolist()
    assert one.offsets[0].tolist() != other.offsets[0].tolist()


@given(asked=st.integers(1, 7), services=st.integers(1, 4))
def test_rounds_are_raised_so_that_every_service_stands_everywhere_equally_often(asked: int, services: int) -> None:
    plan = plan_load(load_test(concurrent_users=2, duration_seconds=30, rounds=asked), services, seed=0)
    assert plan.rounds % services == 0
    assert 0 <= plan.rounds - asked < services
    places: dict[tuple[int, int], int] = {}
    for number, turn in enumerate(plan.turns):
        place = number % services
        assert turn.round_no == number // services
        places[turn.service, place] = places.get((turn.service, place), 0) + 1
    assert set(places.values()) == {plan.rounds // services}
    assert sum(turn.steady_seconds or 0 for turn in plan.turns if turn.service == 0) == pytest.approx(30)


@given(requests=st.integers(1, 50), asked=st.integers(1, 5), services=st.integers(1, 3))
def test_requests_are_divided_over_rounds_without_loss(requests: int, asked: int, services: int) -> None:
    plan = plan_load(load_test(concurrent_users=2, requests=requests, rounds=asked), services, seed=0)
    for service in range(services):
        assert sum(turn.requests or 0 for turn in plan.turns if turn.service == service) == requests


def test_open_loop_by_requests_sends_exactly_that_many_after_the_ramp() -> None:
    for seed in range(50):
        plan = plan_load(load_test(arrivals="poisson", rate=0.5, requests=15, ramp_up_seconds=5), 1, seed=seed)
        assert sum(int(np.count_nonzero(times >= 5e9)) for times in plan.offsets) == 15


def test_a_rate_at_which_nothing_is_ever_due_is_refused() -> None:
    def planned(rate: float) -> int:
        test = {"name": "low", "arrivals": "constant", "rate": rate, "duration_seconds": 3.0, "rounds": 3}
        chosen = Settings.model_validate({"load_tests": [test]})
        return len(make_plans(chosen, 1, ttft=False, load=True, times_of=lambda _: np.empty(0)))

    assert planned(0.6) == 1
    with pytest.raises(ConfigError, match="load test low sends no request"):
        planned(0.4)


def test_ttft_blocks_hold_every_service_once_in_changing_order() -> None:
    plan = plan_ttft(TtftTestSettings(iterations=200), 3, seed=1)
    assert plan.order.shape == (200, 3)
    assert (np.sort(plan.order, axis=1) == np.arange(3)).all()
    firsts = np.bincount(plan.order[:, 0], minlength=3)
    assert stats.chisquare(firsts).pvalue > 0.001
    assert (plan_ttft(TtftTestSettings(iterations=200), 3, seed=1).order == plan.order).all()
    assert (plan_ttft(TtftTestSettings(iterations=200), 3, seed=2).order != plan.order).any()


def test_estimates_count_what_is_planned() -> None:
    ttft = estimate(plan_ttft(TtftTestSettings(iterations=10, warmup_requests=2, max_tokens=8), 2, 0), 2)
    assert (ttft.requests, ttft.output_tokens) == (24, 192)
    plan = plan_load(load_test(arrivals="constant", rate=5, duration_seconds=12, warmup_requests=1), 2, 0)
    load = estimate(plan, 2)
    assert load.requests == 2 * 60 + 2 * plan.rounds
    assert not load.guessed
