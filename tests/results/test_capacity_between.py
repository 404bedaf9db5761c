"""Two searches for capacity against each other: the law of the intervals, and what is another question."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.results.between_runs import compare_runs
from inference_bench.results.between_sides import Chosen
from inference_bench.results.capacity import CapacityFacts, CapacityPair, ServiceCapacity
from inference_bench.results.capacity_between import capacities_between
from inference_bench.results.capacity_changes import capacity_change, capacity_sentence
from inference_bench.results.comparison import Comparison
from inference_bench.results.comparison_markdown import comparison_markdown
from inference_bench.results.folder import Run
from inference_bench.results.markdown import escaped
from inference_bench.results.regression import regressions
from searched_runs import capacity, facts, searched_run

SHAPE = {"name": "knee", "arrivals": "closed", "concurrent_users": 4, "duration_seconds": 60.0, "rounds": 3}
WORKLOAD = {"kind": "synthetic", "prompt_tokens": {"distribution": "constant", "mean": 100.0}}


def config(*, workload: dict[str, object] | None = None, **shape: object) -> dict[str, object]:
    return {"load_tests": [{**SHAPE, "max_tokens": 64, **shape}], "workload": workload or WORKLOAD}


class Runs:
    """Makes one run after another out of the first, whose making takes longest: they differ in their manifests."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def of(self, vllm: ServiceCapacity, *, tgi: ServiceCapacity | None = None, asked: Any = None, **fields: Any) -> Run:
        services = {"vllm": vllm} if tgi is None else {"vllm": vllm, "tgi": tgi}
        searched = (facts(services, **fields),)
        manifest = self.run.manifest.model_copy(update={"capacity": searched, "config": asked or config()})
        return Run(self.run.folder, manifest)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    return Runs(searched_run(tmp_path_factory.mktemp("searched")))


def pair(a: Run | tuple[Run, ...], b: Run | tuple[Run, ...]) -> CapacityPair:
    sides = [Chosen(letter, (side,) if isinstance(side, Run) else side) for letter, side in (("A", a), ("B", b))]
    (found,) = capacities_between(sides[0], sides[1], [("vllm", "vllm")])
    return found


def answers() -> st.SearchStrategy[ServiceCapacity]:
    ends = st.lists(st.integers(1, 60), min_size=3, max_size=3).map(sorted)
    return ends.map(lambda told: capacity(told[1], told[0], told[2] + 1))


@given(a=answers(), b=answers())
def test_a_change_is_claimed_exactly_where_the_intervals_do_not_overlap(
    runs: Runs, a: ServiceCapacity, b: ServiceCapacity
) -> None:
    found, turned = pair(runs.of(a), runs.of(b)), pair(runs.of(b), runs.of(a))
    assert a.low and a.high and b.low and b.high
    apart = a.high <= b.low or b.high <= a.low
    assert (found.verdict == "better") == apart == (turned.verdict == "better")
    if apart:
        assert found.better == ("B/vllm" if b.low >= a.high else "A/vllm")
        assert (found.better, turned.better) in {("A/vllm", "B/vllm"), ("B/vllm", "A/vllm")}
    low, high = found.change_low_percent, found.change_high_percent
    assert found.change_percent is not None and low is not None and high is not None
    assert low <= found.change_percent <= high
    assert apart == (low > 0 or high < 0)  # whole users: from the upper end on, none was kept


def test_the_change_is_told_in_percent_with_what_the_intervals_leave_open(runs: Runs) -> None:
    found = pair(runs.of(capacity(40, 40, 42)), runs.of(capacity(30, 30, 31)))
    assert capacity_sentence(found) == (
        "B/vllm carries less than A/vllm: 30 users (30 to 31) against 40 users (40 to 42); "
        "change -25 % (-26.8 to -25); does not include run-to-run change"
    )
    assert capacity_change(found).cells == (
        "40 users (40 to 42)",
        "30 users (30 to 31)",
        "-25 % (-26.8 to -25)",
        "B less",
    )
    alike = pair(runs.of(capacity(40, 38, 42)), runs.of(capacity(41, 39, 44)))
    assert "are not told apart: 40 users (38 to 42) against 41 users (39 to 44); their intervals overlap" in (
        capacity_sentence(alike)
    )


FORTY = capacity(40, 39, 42)


@pytest.mark.parametrize(
    ("asked", "fields", "reason"),
    [
        (None, {"promise": ("e2e_ms at most 9",)}, "other promises were to be kept: A ttft_ms at most 100"),
        (None, {"unit": "requests/s"}, "the searches varied other loads: A users, B requests/s"),
        (None, {"rule": "thrice"}, "the searches followed other rules: A the rule, B thrice"),
        (None, {"complete": False}, "the search of B"),
        (None, {"test": "edge"}, "holds no search of"),
        (config(max_tokens=65), {}, "the load tests differ: max_tokens (A 64, B 65)"),
        (config(duration_seconds=30.0), {}, "the load tests differ: seconds of a probe (A 20, B 10)"),
        (config(workload={"kind": "prompts"}), {}, "the workloads differ: kind (A synthetic, B prompts)"),
        (config(workload={**WORKLOAD, "prompt_tokens": 9}), {}, "prompt_tokens (A {"),
    ],
)
def test_other_questions_are_not_compared_and_the_difference_is_named(
    runs: Runs, asked: object, fields: dict[str, Any], reason: str
) -> None:
    sides = [Chosen("A", (runs.of(FORTY),)), Chosen("B", (runs.of(FORTY, asked=asked, **fields),))]
    for found in capacities_between(sides[0], sides[1], [("vllm", "vllm")]):
        assert (found.verdict, found.better, found.change_percent) == ("not_comparable", None, None)
        assert reason in (found.reason or "")


