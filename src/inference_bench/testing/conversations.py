"""Conversations under way: who says what next, made of the answers as they come. No sockets, no processes, no clock.

A session's number decides what is asked in it, in any run and of any service. The answers between its turns are the
service's own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.testing.frames import Answer
from inference_bench.testing.pool import JobTuple
from inference_bench.testing.schedule import REFUSED_PAUSE_NS
from inference_bench.workloads.sessions import Session

MOST_TURNS = 1 << 20
"""Turns of a session at most: a request's place in the plan is its session's number times this, plus its turn."""


class Start(NamedTuple):
    """A user who begins: its first session and when. `intended_ns` is 0 in a closed loop."""

    user: int
    due_ns: int
    intended_ns: int


class DueTurn(NamedTuple):
    """A turn to be sent, by the worker that holds this user."""

    user: int
    due_ns: int
    job: JobTuple


@dataclass(slots=True)
class Talk:
    """A session under way: what was said until now, and which of its turns is being asked. `turns`: so many are."""

    number: int
    user: int
    session: Session
    turns: int
    messages: tuple[Message, ...]
    turn: int = 0

    @property
    def plan_index(self) -> int:
        """The request's place in the plan: equal for equal work, different for any two turns of a round."""
        return self.number * MOST_TURNS + self.turn

    @property
    def max_tokens(self) -> int | None:
        """The answer length this turn asks for; None leaves it to the test."""
        lengths = self.session.max_tokens
        return None if lengths is None else lengths[self.turn]


class SessionBook:
    """The sessions of a round by number, and how many of their turns are asked.

    With `requests` the sessions have so many turns together and no more: in the order of their numbers, the last one
    that is begun may be cut short. The first `uncounted` sessions are whole and come on top.
    """

    def __init__(self, draw: Callable[[int], Session], requests: int | None = None, *, uncounted: int = 0) -> None:
        self._draw = draw
        self._requests = requests
        self._uncounted = uncounted
        self._turns: list[int] = []
        self._left = requests or 0

    def open(self, number: int) -> tuple[Session, int] | None:
        """Return the session with this number and how many of its turns are asked; None when none is.

        Raises ConfigError for a session of more turns than can be numbered.
        """
        session = self._draw(number)
        turns = len(session.turns)
        if turns > MOST_TURNS:
            raise ConfigError(
                f"session {number} has {turns:,} turns; at most {MOST_TURNS:,} can be told apart",
                hint="set workload.turns to fewer",
            )
        if self._requests is not None and number >= self._uncounted:
            turns = self._share(number, turns)
        return (session, turns) if turns else None

    def _share(self, number: int, turns: int) -> int:
        """Return how many of the requests are this session's, after all sessions before it have had theirs."""
        place = number - self._uncounted
        while len(self._turns) <= place:
            at = self._uncounted + len(self._turns)
            wanted = turns if at == number else len(self._draw(at).turns) if self._left else 0
            given = min(wanted, self._left)
            self._turns.append(given)
            self._left -= given
        return self._turns[place]


class Conversations:
    """All sessions of one turn of a service.

    `render(talk, intended_ns)` makes the request of a talk's turn; `users` is the number of users of a closed loop, who
    begin again when a session is over, and 0 in an open loop.
    """

    def __init__(
        self,
        book: SessionBook,
        starts: Iterator[Start],
        render: Callable[[Talk, int], JobTuple],
        *,
        think_ns: int,
        users: int,
    ) -> None:
        self._book = book
        self._starts = starts
        self._render = render
        self._think_ns = think_ns
        self._users = users
        self._waiting: dict[int, Talk] = {}  # by the number of the request that is asked
        self._held: Start | None = None
        self._all_started = False

    @property
    def all_started(self) -> bool:
        """Whether all users have begun."""
        return self._all_started

    @property
    def over(self) -> bool:
        """Whether every session has ended and none will begin."""
        return self._all_started and not self._waiting

    def starting(self, until_ns: int, most: int) -> tuple[list[DueTurn], int]:
        """Return the first turns of users who begin before `until_ns`, and how many begin: some may find no work.

        At most so many begin.
        """
        turns: list[DueTurn] = []
        begun = 0
        while begun < most and not self._all_started:
            start = self._held or next(self._starts, None)
            self._held = None
            if start is None:
                self._all_started = True
            elif start.due_ns > until_ns:
                self._held = start
                break
            else:
                turn = self._begin(start.user, start.user, start.due_ns, start.intended_ns)
                turns.extend([turn] if turn else [])
                begun += 1
        return turns, begun

    def _begin(self, number: int, user: int, due_ns: int, intended_ns: int = 0) -> DueTurn | None:
        opened = self._book.open(number)
        if opened is None:
            return None
        session, turns = opened
        return self._ask(Talk(number, user, session, turns, session.opening()), due_ns, intended_ns)

    def _ask(self, talk: Talk, due_ns: int, intended_ns: int = 0) -> DueTurn:
        job = self._render(talk, intended_ns)
        self._waiting[job[0]] = talk
        return DueTurn(talk.user, due_ns, job)

    def answered(self, answer: Answer) -> DueTurn | None:
        """Return what follows an answer: the user's next turn, None when it has nothing more to ask.

        A turn that failed ends its session; its user goes on with the next one after a pause. An answer to nothing
        that was asked here is ignored: it came after the end of the stage that asked.
        """
        talk = self._waiting.pop(answer.seq, None)
        if talk is None:
            return None
        if answer.ok and talk.turn + 1 < talk.turns:
            said = Message("assistant", answer.text), Message("user", talk.session.turns[talk.turn + 1])
            talk.messages = (*talk.messages, *said)
            talk.turn += 1
            return self._ask(talk, answer.end_ns + self._think_ns)
        if not self._users:
            return None
        pause_ns = self._think_ns if answer.ok else max(self._think_ns, REFUSED_PAUSE_NS)
        return self._begin(talk.number + self._users, talk.user, answer.end_ns + pause_ns)
