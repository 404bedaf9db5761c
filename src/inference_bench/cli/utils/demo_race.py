"""The race on a terminal: the first heats shown live, the others counted, then figures and verdicts."""

import asyncio
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from time import monotonic_ns
from typing import Final

from rich.align import Align
from rich.console import RenderableType
from rich.text import Text

from inference_bench.cli.utils.console_utils import error_line, note, out, progress
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_prompts import prompt_number, scenario_prompt
from inference_bench.cli.utils.keys import single_keys
from inference_bench.cli.utils.questions import confirmed
from inference_bench.cli.utils.race_views import race_report, rounds_table
from inference_bench.config.models import Settings
from inference_bench.discovery.services import here
from inference_bench.errors import InterruptedRunError, NoServiceError, UsageError
from inference_bench.live.recording import Recorder
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.orchestration.race_file import race_document, save_race
from inference_bench.orchestration.race_orchestrator import (
    RACE_TOKENS,
    RAPID_FIRE,
    RAPID_TOKENS,
    Coming,
    Question,
    RaceHeat,
    RaceInput,
    answered_nothing,
    planned_heats,
    run_heat,
)
from inference_bench.orchestration.race_statistics import statistics_of
from inference_bench.testing.crowd import check_crowd
from inference_bench.visualization.components.live_screen import LiveScreen, can_draw
from inference_bench.visualization.components.plain_race import PlainRace
from inference_bench.visualization.components.podium_view import race_result
from inference_bench.visualization.components.race_screen import RaceMarks, race_screen
from inference_bench.workloads.canned import canned_prompts, choose_prompt
from inference_bench.workloads.prefix import new_nonce
from inference_bench.workloads.scenarios import find_scenario

SHOWN_HEATS: Final = 3
PAUSE_SECONDS: Final = 1.5  # between shown heats: time to see who was first
LEAVE_KEYS: Final = "q\x1b"


async def race_flow(show: Show, settings: Settings, options: DemoOptions, stop: asyncio.Event) -> int:
    """Race, show, sum up, keep. Raises InterruptedRunError, UsageError, WorkerDiedError."""
    given = race_input(options)
    await _confirm_crowd(show, given, options)
    racing = Racing(show, settings, given, stop)
    try:
        with recording(show, options):
            await racing.run()
    finally:
        # Whatever ended it, a process that died or a disk that filled up too: the heats that were over are kept.
        _conclude(show, settings, given, racing.heats, options)
    return _exit_code(show, racing.heats)


async def race_one(
    show: Show, settings: Settings, prompt: str, options: DemoOptions, stop: asyncio.Event
) -> Sequence[RaceHeat]:
    """Race one prompt and show who was first; for modes that race again and again."""
    given = RaceInput((Question(prompt),), options.max_tokens or RACE_TOKENS, 1, new_nonce())
    heats = await Racing(show, settings, given, stop).run()
    _print_last(show, heats)
    return heats


def race_input(options: DemoOptions) -> RaceInput:
    """Return the race that the options ask for. Raises UsageError for a prompt or scenario that does not exist."""
    if options.rapid_fire:
        questions = tuple(Question(prompt, title) for title, prompt in RAPID_FIRE)
        tokens = RAPID_TOKENS
    else:
        questions, tokens = (Question(_prompt(options)),), RACE_TOKENS
    return RaceInput(questions, options.max_tokens or tokens, options.runs, new_nonce(), options.crowd)


def _prompt(options: DemoOptions) -> str:
    if options.scenario is None:
        return canned_prompts()[0].prompt if options.prompt is None else choose_prompt(options.prompt)
    number = 1 if options.prompt is None else prompt_number(options.prompt)
    return scenario_prompt(find_scenario(options.scenario), number)


@contextmanager
def recording(show: Show, options: DemoOptions) -> Iterator[None]:
    """Keep every chunk with its time while the block runs, when --record asks for it."""
    if options.record is None:
        yield
        return
    stamps = show.session.kernel_stamps
    with Recorder(options.record, simulated=show.simulated, kernel_stamps=stamps) as recorder:
        show.listeners.append(recorder.take)
        try:
            yield
        finally:
            show.listeners.remove(recorder.take)
    note(f"Recorded: {options.record}; play it with: demo --replay {options.record}")


