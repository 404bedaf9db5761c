"""Sweeps and capacities in the documents: page, Markdown, charts, CSV, JUnit; services that are in one test only."""

import csv
import io
import xml.etree.ElementTree as ET
from pathlib import Path

import plotly.graph_objects as go
import pytest
from report_runs import SCRIPT

from inference_bench.reporting.documents import RunDocuments
from inference_bench.reporting.facts import run_report
from inference_bench.reporting.markdown import report_markdown
from inference_bench.results.comparing import compare_run
from inference_bench.results.folder import Run
from inference_bench.results.junit import write_junit
from inference_bench.results.markdown import run_markdown
from inference_bench.results.summary import Summary, Validity, read_summary
from inference_bench.results.summary_csv import summary_csv
from inference_bench.visualization import BenchmarkVisualizer
from searched_runs import capacity, facts, probe, searched_run, swept_run


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a run that searched for capacities only."""
    return searched_run(tmp_path_factory.mktemp("searched"))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Give a run of a TTFT test and a sweep, whose higher load is invalid."""
    disturbed = Validity(verdict="invalid", reasons=("a busy client",))
    return swept_run(tmp_path_factory.mktemp("swept"), many=disturbed)


def summary_of(run: Run) -> Summary:
    """Return a run's summary."""
    found = read_summary(run.folder)
    assert found is not None
    return found


def drawn(run: Run) -> dict[str, go.Figure]:
    """Return the charts that could be drawn."""
    return {chart.name: chart.figure for chart in BenchmarkVisualizer(run).charts() if chart.figure is not None}


def test_documents_of_a_search_in_which_no_test_has_all_services(searched: Run, tmp_path: Path) -> None:
    documents = RunDocuments(searched, tmp_path)
    paths = [*documents.write_charts(), *documents.write_report()]
    assert "capacity_knee.html" in {path.name for path in paths}
    page = (tmp_path / "executive_report.html").read_text("utf-8")
    for said in ("Capacity under the promises: knee", "4 times as many", "the rule", 'id="figure-capacity_knee"'):
        assert said in page, said


def test_the_verdict_leads_with_the_capacities(searched: Run) -> None:
    report = run_report(searched)
    assert report.verdict.headline == "vllm carries the most: 8 users (8 to 9)"
    assert report.verdict.sentences[0] == "vllm carries 8 users, tgi 2: 4 times as many."
    assert report.verdict.winner == report.numbers["vllm"]
    assert not report.contests
    assert report.validity is None, "the loads of a search are no tests to judge"
    shown = report_markdown(report)
    assert "| **vllm** | 8 users | 8 to 9 | 9 | 80 | 51 | 5 \\(1 void\\) |" in shown
    assert "7 probes for capacity" in shown.replace("\N{NO-BREAK SPACE}", " ")


def test_a_search_that_was_cut_has_no_verdict(tmp_path: Path) -> None:
    cut = facts({"vllm": capacity(4, 4, None, probe(4, kept=True)), "tgi": capacity(None, None, None)}, complete=False)
    verdict = run_report(searched_run(tmp_path, cut)).verdict
    assert verdict.headline == "No capacity found yet"
    assert verdict.winner is None


def test_a_capacity_that_is_not_known_is_said_in_a_sentence(tmp_path: Path) -> None:
    verdict = run_report(searched_run(tmp_path, facts({"vllm": capacity(None, None, None)}))).verdict
    assert verdict.headline == "The capacity of vllm is not known"
    assert verdict.sentences[0] == "The capacity of vllm is not known under its promises."


def test_a_search_alone_compares_nothing_and_says_so(searched: Run) -> None:
    comparison = compare_run(searched.folder)
    assert not comparison.pairs
    assert str(comparison.winner_reasons["overall"]).startswith("only capacities were searched for")


