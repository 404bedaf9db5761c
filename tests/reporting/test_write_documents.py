"""Writing the documents: where they lie, whole or not at all, and what they do with places that cannot be written."""

from pathlib import Path

import pytest
from report_runs import small_run

from drawn_runs import opened
from inference_bench.errors import RunFolderError
from inference_bench.reporting.documents import ComparisonDocuments, RunDocuments, write_documents
from inference_bench.results.comparing import compare_run
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return small_run(tmp_path_factory.mktemp("documents"), simulated=True)


def names(paths: list[Path], below: Path) -> list[str]:
    return [path.relative_to(below).as_posix() for path in paths]


def test_documents_go_into_the_run_folder_or_elsewhere(run: Run, tmp_path: Path) -> None:
    inside = write_documents(run, charts=False, report=True)
    assert names(inside, run.folder.path) == ["executive_report.html", "report.md"]
    place = tmp_path / "a" / "b"
    outside = write_documents(run, charts=True, report=True, directory=place)
    assert all(path.is_file() for path in outside)
    assert {"charts/ttft_analysis.html", "executive_report.html", "report.md"} <= set(names(outside, place))
    assert not [path for path in place.rglob("*") if path.name.startswith(".")]
    assert write_documents(run, charts=False, report=False) == []


def test_what_is_made_again_takes_the_place_of_the_old(run: Run, tmp_path: Path) -> None:
    first = write_documents(run, charts=False, report=True, directory=tmp_path)
    before = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in write_documents(run, charts=False, report=True, directory=tmp_path)] == before


def test_a_place_that_cannot_be_written_is_an_error_with_a_hint(run: Run, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("a file")
    for charts in (True, False):
        with pytest.raises(RunFolderError, match="cannot write to") as caught:
            write_documents(run, charts=charts, report=not charts, directory=taken)
        assert caught.value.hint is not None


def test_a_run_without_records_has_its_report(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    run.folder.file(REQUESTS).unlink()
    documents = RunDocuments(opened(run.folder))
    page, markdown = documents.write_report()
    assert REQUESTS in markdown.read_text().replace("\\", "")
    assert page.stat().st_size > 1000
    assert any(chart.figure is None and chart.reason for chart in documents.charts)


def test_a_damaged_run_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    run = small_run(tmp_path)
    run.folder.file("comparison.json").write_text("{")
    with pytest.raises(RunFolderError, match="comparison"):
        write_documents(run, charts=True, report=True, directory=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_comparison_alone_has_a_report_and_a_chart_named_after_it(run: Run, tmp_path: Path) -> None:
    documents = ComparisonDocuments(compare_run(run.folder), tmp_path, "May to June")
    paths = [*documents.write_charts(), *documents.write_report()]
    assert names(paths, tmp_path) == ["charts/may-to-june.html", "may-to-june_report.html", "may-to-june_report.md"]
    assert "SIMULATED" in paths[1].read_text()
    assert "vllm" in paths[2].read_text()
