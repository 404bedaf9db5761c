"""The command `visualize`: the charts and the report of a stored run, or of a comparison file. Words in, words out."""

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import rich_click as click

from inference_bench.cli.utils.console_utils import clean, note, out, progress, warn
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.run_choice import found_run, runs_directory_option
from inference_bench.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from inference_bench.results.folder import Run
    from inference_bench.visualization.chart import Chart

FORMATS = ("html", "png", "svg")


class _Documents(Protocol):
    """What can be written of a run or of a comparison."""

    @property
    def charts(self) -> "list[Chart]": ...

    def write_charts(self, formats: "Sequence[str]") -> list[Path]: ...

    def write_report(self) -> list[Path]: ...


@click.command(
    "visualize",
    short_help="Draw the charts and write the report of a stored run.",
    epilog=examples(
        "vllm-benchmark visualize test_default_20260102_101500",
        "vllm-benchmark visualize results/test_default_20260102_101500 --open",
        "vllm-benchmark visualize test_default_20260102 --format png,svg -o out/",
        "vllm-benchmark visualize test_default_20260102 --reports-only",
        "vllm-benchmark visualize comparison.json",
    ),
)
@click.argument("target", metavar="TEST_ID")
@click.option(
    "-o",
    "--output-dir",
    "output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write here instead of into the run folder.",
)
@click.option(
    "--format",
    "forms",
    metavar=",".join(FORMATS),
    help="What the charts are written as; several with commas. Pictures need the extra `images` and an installed "
    "Chromium or Chrome. Default: html.",
)
@click.option("--charts-only", is_flag=True, help="Write charts/ and no report.")
@click.option("--reports-only", is_flag=True, help="Write executive_report.html and report.md only.")
@click.option("--open", "open_it", is_flag=True, help="Open the report (or the first chart) in the browser.")
@runs_directory_option
def visualize(
    target: str,
    output: Path | None,
    forms: str | None,
    directory: Path | None,
    *,
    charts_only: bool,
    reports_only: bool,
    open_it: bool,
) -> None:
    """Draw the charts and write the report of a stored run, from its folder alone.

    TEST_ID is a run's id, the beginning of it that no other run shares, the path of its folder, or a comparison file
    in JSON (the one in a run's folder means that run). charts/, executive_report.html and report.md go into the run's
    folder; of a comparison file, NAME_report.html and NAME_report.md are written beside it.
    """
    formats = _formats(forms, charts_only=charts_only, reports_only=reports_only)
    if open_it and charts_only and "html" not in formats:
        raise UsageError("--open shows a page, and only pictures were asked for", hint="Add html to --format.")
    if "png" in formats or "svg" in formats:
        from inference_bench.visualization.images import check_images  # noqa: PLC0415

        check_images()
    comparison = _comparison_file(target, directory)
    if comparison is not None:
        documents, simulated = _of_comparison(comparison, output)
        paths = _write(documents, formats, reports=not charts_only)
    else:
        inside = directory is None and Path(target).is_file()
        run = found_run(directory, str(Path(target).parent) if inside else target)
        paths, simulated = _visualize_run(run, output, formats, reports=not charts_only)
    for path in paths:
        out().print(str(path), markup=False, soft_wrap=True)
    if simulated:
        note("SIMULATED: these figures come from simulated engines.")
    if open_it:
        _open(paths)


def _formats(forms: str | None, *, charts_only: bool, reports_only: bool) -> tuple[str, ...]:
    """Return the formats of the charts; none when only reports are asked for."""
    if charts_only and reports_only:
        raise UsageError(
            "--charts-only and --reports-only exclude each other", hint="Without either, both are written."
        )
    if reports_only:
        if forms is not None:
            raise UsageError("--format is about charts, and --reports-only writes none", hint="Leave one of them out.")
        return ()
    asked = tuple(dict.fromkeys(form.strip().lower() for form in ("html" if forms is None else forms).split(",")))
    unknown = [form for form in asked if form not in FORMATS]
    if unknown:
        raise UsageError(f"there is no format {unknown[0]!r}", hint=f"The formats are {', '.join(FORMATS)}.")
    return asked


def _comparison_file(target: str, directory: Path | None) -> Path | None:
    """Return the comparison file that is meant; None when a run is meant, be it by a file in its folder."""
    from inference_bench.results.folder import MANIFEST  # noqa: PLC0415

    path = Path(target)
    alone = directory is None and path.is_file() and not (path.parent / MANIFEST).is_file()
    return path if alone else None


def _visualize_run(
    run: "Run", output: Path | None, formats: tuple[str, ...], *, reports: bool
) -> tuple[list[Path], bool]:
    from inference_bench.results.finalise import list_files  # noqa: PLC0415
    from inference_bench.results.folder import shown_status  # noqa: PLC0415
    from inference_bench.results.summary import SUMMARY_JSON  # noqa: PLC0415

    status, test_id = shown_status(run.manifest), run.folder.test_id
    if status == "running":
        raise RunFolderError(f"{test_id} is still running", hint="Wait for its end: its report comes with it.")
    if not run.folder.file(SUMMARY_JSON).is_file():
        raise RunFolderError(
            f"{test_id} has no summary: it did not run to its end",
            hint=f"`results recover {test_id}` saves what it measured; then visualize again.",
        )
    if status != "complete":
        warn(f"this run is {status}: it did not run to its end, and its documents say so")
    from inference_bench.reporting.documents import RunDocuments  # noqa: PLC0415 - heavy

    note(f"Reading {test_id}")
    documents = RunDocuments(run, output)
    try:
        paths = _write(documents, formats, reports=reports)
    finally:
        if documents.directory.resolve().is_relative_to(run.folder.path.resolve()):
            list_files(run.folder)
    return paths, documents.simulated


def _of_comparison(path: Path, output: Path | None) -> tuple[_Documents, bool]:
    from inference_bench.reporting.documents import ComparisonDocuments  # noqa: PLC0415 - heavy
    from inference_bench.results.comparison import load_comparison  # noqa: PLC0415

    comparison = load_comparison(path)
    return ComparisonDocuments(comparison, output or path.parent, path.stem), comparison.simulated


def _write(documents: _Documents, formats: tuple[str, ...], *, reports: bool) -> list[Path]:
    """Write what is asked for and say which charts could not be drawn, and why. The reports stand first."""
    paths: list[Path] = []
    many = sum(chart.figure is not None for chart in documents.charts)
    with progress(f"Drawing charts ({many}) as {', '.join(formats)}" if formats else "Writing the report") as line:
        if formats:
            paths += documents.write_charts(formats)
        if reports:
            line.update(1, description="Writing the report")
            paths = [*documents.write_report(), *paths]
    for chart in documents.charts:
        if chart.figure is None:
            note(f"Not drawn: {clean(chart.title)} ({clean(chart.reason or 'it cannot be drawn', limit=300)})")
    return paths


def _open(paths: list[Path]) -> None:
    """Open the first page in a graphical browser; where there is none, say where it lies."""
    import webbrowser  # noqa: PLC0415

    page = next((path for path in paths if path.suffix == ".html"), None)
    if page is None:
        note("There is no page to open: no chart could be drawn.")
        return
    address = page.resolve().as_uri()
    try:
        opened = _has_screen() and webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        note(f"No browser opens here; the page is at {address}")


def _has_screen() -> bool:
    """Whether a browser would have a window: one that draws in this terminal is not what --open means."""
    import os  # noqa: PLC0415
    import sys  # noqa: PLC0415

    named = ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    return sys.platform in ("darwin", "win32") or any(os.environ.get(name) for name in named)
