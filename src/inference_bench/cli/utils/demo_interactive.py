"""The mode interactive: choose a prompt or type one, race it, again."""

import asyncio
from typing import Final

from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_race import race_one, recording
from inference_bench.cli.utils.questions import ask_text, choose
from inference_bench.config.models import Settings
from inference_bench.errors import InterruptedRunError, NoServiceError
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.orchestration.race_orchestrator import RaceHeat, answered_nothing
from inference_bench.workloads.canned import canned_prompts, choose_prompt

_OWN: Final = "own"


async def interactive_flow(show: Show, settings: Settings, options: DemoOptions, stop: asyncio.Event) -> int:
    """Race what is chosen until somebody leaves; --prompt is raced first.

    Raises InterruptedRunError, NoServiceError, UsageError, WorkerDiedError.
    """
    first = None if options.prompt is None else choose_prompt(options.prompt)
    raced: list[RaceHeat] = []
    with recording(show, options):
        while (prompt := first or await _chosen(stop)) is not None:
            first = None
            heats = await race_one(show, settings, prompt, options, stop)
            raced += heats
            if any(heat.interrupted for heat in heats) and not show.left:
                raise InterruptedRunError("interrupted")
            if stop.is_set():  # left, or stopped, when the race was over
                break
    silent = answered_nothing(raced)
    if silent:
        raise NoServiceError(f"{', '.join(silent)} answered not a single request")
    return 0


async def _chosen(stop: asyncio.Event) -> str | None:
    """Ask what is to be raced; None: the user left."""
    prompts = canned_prompts()
    options = [(str(number), f"{one.title}: {one.prompt}") for number, one in enumerate(prompts, start=1)]
    value = await choose("What shall they be asked?", [*options, (_OWN, "a prompt of your own")], stop)
    if value == _OWN:
        return await ask_text("Your prompt: ", stop)
    return None if value is None else choose_prompt(value)
