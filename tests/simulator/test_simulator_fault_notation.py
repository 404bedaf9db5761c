"""How faults are written, and which requests they concern."""

import pytest

from inference_bench.errors import UsageError
from inference_bench.simulator.faults import FAULTS, FaultPlan, parse_fault, parse_rule


def picks(rule: str, number: int, *, seed: int = 0) -> list[bool]:
    """Say for each of a number of generation requests whether the rule strikes."""
    plan = FaultPlan([parse_rule(rule)], seed=seed)
    return [plan.pick(None, generates=True) is not None for _ in range(number)]


@pytest.mark.parametrize("name", list(FAULTS))
def test_every_fault_is_known_by_its_name(name: str) -> None:
    assert parse_fault(name).name == name


def test_arguments_are_words_and_numbers() -> None:
    cut = parse_fault("cut:5:reset")
    assert (cut.words, cut.number(0, 0)) == (frozenset({"reset"}), 5)
    stall = parse_fault("stall:0.5:3")
    assert (stall.number(0, 0), stall.number(1, 0)) == (0.5, 3)
    assert parse_fault("stall").number(0, 5.0) == 5.0


@pytest.mark.parametrize(
    "text",
    ["", "nope", "cut:soon", "cut:1:2", "http-503:1", "stall:-1", "empty:reset", "slow-first-byte:nan", "stall:inf"],
)
def test_what_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_fault(text)


@pytest.mark.parametrize("text", ["cut@2", "cut@-1", "cut@x", "cut/0", "cut/x", "cut/1.5"])
def test_shares_and_counts_have_limits(text: str) -> None:
    with pytest.raises(UsageError):
        parse_rule(text)


def test_a_share_is_seeded() -> None:
    hits = picks("cut@0.25", 2000)
    assert 400 < sum(hits) < 600
    assert hits == picks("cut@0.25", 2000)
    assert hits != picks("cut@0.25", 2000, seed=1)
    assert not any(picks("cut@0", 100))
    assert all(picks("cut", 100))


def test_every_nth_request() -> None:
    assert picks("http-503/3", 7) == [False, False, True, False, False, True, False]


def test_the_first_rule_that_hits_wins() -> None:
    plan = FaultPlan([parse_rule("http-503/2"), parse_rule("cut")], seed=0)
    names = [fault.name for fault in (plan.pick(None, generates=True) for _ in range(4)) if fault is not None]
    assert names == ["cut", "http-503", "cut", "http-503"]


def test_rules_leave_other_routes_alone_unless_they_hold_everywhere() -> None:
    rules = [parse_rule("html")]
    assert FaultPlan(rules, seed=0).pick(None, generates=False) is None
    assert FaultPlan(rules, seed=0, everywhere=True).pick(None, generates=False) is not None
    header = FaultPlan([], seed=0).pick("cut:2", generates=False)
    assert header is not None
    assert header.name == "cut"