def test_what_a_server_said_stays_text(tmp_path: Path) -> None:
    spoiled = facts({"vllm": capacity(4, 4, 5, probe(4, kept=True), probe(5, kept=False, why=(SCRIPT,)))})
    documents = RunDocuments(searched_run(tmp_path / "run", spoiled), tmp_path)
    page, markdown = (path.read_text("utf-8") for path in documents.write_report())
    assert SCRIPT not in page
    assert "&lt;script&gt;document.title" in page
    assert SCRIPT not in markdown


def test_the_capacity_chart_has_a_point_for_each_probe_and_a_line_at_the_promise(searched: Run) -> None:
    figure = drawn(searched)["capacity_knee"]
    points = {trace.name: trace for trace in figure.data if trace.mode == "markers"}
    assert sorted(points["vllm"].x) == [4, 8, 8, 8, 9]
    # The first marker stands in the legend, so it is one that kept the promises; what says nothing comes last.
    assert [symbol == "x-thin" for symbol in points["vllm"].marker.symbol] == [False] * 4 + [True]
    assert [symbol.endswith("-open") for symbol in points["tgi"].marker.symbol] == [False, True]
    assert 0.9 in {shape.y0 for shape in figure.layout.shapes}
    assert {(8, 9), (2, 4)} <= {(shape.x0, shape.x1) for shape in figure.layout.shapes}


def test_the_curve_of_a_sweep_marks_invalid_points_hollow(swept: Run) -> None:
    figures = drawn(swept)
    assert "load_few" not in figures, "the points of a sweep stand in its curve"
    for name in ("throughput_latency_curve", "goodput_curve"):
        assert {trace.name for trace in figures[name].data} == {"vllm", "tgi"}
    assert list(figures["throughput_latency_curve"].data[0].text) == ["2 users", "8 users"]
    assert list(figures["throughput_latency_curve"].data[0].marker.symbol) == ["circle", "circle-open"]


def test_a_sweep_is_one_table(swept: Run) -> None:
    report = run_report(swept)
    (sweep,) = report.sweeps
    assert sweep.words == "2 loads, 2 to 8 users"
    assert [row.label for row in sweep.table.rows] == ["2", "2", "8", "8"]
    assert sweep.doubts == ("many is invalid: a busy client.",)
    assert "## Sweep: curve" in report_markdown(report)
    exported = run_markdown(swept.manifest, summary_of(swept))
    assert "## Sweep: curve" in exported
    assert "## few" not in exported


def test_the_csv_has_each_capacity_in_the_row_of_its_load(searched: Run, swept: Run) -> None:
    rows = list(csv.DictReader(io.StringIO(summary_csv(summary_of(searched)))))
    said = {row["service"]: (row["test"], row["capacity"], row["capacity_low"], row["capacity_high"]) for row in rows}
    assert said == {"tgi": ("few", "2.0", "2.0", "4.0"), "vllm": ("many", "8.0", "8.0", "9.0")}
    points = list(csv.DictReader(io.StringIO(summary_csv(summary_of(swept)))))
    found = {(row["sweep"], row["probe"], row["capacity"]) for row in points}
    assert found == {("", "false", ""), ("curve", "false", "")}


def test_probes_are_no_test_cases_and_capacities_are_told(searched: Run, tmp_path: Path) -> None:
    write_junit(tmp_path / "junit.xml", searched.folder)
    root = ET.parse(tmp_path / "junit.xml").getroot()
    assert [suite.get("name") for suite in root] == ["run"]
    told = {case.get("classname"): case.findtext("system-out") for case in root.iter("testcase")}
    assert str(told["knee.vllm"]).startswith("8 users (8 to 9) under ttft_ms at most 100 for 0.9 of the requests")


def test_users_served_are_those_of_the_search(tmp_path: Path) -> None:
    priced = {"pricing": {"currency": "EUR", "per_hour": {"vllm": 3.6}}}
    report = run_report(searched_run(tmp_path, config=priced))
    assert report.cost is not None
    served = next(row for row in report.cost.table.rows if row.label == "Users served by one replica")
    assert [cell.text for cell in served.cells] == ["–", "8"]
    assert served.cells[1].below == "in the search of knee, the largest tried"
