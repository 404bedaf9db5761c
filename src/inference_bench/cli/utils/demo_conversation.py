"""The mode conversation: a scripted talk with all services, and what growing prompts do to their waiting times."""

import asyncio

from inference_bench.cli.utils.console_utils import note, out
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_prompts import check_talk_file, script
from inference_bench.cli.utils.demo_talk import (
    ONE_TURN,
    OWN_HISTORY,
    SAME_HISTORY,
    TalkView,
    check_answers,
    kept,
    warmed_up,
)
from inference_bench.cli.utils.questions import choose
from inference_bench.cli.utils.talk_files import TalkRecord
from inference_bench.config.models import Settings
from inference_bench.orchestration.conversation_orchestrator import Talk
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.visualization.components.race_words import SAME_INSTANT
from inference_bench.visualization.components.talk_tables import growth_table, growth_words
from inference_bench.workloads.scenarios import Scenario, find_scenario, scenarios


async def conversation_flow(show: Show, settings: Settings, options: DemoOptions, stop: asyncio.Event) -> int:
    """Run the script, turn by turn. Raises InterruptedRunError, NoServiceError, UsageError, WorkerDiedError."""
    check_talk_file(options.save)
    scenario = await _scenario(options, stop)
    if scenario is None:
        return 0
    lines = script(scenario, options)
    talk = Talk(show, settings, kind="conversation", title=scenario.title, max_tokens=options.max_tokens, of=len(lines))
    view = TalkView(show, talk, _meaning(options, len(lines)), places=options.same_history and len(lines) > 1)
    out().print(f"{scenario.title}. {scenario.persona}", markup=False, soft_wrap=not out().is_terminal)
    note(SAME_INSTANT.capitalize() + ".")
    record = TalkRecord(show, talk, scenario=scenario, same_history=options.same_history)
    with kept(record, options.save):
        await warmed_up(show)
        for line in lines:
            turn = await view.turn(line.said, line.past if options.same_history else None)
            if view.left:
                break
            if not options.same_history and turn.number < len(lines):
                view.tell_unanswered(turn)
        _sum_up(view)
    check_answers(talk.turns)
    return 0


async def _scenario(options: DemoOptions, stop: asyncio.Event) -> Scenario | None:
    if options.scenario is not None:
        return find_scenario(options.scenario)
    choices = [(scenario.name, f"{scenario.title}: {scenario.persona}") for scenario in scenarios()]
    name = await choose("Which situation?", choices, stop)
    return None if name is None else find_scenario(name)


def _meaning(options: DemoOptions, turns: int) -> str:
    if turns == 1:
        return ONE_TURN
    return SAME_HISTORY if options.same_history else OWN_HISTORY


def _sum_up(view: TalkView) -> None:
    """Print how prompts grew, and what their growth did to the waiting for the first token."""
    turns = [turn.outcomes for turn in view.talk.turns]
    if len(turns) > 1:
        console = out()
        simulated = " (SIMULATED ENGINES)" if view.show.simulated else ""
        console.print(f"All turns: how the prompt grew, as each server counted it{simulated}", style="bold")
        console.print(growth_table(view.show.names, turns, console.width))
        for name in view.show.names:
            console.print(growth_words(name, [turn.get(name) for turn in turns]), markup=False)
        console.print("(plain arithmetic between two turns, one measurement each; prefix caches play their part)")
    out().print(f"{view.meaning[:1].upper()}{view.meaning[1:]}.", markup=False)
    if view.places:
        note("For a verdict with statistics: benchmark, or demo --mode race --runs 20.")
