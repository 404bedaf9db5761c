"""Stored runs against each other: sides as they are written, what pairs up, how far it reaches, what is unlike."""

import json
from pathlib import Path

import jsonschema
import pytest

from compared_runs import SLOW, Speed, make_invalid, names, stored_run
from inference_bench.errors import NoServiceError, RunFolderError, UsageError
from inference_bench.results.between_runs import compare_runs
from inference_bench.results.between_sides import Chosen, read_side
from inference_bench.results.comparison import Comparison, Pair, published_json_schema
from inference_bench.results.comparison_words import sentence
from inference_bench.results.folder import Run, RunFolder, find_run
from inference_bench.results.manifest import ServiceFacts
from inference_bench.results.regression import regressions


def side(letter: str, *folders: RunFolder, service: str | None = None) -> Chosen:
    return Chosen(letter, tuple(Run(folder, folder.read_manifest()) for folder in folders), service)


def compare(a: RunFolder, b: RunFolder, service: str | None = None, **more: str) -> Comparison:
    return compare_runs(side("A", a, service=service), side("B", b, service=service), **more)


def primary(found: Comparison, test: str) -> Pair:
    chosen = [pair for pair in found.primary_pairs if pair.test == test]
    assert len(chosen) == 1
    return chosen[0]


def codes(found: Comparison) -> set[str]:
    return {note.code for note in found.fairness}


# --- one run against one ---


def test_a_service_that_got_slower(tmp_path: Path) -> None:
    found = compare(stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8))
    for test in ("ttft", "load"):
        pair = primary(found, test)
        assert (pair.a, pair.b, pair.verdict, pair.better) == ("A/a", "B/a", "better", "A/a")
        assert pair.ratio == pytest.approx(50 / 80, rel=0.03)
    assert found.scope == "between_runs"
    assert found.winners == {"ttft": None, "load": None, "overall": None}


def test_within_runs_the_interval_says_what_it_leaves_out(tmp_path: Path) -> None:
    found = compare(stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8))
    words = "does not include run-to-run change"
    for pair in found.pairs:
        assert pair.verdict == "not_comparable" or words in (pair.reason or "")
    assert words in sentence(primary(found, "ttft"), found.design)
    assert words in str(found.design["reach"])
    assert found.design["run_to_run"] is False


def test_few_rounds_are_cut_into_slices_here_too(tmp_path: Path) -> None:
    runs = [
        stored_run(tmp_path, names("a", a=speed), blocks=None, rounds=1, requests=120, seed=seed)
        for seed, speed in ((1, Speed()), (2, SLOW))
    ]
    pair = primary(compare(runs[0], runs[1]), "load")
    assert (pair.verdict, pair.blocks) == ("better", 6)
    assert pair.reason is not None
    assert "within this run only" in pair.reason
    assert "does not include run-to-run change" in pair.reason


def test_any_two_services_can_stand_against_each_other(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("ab")), stored_run(tmp_path, names("cd", d=SLOW), seed=8)
    found = compare_runs(side("A", a, service="b"), side("B", b, service="d"))
    assert {(pair.a, pair.b) for pair in found.pairs} == {("A/b", "B/d")}
    assert primary(found, "ttft").better == "A/b"


def test_two_services_of_one_run(tmp_path: Path) -> None:
    run = stored_run(tmp_path, names("ab", b=SLOW), blocks=40, rounds=None)
    found = compare_runs(side("A", run, service="a"), side("B", run, service="b"))
    assert primary(found, "ttft").better == "A/a"
    assert "same_run" in codes(found)
    assert "run_nonce" not in codes(found)


def test_every_service_both_have_is_compared(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("abc")), stored_run(tmp_path, names("cbd"), seed=8)
    found = compare(a, b)
    assert {(pair.a, pair.b) for pair in found.pairs} == {("A/b", "B/b"), ("A/c", "B/c")}
    assert found.design["family"] == 4


def test_the_only_services_need_no_names(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("b"), seed=8)
    assert primary(compare(a, b), "ttft").b == "B/b"
    found = compare_runs(side("A", a), side("B", stored_run(tmp_path, names("bc"), seed=9), service="c"))
    assert {(pair.a, pair.b) for pair in found.pairs} == {("A/a", "B/c")}


def test_tests_are_matched_by_name(tmp_path: Path) -> None:
    both, less = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a"), rounds=None, seed=8)
    assert {pair.test for pair in compare(both, less).pairs} == {"ttft"}
    with pytest.raises(UsageError, match="no test in common: A has ttft, B has load"):
        compare(less, stored_run(tmp_path, names("a"), blocks=None, seed=9))


def test_another_metric_may_decide(tmp_path: Path) -> None:
    runs = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8)
    found = compare(runs[0], runs[1], metric="e2e_ms.p50")
    assert {(pair.metric, pair.statistic) for pair in found.primary_pairs} == {("e2e_ms", "p50")}


