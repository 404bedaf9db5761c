"""What a talk is about: the words of --scenario and --prompt as turns, checked before anything is asked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference_bench.api.protocols import Message
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.errors import UsageError
from inference_bench.workloads.canned import choose_prompt
from inference_bench.workloads.choices import shown
from inference_bench.workloads.scenarios import Scenario, find_scenario

SUFFIXES: Final = (".md", ".json")


@dataclass(frozen=True, slots=True)
class Line:
    """One turn of a script: what is said, and the past that goes with it where all are given the same one."""

    said: str
    past: tuple[Message, ...] = ()


def check_words(mode: str, options: DemoOptions) -> None:
    """Refuse, before anything is asked of anybody, words that the mode can do nothing with. Raises UsageError."""
    if mode == "race" and options.save is not None and options.save.suffix.lower() != ".json":
        hint = "give a name that ends in .json; Markdown is for talks"
        raise UsageError(f"a race is kept as JSON, and {shown(options.save.name)} does not say so", hint=hint)
    if mode not in ("conversation", "chat"):
        return
    check_talk_file(options.save)
    if mode == "chat":
        opening(options)
    elif options.scenario is not None:
        script(find_scenario(options.scenario), options)
    elif options.prompt is not None:
        prompt_number(options.prompt)


def check_talk_file(path: Path | None) -> None:
    """Refuse a name that does not say which of the two forms a talk is to be kept in. Raises UsageError."""
    if path is not None and path.suffix.lower() not in SUFFIXES:
        raise UsageError(
            f"a talk is kept as Markdown or JSON, and {shown(path.name)} says neither",
            hint=f"give a name that ends in {' or '.join(SUFFIXES)}",
        )


def script(scenario: Scenario, options: DemoOptions) -> tuple[Line, ...]:
    """Return a conversation's turns: the scenario's script, or with --prompt N its stand-alone prompt N alone.

    Raises UsageError for a number it does not have, and for a text: a conversation is scripted.
    """
    if options.prompt is not None:
        return (Line(scenario_prompt(scenario, prompt_number(options.prompt))),)
    return tuple(Line(turn.user, scenario.history(place)[:-1]) for place, turn in enumerate(scenario.script))


def scenario_prompt(scenario: Scenario, number: int) -> str:
    """Return a scenario's stand-alone prompt by its number, which counts from 1. Raises UsageError."""
    if not 1 <= number <= len(scenario.prompts):
        raise UsageError(
            f"{scenario.name} has no prompt {number}; its prompts are numbered 1 to {len(scenario.prompts)}",
            hint="--prompt with a scenario is one of these numbers",
        )
    return scenario.prompts[number - 1]


def opening(options: DemoOptions) -> str | None:
    """Return what a chat begins with: --prompt, or the first words of --scenario, or its prompt N. None: nothing.

    Raises UsageError.
    """
    if options.scenario is None:
        return None if options.prompt is None else choose_prompt(options.prompt).encode(errors="replace").decode()
    scenario = find_scenario(options.scenario)
    if options.prompt is None:
        return scenario.script[0].user
    return scenario_prompt(scenario, prompt_number(options.prompt))


def prompt_number(prompt: str) -> int:
    """Return the number that --prompt is beside a scenario. Raises UsageError for anything else."""
    wanted = prompt.strip()
    if not (wanted.isascii() and wanted.isdigit()):
        raise UsageError(
            f"--prompt {shown(wanted)} is no number of a scenario's prompts",
            hint="here --prompt is 1 to 4; a question of your own: --mode chat --prompt TEXT, or no --scenario",
        )
    return int(wanted[:4])
