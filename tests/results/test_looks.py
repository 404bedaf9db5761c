"""Runs that go on until they are decided: at which level they are judged, what leaves them open, what a look reads."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.results.comparison import Comparison, Pair, PairVerdict
from inference_bench.results.design import Design, Look, Sequential, StopReason
from inference_bench.results.design import TestDesign as DesignOfTest
from inference_bench.results.finalise import REQUESTS, finalise, interim_run, remove_interim
from inference_bench.results.looks import alpha_of, ended_early, more_would_help, standing, with_look
from inference_bench.results.manifest import Manifest
from inference_bench.results.tables import load_requests
from run_records import manifest, request, run_with_journal

ALPHA = 0.05


def pair(verdict: PairVerdict, *, test: str = "ttft", reason: str | None = None, primary: bool = True) -> Pair:
    better = "a" if verdict == "better" else None
    question = {"test": test, "metric": "ttft_ms", "statistic": "p50", "primary": primary, "a": "a", "b": "b"}
    return Pair.model_validate({**question, "verdict": verdict, "better": better, "reason": reason})


def compared(*pairs: Pair) -> Comparison:
    return Comparison(test_id="t", simulated=False, pairs=pairs)


def until(*stopped: StopReason | None) -> Manifest:
    """Return the manifest of a run with so many looks, stopped as told."""
    looks = tuple(
        Look(look=number, alpha=alpha_at_look(number, ALPHA), stopped=reason)
        for number, reason in enumerate(stopped, 1)
    )
    test = DesignOfTest(unit="block", rule="in turn", asked=4, planned=4, run=9, order="01 10")
    sequential = Sequential(alpha=ALPHA, budget_seconds=60, looks=looks)
    design = Design(seed=1, nonce="n", services=("a", "b"), tests={"ttft": test}, sequential=sequential)
    return manifest("t", design=design)


def test_a_manifest_of_a_version_that_kept_no_design_still_loads(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, [])
    path = folder.file("test_manifest.json")
    data = json.loads(path.read_bytes())
    del data["design"]
    path.write_text(json.dumps(data))
    older = folder.read_manifest()
    assert older.design is None
    assert older.rounds_of(older.plan[0]) == older.plan[0].rounds


def test_only_a_run_that_was_to_go_on_has_a_level_of_its_own() -> None:
    plain = manifest("t")
    assert plain.design is None
    assert alpha_of(plain) is None
    assert alpha_of(plain.model_copy(update={"design": Design(seed=1, nonce="n", services=("a",))})) is None


@given(looks=st.integers(1, 12))
def test_the_level_is_that_of_the_last_look_or_of_the_one_that_was_due(looks: int) -> None:
    open_ended = until(*[None] * looks)
    stopped = until(*[None] * (looks - 1), "budget")
    assert alpha_of(stopped) == alpha_at_look(looks, ALPHA)
    assert alpha_of(open_ended) == alpha_at_look(looks + 1, ALPHA)
    assert sum(alpha_at_look(number, ALPHA) for number in range(1, looks + 2)) < ALPHA


def test_a_run_that_ended_early_is_judged_as_its_next_look_once_and_for_all() -> None:
    before = until(None, None)
    level = alpha_of(before)
    after = ended_early(before, compared(pair("no_difference_shown")))
    assert after.design is not None
    assert after.design.sequential is not None
    last = after.design.sequential.looks[-1]
    assert (last.look, last.alpha, last.stopped, last.undecided) == (3, level, "interrupted", ("ttft",))
    assert last.blocks == {"ttft": 9}
    assert alpha_of(after) == level  # rescued again, it is judged the same


def test_a_look_in_its_final_form_takes_the_place_of_the_first() -> None:
    begun = until(None, None)
    final = with_look(begun, Look(look=2, alpha=alpha_at_look(2, ALPHA), stopped="decided"))
    assert final.design is not None
    assert final.design.sequential is not None
    assert [look.stopped for look in final.design.sequential.looks] == [None, "decided"]
    assert final.design.sequential.stopped == "decided"


def test_primary_pairs_decide_and_the_rest_does_not() -> None:
    mixed = compared(
        pair("better"),
        pair("no_difference_shown", primary=False),
        pair("equivalent", test="load"),
        pair("no_difference_shown", test="other"),
        pair("not_comparable", test="hopeless", reason="it depends on the output length, and the medians differ"),
    )
    assert standing(mixed) == (("other", "hopeless"), ("other",))
    assert standing(compared(pair("better"), pair("equivalent"))) == ((), ())


@pytest.mark.parametrize(
    ("reason", "helps"),
    [
        ("2 blocks with values; 3 are needed", True),
        ("51 values are too few to compare a p95; 73 are needed", True),
        ("there are 2 rounds, and their windows hold 2 slices of 3 median answers; 3 are needed: measure longer", True),
        ("a rate is one value per round; there are 2 of the 3 rounds needed", True),
        ("the test is invalid: a: the window is short", False),
        ("a has the better figures, and fewer requests succeeded: 90 % against 100 %", False),
        ("a answered no request in the steady window", False),
        (None, False),
    ],
)
def test_more_blocks_help_where_there_are_too_few(reason: str | None, helps: bool) -> None:
    assert more_would_help(pair("not_comparable", reason=reason)) is helps
    assert more_would_help(pair("no_difference_shown", reason=reason))


def test_rounds_that_were_added_count_and_blocks_are_no_rounds() -> None:
    plain = manifest("t")
    (load,) = plain.plan
    assert plain.rounds_of(load) == load.rounds
    added = DesignOfTest(unit="round", rule="in turn", asked=1, planned=1, run=load.rounds + 4)
    for unit, expected in (("round", load.rounds + 4), ("block", load.rounds)):
        tests = {load.name: added.model_copy(update={"unit": unit})}
        design = Design(seed=1, nonce="n", services=("vllm", "ollama"), tests=tests)
        assert plain.model_copy(update={"design": design}).rounds_of(load) == expected


def test_a_look_reads_what_is_there_and_leaves_the_run_as_it_was(tmp_path: Path) -> None:
    rows = [request(number, sent_at=10.0 * number, first_token_at=10.0 * number + 5) for number in range(1, 6)]
    folder = run_with_journal(tmp_path, rows, {1: [3, 4]})
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    for _ in range(2):  # a second one takes the place of the first
        interim = interim_run(folder)
        (test,) = folder.read_manifest().plan
        assert load_requests(interim, test=test.name, service="vllm").num_rows == 5
        assert interim.path.is_relative_to(folder.journal)
    remove_interim(folder)
    remove_interim(folder)
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_what_a_look_left_behind_goes_with_the_journal(tmp_path: Path) -> None:
    """As when the run was killed in the middle of a look."""
    folder = run_with_journal(tmp_path, [request(1, sent_at=10)])
    interim_run(folder)
    closed = finalise(folder, status="partial", save_raw_data=False)
    assert not folder.journal.exists()
    assert REQUESTS in closed.files
    assert not any("look" in name for name in closed.files)