def test_an_invalid_test_decides_nothing(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8)
    make_invalid(b, "ttft")
    found = compare(a, b)
    assert primary(found, "ttft").reason == "the test is invalid: send lag p99 is 12 ms"
    assert primary(found, "load").verdict == "better"


def test_a_service_without_good_requests_is_an_error(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=Speed(failing=100)), seed=8)
    with pytest.raises(NoServiceError, match=r"B: a answered no request in test_default"):
        compare(a, b)


# --- several runs a side ---


def several(directory: Path, ttfts: tuple[float, ...], first_seed: int) -> list[RunFolder]:
    return [
        stored_run(directory, names("a", a=Speed(ttft=ttft, e2e=450 + ttft)), seed=first_seed + place, blocks=20)
        for place, ttft in enumerate(ttfts)
    ]


def test_runs_are_the_blocks_and_their_change_is_included(tmp_path: Path) -> None:
    before, after = several(tmp_path, (50, 52, 48), 10), several(tmp_path, (99, 103, 98), 20)
    found = compare_runs(side("A", *before), side("B", *after))
    pair = primary(found, "load")
    assert (pair.verdict, pair.better, pair.blocks, pair.reason) == ("better", "A/a", 3, None)
    assert found.design["run_to_run"] is True
    assert "run-to-run change" in str(found.design["reach"])
    assert "does not include" not in found.model_dump_json()
    rate = next(pair for pair in found.pairs if pair.metric == "requests_per_s")
    assert (rate.verdict, rate.blocks) == ("equivalent", 3)


def test_change_from_run_to_run_widens_the_interval(tmp_path: Path) -> None:
    """Runs that differ as much among themselves as the sides do show nothing, though two of them alone would."""
    before, after = several(tmp_path, (50, 80, 62), 10), several(tmp_path, (60, 95, 74), 20)
    assert primary(compare(before[0], after[0]), "ttft").verdict == "better"
    found = compare_runs(side("A", *before), side("B", *after))
    assert primary(found, "ttft").verdict == "no_difference_shown"


def test_the_value_shown_is_the_one_the_ratio_is_made_of(tmp_path: Path) -> None:
    before, after = several(tmp_path, (50, 60, 70), 10), several(tmp_path, (50, 60, 70), 20)
    pair = primary(compare_runs(side("A", *before), side("B", *after)), "ttft")
    assert pair.value_a is not None
    assert pair.value_b is not None
    assert pair.ratio == pytest.approx(pair.value_a / pair.value_b)


def test_three_runs_a_side_are_needed(tmp_path: Path) -> None:
    before, after = several(tmp_path, (50, 52, 48), 10), several(tmp_path, (99,), 20)
    pair = primary(compare_runs(side("A", *before), side("B", *after)), "ttft")
    assert pair.reason == "runs are the blocks, and 3 are needed on each side: A has 3, B 1"


# --- sides as they are written ---