@dataclass(slots=True)
class Racing:
    """One race under way: which heat it is, and what the screen says of it."""

    show: Show
    settings: Settings
    given: RaceInput
    stop: asyncio.Event
    heats: list[RaceHeat] = field(default_factory=list)
    _headline: str = ""
    _footer: str = ""
    _gathering: str = ""
    _key: asyncio.Event = field(default_factory=asyncio.Event)

    async def run(self) -> Sequence[RaceHeat]:
        """Warm up, then run every heat, until the end or until somebody has seen enough."""
        note("First a few tokens of each service, uncounted: no cold start is raced.")
        await self.show.warm_up()
        coming = planned_heats(self.given)
        on_terminal = can_draw(out())
        plain = PlainRace(note)
        if not on_terminal and len(coming) <= SHOWN_HEATS:
            self.show.listeners.append(plain.take)
        try:
            shown = coming[:SHOWN_HEATS] if on_terminal or len(coming) <= SHOWN_HEATS else ()
            for heat in shown:
                if self.stop.is_set():
                    break
                await (self._live(heat) if on_terminal else self._heat(heat))
            await self._count(coming[len(shown) :])
        finally:
            if plain.take in self.show.listeners:
                self.show.listeners.remove(plain.take)
        return self.heats

    async def _heat(self, coming: Coming) -> None:
        on_crowd = partial(self._on_crowd, coming)
        self.heats.append(await run_heat(self.show, self.settings, self.given, coming, on_crowd=on_crowd))
        self._gathering = ""

    async def _live(self, coming: Coming) -> None:
        """Run a heat under the live screen, and let its end be seen."""
        self._headline, self._footer = _headline(coming), "q leaves · Ctrl-C stops"
        self._gathering = "the crowd gathers" if coming.crowd else ""
        last = coming.number == coming.of
        self._key.clear()
        with single_keys(self._on_key):
            async with LiveScreen(out(), self._frame):
                await self._heat(coming)
                if self.stop.is_set():
                    return
                can_wait = last and sys.stdin.isatty()
                self._footer = "any key goes on" if can_wait else f"heat {coming.number} of {coming.of} is over"
                await self._pause(None if can_wait else PAUSE_SECONDS)

    async def _pause(self, seconds: float | None) -> None:
        """Wait for a key, or so long, or until the race is stopped."""
        waiting = [asyncio.ensure_future(self._key.wait()), asyncio.ensure_future(self.stop.wait())]
        try:
            await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waiting:
                one.cancel()

    async def _count(self, coming: Sequence[Coming]) -> None:
        """Run the heats that are not shown, under a progress line."""
        if not coming:
            return
        total = coming[-1].of
        with single_keys(self._on_key), progress("racing", total=total) as line:
            for heat in coming:
                if self.stop.is_set():
                    return
                line.update(heat.number - 1, description=_headline(heat) or "racing")
                await self._heat(heat)

    def _on_key(self, key: str) -> None:
        if key in LEAVE_KEYS and not self._pausing:
            self.show.left = True
            self.stop.set()
        self._key.set()

    @property
    def _pausing(self) -> bool:
        """Whether all heats are over and the last one's end is being looked at."""
        return bool(self.heats) and self.heats[-1].coming.number == self.heats[-1].coming.of

    def _on_crowd(self, coming: Coming, counts: Mapping[str, tuple[int, int]]) -> None:
        said = ", ".join(
            f"{name} {ok}" + (f" ({failed} failed)" if failed else "") for name, (ok, failed) in counts.items()
        )
        self._gathering = f"the crowd gathers, {_users(coming.crowd)} on each service\n\nanswers so far: {said}"

    def _frame(self, width: int, height: int) -> RenderableType:
        board = self.show.board
        started = board.heat is not None and board.heat.number > len(self.heats)
        if board.heat is None or (self._gathering and not started and len(self.heats) < board.heat.of):
            words = self._gathering or "ready"
            return Align.center(Text(words, justify="center"), vertical="middle", height=height)
        marks = RaceMarks(
            headline=self._headline, footer=self._footer, recording=None, kernel_stamps=self.show.session.kernel_stamps
        )
        return race_screen(board, monotonic_ns(), width, height, marks=marks)


def _headline(coming: Coming) -> str:
    question = coming.question
    title = f": {question.title}" if question.title else ""
    where = f", in a crowd of {_users(coming.crowd)} on each service" if coming.crowd else ""
    return f"heat {coming.number} of {coming.of}{title}{where}" if coming.of > 1 else where.lstrip(", ")


def _users(many: int) -> str:
    return f"{many} user{'' if many == 1 else 's'}"


async def _confirm_crowd(show: Show, given: RaceInput, options: DemoOptions) -> None:
    """Ask before other machines are loaded; refuse where nobody can be asked. Raises UsageError, ResourceLimitError."""
    if given.crowd:
        check_crowd(given.crowd, len(show.names))  # before the first heat, not when the crowd comes
    far = [service.name for service in show.opened.services if not here(service)]
    if not given.crowd or options.yes or not far:
        return
    users = given.crowd * len(show.names)
    if not sys.stdin.isatty():
        raise UsageError(f"a crowd of {users} users would load services on other machines", hint="say --yes")
    question = f"Load {', '.join(far)} with {given.crowd} users each, {given.runs} times?"
    if not await confirmed(question, show.stop):
        raise UsageError("nobody was let in")


def _conclude(
    show: Show, settings: Settings, given: RaceInput, heats: Sequence[RaceHeat], options: DemoOptions
) -> None:
    """Print what the race ends in, and keep it where that is wanted."""
    found = statistics_of(
        heats, show.names, settings.comparison, seed=settings.benchmark.seed, simulated=show.simulated
    )
    _print_last(show, heats)
    if len(heats) > 1:
        if given.crowd or len(given.questions) > 1:
            out().print(rounds_table(heats, show.names))
        for block in race_report(found, simulated=show.simulated):
            out().print(block, soft_wrap=isinstance(block, Text) and not out().is_terminal)
    if options.save is not None and heats:
        save_race(options.save, race_document(show, given, heats, found))
        note(f"Saved: {options.save}")


def _print_last(show: Show, heats: Sequence[RaceHeat]) -> None:
    if len(heats) == 1 and show.board.podium is not None:
        out().print(race_result(show.board, out().width, recording=None))


def _exit_code(show: Show, heats: Sequence[RaceHeat]) -> int:
    if show.stop.is_set() and not show.left:
        kept = any(not heat.interrupted for heat in heats)
        raise InterruptedRunError("interrupted; " + ("the heats that were over count" if kept else "no heat was over"))
    silent = answered_nothing(heats)
    if silent:
        error_line(f"{', '.join(silent)} answered not a single request")
        return NoServiceError.exit_code
    return 0
