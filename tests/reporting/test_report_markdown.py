"""report.md: tables that hold together, the same content as the page, foreign texts escaped, no HTML."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from report_runs import PRICED, hostile_run, small_run

from drawn_runs import SERVICES, drawn_run
from inference_bench.reporting.facts import run_report
from inference_bench.reporting.markdown import report_markdown
from inference_bench.reporting.view import Banner, Cell, Head, Point, Report, Row, Table
from inference_bench.results.folder import Run

_UNESCAPED = re.compile(r"(?<!\\)(?:\\\\)*([<>])")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return drawn_run(tmp_path_factory.mktemp("md"), simulated=True, config=PRICED)


@pytest.fixture(scope="module")
def report(run: Run) -> Report:
    return run_report(run)


def tables(text: str) -> list[list[int]]:
    """Return the number of cells in each line of each table."""
    found: list[list[int]] = [[]]
    for line in text.splitlines():
        if line.startswith("|"):
            found[-1].append(len(re.findall(r"(?<!\\)(?:\\\\)*\|", line)) - 1)
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


def without_quotes(text: str) -> str:
    return "\n".join(line.removeprefix("> ") for line in text.splitlines())


def test_every_table_has_as_many_cells_in_each_row(report: Report) -> None:
    found = tables(report_markdown(report))
    assert len(found) > 8
    assert all(len(set(table)) == 1 for table in found), found


def test_it_says_what_the_page_says(report: Report) -> None:
    text = report_markdown(report).replace("\\", "")
    assert text.startswith("# default\n")
    assert "> **SIMULATED:**" in text
    for words in (report.verdict.headline, *report.verdict.sentences, *report.limits, *SERVICES):
        assert words in text
    for contest in report.contests:
        assert contest.sentence in text
    for heading in ("Fairness", "Can it be trusted", "Cost", "Load test: few", "Errors", "Method", "Definitions"):
        assert re.search(rf"^##+ {heading}$", text, re.MULTILINE), heading


def test_texts_of_others_are_text(tmp_path: Path) -> None:
    text = report_markdown(run_report(hostile_run(tmp_path)))
    assert not _UNESCAPED.search(without_quotes(text))
    assert "\\<script\\>" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert not re.search(r"^# head", text, re.MULTILINE)
    assert all(len(set(table)) == 1 for table in tables(text))


@given(st.text(max_size=60))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_text_becomes_markup(report: Report, foreign: str) -> None:
    table = Table(foreign, (Head(foreign), Head("b")), (Row(foreign, (Cell(foreign, foreign),)), Row(foreign)))
    spoiled = replace(
        report,
        title=foreign,
        banners=(Banner("warn", foreign, foreign),),
        validity=table,
        method=(Point(foreign, foreign),),
        limits=(foreign,),
        tests=(),
        services=(),
    )
    text = report_markdown(spoiled)
    assert not _UNESCAPED.search(without_quotes(text))
    assert all(len(set(found)) == 1 for found in tables(text))
    plain = report_markdown(replace(spoiled, title="t", banners=(Banner("warn", "t", "t"),), limits=("t",)))
    assert text.count("\n## ") == plain.count("\n## ")


def test_a_run_without_a_test_has_a_document(tmp_path: Path) -> None:
    text = report_markdown(run_report(small_run(tmp_path, blocks=0, requests=0)))
    assert "## Nothing was measured" in text
