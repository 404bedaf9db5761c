"""Every chart says what it is of, or why it is not drawn; figures hold the run's own values."""

import json
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from drawn_runs import SERVICES, drawn_run
from inference_bench.errors import RunFolderError
from inference_bench.results.comparison import Comparison, Pair
from inference_bench.results.folder import Run
from inference_bench.results.summary import read_summary
from inference_bench.visualization import BenchmarkVisualizer, Chart
from inference_bench.visualization.charts.forest import comparison_chart
from inference_bench.visualization.charts.server_series import POINTS, broken, thinned
from inference_bench.visualization.page import fragment
from inference_bench.visualization.run_data import QUANTILES, TIMELINE_REQUESTS, RunData
from inference_bench.visualization.theme import service_styles

NAMES = [
    "comparison",
    "ttft_analysis",
    "load_few",
    "load_many",
    "performance_radar",
    "throughput_latency",
    "requests_over_time",
    "token_cadence",
    "errors",
    "client_server_waterfall",
    "server_series",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return drawn_run(tmp_path_factory.mktemp("charts"), simulated=True)


@pytest.fixture(scope="module")
def charts(run: Run) -> dict[str, Chart]:
    return {chart.name: chart for chart in BenchmarkVisualizer(run).charts()}


def figure(chart: Chart) -> go.Figure:
    assert chart.figure is not None, chart.reason
    return chart.figure


def traces(chart: Chart) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(figure(chart).to_json())["data"]
    return found


def title(chart: Chart) -> str:
    return str(figure(chart).layout.title.text)


def test_a_full_run_has_every_chart(charts: dict[str, Chart]) -> None:
    assert list(charts) == NAMES
    assert not [chart.name for chart in charts.values() if chart.figure is None]


@pytest.mark.parametrize("name", NAMES)
def test_every_chart_says_n_its_test_and_that_it_is_simulated(name: str, charts: dict[str, Chart]) -> None:
    said = title(charts[name])
    assert "SIMULATED" in said
    assert "n " in said
    assert any(word in said for word in ("ttft", "few", "many", "all tests"))
    assert charts[name].caption


def test_a_run_of_real_engines_is_not_called_simulated(tmp_path: Path) -> None:
    drawn = BenchmarkVisualizer(drawn_run(tmp_path, requests=0)).charts()
    assert not [chart.name for chart in drawn if chart.figure is not None and "SIMULATED" in title(chart)]


def test_the_median_on_the_ttft_chart_is_that_of_the_summary(run: Run, charts: dict[str, Chart]) -> None:
    summary = read_summary(run.folder)
    assert summary is not None
    drawn = {str(trace.name): trace for trace in figure(charts["ttft_analysis"]).data if trace.type == "scatter"}
    for service, figures in summary.tests[0].services.items():
        assert list(drawn[f"{service}, median"].x) == [getattr(figures.metrics["ttft_ms"], "p50")]  # noqa: B009
        assert list(drawn[service].y)[-1] == 1.0


def test_services_keep_their_colour_in_every_chart(run: Run) -> None:
    styles = service_styles(SERVICES)
    assert len({style.colour for style in styles.values()}) == len(SERVICES)
    assert len({style.dash for style in styles.values()}) == len(SERVICES)
    many = service_styles([str(number) for number in range(12)])
    assert len({(style.colour, style.dash, style.marker) for style in many.values()}) == 12


def test_the_throughput_latency_curve_has_a_point_for_each_load(charts: dict[str, Chart]) -> None:
    for trace in figure(charts["throughput_latency"]).data:
        assert list(trace.text) == ["2 users", "8 users"]


def test_the_curve_says_so_when_the_run_has_one_load(tmp_path: Path) -> None:
    drawn = {chart.name: chart for chart in BenchmarkVisualizer(drawn_run(tmp_path, requests=0)).charts()}
    assert drawn["throughput_latency"].figure is None
    assert "at least two load tests" in str(drawn["throughput_latency"].reason)
    assert "not" not in fragment(drawn["comparison"])[:20]
    assert "Not drawn" in fragment(drawn["throughput_latency"])


def test_errors_are_counted_by_class_and_service(run: Run, charts: dict[str, Chart]) -> None:
    summary = read_summary(run.folder)
    assert summary is not None
    wanted: dict[str, int] = {}
    for test in summary.tests:
        for kind, number in test.services["tgi"].requests.errors.items():
            wanted[kind] = wanted.get(kind, 0) + number
    drawn = {str(trace.name): trace for trace in figure(charts["errors"]).data}
    assert dict(zip(drawn["tgi"].x, drawn["tgi"].y, strict=True)) == wanted
    assert not any(drawn["vllm"].y)


def test_the_waterfall_shows_only_what_was_told(charts: dict[str, Chart]) -> None:
    rows = {str(row) for trace in figure(charts["client_server_waterfall"]).data for row in trace.y}
    assert rows == {"vllm", "ollama"}
    assert "Nothing to be put beside ours: tgi." in charts["client_server_waterfall"].caption


def test_the_waterfall_s_parts_add_up(charts: dict[str, Chart]) -> None:
    data = figure(charts["client_server_waterfall"]).data
    whole = next(trace for trace in data if trace.type == "scatter")
    bars = [trace for trace in data if trace.type == "bar" and trace.xaxis == whole.xaxis]
    for service, end in zip(whole.y, whole.x, strict=True):
        lengths = [trace.x[trace.y.index(service)] for trace in bars if service in trace.y]
        assert len(lengths) > 1
        assert sum(lengths) == pytest.approx(end, abs=0.01)


def test_the_series_shades_the_windows_and_names_who_told_nothing(run: Run, charts: dict[str, Chart]) -> None:
    chart = charts["server_series"]
    assert {str(trace.name) for trace in figure(chart).data} == {"vllm"}
    shades = {(shape.x0, shape.x1) for shape in figure(chart).layout.shapes}
    assert len(shades) == sum(len(of_test["vllm"]) for of_test in run.manifest.windows.values())
    assert "tgi, ollama told nothing" in chart.caption


def test_a_line_ends_where_nothing_was_told_for_long() -> None:
    xs, ys = broken(np.array([0.0, 1, 2, 12, 13]), np.array([1.0, 2, 3, 0, 1]))
    assert np.isnan(ys).tolist() == [False, False, False, True, False, False]
    assert np.isnan(xs).tolist() == np.isnan(ys).tolist()


def test_a_long_series_is_thinned_to_its_peaks() -> None:
    xs, ys = thinned(np.arange(10_000.0), np.where(np.arange(10_000) == 5_003, 9.0, 1.0))
    assert xs.size == ys.size == POINTS
    assert ys.max() == 9.0
    assert xs[int(np.argmax(ys))] == 5_003


def test_what_is_drawn_is_bounded(run: Run, tmp_path: Path) -> None:
    data = RunData(run)
    spread = data.spread("ttft", "vllm", "ttft_ms")
    assert spread is not None
    assert spread.values.size <= QUANTILES
    assert len(data.lanes("many", "vllm")) == 40
    crowded = RunData(drawn_run(tmp_path, services=("vllm",), blocks=0, requests=TIMELINE_REQUESTS + 20))
    assert len(crowded.lanes("many", "vllm")) == TIMELINE_REQUESTS


def test_the_cadence_counts_every_gap_of_good_answers(run: Run, charts: dict[str, Chart]) -> None:
    summary = read_summary(run.folder)
    assert summary is not None
    gaps = summary.tests[-1].services["vllm"].metrics["icl_ms"].n
    assert f"vllm n = {gaps:,} gaps" in title(charts["token_cadence"])


def test_radar_axes_state_their_references(charts: dict[str, Chart]) -> None:
    labels = set(figure(charts["performance_radar"]).data[0].theta)
    assert "ttft<br>ttft_ms.p50<br>ref. 100" in labels
    assert "many<br>e2e_ms.p95<br>ref. 400" in labels


@pytest.mark.parametrize("failing", [("ollama",), SERVICES])
def test_services_without_a_good_request_leave_charts_that_say_so(tmp_path: Path, failing: tuple[str, ...]) -> None:
    drawn = BenchmarkVisualizer(drawn_run(tmp_path, failing=failing)).charts()
    assert [chart.name for chart in drawn] == NAMES
    for chart in drawn:
        assert chart.figure is not None or chart.reason
        json.loads(chart.figure.to_json()) if chart.figure is not None else None
        fragment(chart)


def test_what_was_cut_off_leaves_the_test_before_it_to_draw(tmp_path: Path) -> None:
    run = drawn_run(tmp_path)
    *_, last = run.manifest.windows
    windows = {test: found for test, found in run.manifest.windows.items() if test != last}
    cut = Run(run.folder, run.manifest.model_copy(update={"windows": windows}))
    drawn = {chart.name: chart for chart in BenchmarkVisualizer(cut).charts()}
    assert f"test {last}" not in title(drawn["requests_over_time"])


def test_one_service_has_charts_and_no_comparison(tmp_path: Path) -> None:
    drawn = {chart.name: chart for chart in BenchmarkVisualizer(drawn_run(tmp_path, services=("vllm",))).charts()}
    assert drawn["comparison"].figure is None
    assert drawn["ttft_analysis"].figure is not None


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    config = {"scoring": {"references": {"<img src=x onerror=alert(1)>": 3}}}
    run = drawn_run(tmp_path, config=config, name="</script><script>alert(1)</script>")
    for chart in BenchmarkVisualizer(run).charts():
        text = fragment(chart)
        assert "<img" not in text
        assert "alert(1)</script>" not in text


def test_a_run_without_a_summary_is_refused(tmp_path: Path) -> None:
    run = drawn_run(tmp_path, requests=0)
    run.folder.file("summary.json").unlink()
    with pytest.raises(RunFolderError, match="no summary"):
        BenchmarkVisualizer(run)


def test_a_comparison_alone_is_drawn() -> None:
    pair = Pair(
        test="ttft", metric="ttft_ms", statistic="p50", primary=True, a="<b>old</b>", b="new", ratio=1.4, ci_low=1.2,
        ci_high=1.6, confidence=0.95, p=0.001, p_adjusted=0.001, verdict="better", better="new", blocks=5,
    )  # fmt: skip
    made = comparison_chart(Comparison(test_id="x", simulated=False, scope="between_runs", pairs=(pair,)))
    assert "between runs" in title(made)
    said = [str(one.text) for one in figure(made).layout.annotations]
    assert any("new is better" in text and "&lt;b&gt;old" in text for text in said)


def test_written_pages_stand_alone(run: Run, tmp_path: Path) -> None:
    paths = BenchmarkVisualizer(run).write_html(tmp_path / "charts")
    assert [path.stem for path in paths] == NAMES
    for path in paths:
        text = path.read_text("utf-8")
        assert text.count("plotly.js v") <= 1
        assert "<script src" not in text
        assert "SIMULATED" in text
