"""The command `results`: list the runs, show one; its sub-commands stand in modules of their own.

The run folders are read by `inference_bench.results`; everything heavy is imported where it is used.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import rich_click as click
from click.core import ParameterSource

from inference_bench.cli.commands.compare_cmd import compare_command
from inference_bench.cli.commands.explain_cmd import explain_command
from inference_bench.cli.commands.import_cmd import import_command
from inference_bench.cli.commands.results_files_cmd import delete_command, export_command, recover_command
from inference_bench.cli.utils.console_utils import note, out, print_json
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.run_choice import TEST_ID, found_run, runs_directory, runs_directory_option
from inference_bench.errors import UsageError

if TYPE_CHECKING:
    from inference_bench.results.folder import Run
    from inference_bench.results.listing import RunFilter

STATUSES = ("running", "complete", "partial", "failed")


@click.group(
    "results",
    invoke_without_command=True,
    short_help="List stored runs, show one, or export it.",
    epilog=examples(
        "vllm-benchmark results",
        "vllm-benchmark results --limit 3 --json",
        "vllm-benchmark results --service vllm --since 7d --status complete",
        "vllm-benchmark results show test_default_20260102",
        "vllm-benchmark results export test_default_20260102 --format csv -o runs.csv",
        "vllm-benchmark results explain ttft_ms",
    ),
)
@click.option("--limit", type=click.IntRange(min=1), default=10, show_default=True, help="How many runs to list.")
@click.option("--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only runs that are so.")
@click.option("--service", "services", multiple=True, metavar="NAME", help="Only runs in which this service took part.")
@click.option("--name", metavar="TEXT", help="Only runs with this in their name or id.")
@click.option("--since", metavar="DATE|AGE", help="Only runs since a date (2026-01-31) or an age (12h, 7d).")
@click.option("--simulated/--real", default=None, help="Only runs of simulated engines, or only of real ones.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--test-id", metavar="ID", help="Show this run: the same as `results show ID`.")
@runs_directory_option
@click.pass_context
def results(
    ctx: click.Context,
    *,
    limit: int,
    statuses: tuple[str, ...],
    services: tuple[str, ...],
    name: str | None,
    since: str | None,
    simulated: bool | None,
    as_json: bool,
    test_id: str | None,
    directory: Path | None,
) -> None:
    """List stored runs, newest first; show, compare, export or delete them, recover one that was killed.

    TEST_ID is a run's id, the beginning of it that no other run shares, or the path of its folder.
    """
    ctx.obj = directory
    if ctx.invoked_subcommand is not None:
        _refuse_list_options(ctx, f"Write it behind `results {ctx.invoked_subcommand}`, if it is one of its options.")
        return
    if test_id is not None:
        _refuse_list_options(ctx, "It filters the list of runs.", allowed=("test_id", "as_json"))
        _show(found_run(directory, test_id), as_json=as_json)
        return
    wanted = _filter(statuses=statuses, services=services, name=name, since=since, simulated=simulated)
    _list(runs_directory(directory), wanted, limit=limit, as_json=as_json)


@results.command(
    "show",
    short_help="Show one run.",
    epilog=examples(
        "vllm-benchmark results show test_default_20260102_101500",
        "vllm-benchmark results show results/test_default_20260102_101500 --json",
    ),
)
@TEST_ID
@click.option("--json", "as_json", is_flag=True, help="Print the manifest, summary, comparison and gates as JSON.")
@runs_directory_option
@click.pass_context
def show_command(ctx: click.Context, *, test_id: str, as_json: bool, directory: Path | None) -> None:
    """Show one run: its services, its figures per test, whether they hold, who is better, its gates, its files."""
    _show(found_run(directory or ctx.obj, test_id), as_json=as_json)


def _refuse_list_options(ctx: click.Context, hint: str, *, allowed: tuple[str, ...] = ()) -> None:
    """Refuse options of the list where nothing is listed: they would do nothing."""
    for parameter in ctx.command.params:
        given = ctx.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if given and parameter.name not in ("directory", *allowed) and parameter.expose_value:
            where = f"the sub-command {ctx.invoked_subcommand}" if ctx.invoked_subcommand else "--test-id"
            written = "/".join((*parameter.opts, *parameter.secondary_opts))
            raise UsageError(f"{written} does not go with {where}", hint=hint)


def _filter(
    *,
    statuses: tuple[str, ...],
    services: tuple[str, ...],
    name: str | None,
    since: str | None,
    simulated: bool | None,
) -> "RunFilter":
    from inference_bench.results.listing import RunFilter, parse_since  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.manifest import RunStatus  # noqa: PLC0415

    return RunFilter(
        statuses=tuple(status for status in get_args(RunStatus) if status in statuses),
        services=services,
        name=name,
        since=None if since is None else parse_since(since, datetime.now(UTC)),
        simulated=simulated,
    )


def _list(directory: Path, wanted: "RunFilter", *, limit: int, as_json: bool) -> None:
    from inference_bench.cli.utils.results_view import listing_json, listing_table  # noqa: PLC0415
    from inference_bench.results.folder import list_runs  # noqa: PLC0415
    from inference_bench.results.listing import filtered  # noqa: PLC0415

    everything = list_runs(directory)
    listing = filtered(everything, wanted)
    shown = listing._replace(runs=listing.runs[:limit])
    if as_json:
        print_json(listing_json(shown))
        return
    if shown.runs:
        out().print(listing_table(shown))
    elif everything.runs:
        note(f"None of the {len(everything.runs)} runs in {directory} is so.")
    else:
        note(f"No runs in {directory}. `benchmark` makes one; --dir looks elsewhere.")
    more = len(listing.runs) - len(shown.runs)
    if more:
        note(f"… and {more} more (--limit {len(listing.runs)} lists them all)")
    for path, reason in listing.damaged:
        note(f"{path.name}: cannot be read ({reason})")


def _show(run: "Run", *, as_json: bool) -> None:
    from inference_bench.cli.utils.results_view import print_stored_run, run_json  # noqa: PLC0415

    if as_json:
        print_json(run_json(run))
    else:
        print_stored_run(run)


for _command in (compare_command, export_command, recover_command, delete_command, explain_command, import_command):
    results.add_command(_command)
