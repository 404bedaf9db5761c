"""The documents of a run, written into its folder or elsewhere: executive_report.html, report.md, and the charts."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from inference_bench.errors import RunFolderError
from inference_bench.reporting.facts import Stored, comparison_report, read_stored, run_report
from inference_bench.reporting.markdown import report_markdown
from inference_bench.reporting.page import render
from inference_bench.reporting.text import slug
from inference_bench.reporting.view import Report
from inference_bench.results.atomic import write_atomically
from inference_bench.results.comparison import Comparison
from inference_bench.results.folder import Run
from inference_bench.visualization import BenchmarkVisualizer
from inference_bench.visualization.chart import Chart
from inference_bench.visualization.charts.forest import comparison_chart
from inference_bench.visualization.images import write_images
from inference_bench.visualization.page import chart_page

REPORT_HTML: Final = "executive_report.html"
REPORT_MARKDOWN: Final = "report.md"
CHARTS: Final = "charts"


def write_documents(run: Run, *, charts: bool, report: bool, directory: Path | None = None) -> list[Path]:
    """Write a run's documents into its folder, or into `directory`, and return their paths.

    The manifest's list of files is the caller's to bring up to date (`results.finalise.list_files`).

    Raises:
        RunFolderError: a file of the run is damaged, or the place cannot be written to.
    """
    documents = RunDocuments(run, directory)
    return [*(documents.write_charts() if charts else ()), *(documents.write_report() if report else ())]


class RunDocuments:
    """A run's documents, drawn once for whatever is asked of them.

    Raises:
        RunFolderError: a file of the run is damaged.
    """

    def __init__(self, run: Run, directory: Path | None = None) -> None:
        self._run = run
        self.directory = run.folder.path if directory is None else directory
        self._stored: Stored = read_stored(run)
        # Without records nothing can be compared, and the charts need not try again.
        nothing = Comparison(test_id=run.folder.test_id, simulated=self.simulated)
        compared = self._stored.comparison or (nothing if self._stored.remark is not None else None)
        self._visualizer = None if self._stored.summary is None else BenchmarkVisualizer(run, comparison=compared)

    @property
    def simulated(self) -> bool:
        """Whether any of its figures come from simulated engines."""
        summary = self._stored.summary
        return self._run.manifest.simulated or (summary is not None and summary.simulated)

    @property
    def charts(self) -> list[Chart]:
        """Every chart, those that cannot be drawn included."""
        return [] if self._visualizer is None else self._visualizer.charts()

    def write_charts(self, formats: Sequence[str] = ("html",)) -> list[Path]:
        """Write the charts that can be drawn as pages ("html") or pictures ("png", "svg").

        Raises:
            ImagesUnavailableError: pictures need an extra or a browser that is missing; nothing was drawn.
            RunFolderError: the place cannot be written to.
        """
        if self._visualizer is None:
            return []
        place, pictures = self.directory / CHARTS, [form for form in formats if form != "html"]
        try:
            # Pictures first: what they need may be missing, and then nothing is to be written.
            paths = self._visualizer.write_images(place, pictures) if pictures else []
            return [*(self._visualizer.write_html(place) if "html" in formats else ()), *paths]
        except OSError as error:
            raise _cannot_write(place, error) from error

    def write_report(self) -> list[Path]:
        """Write executive_report.html and report.md. Raises RunFolderError when the place cannot be written to."""
        view = run_report(self._run, self._stored)
        return _write_report(view, self.charts, self.directory / REPORT_HTML, self.directory / REPORT_MARKDOWN)


class ComparisonDocuments:
    """The documents of a comparison that stands alone: a short report and its chart, named after `stem`."""

    def __init__(self, comparison: Comparison, directory: Path, stem: str) -> None:
        self._comparison = comparison
        self.directory = directory
        self._stem = slug(stem)
        self.charts: list[Chart] = [replace(comparison_chart(comparison), name=self._stem)]

    def write_charts(self, formats: Sequence[str] = ("html",)) -> list[Path]:
        """Write the chart, when it can be drawn. Raises as `RunDocuments.write_charts`."""
        place, comparison = self.directory / CHARTS, self._comparison
        pictures = [form for form in formats if form != "html"]
        try:
            paths = write_images(self.charts, place, pictures, run=comparison.test_id) if pictures else []
            for chart in self.charts:
                if chart.figure is not None and "html" in formats:
                    place.mkdir(parents=True, exist_ok=True)
                    path = place / f"{chart.name}.html"
                    page = chart_page(chart, run=comparison.test_id, simulated=comparison.simulated)
                    write_atomically(path, page.encode())
                    paths.insert(0, path)
            return paths
        except OSError as error:
            raise _cannot_write(place, error) from error

    def write_report(self) -> list[Path]:
        """Write the short report as HTML and Markdown. Raises RunFolderError when the place cannot be written to."""
        view = comparison_report(self._comparison, self._stem)
        names = (f"{self._stem}_report.html", f"{self._stem}_report.md")
        return _write_report(view, self.charts, *(self.directory / name for name in names))


def _write_report(view: Report, charts: Sequence[Chart], html: Path, markdown: Path) -> list[Path]:
    try:
        html.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(html, render(view, charts).encode())
        write_atomically(markdown, report_markdown(view).encode())
    except OSError as error:
        raise _cannot_write(html.parent, error) from error
    return [html, markdown]


def _cannot_write(place: Path, error: OSError) -> RunFolderError:
    return RunFolderError(
        f"cannot write to {place}: {error.strerror or error}", hint="Choose another place with -o/--output-dir."
    )
