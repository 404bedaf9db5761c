"""What can be asked in a demo: the scenarios and the canned prompts, by the numbers that users type."""

from rich.text import Text

from inference_bench.cli.utils.console_utils import out, table
from inference_bench.workloads.canned import canned_prompts
from inference_bench.workloads.scenarios import scenarios


def print_list() -> None:
    """Print both lists on stdout."""
    talks = table("scenario", "name", "who asks, and what first", title="Scenarios: --scenario NUMBER or NAME")
    for scenario in scenarios():
        first = Text.assemble((scenario.persona, "italic"), "\n", scenario.script[0].user)
        talks.add_row(str(scenario.number), scenario.name, first)
        talks.add_row("", "", "")
    out().print(talks)
    prompts = table("prompt", "title", "text", title="Canned prompts: --prompt NUMBER")
    for number, canned in enumerate(canned_prompts(), start=1):
        prompts.add_row(str(number), canned.title, canned.prompt)
    out().print(prompts)
