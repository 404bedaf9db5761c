"""Conversations of several turns: what the users say, one after the other. Who answers and waits lives in `testing`.

A session holds the users' turns only. The history between them is made of the answers that a service gives, so it is
not known before.
"""

from collections.abc import Callable
from dataclasses import dataclass

from inference_bench.api.protocols import Message
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.permutation import place_in_pass


@dataclass(frozen=True, slots=True)
class Session:
    """One conversation: what the user says in each turn, and the system prompt before it, if there is one.

    `max_tokens` is the answer length that each turn asks for, as many as there are turns; None leaves it to the test.
    """

    turns: tuple[str, ...]
    system: str | None
    category: str
    max_tokens: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if not self.turns:
            raise ValueError("a session needs at least one turn")
        if self.max_tokens is not None and len(self.max_tokens) != len(self.turns):
            raise ValueError("a session with answer lengths needs one for each turn")

    def opening(self) -> tuple[Message, ...]:
        """Return the messages of the first turn: the system prompt, if there is one, and what the user says."""
        system = () if self.system is None else (Message("system", self.system),)
        return (*system, Message("user", self.turns[0]))


@dataclass(frozen=True, slots=True)
class SessionWorkload:
    """A source of sessions. Equal seed and equal index mean an equal session, in any process and on any machine.

    `sessions` is how many different ones there are, None when each index has one of its own. `draw` returns the one
    at a place, from 0 to `sessions` - 1. `notes` say in words what it is made of and what was left out.
    """

    name: str
    sessions: int | None
    seed: int
    draw: Callable[[int], Session]
    notes: tuple[str, ...] = ()
    prefix_words: tuple[str, ...] | None = None

    def session(self, index: int) -> Session:
        """Return the session with this index, for any index >= 0; a negative one raises IndexError.

        Over each pass every session is used once, in a seeded order of its own.
        """
        if index < 0:
            raise IndexError(f"sessions are numbered from 0, there is no session {index}")
        if self.sessions is None:
            return self.draw(index)
        return self.draw(place_in_pass(self.seed, index, self.sessions))

    def item(self, index: int) -> WorkItem:
        """Return the first turn of the session with this index, as one piece of work."""
        session = self.session(index)
        length = None if session.max_tokens is None else session.max_tokens[0]
        return WorkItem(session.opening(), length, session.category)
