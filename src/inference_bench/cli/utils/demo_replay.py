"""`demo --replay`: a recording on the terminal as it was, marked as one; without a terminal, line by line. Offline."""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import Final

from rich.console import RenderableType

from inference_bench.cli.utils.console_utils import note, out, warn
from inference_bench.cli.utils.demo_options import DemoOptions
from inference_bench.cli.utils.keys import single_keys
from inference_bench.errors import InterruptedRunError, UsageError
from inference_bench.live.board import Board
from inference_bench.live.events import HeatEnded, LiveEvent
from inference_bench.live.plain import one_line
from inference_bench.live.recording import Recording
from inference_bench.live.replay import Replay, Survey, surveyed
from inference_bench.visualization.components.live_screen import LiveScreen, can_draw
from inference_bench.visualization.components.plain_race import PlainRace
from inference_bench.visualization.components.podium_view import race_result, result_line
from inference_bench.visualization.components.race_screen import RaceMarks, race_screen
from inference_bench.visualization.components.race_words import heat_words

SHIPPED: Final = "shipped"  # the word for the recording that comes with the program
LEAVE_KEYS: Final = "qQ"
LAST_LOOK_SECONDS: Final = 2.0  # of the recording's time: the last heat's places, before the screen goes
_ROOM, _FOLDER, _FILE = "inference_bench.live", "data", "race.jsonl"


async def replay_flow(options: DemoOptions, stop: asyncio.Event) -> int:
    """Play a recording to its end, or until somebody leaves, and print what came of it.

    Raises UsageError for what is no recording or a damaged one, InterruptedRunError once `stop` is set.
    """
    if options.web:
        from inference_bench.cli.utils.demo_web import web_replay_flow  # noqa: PLC0415 - the web's libraries are slow

        return await web_replay_flow(options, stop)
    assert options.replay is not None
    with opened_recording(options.replay) as recording:
        survey = await surveyed(recording, stop)
        words = recording_words(recording, survey)
        (warn if survey.simulated else note)(f"RECORDING: {words}")
        playing = _Playing(recording, words, options.speed, stop)
        await (playing.on_screen() if can_draw(out()) else playing.in_lines())
    playing.print_results()
    if stop.is_set():
        raise InterruptedRunError("interrupted while the recording was played")
    if not survey.whole and not playing.leaving.is_set():
        warn("the recording ends in the middle of a heat; it was cut short")
    return 0


@contextmanager
def opened_recording(named: Path) -> Iterator[Recording]:
    """Open the recording of that name; `shipped` is the one that comes with the program. Raises UsageError."""
    if str(named) != SHIPPED:
        yield Recording(named)
        return
    shipped = files(_ROOM) / _FOLDER / _FILE
    if not shipped.is_file():
        raise UsageError(
            f"this installation has no recording of its own ({_FOLDER}/{_FILE} of {_ROOM} is missing)",
            hint="install it again, or give a file made with demo --record",
        )
    with as_file(shipped) as path:
        yield Recording(path)


def recording_words(recording: Recording, survey: Survey) -> str:
    """Return when and by what a recording was made, and of what kind of engines."""
    made = recording.created.strftime("%Y-%m-%d %H:%M %Z").strip()
    engines = "SIMULATED engines" if survey.simulated else "real engines"
    return f"recorded {made} by {one_line(recording.head.program, 60)}, {engines}"


@dataclass(slots=True)
class _Playing:
    """A replay under way. `leaving`: somebody has seen enough. `ended` says what came of each heat, `last` holds it."""

    recording: Recording
    words: str
    speed: float
    stop: asyncio.Event
    leaving: asyncio.Event = field(default_factory=asyncio.Event)
    board: Board = field(default_factory=Board)
    ended: list[str] = field(default_factory=list)
    last: Board | None = None

    async def on_screen(self) -> None:
        """Play it on the whole terminal; q leaves."""
        replay = Replay(self.recording, speed=self.speed)

        def on_key(key: str) -> None:
            if key in LEAVE_KEYS:
                self.leaving.set()

        def render(width: int, height: int) -> RenderableType:
            return race_screen(self.board, replay.clock(), width, height, marks=self._marks())

        with single_keys(on_key):
            async with LiveScreen(out(), render):
                await self._until_over(replay.play(self._take))
                await self._until_over(asyncio.sleep(LAST_LOOK_SECONDS / self.speed))

    async def in_lines(self) -> None:
        """Play it as lines, for a reader without a terminal."""
        lines = PlainRace(note)

        def take(event: LiveEvent) -> None:
            self._take(event)
            lines.take(event)

        await self._until_over(Replay(self.recording, speed=self.speed).play(take))

    def print_results(self) -> None:
        """Print what came of every heat that ended: the last as a table, those before it on a line each."""
        if self.last is None:
            return
        console = out()
        for said in self.ended[:-1]:
            console.print(said, markup=False, soft_wrap=True)
        console.print(race_result(self.last, console.width, recording=self.words))

    def _take(self, event: LiveEvent) -> None:
        self.board.take(event)
        if isinstance(event, HeatEnded):
            self.ended.append(result_line(self.board))
            self.last = replace(self.board)  # the next heat brings lanes of its own

    def _marks(self) -> RaceMarks:
        faster = "" if self.speed == 1 else f"   played {self.speed:g} times as fast"
        return RaceMarks(
            headline="" if self.board.heat is None else heat_words(self.board.heat),
            footer=f"q leaves{faster}",
            recording=self.words,
            kernel_stamps=self.recording.head.stamp_source == "kernel",
        )

    async def _until_over(self, story: Coroutine[None, None, None]) -> None:
        """Wait for a story's end, or until somebody leaves or interrupts."""
        task = asyncio.ensure_future(story)
        ends = [asyncio.ensure_future(event.wait()) for event in (self.leaving, self.stop)]
        try:
            await asyncio.wait((task, *ends), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            for waiting in (task, *ends):
                waiting.cancel()
            await asyncio.gather(task, *ends, return_exceptions=True)