def test_where_a_search_begins_and_its_own_rounds_are_no_other_question(runs: Runs) -> None:
    longer = config(concurrent_users=16, duration_seconds=20.0, rounds=1)
    assert pair(runs.of(FORTY), runs.of(FORTY, asked=longer)).verdict == "not_told_apart"


def test_an_open_answer_says_who_carries_more_where_the_intervals_are_apart_and_nothing_else(runs: Runs) -> None:
    most, few = capacity(64, 64, None).model_copy(update={"limited_by": "ports"}), capacity(8, 8, 9)
    fell = pair(runs.of(most), runs.of(few))
    assert (fell.verdict, fell.better, fell.change_percent, fell.change_low_percent) == ("better", "A/vllm", None, None)
    assert "8 users (8 to 9) against at least 64 users; change -87.5 % or beyond" in capacity_sentence(fell)
    assert "change +700 % or beyond" in capacity_sentence(pair(runs.of(few), runs.of(most)))
    more = pair(runs.of(most), runs.of(capacity(80, 78, 82)))
    assert more.reason == "the capacity of A/vllm is only known to be at least 64 users (ports)"
    unknown = pair(runs.of(FORTY), runs.of(capacity(None, None, None)))
    assert unknown.reason == "the capacity of B/vllm is not known"
    none = pair(runs.of(FORTY), runs.of(capacity(None, None, 1)))
    assert "B/vllm carries less than A/vllm: not even 1 user against 40 users" in capacity_sentence(none)


def test_several_runs_on_a_side_count_with_what_encloses_them(runs: Runs) -> None:
    before = (runs.of(capacity(40, 39, 42)), runs.of(capacity(44, 43, 46)), runs.of(capacity(41, 40, 43)))
    found = pair(before, runs.of(capacity(38, 37, 39)))
    assert found.found_a is not None
    assert (found.found_a.value, found.found_a.low, found.found_a.high) == (41, 39, 46)
    assert found.better == "A/vllm"
    assert pair(before, runs.of(capacity(40, 38, 40))).verdict == "not_told_apart"


def test_the_gate_fails_where_the_whole_interval_is_a_loss_beyond_the_limit(runs: Runs, tmp_path: Path) -> None:
    def compared(a: CapacityFacts, b: CapacityFacts) -> Any:
        first, second = (
            searched_run(tmp_path, one, config=config(), nonce=f"{place:016x}") for place, one in enumerate((a, b))
        )
        return compare_runs(Chosen("A", (first,)), Chosen("B", (second,)))

    both = compared(
        facts({"vllm": capacity(40, 40, 42), "tgi": capacity(8, 8, 9)}),
        facts({"vllm": capacity(30, 30, 32), "tgi": capacity(None, None, None)}),
    )
    assert [(one.what, one.outcome) for one in regressions(both, 20)] == [
        ("capacity", "failed"),
        ("capacity", "not_judged"),
    ]
    assert regressions(both, 30)[0].outcome == "held"  # 40 / 31 is 1.29: not all of the interval
    shown = "\n".join(comparison_markdown(both))
    cells = ("knee", "vllm", "40 users (40 to 42)", "30 users (30 to 32)", "-25 % (-26.8 to -22.5)", "B less")
    assert f"| {' | '.join(map(escaped, cells))} |" in shown
    assert "the capacity of B/tgi is not known" in shown


@pytest.mark.parametrize(
    ("a", "b", "unit", "outcome"),
    [
        (capacity(2, 2, 3), capacity(1, 1, 2), "users", "failed"),
        (capacity(10, 10, 11), capacity(9, 9, 11), "users", "held"),
        (capacity(2.2, 2.2, 2.3), capacity(2.1, 2.1, 2.2), "requests/s", "failed"),
        (capacity(1, 1, 2), capacity(None, None, 1), "users", "failed"),
        (capacity(None, None, 1), capacity(1, 1, 2), "users", "held"),
        (capacity(64, 64, None), capacity(8, 8, 9), "users", "failed"),
        (capacity(None, None, 1), capacity(None, None, 1), "users", "held"),
        (capacity(None, None, None), capacity(1, 1, 2), "users", "not_judged"),
    ],
)
def test_a_loss_that_is_shown_is_a_regression_of_more_than_nothing(
    runs: Runs, a: ServiceCapacity, b: ServiceCapacity, unit: str, outcome: str
) -> None:
    found = pair(runs.of(a, unit=unit), runs.of(b, unit=unit))
    (judged,) = regressions(Comparison(test_id="x", simulated=True, capacities=(found,)), 0)
    assert judged.outcome == outcome
    assert (outcome == "failed") == (found.better == "A/vllm")
