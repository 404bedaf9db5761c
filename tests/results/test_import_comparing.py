"""Imported runs against ours and against each other: what may be compared, what may not, and what is said of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from imported_files import AIPERF, APPENDED, DETAILED, GUIDELLM, lengthened, lengthened_report

from compared_runs import names, stored_run
from inference_bench.metrics.definitions import METRICS
from inference_bench.results.between_runs import compare_runs
from inference_bench.results.between_sides import Chosen
from inference_bench.results.comparison import Comparison, FairnessNote, Pair
from inference_bench.results.folder import Run
from inference_bench.results.importing.definitions import DEFINITIONS, TITLES, definition_of
from inference_bench.results.importing.introducing import ImportAs
from inference_bench.results.importing.writing import import_file
from inference_bench.results.values import RATES


def side(letter: str, *runs: Run) -> Chosen:
    return Chosen(letter, runs)


def pair(found: Comparison, metric: str, statistic: str | None) -> Pair:
    return next(one for one in found.pairs if (one.metric, one.statistic) == (metric, statistic))


def notes(found: Comparison, code: str) -> Sequence[FairnessNote]:
    return [note for note in found.fairness if note.code == code]


def imported(path: Path, into: Path, **said: str) -> Run:
    return import_file(path, into, ImportAs(**{"engine": "a", **said}))


@pytest.fixture(name="ours")
def _ours(tmp_path: Path) -> Run:
    folder = stored_run(tmp_path / "ours", names("a"))
    return Run(folder, folder.read_manifest())


def test_what_means_another_thing_there_gets_no_verdict(ours: Run, tmp_path: Path) -> None:
    theirs = imported(lengthened(tmp_path, times=20), tmp_path)
    found = compare_runs(side("A", theirs), side("B", ours))
    for metric, statistic in (("ttft_ms", "p95"), ("tpot_ms", "p50"), ("requests_per_s", None)):
        one = pair(found, metric, statistic)
        assert one.verdict == "not_comparable"
        assert "it is not the same in A, imported from vllm bench serve" in (one.reason or "")
        assert one.value_a is not None and one.value_b is not None  # shown all the same
    noted = {note.text.split(": ")[1]: note.weight for note in notes(found, "run_definition")}
    assert noted["ttft_ms"] == noted["requests_per_s"] == "warning"
    assert noted["e2e_ms"] == "note"


def test_what_means_the_same_there_is_compared_and_where_it_comes_from_is_said(ours: Run, tmp_path: Path) -> None:
    theirs = imported(lengthened(tmp_path, times=20), tmp_path)
    found = compare_runs(side("A", theirs), side("B", ours))
    assert "it depends on the output length" in (pair(found, "e2e_ms", "p50").reason or "")
    (note,) = notes(found, "run_imported")
    assert note.weight == "warning"
    assert "imported from vllm bench serve (lengthened-1.json)" in note.text
    told = {note.code: note.text for note in found.fairness}
    assert (
        "A not told" in told["run_host"] and "A not told" in told["run_workload"] and "A not told" in told["run_seed"]
    )


def test_two_runs_of_one_tool_are_compared_as_two_of_ours(tmp_path: Path) -> None:
    quick = imported(lengthened(tmp_path, times=20), tmp_path)
    slow = imported(lengthened(tmp_path, times=20, slower=2.0), tmp_path)
    found = compare_runs(side("A", quick), side("B", slow))
    one = pair(found, "tpot_ms", "p50")
    assert one.verdict == "better" or (one.ratio is not None and one.ratio == pytest.approx(0.5, rel=0.1))
    assert pair(found, "ttft_ms", "p95").verdict == "equivalent"
    assert not notes(found, "run_definition")
    assert not notes(found, "run_nonce")


def test_figures_without_requests_are_shown_and_not_compared(ours: Run, tmp_path: Path) -> None:
    one_line = tmp_path / "one.json"
    one_line.write_text(APPENDED.read_text().splitlines()[0])
    found = compare_runs(side("A", imported(one_line, tmp_path)), side("B", ours))
    for one in found.pairs:
        assert one.verdict == "not_comparable"
    assert "as figures, without its requests" in (pair(found, "ttft_ms", "p50").reason or "")
    assert pair(found, "ttft_ms", "p50").value_a == pytest.approx(66.67, abs=0.01)


def test_a_tool_that_means_what_we_mean_is_compared(ours: Run, tmp_path: Path) -> None:
    theirs = imported(lengthened_report(tmp_path, times=20), tmp_path)
    found = compare_runs(side("A", theirs), side("B", ours))
    one = pair(found, "ttft_ms", "p95")  # a server of 60 ms against one of 50 ms
    assert (one.verdict, one.better) == ("better", "B/a")
    assert one.ratio is not None and 1.1 < one.ratio < 1.4
    assert {note.weight for note in notes(found, "run_definition") if "ttft_ms" in note.text} == {"note"}


def test_two_tools_are_each_told_by_their_letter(tmp_path: Path) -> None:
    a, b = imported(AIPERF, tmp_path), imported(DETAILED, tmp_path)
    found = compare_runs(side("A", a), side("B", b))
    said = {note.text[:1] for note in notes(found, "run_definition")}
    assert said == {"A", "B"}
    assert len(notes(found, "run_imported")) == 2


def test_a_run_of_its_own_has_nothing_to_compare_and_stays_suspect(tmp_path: Path) -> None:
    run = imported(GUIDELLM, tmp_path)
    assert run.manifest.status == "complete"
    assert {"comparison.json", "summary.json", "requests.parquet"} <= run.manifest.files.keys()


def test_every_definition_is_of_a_tool_and_a_metric_and_says_all_of_it() -> None:
    seen = set()
    for one in DEFINITIONS:
        assert one.tool in TITLES
        assert one.metric in {*METRICS, *RATES, "total_tokens_per_s", "percentiles"}
        assert one.there and one.here and one.error and one.bases
        for basis in one.bases:
            assert (one.tool, one.metric, basis) not in seen  # one answer for each
            seen.add((one.tool, one.metric, basis))
            assert definition_of(one.tool, one.metric, basis) is one
    for tool in TITLES:
        assert definition_of(tool, "requests_per_s", "marks") is not None
        assert definition_of(tool, "ttft_ms", "reported") is not None