def test_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "results"
    runs = [stored_run(results, names("ab"), blocks=3, rounds=None) for _ in range(2)]
    ids = [folder.test_id for folder in runs]
    monkeypatch.chdir(tmp_path)

    def read(text: str) -> tuple[tuple[str, ...], str | None]:
        chosen = read_side("A", text, lambda name: find_run(results, name))
        return chosen.ids, chosen.service

    assert read(f"{ids[0]}") == ((ids[0],), None)
    assert read(f"{ids[0]}/a") == ((ids[0],), "a")
    assert read(f"{ids[0]},{ids[1]}/b") == (tuple(ids), "b")
    assert read(f" {ids[0]}/b , {ids[1]}/b") == (tuple(ids), "b")
    assert read(f"results/{ids[1]}") == ((ids[1],), None)
    assert read(f"results/{ids[1]}/") == ((ids[1],), None)
    assert read(f"{runs[1].path}/a") == ((ids[1],), "a")


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        (",", UsageError, "A names no run"),
        ("ID/a,ID_2/b", UsageError, "the services a and b"),
        ("ID,ID/a", UsageError, "names a run twice"),
        ("nothing", RunFolderError, "no run 'nothing'"),
        ("nothing/a", RunFolderError, "no run 'nothing'"),
        ("results/nothing", RunFolderError, "no run 'results/nothing'"),
    ],
)
def test_sides_that_make_no_sense(
    text: str, error: type[Exception], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results"
    first = stored_run(results, names("ab"), blocks=3, rounds=None)
    stored_run(results, names("ab"), blocks=3, rounds=None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        read_side("A", text.replace("ID", first.test_id), lambda name: find_run(results, name))


def test_services_that_make_no_sense(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("ab"), blocks=3), stored_run(tmp_path, names("cd"), blocks=3, seed=8)
    with pytest.raises(UsageError, match="no service in common: A has a, b, B has c, d"):
        compare(a, b)
    with pytest.raises(UsageError, match="has no service 'x'"):
        compare_runs(side("A", a, service="x"), side("B", b, service="c"))
    with pytest.raises(UsageError, match="B has no service 'a', and several others: c, d"):
        compare_runs(side("A", a, service="a"), side("B", b))
    with pytest.raises(UsageError, match="the same measurement"):
        compare(a, a)


# --- what is unlike ---


def test_like_runs_have_no_notes(tmp_path: Path) -> None:
    runs = [stored_run(tmp_path, names("a"), blocks=5, rounds=None, nonce=nonce) for nonce in ("n1", "n2")]
    assert compare(runs[0], runs[1]).fairness == ()


def test_settings_that_differ_are_noted(tmp_path: Path) -> None:
    a = stored_run(tmp_path, names("a"), rounds=3)
    manifest = a.read_manifest()
    facts = ServiceFacts(name="a", engine="a", model="other", version="2", url="http://10.0.0.9:8000")
    environment = manifest.environment.model_copy(update={"host": "bench-2"})
    b = stored_run(
        tmp_path, names("a"), rounds=4, seed=8, facts=(facts,), environment=environment,
        config={"workload": {"kind": "file", "path": "p.txt"}},
    )  # fmt: skip
    shape = b.read_manifest().plan[1]
    users = shape.load.model_copy(update={"concurrent_users": 9, "max_tokens": 128})
    changed = (b.read_manifest().plan[0], shape.model_copy(update={"load": users}))
    b.update(lambda so_far: so_far.model_copy(update={"plan": changed, "status": "partial"}))
    found = compare(a, b)
    assert codes(found) >= {
        "run_host", "run_workload", "run_seed", "run_status", "run_concurrent_users", "run_max_tokens", "run_rounds",
        "run_duration_seconds", "run_model", "run_version", "run_url",
    }  # fmt: skip
    by_code = {note.code: note for note in found.fairness}
    assert by_code["run_concurrent_users"].text == "users: A 3; B 9"
    assert (by_code["run_concurrent_users"].test, by_code["run_concurrent_users"].weight) == ("load", "warning")
    assert by_code["run_model"].text == "model of A/a and B/a: A m; B other"
    assert by_code["run_model"].services == ("A/a", "B/a")
    assert [note.weight for note in found.fairness] == sorted((n.weight for n in found.fairness), reverse=True)


def test_a_nonce_that_was_used_again_is_a_warning(tmp_path: Path) -> None:
    runs = [stored_run(tmp_path, names("a"), blocks=5, rounds=None) for _ in range(2)]
    notes = {note.code: note.weight for note in compare(runs[0], runs[1]).fairness}
    assert notes == {"run_nonce": "warning"}


def test_simulated_is_kept_and_a_mix_is_a_warning(tmp_path: Path) -> None:
    a = stored_run(tmp_path, names("a"), blocks=5, rounds=None, simulated=True)
    found = compare(a, stored_run(tmp_path, names("a"), blocks=5, rounds=None, seed=8))
    assert found.simulated
    assert "run_simulated" in codes(found)


# --- the gate ---


def test_the_whole_interval_must_lie_beyond(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8)
    found = compare(a, b)
    assert {one.outcome for one in regressions(found, 10)} == {"failed"}
    assert {one.outcome for one in regressions(found, 60)} == {"held"}  # the ratio is 1.6: not all of the interval
    assert {one.outcome for one in regressions(compare(b, a), 10)} == {"held"}
    worse = regressions(found, 10)[0].worse
    assert worse == pytest.approx(1.6, rel=0.03)


def test_a_rate_that_fell_is_a_regression(tmp_path: Path) -> None:
    a = stored_run(tmp_path, names("a"), blocks=None, requests=90)
    b = stored_run(tmp_path, names("a"), blocks=None, requests=60, seed=8)
    judged = regressions(compare(a, b, metric="requests_per_s"), 20)
    assert [(one.what, one.outcome) for one in judged] == [("requests/s", "failed")]
    assert judged[0].worse == pytest.approx(1.5, rel=0.03)
    assert regressions(compare(b, a, metric="requests_per_s"), 20)[0].outcome == "held"


def test_what_cannot_be_compared_is_not_judged_but_no_answer_is_worse_than_any(tmp_path: Path) -> None:
    a, b = stored_run(tmp_path, names("a"), blocks=2), stored_run(tmp_path, names("a"), blocks=2, seed=8)
    outcomes = {one.pair.test: one.outcome for one in regressions(compare(a, b), 10)}
    assert outcomes == {"ttft": "not_judged", "load": "held"}


def test_what_is_printed_holds_to_the_published_schema(tmp_path: Path) -> None:
    found = compare(stored_run(tmp_path, names("a")), stored_run(tmp_path, names("a", a=SLOW), seed=8))
    data = json.loads(found.model_dump_json())
    jsonschema.validate(data, published_json_schema(), jsonschema.Draft202012Validator)
    assert Comparison.model_validate(data) == found
