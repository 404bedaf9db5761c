"""The command `inspect`: the payloads under glass. What is sent to each engine and what comes back, byte by byte."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.console_utils import note
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.new_file import check_new
from inference_bench.cli.utils.service_options import ServiceOptions, load_configuration, service_options
from inference_bench.errors import InterruptedRunError, NoServiceError, UsageError

if TYPE_CHECKING:
    import asyncio

    from inference_bench.api.protocols import Message
    from inference_bench.config.loader import LoadedSettings
    from inference_bench.orchestration.inspect_orchestrator import Inspection, Question
    from inference_bench.visualization.components.payload_values import Specimen

THEMES = ("payload", "streaming", "errors", "performance")
_MAX_TOKENS = 32
_MOST_TOKENS = 131_072
_RAW_THEMES = (None, "payload", "errors")


@click.command(
    short_help="Show what is sent to each engine, and what comes back.",
    epilog=examples(
        "vllm-benchmark inspect --simulate",
        "vllm-benchmark inspect --url vllm=http://h1:8000 --url tgi=http://h2:8080",
        "vllm-benchmark inspect --theme streaming --prompt 2 --simulate",
        "vllm-benchmark inspect --theme errors --url http://localhost:8000",
        "vllm-benchmark inspect --theme performance --max-tokens 128 --simulate",
        "vllm-benchmark inspect --raw --service vllm --simulate > answer.txt",
        "vllm-benchmark inspect --save payloads.json --simulate",
        "vllm-benchmark inspect --save again.curl --url http://localhost:8000",
    ),
)
@service_options
@click.option("--prompt", metavar="TEXT|N", help="What to ask: a text, or the number of a canned prompt.")
@click.option("--scenario", metavar="1-5|NAME", help="Ask the last turn of a scripted talk, with the talk before it.")
@click.option("--theme", type=click.Choice(THEMES, case_sensitive=False), help="One view; without it the first two.")
@click.option(
    "--max-tokens",
    type=click.IntRange(1, _MOST_TOKENS),
    default=_MAX_TOKENS,
    show_default=True,
    metavar="N",
    help="The length of an answer.",
)
@click.option("--raw", is_flag=True, help="Print the bytes of the answers alone; escaped on a terminal, else exact.")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Keep everything as JSON; or the requests as a script, when the name ends in .curl.",
)
def inspect(
    services: ServiceOptions,
    *,
    prompt: str | None,
    scenario: str | None,
    theme: str | None,
    max_tokens: int,
    raw: bool,
    save: Path | None,
) -> int:
    """Show what is sent to each engine, and what comes back: one real request to each, measured as `benchmark` does.

    Themes: payload (requests and answers side by side, and what tells them apart), streaming (what came when), errors
    (provokes an unknown model and an over-long prompt, two requests a service), performance (where the time went).
    Secrets are never shown. The exit code is 3 when a service did not answer.
    """
    if raw and theme not in _RAW_THEMES:
        raise UsageError(f"--raw prints the bytes alone; --theme {theme} would not be seen")
    check_new(save)
    from inference_bench.cli.utils.async_utils import run_story  # noqa: PLC0415 - keeps --help fast
    from inference_bench.cli.utils.inspect_view import print_inspection, print_raw  # noqa: PLC0415
    from inference_bench.orchestration.inspect_orchestrator import Question  # noqa: PLC0415
    from inference_bench.orchestration.inspect_saving import SCRIPT_SUFFIX, save_inspection  # noqa: PLC0415

    messages = _messages(prompt, scenario)
    loaded = load_configuration(services)
    if save is not None and save.suffix == SCRIPT_SUFFIX and loaded.settings.services.simulate:
        raise UsageError("a .curl script is for services that stay: simulated engines end with the command")
    question = Question(messages, max_tokens, loaded.settings.benchmark.seed)
    inspection = run_story(lambda stop: _look(loaded, services, question, theme, stop), stopping="giving up")
    if raw:
        print_raw(inspection.specimens)
    elif inspection.specimens:
        print_inspection(inspection, theme)
    if save is not None:
        check_new(save)  # what appeared there meanwhile is not overwritten
        save_inspection(save, inspection, theme=theme or "payload and streaming")
        note(f"Wrote {save}")
    if inspection.interrupted:
        raise InterruptedRunError("interrupted before every service had answered")
    return _exit_code(inspection.specimens, theme)


def _messages(prompt: str | None, scenario: str | None) -> "tuple[Message, ...]":
    """Return the conversation to ask. Raises UsageError for a number or a name that there is not."""
    from inference_bench.api.protocols import Message  # noqa: PLC0415 - keeps --help fast
    from inference_bench.workloads.canned import DEFAULT_TEST_PROMPT, choose_prompt  # noqa: PLC0415
    from inference_bench.workloads.scenarios import find_scenario  # noqa: PLC0415

    if scenario is None:
        return (Message("user", DEFAULT_TEST_PROMPT if prompt is None else choose_prompt(prompt)),)
    if prompt is not None:
        raise UsageError("--prompt and --scenario both say what to ask; give one of them")
    found = find_scenario(scenario)
    return found.history(len(found.script) - 1)


async def _look(
    loaded: "LoadedSettings",
    services: ServiceOptions,
    question: "Question",
    theme: str | None,
    stop: "asyncio.Event",
) -> "Inspection":
    from inference_bench.cli.utils.demo_opening import opened_show  # noqa: PLC0415 - keeps --help fast
    from inference_bench.orchestration.inspect_orchestrator import inspect_answers, provoke_errors  # noqa: PLC0415

    async with opened_show(loaded, services, stop, environ=os.environ, most=None) as show:
        if theme == "errors":
            return await provoke_errors(show, question, loaded.settings, note)
        return await inspect_answers(show, question, note)


def _exit_code(specimens: "Sequence[Specimen]", theme: str | None) -> int:
    """3 when a service did not answer as asked; provoked errors are answers, unless none came at all."""
    if theme == "errors":
        services = {specimen.service for specimen in specimens}
        answered = {specimen.service for specimen in specimens if specimen.status is not None}
        return NoServiceError.exit_code if services - answered else 0
    return 0 if all(specimen.outcome.ok for specimen in specimens) else NoServiceError.exit_code
