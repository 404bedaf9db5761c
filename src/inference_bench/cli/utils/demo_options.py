"""The options of `demo`, read and checked: which of them go together, and what is refused before anything starts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

import rich_click as click

from inference_bench.cli.utils.new_file import check_new
from inference_bench.errors import UsageError

P = ParamSpec("P")
R = TypeVar("R")

MODES: Final = ("race", "conversation", "interactive", "chat")
MOST_RUNS: Final = 1_000
MOST_CROWD: Final = 512
_RACING = ("race", "interactive")


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What the command line says of a demo. `mode` None asks for the menu."""

    mode: str | None = None
    prompt: str | None = None
    scenario: str | None = None
    same_history: bool = False
    runs: int = 1
    rapid_fire: bool = False
    crowd: int = 0
    max_tokens: int | None = None
    web: bool = False
    save: Path | None = None
    record: Path | None = None
    replay: Path | None = None
    speed: float = 1.0
    show_list: bool = False
    yes: bool = False

    @classmethod
    def of(cls, given: Mapping[str, object]) -> "DemoOptions":
        """Read click's values. Raises UsageError for options that do not go together."""
        made = cls(**given)  # type: ignore[arg-type]  # click has checked each by itself
        made._check()
        return made

    def _check(self) -> None:
        self._check_replay()
        if self.web and self.mode not in (None, "race"):
            raise UsageError(f"--web shows the race, not --mode {self.mode}")
        for option, given, modes in (
            ("--runs", self.runs != 1, ("race",)),
            ("--rapid-fire", self.rapid_fire, ("race",)),
            ("--crowd", self.crowd > 0, ("race",)),
            ("--record", self.record is not None, _RACING),
            ("--save", self.save is not None, ("race", "conversation", "chat")),
            ("--scenario", self.scenario is not None, ("race", "conversation", "chat")),
            ("--same-history", self.same_history, ("conversation",)),
        ):
            if given and self.mode is not None and self.mode not in modes:
                raise UsageError(f"{option} does not go with --mode {self.mode}; it is for {_listed(modes)}")
        if self.rapid_fire and (self.prompt is not None or self.scenario is not None):
            raise UsageError("--rapid-fire asks short prompts of its own; it takes no --prompt and no --scenario")
        if self.web and (self.runs != 1 or self.rapid_fire or self.crowd):
            raise UsageError("--web races one prompt at a time; it takes no --runs, --rapid-fire or --crowd")
        if self.web and self.save is not None:
            raise UsageError("--web takes no --save", hint="--record keeps its races; --mode race --save keeps figures")
        for path in (self.save, self.record):
            check_new(path)
        if self.save is not None and self.record is not None and self.save.absolute() == self.record.absolute():
            raise UsageError(f"--save and --record both name {self.save}", hint="give each a file of its own")

    def _check_replay(self) -> None:
        if self.replay is None:
            if self.speed != 1.0:
                raise UsageError("--speed is for --replay")
            return
        others = (self.prompt, self.scenario, self.save, self.record, self.max_tokens)
        flags = (self.rapid_fire, self.crowd > 0, self.runs != 1, self.same_history)
        if any(other is not None for other in others) or any(flags) or self.mode not in (None, "race"):
            raise UsageError("--replay shows a recording as it is; only --speed and --web go with it")

    @property
    def wanted_mode(self) -> str | None:
        """The mode that the options ask for: racing options without a mode mean the race."""
        racing = self.runs != 1 or self.rapid_fire or self.crowd or self.web or self.record is not None
        return self.mode or ("race" if racing else "conversation" if self.same_history else None)


def _listed(modes: tuple[str, ...]) -> str:
    return " and ".join(filter(None, (", ".join(modes[:-1]), modes[-1])))


def demo_options(command: Callable[P, R]) -> Callable[P, R]:
    """Add the options of `demo`."""
    decorated = command
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


_FILE = click.Path(path_type=Path, dir_okay=False)
_OPTIONS = (
    click.option("--mode", type=click.Choice(MODES, case_sensitive=False), help="What to show; without it a menu."),
    click.option(
        "--prompt",
        metavar="TEXT|N",
        help="What to ask: a text, or the number of a canned prompt; of a scenario's own questions, 1 to 4.",
    ),
    click.option(
        "--scenario",
        metavar="1-5|NAME",
        help="The situation to talk about, by number or name; a race asks one of its questions.",
    ),
    click.option(
        "--same-history",
        is_flag=True,
        help="Conversation: the script is everybody's past, so times compare.",
    ),
    click.option(
        "--runs", type=click.IntRange(1, MOST_RUNS), default=1, metavar="N", help="Race N times; ends in a verdict."
    ),
    click.option("--rapid-fire", is_flag=True, help="Race several short prompts in rounds."),
    click.option(
        "--crowd",
        type=click.IntRange(0, MOST_CROWD),
        default=0,
        metavar="N",
        help="Race again while N background users load each service.",
    ),
    click.option("--max-tokens", type=click.IntRange(2, 131_072), metavar="N", help="The length of an answer."),
    click.option("--web", is_flag=True, help="Show the race in a browser, on a page of this machine alone."),
    click.option("--save", type=_FILE, metavar="FILE", help="Keep the figures (.json), or a talk (.md or .json)."),
    click.option("--record", type=_FILE, metavar="FILE", help="Keep every chunk with its time, to be replayed."),
    click.option("--replay", type=_FILE, metavar="FILE", help="Play a recording; `shipped` comes with the program."),
    click.option("--speed", type=click.FloatRange(0.05, 100), default=1.0, metavar="X", help="Replay X times as fast."),
    click.option("--list", "show_list", is_flag=True, help="Print the scenarios and the canned prompts."),
    click.option("--yes", is_flag=True, help="Do not ask before a crowd loads services on other machines."),
)
