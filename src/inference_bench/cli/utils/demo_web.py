"""The race in a browser: `demo --web`, live or from a recording. The page shows; here it is fed and ended."""

import asyncio
import time
from collections.abc import Coroutine
from typing import Any, Final

from inference_bench.cli.utils.console_utils import clean, note, out, warn
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.demo_race import race_input, recording
from inference_bench.cli.utils.demo_replay import opened_recording, recording_words
from inference_bench.config.models import Settings
from inference_bench.live.board import Board
from inference_bench.live.events import Heat, LaneFacts, LiveEvent
from inference_bench.live.recording import Recording
from inference_bench.live.replay import Replay, surveyed
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.orchestration.race_orchestrator import Coming, Question, run_heat
from inference_bench.visualization.components.podium_view import result_line
from inference_bench.visualization.components.race_words import RECORDING
from inference_bench.visualization.web.serving import served
from inference_bench.visualization.web.shown import Recorded, Shown
from inference_bench.visualization.web.stage import Stage
from inference_bench.workloads.canned import canned_prompts

INTERRUPTED: Final = 130  # Ctrl-C is how this mode ends, and says so like everywhere else


async def web_flow(show: Show, settings: Settings, options: DemoOptions, stop: asyncio.Event) -> int:
    """Serve the page, print its address, and run a race whenever the page asks for one, until `stop`.

    Returns 130: only an interruption ends it. Raises UsageError, WorkerDiedError.
    """
    given = race_input(options)
    first = given.questions[0].prompt
    stage = Stage(show.board, Shown(show.lanes, time.monotonic_ns, canned_prompts(), first))
    show.listeners.append(stage.take)
    with recording(show, options):
        async with served(stage) as address:
            _invite(address, "Space starts a race there")
            number = 0
            warm = False
            while (prompt := await stage.wanted(stop)) is not None:
                if not warm:
                    stage.says("warming up: a few tokens of each service first, uncounted")
                    await show.warm_up()
                    warm = True
                if stop.is_set():
                    break
                number += 1
                note(f"Race {number}: {clean(prompt, limit=100)}")
                stage.says("racing")
                await run_heat(show, settings, given, Coming(number, number, number, Question(prompt)))
                note(f"Race {number}: {result_line(show.board)}")
                stage.says(None)
    return INTERRUPTED


async def web_replay_flow(options: DemoOptions, stop: asyncio.Event) -> int:
    """Serve the page, print its address, and play the recording whenever the page asks for it, until `stop`.

    Returns 130: only an interruption ends it. Raises UsageError for a recording that is missing, damaged or empty.
    """
    assert options.replay is not None
    with opened_recording(options.replay) as recorded:
        survey = await surveyed(recorded, stop)
        words = recording_words(recorded, survey)
        if options.speed != 1:
            words += f", played {options.speed:g} times as fast"
        (warn if survey.simulated else note)(f"{RECORDING}: {words}")
        played = _Played(recorded, options.speed)
        shown = Shown(_first_lanes(recorded), played.clock, played=Recorded(words, options.speed, survey.simulated))
        await _play_on(played, shown, stop)
    return INTERRUPTED


async def _play_on(played: "_Played", shown: Shown, stop: asyncio.Event) -> None:
    board = Board()
    stage = Stage(board, shown)

    def take(event: LiveEvent) -> None:
        board.take(event)
        stage.take(event)

    async with served(stage) as address:
        _invite(address, f"{RECORDING}: Space plays it there")
        while await stage.wanted(stop) is not None:
            stage.says("playing")
            await _unless(stop, played.again().play(take))
            if not stop.is_set():
                note(f"Played: {result_line(board)}")
            stage.says(None)


class _Played:
    """A recording that is played again and again; its clock is that of the last time."""

    def __init__(self, recorded: Recording, speed: float) -> None:
        self._recorded = recorded
        self._speed = speed
        self._replay = self.again()

    def again(self) -> Replay:
        """Return it from its beginning."""
        self._replay = Replay(self._recorded, speed=self._speed)
        return self._replay

    def clock(self) -> int:
        """Return the show's time, in the recording's ns."""
        return self._replay.clock()


def _first_lanes(recorded: Recording) -> tuple[LaneFacts, ...]:
    return next(event.lanes for event in recorded.events() if isinstance(event, Heat))


async def _unless(stop: asyncio.Event, doing: Coroutine[Any, Any, None]) -> None:
    """Do it, unless or until `stop` is set."""
    task = asyncio.ensure_future(doing)
    stopped = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, stopped}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            await task
    finally:
        task.cancel()
        stopped.cancel()
        await asyncio.gather(task, stopped, return_exceptions=True)


def _invite(address: str, then: str) -> None:
    """Print the address on stdout, whole and alone on its line, and what to do with it beside."""
    out().print(address, soft_wrap=True, markup=False)
    note(f"Open it in a browser on this machine. {then}; Ctrl-C here ends it.")
