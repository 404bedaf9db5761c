"""`results compare A B`: two stored runs, or services of them, against each other. Words in, words out."""

from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import clean, note, out, print_json, warn
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.run_choice import found_run
from inference_bench.errors import GateFailedError, RunFolderError, UsageError

if TYPE_CHECKING:
    from rich.table import Table

    from inference_bench.results.comparison import Comparison
    from inference_bench.results.regression import Regression


@click.command(
    "compare",
    short_help="Compare two runs, or services of them.",
    epilog=examples(
        "vllm-benchmark results compare test_monday_20260105 test_tuesday_20260106",
        "vllm-benchmark results compare test_default_20260105/vllm test_default_20260106/ollama",
        "vllm-benchmark results compare before1,before2,before3/vllm after1,after2,after3/vllm",
        "vllm-benchmark results compare before after --fail-on-regression 10 --save comparison.json",
    ),
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="B")
@click.option(
    "--fail-on-regression",
    "percent",
    type=click.FloatRange(min=0),
    metavar="PCT",
    help="Exit with 4 when the whole interval says that B is more than PCT per cent worse than A in any test, or "
    "carries so much less in a search for capacity.",
)
@click.option("--metric", metavar="NAME", help="What decides, such as ttft_ms.p95, in place of the tests' own metric.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--save", type=click.Path(path_type=Path, dir_okay=False), help="Write the comparison.json to FILE.", metavar="FILE"
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder that holds the runs. Default: the configuration's output.directory.",
)
@click.pass_context
def compare_command(
    ctx: click.Context,
    *,
    a: str,
    b: str,
    percent: float | None,
    metric: str | None,
    as_json: bool,
    save: Path | None,
    directory: Path | None,
) -> None:
    """Compare A with B: the same service over time, or any two services, test by test (matched by name). Capacities
    that both searched under the same promises and the same load are held against each other too.

    A and B are TEST_ID or TEST_ID/SERVICE; paths of run folders do too. Between one run and another nothing tells how
    much a third would differ: the interval says so. Give several runs, joined by commas, on each side (three or more)
    and runs become what is compared.
    """
    from inference_bench.results.between_runs import compare_runs  # noqa: PLC0415
    from inference_bench.results.between_sides import read_side  # noqa: PLC0415

    _check_metric(metric)
    place = directory or ctx.obj
    sides = [read_side(letter, text, lambda name: found_run(place, name)) for letter, text in (("A", a), ("B", b))]
    comparison = compare_runs(sides[0], sides[1], metric=metric)
    judged: tuple[Regression, ...] = ()
    if percent is not None:
        from inference_bench.results.regression import regressions, with_gate  # noqa: PLC0415

        judged = regressions(comparison, percent)
        comparison = with_gate(comparison, percent, judged)
    if save is not None:
        _save(comparison, save)
    if as_json:
        print_json(comparison.model_dump(mode="json"))
    else:
        from inference_bench.cli.utils.comparison_view import print_comparison  # noqa: PLC0415

        print_comparison(comparison)
    if percent is not None:
        _gate(judged, percent, quiet=as_json)


def _check_metric(metric: str | None) -> None:
    if metric is None:
        return
    from inference_bench.config.vocabulary import name_problem  # noqa: PLC0415
    from inference_bench.results.values import PRIMARIES  # noqa: PLC0415

    problem = name_problem(metric, PRIMARIES)
    if problem is not None:
        raise UsageError(
            f"--metric {metric}: {problem}", hint="Such as --metric e2e_ms.p95 or --metric requests_per_s."
        )


def _save(comparison: "Comparison", path: Path) -> None:
    from inference_bench.results.comparison import save_comparison  # noqa: PLC0415

    try:
        save_comparison(path, comparison)
    except OSError as error:
        raise RunFolderError(f"cannot write {path}: {error.strerror}") from error
    note(f"{path} (`visualize {path}` draws it)")


def _gate(judged: "tuple[Regression, ...]", percent: float, *, quiet: bool) -> None:
    """Say how the gate went. Raises GateFailedError when it tripped, or when nothing could be held against it."""
    failed = [one for one in judged if one.outcome == "failed"]
    open_questions = [one for one in judged if one.outcome == "not_judged"]
    for one in open_questions:
        where = f"{clean(one.pair.test)}{' capacity' if one.what == 'capacity' else ''}"
        warn(f"not held against the limit: {where}: {clean(one.pair.reason or 'no interval', limit=500)}")
    if failed:
        if not quiet:
            out().print(_table(failed, percent))
        tests = ", ".join(dict.fromkeys(clean(one.pair.test) for one in failed))
        raise GateFailedError(f"regression of more than {percent:g} % in {tests}")
    if judged and len(open_questions) == len(judged):
        searched = all(one.what == "capacity" for one in judged)
        again = "Search again, to the end, with the same promises and the same load test."
        raise GateFailedError(
            f"no test could be held against --fail-on-regression {percent:g}",
            hint=again if searched else "Measure more, or name another --metric.",
        )
    if not quiet:
        out().print(f"No regression of more than {percent:g} % is shown.", markup=False)


def _table(failed: "list[Regression]", percent: float) -> "Table":
    from rich.text import Text  # noqa: PLC0415

    from inference_bench.cli.utils.console_utils import foreign, table  # noqa: PLC0415
    from inference_bench.results.comparison_words import factor_words  # noqa: PLC0415

    right = ("B worse by", "Interval", "Limit")
    made = table("Failed", "Service", "Metric", *right, right=right)
    for one in failed:
        factor, interval = "carries none" if one.what == "capacity" else "no answer", ""
        if one.worse is not None and one.low is not None and one.high is not None:
            shown = factor_words(one.worse, one.low, one.high)
            factor, interval = f"{shown[0]}x", f"{shown[1]} – {shown[2]}"
        elif one.low is not None:
            (least,) = factor_words(one.low)
            factor = f"at least {least}x"
        limit = f"{1 + percent / 100:g}x"
        cells = (Text(one.what), Text(factor, style="bold red"), Text(interval), Text(limit))
        made.add_row(foreign(one.pair.test), foreign(one.pair.b), *cells)
    return made
