"""What can be asked in a demo: the scenarios and the canned prompts, by the numbers that users type."""

from collections.abc import Callable
from textwrap import shorten, wrap
from typing import Final

from rich.text import Text

from inference_bench.cli.utils.console_utils import out
from inference_bench.workloads.canned import canned_prompts
from inference_bench.workloads.scenarios import Scenario, scenarios

_WIDEST: Final = 100  # longer lines are hard to read
_INDENT: Final = 4
_FIRST_WORDS: Final = 160  # characters of a script's first question
_ALONE: Final = 72  # and of a question that is asked alone: a line on most terminals


def print_list() -> None:
    """Print both lists on stdout."""
    console = out()
    width = max(20, min(console.width, _WIDEST) - _INDENT)

    def indented(text: str, style: str = "") -> None:
        for line in wrap(text, width, break_on_hyphens=False):
            console.print(Text(" " * _INDENT + line, style=style))

    def heading(number: int, *words: str) -> None:
        console.print()
        console.print(Text.assemble((f"{number:<{_INDENT}}", "bold"), "  ".join(words)))

    console.print(Text("Scenarios: --mode conversation --scenario NUMBER or NAME", style="bold"))
    for scenario in scenarios():
        heading(scenario.number, scenario.name)
        _print_scenario(scenario, indented)
    console.print()
    console.print(Text("Canned prompts: --prompt NUMBER (or any text of your own)", style="bold"))
    for number, canned in enumerate(canned_prompts(), start=1):
        heading(number, canned.title)
        indented(canned.prompt, "dim")


def _print_scenario(scenario: Scenario, indented: Callable[[str, str], None]) -> None:
    question = scenario.script[0].user.split("\n\n", maxsplit=1)[0]
    indented(scenario.persona, "")
    indented(f"First: {shorten(question, _FIRST_WORDS, placeholder=' …')}", "dim")
    turns, prompts = len(scenario.script), len(scenario.prompts)
    indented(f"{turns} scripted turns; with --prompt 1 to {prompts}, one of its questions alone:", "dim")
    for number, prompt in enumerate(scenario.prompts, start=1):
        indented(shorten(f"{number}  {prompt}", _ALONE, placeholder=" …"), "dim")
