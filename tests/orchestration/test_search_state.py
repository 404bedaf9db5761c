"""A search that was cut anywhere and is told its outcomes again ends as one that was never cut."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.config.load_models import LoadTestSettings
from inference_bench.errors import UsageError
from inference_bench.orchestration.search_state import SearchState, ServiceSearch, begin_search, replay
from inference_bench.results.capacity import ProbeFacts, ServiceCapacity

NAMES = ("one", "two", "three")
USERS = LoadTestSettings(name="chat", concurrent_users=3, duration_seconds=1)
RATE = LoadTestSettings(name="chat", arrivals="poisson", rate=2.5, duration_seconds=1)


class Machine:
    """Services with an edge each, chance near it, and a client that is not always to be trusted; the same every time
    for the same service, load and round. No load from `most` on can be offered.
    """

    def __init__(self, seed: int, most: float) -> None:
        self.seed, self.most = seed, most
        draw = random.Random(seed)
        self.edges = {name: draw.uniform(0.5, 60) for name in NAMES}

    def probe(self, one: ServiceSearch, load: float) -> ProbeFacts | None:
        """Return what a probe says; None where it cannot be offered."""
        if load >= self.most:
            return None
        number = one.round_of(load)
        draw = random.Random(f"{self.seed} {one.name} {load} {number}")
        kept: bool | None = load * draw.uniform(0.9, 1.1) <= self.edges[one.name]
        spoiled = draw.random()
        few = spoiled < 0.02
        kept = None if spoiled < 0.15 else kept
        return ProbeFacts(load=load, round=number, kept=kept, too_few=few, why=("so",), sent=9)


def go_on(state: SearchState, machine: Machine, steps: int | None = None) -> list[tuple[str, float, int]]:
    """Search for so many steps, or to the end; return the probes that were made."""
    made: list[tuple[str, float, int]] = []
    while (found := state.next_probe()) is not None and steps != 0:
        one, load = found
        probe = machine.probe(one, load)
        if probe is None:
            one.refuse(load, "the limits of this machine")
        else:
            made.append((one.name, load, probe.round))
            one.note(probe)
        state.done()
        steps = None if steps is None else steps - 1
    return made


def facts_of(state: SearchState) -> dict[str, ServiceCapacity]:
    return {one.name: one.facts() for one in state.services}


@given(
    test=st.sampled_from([USERS, RATE]),
    services=st.integers(1, 3),
    seed=st.integers(0, 10_000),
    most=st.sampled_from([2.0, 9.0, 40.0, 1e9]),
    cuts=st.lists(st.integers(0, 25), max_size=3),
)
@settings(max_examples=150, deadline=None)
def test_a_search_that_was_cut_ends_as_one_that_was_not(
    test: LoadTestSettings, services: int, seed: int, most: float, cuts: list[int]
) -> None:
    machine = Machine(seed, most)
    whole = begin_search(test, NAMES[:services])
    expected = go_on(whole, machine)

    state, made = begin_search(test, NAMES[:services]), []
    for steps in cuts:
        made += go_on(state, machine, steps)
        stored = facts_of(state)
        state = begin_search(test, NAMES[:services])
        replay(state, stored)
    made += go_on(state, machine)
    assert made == expected
    for name, found in facts_of(state).items():
        uncut = facts_of(whole)[name]
        assert found.model_copy(update={"limited_by": None}) == uncut.model_copy(update={"limited_by": None})
        assert (found.limited_by is None) == (uncut.limited_by is None)


@given(seed=st.integers(0, 10_000), lost=st.integers(0, 30))
@settings(max_examples=50, deadline=None)
def test_from_a_probe_whose_records_were_lost_on_everything_is_measured_anew(seed: int, lost: int) -> None:
    machine = Machine(seed, 1e9)
    whole = begin_search(USERS, NAMES)
    expected = go_on(whole, machine)
    gone = expected[min(lost, len(expected) - 1)]

    state = begin_search(USERS, NAMES)
    replay(state, facts_of(whole), lambda name, probe: (name, probe.load, probe.round) != gone)
    assert sum(len(one.probes) for one in state.services) == expected.index(gone)
    assert go_on(state, machine) == expected[expected.index(gone) :]
    assert facts_of(state) == facts_of(whole)


@pytest.mark.parametrize(
    ("load", "number"),
    [(5.0, 0), (3.0, 1), (1e6, 0)],
    ids=["another load", "another round", "a load far off"],
)
def test_probes_that_the_search_would_not_have_made_are_refused(load: float, number: int) -> None:
    stray = ProbeFacts(load=load, round=number, kept=True, sent=9)
    stored = ServiceCapacity(value=load, low=load, high=None, at_least=True, probes=(stray,))
    with pytest.raises(
        UsageError, match="the stored probes of chat are not those that its search would have made"
    ) as said:
        replay(begin_search(USERS, ("one",)), {"one": stored})
    assert said.value.hint


def test_what_kept_an_edge_from_being_enclosed_is_told() -> None:
    """6 users are kept and 8 are not; whether 7 are, this client could never say."""
    state = begin_search(USERS, ("one",))
    while (found := state.next_probe()) is not None:
        one, load = found
        kept = None if load == 7 else load < 7
        one.note(ProbeFacts(load=load, round=one.round_of(load), kept=kept, too_few=False, why=("late",), sent=9))
        state.done()
    facts = state.services[0].facts()
    assert (facts.value, facts.low, facts.high) == (6, 6, 8)
    assert facts.limited_by == "this client at 7 users: late"


def test_too_few_requests_ask_for_more_load_as_long_as_it_sends_more() -> None:
    search = begin_search(RATE, ("one",))
    for load, sent in ((2.5, 5), (5.0, 9), (10.0, 9)):
        found = search.next_probe()
        assert found is not None
        one, wanted = found
        assert wanted == load
        one.note(ProbeFacts(load=load, round=0, kept=None, too_few=True, why=("so",), sent=sent))
        search.done()
    found = search.next_probe()
    assert found is None or 5 < found[1] < 10
    facts = facts_of(search)["one"]
    assert facts.value is None
    assert facts.limited_by == "too few requests at 10 requests/s (so): probes must last longer"


def test_a_service_that_stays_away_ends_its_search_and_keeps_what_it_carried() -> None:
    state = begin_search(RATE, ("one",))
    loads = []
    while (found := state.next_probe()) is not None:
        one, load = found
        away = load > 5
        loads.append(load)
        said = {"kept": None if away else True, "unreachable": away, "why": ("9 of 9 requests failed: connect",)}
        one.note(ProbeFacts.model_validate({"load": load, "round": one.round_of(load), "sent": 9, **said}))
        state.done()
    assert loads == [2.5, 5, 10, 10, 10]
    facts = facts_of(state)["one"]
    assert (facts.value, facts.high, facts.at_least) == (5, None, True)
    assert facts.limited_by == "the service could not be reached at 10 requests/s: 9 of 9 requests failed: connect"
