"""The command `results`: list the runs, show one, export one, recover one that was killed. Words in, words out.

The run folders are read by `inference_bench.results`; everything heavy is imported where it is used.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import note, out, print_json
from inference_bench.cli.utils.help_text import examples
from inference_bench.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from inference_bench.results.folder import Run

FORMATS = ("csv", "json", "parquet", "markdown")

_DIRECTORY = click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds the runs. Default: the configuration's output.directory.",
)
_TEST_ID = click.argument("test_id", metavar="TEST_ID")


@click.group(
    "results",
    invoke_without_command=True,
    short_help="List stored runs, show one, or export it.",
    epilog=examples(
        "vllm-benchmark results",
        "vllm-benchmark results --limit 3 --json",
        "vllm-benchmark results show test_default_20260102",
        "vllm-benchmark results export test_default_20260102 --format csv -o runs.csv",
    ),
)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many runs to list.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--test-id", metavar="ID", help="Show this run: the same as `results show ID`.")
@_DIRECTORY
@click.pass_context
def results(ctx: click.Context, limit: int, as_json: bool, test_id: str | None, directory: Path | None) -> None:
    """List stored runs, newest first; show one, export it, or recover one that was killed.

    TEST_ID is a run's id, the beginning of it that no other run shares, or the path of its folder.
    """
    ctx.obj = directory
    if ctx.invoked_subcommand is not None:
        if test_id is not None:
            raise UsageError("--test-id goes without a sub-command", hint=f"Say `results {ctx.invoked_subcommand} ID`.")
        return
    if test_id is not None:
        _show(_found(directory, test_id), as_json=as_json)
        return
    _list(_runs_directory(directory), limit=limit, as_json=as_json)


@results.command(
    "show",
    epilog=examples(
        "vllm-benchmark results show test_default_20260102_101500",
        "vllm-benchmark results show results/test_default_20260102_101500 --json",
    ),
)
@_TEST_ID
@click.option("--json", "as_json", is_flag=True, help="Print the manifest and the summary as JSON.")
@_DIRECTORY
@click.pass_context
def show_command(ctx: click.Context, test_id: str, as_json: bool, directory: Path | None) -> None:
    """Show one run: its services, its figures per test, whether they hold, its files."""
    _show(_found(directory or ctx.obj, test_id), as_json=as_json)


@results.command(
    "export",
    epilog=examples(
        "vllm-benchmark results export test_default_20260102 --format csv > runs.csv",
        "vllm-benchmark results export test_default_20260102 --format json -o out/",
    ),
)
@_TEST_ID
@click.option(
    "--format",
    "forms",
    required=True,
    metavar=",".join(FORMATS),
    help="csv, json (one object a line) and parquet hold a row per request, markdown the summary. Several with commas.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File, or a folder for files named after the run. Default: stdout, except for parquet.",
)
@_DIRECTORY
@click.pass_context
def export_command(ctx: click.Context, test_id: str, forms: str, output: Path | None, directory: Path | None) -> None:
    """Write a run for other programs: its requests with marks and metrics, or its summary."""
    asked = list(dict.fromkeys(form.strip().lower() for form in forms.split(",")))
    unknown = [form for form in asked if form not in FORMATS]
    if unknown:
        raise UsageError(f"there is no format {unknown[0]!r}", hint=f"The formats are {', '.join(FORMATS)}.")
    _export(_found(directory or ctx.obj, test_id), asked, output)


@results.command("recover", epilog=examples("vllm-benchmark results recover test_default_20260102_101500"))
@_TEST_ID
@_DIRECTORY
@click.pass_context
def recover_command(ctx: click.Context, test_id: str, directory: Path | None) -> None:
    """Save what a killed run had measured: its journal becomes Parquet files and a summary. The run stays partial."""
    from inference_bench.results.finalise import REQUESTS, recover  # noqa: PLC0415
    from inference_bench.testing.analyzers import write_summaries  # noqa: PLC0415

    run = _found(directory or ctx.obj, test_id)
    if run.manifest.status == "complete":
        note(f"{run.folder.test_id} is complete; there is nothing to recover.")
    manifest = recover(run.folder, summarise=write_summaries)
    facts = manifest.files.get(REQUESTS)
    rows = "no" if facts is None or facts.rows is None else f"{facts.rows:,}"
    out().print(f"{run.folder.test_id}: {manifest.status}, {rows} requests in {REQUESTS}", markup=False, soft_wrap=True)


def _list(directory: Path, *, limit: int, as_json: bool) -> None:
    from inference_bench.cli.utils.results_view import listing_json, listing_table  # noqa: PLC0415
    from inference_bench.results.folder import list_runs  # noqa: PLC0415

    listing = list_runs(directory)
    shown = listing._replace(runs=listing.runs[:limit])
    if as_json:
        print_json(listing_json(shown))
        return
    if shown.runs:
        out().print(listing_table(shown))
    else:
        note(f"No runs in {directory}. `benchmark` makes one; --dir looks elsewhere.")
    more = len(listing.runs) - len(shown.runs)
    if more:
        note(f"… and {more} more (--limit {len(listing.runs)} lists them all)")
    for path, reason in listing.damaged:
        note(f"{path.name}: cannot be read ({reason})")


def _show(run: "Run", *, as_json: bool) -> None:
    from inference_bench.cli.utils.results_view import print_run, run_json  # noqa: PLC0415

    if as_json:
        print_json(run_json(run))
    else:
        print_run(run)


def _export(run: "Run", forms: list[str], output: Path | None) -> None:
    from inference_bench.results.export import SUFFIXES, export_file, export_text  # noqa: PLC0415
    from inference_bench.results.folder import shown_status  # noqa: PLC0415

    if output is None:
        if len(forms) > 1 or forms == ["parquet"]:
            raise UsageError("these do not go to stdout", hint="Give -o FOLDER, or -o FILE for a single format.")
        for piece in export_text(run, forms[0]):
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
    else:
        into = output.is_dir() or len(forms) > 1 or str(output).endswith("/")
        if into:
            _make_folder(output)
        for form in forms:
            path = output / f"{run.folder.test_id}{SUFFIXES[form]}" if into else output
            export_file(run, form, path)
            note(f"{path} ({form})")
    if run.manifest.simulated:
        note("SIMULATED: these figures come from simulated engines.")
    status = shown_status(run.manifest)
    if status != "complete":
        note(f"This run is {status}: it did not run to its end.")


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the folder {path}: {error.strerror}") from error


def _found(directory: Path | None, test_id: str) -> "Run":
    from inference_bench.results.folder import MANIFEST, Run, RunFolder, find_run  # noqa: PLC0415

    if directory is None and (Path(test_id) / MANIFEST).is_file():
        folder = RunFolder(Path(test_id))
        return Run(folder, folder.read_manifest())
    return find_run(_runs_directory(directory), test_id)


def _runs_directory(directory: Path | None) -> Path:
    if directory is not None:
        return directory
    import os  # noqa: PLC0415

    from inference_bench.config.loader import load_settings  # noqa: PLC0415

    loaded = load_settings(None, overrides={}, environ=os.environ, cwd=Path.cwd())
    return Path(loaded.settings.output.directory)
