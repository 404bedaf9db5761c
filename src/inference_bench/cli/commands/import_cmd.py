"""`results import`: a result file of another tool as a run folder. Words in, words out."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import clean, note, out, print_json
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.run_choice import runs_directory, runs_directory_option

if TYPE_CHECKING:
    from inference_bench.results.folder import Run


@click.command(
    "import",
    short_help="Make a run of another tool's results.",
    epilog=examples(
        "vllm-benchmark results import benchmarks.json --engine vllm",
        "vllm-benchmark results import artifacts/my-aiperf-run --name before",
        "vllm-benchmark results import vllm-bench.json --engine vllm --test medium --json",
    ),
)
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--name", metavar="TEXT", help="Name of the run. Default: the tool and the file.")
@click.option(
    "--engine",
    metavar="NAME",
    help="Engine that was measured (vllm, tgi, …), and the service's name; no file tells it.",
)
@click.option(
    "--test",
    metavar="NAME",
    default="load",
    show_default=True,
    help="Name of its test, to be compared with one of that name; several are NAME@VALUE by their users or rates.",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was made as JSON.")
@runs_directory_option
@click.pass_context
def import_command(
    ctx: click.Context,
    *,
    file: Path,
    name: str | None,
    engine: str | None,
    test: str,
    as_json: bool,
    directory: Path | None,
) -> None:
    """Make a run folder of results of GuideLLM, AIPerf, inference-perf or `vllm bench serve`, to be shown and compared.

    FILE is a result file in JSON (of AIPerf also its JSON Lines), or the folder that the tool wrote into; whose it is
    is seen from what stands in it. Our formulas are applied where it keeps each request's marks; else its own figures
    are taken, and what it does not give is missing. A note says what each metric means there, where it is not the same.
    """
    from inference_bench.results.importing.introducing import ImportAs  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.importing.writing import import_file  # noqa: PLC0415

    place = runs_directory(directory or ctx.obj)
    run = import_file(file, place, ImportAs(name=name, engine=engine, test=test))
    if as_json:
        print_json(_as_json(run))
        return
    _print(run)


def _as_json(run: "Run") -> dict[str, object]:
    from inference_bench.results.summary import read_summary  # noqa: PLC0415

    manifest, summary = run.manifest, read_summary(run.folder)
    imported = manifest.imported
    tests = () if summary is None else summary.tests
    return {
        "test_id": run.folder.test_id,
        "path": str(run.folder.path),
        "imported": None if imported is None else imported.model_dump(mode="json"),
        "tests": [
            {"name": test.name, "requests": one.requests.sent, "ok": one.requests.ok}
            for test in tests
            for one in test.services.values()
        ],
        "notes": list(manifest.notes),
    }


def _print(run: "Run") -> None:
    from inference_bench.cli.utils.results_view import print_test  # noqa: PLC0415
    from inference_bench.results.summary import read_summary  # noqa: PLC0415

    out().print(str(run.folder.path), markup=False, soft_wrap=True)
    summary = read_summary(run.folder)
    for test in () if summary is None else summary.tests:
        print_test(test)
    for text in run.manifest.notes:
        note(clean(text, limit=500))
