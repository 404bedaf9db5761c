"""`results export`, `recover` and `delete`: what is done with the files of a stored run. Words in, words out."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import clean, note, out, warn
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.run_choice import TEST_ID, found_run, runs_directory_option
from inference_bench.errors import RunFolderError, UsageError

if TYPE_CHECKING:
    from inference_bench.results.deleting import Deletion
    from inference_bench.results.folder import Run

FORMATS = ("csv", "json", "parquet", "markdown")


@click.command(
    "export",
    short_help="Write a run for other programs.",
    epilog=examples(
        "vllm-benchmark results export test_default_20260102 --format csv > runs.csv",
        "vllm-benchmark results export test_default_20260102 --format json -o out/",
    ),
)
@TEST_ID
@click.option(
    "--format",
    "forms",
    required=True,
    metavar=",".join(FORMATS),
    help="csv, json (one object a line) and parquet hold a row per request; markdown the summary and who is better. "
    "Several with commas.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="File, or a folder for files named after the run. Default: stdout, except for parquet.",
)
@runs_directory_option
@click.pass_context
def export_command(
    ctx: click.Context, *, test_id: str, forms: str, output: Path | None, directory: Path | None
) -> None:
    """Write a run for other programs: its requests with marks and metrics, or its summary and comparison."""
    asked = list(dict.fromkeys(form.strip().lower() for form in forms.split(",")))
    unknown = [form for form in asked if form not in FORMATS]
    if unknown:
        raise UsageError(f"there is no format {unknown[0]!r}", hint=f"The formats are {', '.join(FORMATS)}.")
    _export(found_run(directory or ctx.obj, test_id), asked, output)


@click.command(
    "recover",
    short_help="Save what a killed run had measured.",
    epilog=examples("vllm-benchmark results recover test_default_20260102_101500"),
)
@TEST_ID
@runs_directory_option
@click.pass_context
def recover_command(ctx: click.Context, *, test_id: str, directory: Path | None) -> None:
    """Save what a killed run had measured: its journal becomes Parquet files, a summary, a comparison and a report. The
    run stays partial.
    """
    from inference_bench.orchestrator import recover_run, resume_command  # noqa: PLC0415
    from inference_bench.results.finalise import REQUESTS  # noqa: PLC0415

    run = found_run(directory or ctx.obj, test_id)
    if run.manifest.status == "complete":
        note(f"{run.folder.test_id} is complete; there is nothing to recover.")
    manifest, documents, failure = recover_run(run.folder)
    for text in documents.warnings:
        warn(clean(text, limit=500))
    facts = manifest.files.get(REQUESTS)
    rows = "no" if facts is None or facts.rows is None else f"{facts.rows:,}"
    out().print(f"{run.folder.test_id}: {manifest.status}, {rows} requests in {REQUESTS}", markup=False, soft_wrap=True)
    command = resume_command(run.folder)
    if command is not None:
        note(f"What is left of it is measured with: {command}")
    if failure is not None:
        raise failure


@click.command(
    "delete",
    short_help="Delete runs, after asking.",
    epilog=examples(
        "vllm-benchmark results delete test_default_20260102_101500",
        "vllm-benchmark results delete test_a_20260102_101500 test_b_20260102_111500 --yes",
    ),
)
@click.argument("test_ids", metavar="TEST_ID...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask. Every TEST_ID must then be whole, or a path.")
@runs_directory_option
@click.pass_context
def delete_command(ctx: click.Context, *, test_ids: tuple[str, ...], yes: bool, directory: Path | None) -> None:
    """Delete runs with everything in their folders, after showing what that is.

    A run that is still going on is never deleted, and links are not followed.
    """
    from inference_bench.results.deleting import delete, plan_deletion  # noqa: PLC0415

    runs = {text: found_run(directory or ctx.obj, text) for text in test_ids}
    for text, run in runs.items():
        if yes and Path(text).name != run.folder.test_id:
            raise UsageError(
                f"{text!r} is only the beginning of {run.folder.test_id}", hint="With --yes the whole id is needed."
            )
    planned = plan_deletion(list(runs.values()))
    for one in planned:
        note(_deletion_line(one))
    if not yes:
        _confirm(len(planned))
    for one in planned:
        delete(one)
        out().print(f"deleted {one.run.folder.test_id}", markup=False, soft_wrap=True)


def _deletion_line(planned: "Deletion") -> str:
    from inference_bench.cli.utils.console_utils import clean  # noqa: PLC0415
    from inference_bench.cli.utils.results_view import bytes_text  # noqa: PLC0415
    from inference_bench.results.folder import shown_status  # noqa: PLC0415

    manifest = planned.run.manifest
    what = f"{shown_status(manifest)}{', SIMULATED' if manifest.simulated else ''}"
    services = ", ".join(clean(service.name) for service in manifest.services) or "no services"
    size = f"{planned.files:,} files, {bytes_text(planned.bytes)}"
    return f"{planned.run.folder.path}: {what}, {services}; {size}"


def _confirm(count: int) -> None:
    if not sys.stdin.isatty():
        raise UsageError("nothing was deleted: there is nobody to ask", hint="Say --yes to delete without being asked.")
    what = "this run" if count == 1 else f"these {count} runs"
    if not click.confirm(f"Delete {what} for good?", err=True):
        raise UsageError("nothing was deleted")


def _export(run: "Run", forms: list[str], output: Path | None) -> None:
    from inference_bench.results.export import SUFFIXES, export_file, export_text  # noqa: PLC0415
    from inference_bench.results.folder import shown_status  # noqa: PLC0415

    if output is None:
        _check_stdout(forms)
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


def _check_stdout(forms: list[str]) -> None:
    if len(forms) > 1:
        raise UsageError("several formats cannot go to stdout together", hint="Give a folder for them: -o FOLDER.")
    if forms == ["parquet"]:
        raise UsageError(
            "a Parquet file is written from both ends and cannot go to stdout", hint="Give a file for it: -o FILE."
        )


def _make_folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunFolderError(f"cannot make the folder {path}: {error.strerror}") from error
