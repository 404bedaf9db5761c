"""How a run is closed and rescued: figures, verdicts, gates and documents; nothing of it endangers the measured."""

from pathlib import Path

import pytest

from drawn_runs import drawn_run
from inference_bench.errors import UsageError
from inference_bench.orchestration import closing
from inference_bench.orchestration.closing import close_run, recover_run, write_documents_of
from inference_bench.reporting import documents as documents_module
from inference_bench.results.comparison import read_comparison
from inference_bench.results.folder import RunFolder
from inference_bench.results.gates import parse_gates, read_gates
from inference_bench.results.summary import read_summary
from run_records import request, run_with_journal

DOCUMENTS = {"executive_report.html", "report.md"}


def killed_run(directory: Path, *, output: dict[str, object]) -> RunFolder:
    """Make what a killed run of two services leaves: a journal, no tables."""
    rows: list[dict[str, object]] = []
    for block in range(8):
        for place, service in enumerate(("vllm", "ollama")):
            sent = block * 1000 + place * 400
            first = sent + 40 * (1 + place) + block % 3
            marks = {"first_token_at": first, "last_token_at": first + 50, "end_at": first + 51}
            rows.append(request(len(rows), service=service, test="load", sent_at=sent, block=block, **marks))
    return run_with_journal(directory, rows, config={"output": output})


def names(folder: RunFolder) -> set[str]:
    return set(folder.read_manifest().files)


def test_a_killed_run_is_rescued_with_figures_verdicts_and_documents(tmp_path: Path) -> None:
    folder = killed_run(tmp_path, output={"generate_report": True})
    manifest, documents, failure = recover_run(folder)
    assert failure is None
    assert documents.warnings == ()
    assert manifest.status == "partial"
    assert read_summary(folder) is not None
    comparison = read_comparison(folder)
    assert comparison is not None
    assert {(pair.a, pair.b) for pair in comparison.pairs} == {("vllm", "ollama")}
    assert {path.name for path in documents.paths} >= DOCUMENTS
    assert manifest == folder.read_manifest()
    assert set(manifest.files) == {
        path.relative_to(folder.path).as_posix() for path in folder.path.rglob("*") if path.is_file()
    } - {"test_manifest.json"}
    assert not folder.journal.exists()
    again = recover_run(folder)
    assert again.manifest == manifest
    assert again.documents == closing.Documents()


def test_a_comparison_that_fails_costs_neither_the_tables_nor_the_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_folder: RunFolder, *, alpha: float | None) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(closing, "compare_run", broken)
    folder = killed_run(tmp_path, output={"generate_report": False})
    manifest, documents, failure = recover_run(folder)
    assert manifest.status == "partial"
    assert {"requests.parquet", "summary.json"} <= names(folder)
    assert read_comparison(folder) is None
    assert failure is not None
    assert failure.message == "the run is saved, but could not be compared: ZeroDivisionError: a defect"
    assert documents == closing.Documents()


def test_documents_that_fail_are_a_warning_that_says_how_to_make_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        (folder.path / "report.md").write_text("half of it")
        raise ValueError("no such\ncolour")

    run = drawn_run(tmp_path, blocks=4, requests=0, config={"output": {"generate_report": True}})
    folder = run.folder
    monkeypatch.setattr(documents_module, "write_documents", broken)
    paths, (warning,) = write_documents_of(folder)
    assert paths == ()
    assert warning == (
        "the run is saved, but not its documents: ValueError: no such colour; "
        f"try again with: visualize {folder.test_id}"
    )
    assert folder.read_manifest().status == "complete"
    assert "report.md" in names(folder)


@pytest.mark.parametrize("output", [{}, {"generate_report": False, "generate_charts": False}])
def test_documents_nobody_asked_for_are_not_made(tmp_path: Path, output: dict[str, object]) -> None:
    run = drawn_run(tmp_path, blocks=4, requests=0, config={"output": output})
    assert write_documents_of(run.folder) == closing.Documents()
    assert not DOCUMENTS & {path.name for path in run.folder.path.iterdir()}


def test_charts_are_listed_with_the_folder_they_stand_in(tmp_path: Path) -> None:
    output = {"generate_report": False, "generate_charts": True}
    run = drawn_run(tmp_path, blocks=10, requests=0, config={"output": output})
    paths, warnings = write_documents_of(run.folder)
    assert warnings == ()
    assert paths
    assert {path.relative_to(run.folder.path).as_posix() for path in paths} <= names(run.folder)


def test_gates_are_judged_and_one_that_names_nothing_is_refused(tmp_path: Path) -> None:
    run = drawn_run(tmp_path, blocks=6, requests=0)
    assert close_run(run.folder, fail_if=parse_gates(["vllm.ttft_ms.p50 > 1"])) is None
    gates = read_gates(run.folder)
    assert gates is not None
    assert len(gates.failed) == 1
    with pytest.raises(UsageError, match="nobody"):
        close_run(run.folder, fail_if=parse_gates(["nobody.ttft_ms.p50 > 1"]))
