"""`results explain`: what a metric, or another word of a summary or comparison, means. Words in, words out."""

import re
from dataclasses import asdict
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import out, print_json, table
from inference_bench.cli.utils.help_text import examples

if TYPE_CHECKING:
    from rich.table import Table

    from inference_bench.results.explaining import Explanation

_END_OF_GIST = re.compile("[:;.] ")


@click.command(
    "explain",
    short_help="Say what a metric means.",
    epilog=examples(
        "vllm-benchmark results explain",
        "vllm-benchmark results explain ttft_ms",
        "vllm-benchmark results explain tpot_ms.p99 --json",
    ),
)
@click.argument("metric", metavar="[METRIC]", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def explain_command(*, metric: str | None, as_json: bool) -> None:
    """Say what METRIC means: in words, its formula, its unit, which way is better, and what makes it missing.

    METRIC may carry a statistic (ttft_ms.p95); counts, rates, validity signs and verdicts are explained too. Without
    METRIC everything that can be explained is listed.
    """
    from inference_bench.results.explaining import everything, explain  # noqa: PLC0415 - keeps --help fast

    found = list(everything()) if metric is None else [explain(metric)]
    if as_json:
        print_json([asdict(one) for one in found] if metric is None else asdict(found[0]))
    elif metric is None:
        _print_list(found)
    else:
        _print_one(found[0])


def _print_list(found: "list[Explanation]") -> None:
    from rich.text import Text  # noqa: PLC0415

    made = table("Name", "Kind", "What it is")
    for column in made.columns[:2]:
        column.no_wrap = True
    for one in found:
        made.add_row(Text(one.name, style="bold"), Text(one.kind), Text(_END_OF_GIST.split(one.words)[0]))
    out().print(made)


def _print_one(one: "Explanation") -> None:
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from inference_bench.results.explaining import INTERVALS  # noqa: PLC0415

    name = one.name if one.statistic is None else f"{one.name}.{one.statistic}"
    made = Table.grid(padding=(0, 2, 0, 0))
    made.add_column(no_wrap=True, style="dim")
    made.add_column(overflow="fold")
    lines = {
        "What it is": one.words,
        "Formula": one.formula,
        "Unit": one.unit,
        "Better": one.better,
        "Source": one.source,
        "Missing when": one.missing,
    }
    for label, text in lines.items():
        if text:
            made.add_row(label, Text(text))
    console = out()
    console.print(Text.assemble((name, "bold"), f"  ({one.kind})"))
    console.print(made)
    if one.statistics:
        console.print(_statistics(one))
        console.print(Text(INTERVALS, style="dim"))


def _statistics(one: "Explanation") -> "Table":
    from rich.text import Text  # noqa: PLC0415

    made = table("Statistic", "What it is", "From n", "Interval from n", right=("From n", "Interval from n"))
    for found in one.statistics:
        needs = ["" if number is None else f"{number:,}" for number in (found.needs, found.interval_needs)]
        made.add_row(Text(found.name, style="bold"), Text(found.words), *map(Text, needs))
    return made
