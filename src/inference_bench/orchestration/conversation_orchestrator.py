"""The story of a talk: one question after another to all services at once, each with a history.

Either each service carries its own history (what it said itself), and then the work differs from service to service, or
all are given the same past. A service that fails in a turn goes on with the next one. Nothing here prints.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from inference_bench.api.protocols import ChatRequest, Message
from inference_bench.config.models import Settings
from inference_bench.live.events import Heat, Outcome
from inference_bench.live.podium import Podium
from inference_bench.orchestration.demo_orchestrator import Show
from inference_bench.testing.watched import Exchanged

TALK_TOKENS: Final = 200  # of an answer, where nobody asked for another length: what reads well side by side
KEPT_CHARACTERS: Final = (
    20_000  # of an answer, in the history and in files; an endless one must not become every prompt
)
TalkKind = Literal["conversation", "chat"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What one service said in one turn, and how its exchange ended.

    `text` is what the server sent, unchanged but for its end: at most KEPT_CHARACTERS (`cut` says that there was more).
    `thought` is its reasoning, kept alike; it enters no history. `asked_messages` is how many messages its request had.
    """

    text: str
    thought: str
    outcome: Outcome
    asked_messages: int
    cut: bool = False

    @property
    def answered(self) -> bool:
        """Whether there is an answer that the talk can go on from: the exchange ended well, with text."""
        return self.outcome.ok and bool(self.text.strip())


@dataclass(frozen=True, slots=True)
class TalkTurn:
    """One question to all and what came back, by service. `podium` places the lanes in the order of the show's."""

    number: int
    said: str
    replies: Mapping[str, Reply]
    podium: Podium
    late_ms: float
    interrupted: bool

    @property
    def outcomes(self) -> dict[str, Outcome]:
        """How each exchange ended."""
        return {name: reply.outcome for name, reply in self.replies.items()}


class Talk:
    """A talk with all services of a show. `turns` is what has been said so far."""

    def __init__(
        self,
        show: Show,
        settings: Settings,
        *,
        kind: TalkKind,
        title: str = "",
        max_tokens: int | None = None,
        of: int | None = None,
    ) -> None:
        self._show = show
        self._settings = settings
        self.kind: TalkKind = kind
        self.title = title
        self.max_tokens = max_tokens or TALK_TOKENS
        self._of = of
        self.turns: list[TalkTurn] = []
        self._began = 0  # the turn from which histories are carried

    def forget(self) -> None:
        """Begin afresh: what was said stays in `turns`, and no longer in any history."""
        self._began = len(self.turns)

    async def say(self, text: str, past: tuple[Message, ...] | None = None) -> TalkTurn:
        """Say this to all services at the same instant and wait for every answer.

        With `past` it is everybody's history; without it each service has its own. Raises WorkerDiedError.
        """
        number = len(self.turns) + 1
        requests = {name: self._request(self.messages(name, text, past)) for name in self._show.names}
        heat = Heat(
            lanes=(),
            prompt=text,
            max_tokens=self.max_tokens,
            start_ns=0,
            kind=self.kind,
            number=number,
            of=max(number, self._of or 0),
            title=self.title,
        )
        over = await self._show.heat(requests, heat)
        assert self._show.board.podium is not None
        replies = {name: _reply(one) for name, one in over.exchanged.items()}
        turn = TalkTurn(number, text, replies, self._show.board.podium, over.late_ms, over.interrupted)
        self.turns.append(turn)
        return turn

    def messages(self, service: str, text: str, past: tuple[Message, ...] | None = None) -> tuple[Message, ...]:
        """Return what a service is sent when this is said now."""
        if past is not None:
            return (*past, Message("user", text))
        return history(self.turns[self._began :], service, text)

    def _request(self, messages: tuple[Message, ...]) -> ChatRequest:
        # The length is the answer's own: one that must go on to a fixed length is no talk.
        return ChatRequest(
            messages,
            self.max_tokens,
            temperature=self._settings.ttft_test.temperature,
            seed=self._settings.benchmark.seed,
            exact_length=False,
        )


def history(turns: Sequence[TalkTurn], service: str, text: str) -> tuple[Message, ...]:
    """Return the messages with which a service is asked `text` after these turns: its own answers between.

    A question that it did not answer stays, and the next one follows it in the same message, after a blank line: many
    chat templates refuse two messages of a user in a row.
    """
    messages: list[Message] = []
    asked = ""
    for turn in turns:
        asked = _joined(asked, turn.said)
        reply = turn.replies.get(service)
        if reply is not None and reply.answered:
            messages += [Message("user", asked), Message("assistant", reply.text)]
            asked = ""
    return (*messages, Message("user", _joined(asked, text)))


def answered_nothing(turns: Sequence[TalkTurn]) -> tuple[str, ...]:
    """Return the services that gave not a single good answer in turns that were not cut short."""
    whole = [turn for turn in turns if not turn.interrupted]
    names = {name: None for turn in whole for name in turn.replies}
    return tuple(name for name in names if not any(turn.replies[name].outcome.ok for turn in whole))


def _reply(one: Exchanged) -> Reply:
    text, thought = one.reading.text, "".join(one.reading.reasoning)
    return Reply(
        text[:KEPT_CHARACTERS],
        thought[:KEPT_CHARACTERS],
        one.outcome,
        asked_messages=len(one.request.messages),
        cut=len(text) > KEPT_CHARACTERS,
    )


def _joined(before: str, text: str) -> str:
    return f"{before}\n\n{text}" if before else text
