"""What conversation and chat have in common: a turn seen while it happens, printed when it is over, and kept."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Final

from rich.console import RenderableType

from inference_bench.api.protocols import Message
from inference_bench.cli.utils.console_utils import note, out, warn
from inference_bench.cli.utils.keys import single_keys
from inference_bench.cli.utils.questions import keys_work
from inference_bench.cli.utils.talk_files import TalkRecord, save_talk
from inference_bench.errors import BenchError, InterruptedRunError, NoServiceError
from inference_bench.live.plain import plain
from inference_bench.orchestration.conversation_orchestrator import Talk, TalkTurn, answered_nothing
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.visualization.components.live_screen import LiveScreen
from inference_bench.visualization.components.talk_screen import TalkMarks, plain_turn, talk_screen, turn_shown

LEAVE_KEYS: Final = "qQ"
OWN_HISTORY: Final = "each carries its own history: prompts differ, and times do not compare"
SAME_HISTORY: Final = "the script is everybody's past: a turn's prompt is the same for all"
ONE_TURN: Final = "one question, the same for all; answers stop where they like"
_PAST_CHARACTERS: Final = 6_000  # of what was said before: more than any screen has room for


@dataclass(slots=True)
class TalkView:
    """A talk as somebody sees it. `left`: a key said that this turn is to be the last."""

    show: Show
    talk: Talk
    meaning: str
    places: bool = False
    left: bool = False
    _footer: str = ""
    _pasts: tuple[str, ...] = ()

    async def turn(self, said: str, past: tuple[Message, ...] | None = None) -> TalkTurn:
        """Say this to all, and show it while it happens and what came of it. Raises InterruptedRunError.

        Raises WorkerDiedError.
        """
        if self.show.stop.is_set():
            raise InterruptedRunError("interrupted")
        if keys_work():
            self._footer = "q: this turn is the last · Ctrl-C stops"
            self._pasts = tuple(_transcript(self.talk.messages(name, said, past)[:-1]) for name in self.show.names)
            with single_keys(self._on_key):
                async with LiveScreen(out(), self._frame):
                    turn = await self.talk.say(said, past)
        else:
            note(f"Turn {len(self.talk.turns) + 1}: asking {', '.join(self.show.names)}")
            turn = await self.talk.say(said, past)
        self._print()
        if turn.interrupted:
            raise InterruptedRunError("interrupted")
        return turn

    def _on_key(self, key: str) -> None:
        if key in LEAVE_KEYS:
            self.left = True
            self._footer = "this turn is the last · Ctrl-C stops"

    def _frame(self, width: int, height: int) -> RenderableType:
        marks = TalkMarks(self.meaning, self._footer, self.places, self._pasts)
        return talk_screen(self.show.board, monotonic_ns(), width, height, marks=marks)

    def _print(self) -> None:
        """Print the turn on the normal screen, where it stays in the scrollback."""
        marks = TalkMarks(self.meaning, places=self.places)
        console = out()
        if console.is_terminal and not console.is_dumb_terminal:
            console.print(turn_shown(self.show.board, console.width, marks=marks))
            return

        def line(text: str) -> None:
            console.print(text, markup=False, soft_wrap=True)

        console.print(plain_turn(self.show.board, line, console.width, marks=marks))

    def tell_unanswered(self, turn: TalkTurn) -> None:
        """Say of services that did not answer what their next prompt will hold."""
        silent = [name for name, reply in turn.replies.items() if not reply.answered]
        if silent:
            note(f"No answer from {', '.join(silent)}: this question goes along with the next one.")


def _transcript(messages: Sequence[Message]) -> str:
    """Return the end of what was said before, fit for a screen."""
    kept: list[str] = []
    size = 0
    for message in reversed(messages):
        if size >= _PAST_CHARACTERS:
            break
        said = plain(message.content[-_PAST_CHARACTERS:]).strip()
        kept.append(f"You: {said}" if message.role == "user" else said)
        size += len(said)
    return "\n\n".join(reversed(kept))[-_PAST_CHARACTERS:]


@contextmanager
def kept(record: TalkRecord, path: Path | None) -> Iterator[None]:
    """Save the talk to `path`, when one is given, whatever ends the block: what was said until then is not lost."""
    try:
        yield
    except BaseException:
        try:
            _save(record, path)
        except BenchError as problem:
            warn(problem.message)
        raise
    _save(record, path)


def _save(record: TalkRecord, path: Path | None) -> None:
    if path is None:
        return
    if not record.talk.turns:
        note(f"Nothing was said; {path} was not written.")
        return
    save_talk(record, path)
    note(f"Saved: {path}")


def check_answers(turns: Sequence[TalkTurn]) -> None:
    """Raise NoServiceError when somebody gave not a single good answer in the whole talk."""
    silent = answered_nothing(turns)
    if silent:
        raise NoServiceError(f"{', '.join(silent)} answered not a single request")


async def warmed_up(show: Show) -> None:
    """Ask for a few tokens of each service, unseen: no cold start is to be the first turn's."""
    note("First a few tokens of each service, uncounted: no cold start is shown.")
    await show.warm_up()
