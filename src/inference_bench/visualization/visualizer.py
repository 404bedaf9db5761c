"""BenchmarkVisualizer: all charts of a stored run, as figures, pages or pictures; it needs the run folder alone."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from inference_bench.results.atomic import write_atomically
from inference_bench.results.comparison import Comparison
from inference_bench.results.folder import Run
from inference_bench.visualization import page
from inference_bench.visualization.chart import Chart
from inference_bench.visualization.charts.cadence import token_cadence
from inference_bench.visualization.charts.capacity import capacity_charts
from inference_bench.visualization.charts.curve import curve_charts
from inference_bench.visualization.charts.errors import error_breakdown
from inference_bench.visualization.charts.forest import comparison_chart
from inference_bench.visualization.charts.load import load_dashboard
from inference_bench.visualization.charts.radar import performance_radar
from inference_bench.visualization.charts.server_series import server_series
from inference_bench.visualization.charts.timeline import requests_over_time
from inference_bench.visualization.charts.ttft import ttft_analysis
from inference_bench.visualization.charts.waterfall import client_server_waterfall
from inference_bench.visualization.images import write_images
from inference_bench.visualization.run_data import RunData
from inference_bench.visualization.theme import service_styles


class BenchmarkVisualizer:
    """The charts of one run. A `comparison` that the caller has at hand need not be read or made again.

    Raises:
        RunFolderError: the run has no summary, or its files are damaged.
    """

    def __init__(self, run: Run, *, comparison: Comparison | None = None) -> None:
        self._data = RunData(run, comparison)
        self._styles = service_styles(self._data.services)

    def charts(self) -> list[Chart]:
        """Return every chart, also those that cannot be drawn (figure None, with the reason)."""
        return list(self._charts)

    @cached_property
    def _charts(self) -> tuple[Chart, ...]:
        data, styles = self._data, self._styles
        return (
            comparison_chart(data.comparison, styles),
            ttft_analysis(data, styles),
            # The points of a sweep stand together in its curve.
            *(load_dashboard(data, styles, test) for test in data.load_tests() if test.sweep is None),
            *capacity_charts(data, styles),
            performance_radar(data, styles),
            *curve_charts(data, styles),
            requests_over_time(data, styles),
            token_cadence(data, styles),
            error_breakdown(data, styles),
            client_server_waterfall(data, styles),
            server_series(data, styles),
        )

    def write_html(self, directory: Path) -> list[Path]:
        """Write a self-contained page for each chart that can be drawn; return the files.

        Raises:
            OSError: the directory cannot be written to.
        """
        directory.mkdir(parents=True, exist_ok=True)
        paths = []
        for chart in self._charts:
            if chart.figure is not None:
                path = directory / f"{chart.name}.html"
                text = page.chart_page(chart, run=self._data.title, simulated=self._data.simulated)
                write_atomically(path, text.encode())
                paths.append(path)
        return paths

    def write_images(self, directory: Path, formats: Sequence[str]) -> list[Path]:
        """Write PNG or SVG pictures of the charts that can be drawn; return the files.

        Raises:
            ImagesUnavailableError: the extra or a browser is missing; nothing was drawn.
        """
        return write_images(self._charts, directory, formats, run=self._data.run.folder.test_id)

    def fragment(self, chart: Chart) -> str:
        """Return a chart as HTML without the library (see `library` and `page_script`)."""
        return page.fragment(chart)

    @staticmethod
    def library() -> str:
        """Return the one script element that every fragment of a page needs, before them."""
        return page.library()

    @staticmethod
    def page_script() -> str:
        """Return the script element that draws the fragments; after them."""
        return page.page_script()
