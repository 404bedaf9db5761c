"""Who says what next: the same script for every service, the history made of its own answers, counted exactly."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.testing.conversations import MOST_TURNS, Conversations, DueTurn, SessionBook, Start, Talk
from inference_bench.testing.frames import Answer
from inference_bench.testing.pool import JobTuple
from inference_bench.testing.schedule import REFUSED_PAUSE_NS
from inference_bench.workloads.sessions import Session

THINK = 7


def session(number: int) -> Session:
    """Sessions of one to four turns."""
    turns = tuple(f"{number}.{turn}" for turn in range(number % 4 + 1))
    return Session(turns, "be brief", "test", tuple(10 + turn for turn in range(len(turns))))


class Asked:
    """Renders talks as numbers, and keeps what each asked."""

    def __init__(self) -> None:
        self.talks: dict[int, tuple[int, int, tuple[Message, ...], int | None, int]] = {}

    def __call__(self, talk: Talk, intended_ns: int) -> JobTuple:
        seq = len(self.talks)
        self.talks[seq] = (talk.number, talk.turn, talk.messages, talk.max_tokens, talk.plan_index)
        return seq, 0, intended_ns, b"", b""


def closed(users: int, requests: int | None, asked: Asked) -> Conversations:
    starts = iter([Start(user, user, 0) for user in range(users)])
    return Conversations(SessionBook(session, requests), starts, asked, think_ns=THINK, users=users)


def test_each_turn_carries_the_answers_before_it_and_is_due_a_think_time_after_the_last() -> None:
    asked = Asked()
    talks = Conversations(SessionBook(session), iter([Start(3, 50, 50)]), asked, think_ns=THINK, users=0)
    (turn,), begun = talks.starting(100, 9)
    assert (turn.user, turn.due_ns, turn.job[2], begun) == (3, 50, 50, 1)
    for number in range(3):
        follows = talks.answered(Answer(turn.job[0], True, f"answer {number}", 1000 * number))
        assert follows is not None
        assert (follows.user, follows.due_ns, follows.job[2]) == (3, 1000 * number + THINK, 0)
        turn = follows
    said = ["be brief", "3.0", "answer 0", "3.1", "answer 1", "3.2", "answer 2", "3.3"]
    _, _, messages, max_tokens, place = asked.talks[turn.job[0]]
    assert [message.content for message in messages] == said
    roles = ["system", "user", "assistant", "user", "assistant", "user", "assistant", "user"]
    assert [message.role for message in messages] == roles
    assert (max_tokens, place) == (13, 3 * MOST_TURNS + 3)
    assert talks.answered(Answer(turn.job[0], True, "last", 9999)) is None
    assert talks.over


def test_a_failed_turn_ends_its_session_and_the_user_goes_on_after_a_pause() -> None:
    asked = Asked()
    talks = closed(2, None, asked)
    turns, _ = talks.starting(0, 9)
    assert [turn.user for turn in turns] == [0]  # the other one is not due yet
    assert not talks.all_started
    more, _ = talks.starting(1, 9)
    follows = talks.answered(Answer(more[0].job[0], False, "", 500))
    assert follows is not None
    assert (follows.user, follows.due_ns) == (1, 500 + REFUSED_PAUSE_NS)
    assert asked.talks[follows.job[0]][:2] == (3, 0)
    assert [message.content for message in asked.talks[follows.job[0]][2]] == ["be brief", "3.0"]


def test_an_answer_to_nothing_that_was_asked_is_ignored() -> None:
    assert closed(1, None, Asked()).answered(Answer(77, True, "late", 1)) is None


def play(talks: Conversations, order: st.DataObject) -> None:
    """Answer everything, in any order, until nobody asks."""
    waiting: list[DueTurn] = []
    while not talks.over:
        begun, _ = talks.starting(1 << 40, 3)
        waiting += begun
        if waiting:
            turn = waiting.pop(order.draw(st.integers(0, len(waiting) - 1)))
            follows = talks.answered(Answer(turn.job[0], True, "yes", turn.due_ns + 5))
            waiting += [follows] if follows else []


@given(st.integers(1, 6), st.integers(1, 60), st.data())
def test_the_requests_are_used_up_exactly_and_are_the_same_work_in_whatever_order_answers_come(
    users: int, requests: int, data: st.DataObject
) -> None:
    work = []
    for _ in range(2):
        asked = Asked()
        play(closed(users, requests, asked), data)
        work.append(Counter((number, turn) for number, turn, *_ in asked.talks.values()))
        assert sum(work[-1].values()) == requests
        assert len({place for *_, place in asked.talks.values()}) == requests
    assert work[0] == work[1]
    assert set(work[0].values()) == {1}


@given(st.integers(0, 5), st.integers(1, 30), st.permutations(range(12)))
def test_sessions_of_the_ramp_are_whole_and_come_on_top(uncounted: int, requests: int, order: list[int]) -> None:
    book = SessionBook(session, requests, uncounted=uncounted)
    opened = {number: book.open(number) for number in order}
    turns = {number: found[1] for number, found in opened.items() if found}
    assert all(turns[number] == len(session(number).turns) for number in range(uncounted))
    whole = sum(len(session(number).turns) for number in range(uncounted, 12))
    assert sum(count for number, count in turns.items() if number >= uncounted) == min(requests, whole)
