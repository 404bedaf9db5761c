"""What a service is sent in a turn: the law of histories, whoever answered what before."""

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.live.events import Outcome
from inference_bench.live.podium import Podium
from inference_bench.orchestration.conversation_orchestrator import Reply, TalkTurn, answered_nothing, history

NOBODY = Podium(None, 1.0, ())
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)
replies = st.none() | st.tuples(st.booleans(), st.sampled_from(["", " \n", "an answer", "another"]))


def turn(number: int, said: str, **given_replies: tuple[bool, str]) -> TalkTurn:
    made = {
        name: Reply(text, "", Outcome(ok=ok, error_class=None if ok else "truncated"), asked_messages=1)
        for name, (ok, text) in given_replies.items()
    }
    return TalkTurn(number, said, made, NOBODY, 0.0, interrupted=False)


def test_each_service_carries_its_own_answers() -> None:
    turns = [turn(1, "one", a=(True, "A1"), b=(True, "B1")), turn(2, "two", a=(True, "A2"), b=(True, "B2"))]
    assert history(turns, "b", "three") == (
        Message("user", "one"),
        Message("assistant", "B1"),
        Message("user", "two"),
        Message("assistant", "B2"),
        Message("user", "three"),
    )


def test_a_question_without_an_answer_is_asked_again_with_the_next_one() -> None:
    turns = [
        turn(1, "one", a=(True, "A1")),
        turn(2, "two", a=(False, "half an ans")),
        turn(3, "three", a=(True, "")),  # it only thought
    ]
    assert history(turns, "a", "four") == (
        Message("user", "one"),
        Message("assistant", "A1"),
        Message("user", "two\n\nthree\n\nfour"),
    )


@given(st.lists(st.tuples(texts, replies), max_size=8), texts)
def test_roles_alternate_and_nothing_that_was_said_is_lost(
    past: list[tuple[str, tuple[bool, str] | None]], text: str
) -> None:
    turns = [
        turn(number, said, **({} if reply is None else {"a": reply})) for number, (said, reply) in enumerate(past, 1)
    ]
    messages = history(turns, "a", text)
    assert [message.role for message in messages] == ["user", "assistant"] * (len(messages) // 2) + ["user"]
    asked = [message.content for message in messages if message.role == "user"]
    assert "\n\n".join(asked) == "\n\n".join([*(said for said, _ in past), text])
    good = [reply[1] for _, reply in past if reply is not None and reply[0] and reply[1].strip()]
    assert [message.content for message in messages if message.role == "assistant"] == good


def test_who_answered_nothing_counts_whole_turns_only() -> None:
    cut = TalkTurn(2, "two", turn(2, "two", a=(False, ""), b=(True, "B")).replies, NOBODY, 0.0, interrupted=True)
    assert answered_nothing([turn(1, "one", a=(False, ""), b=(False, "")), cut]) == ("a", "b")
    assert answered_nothing([turn(1, "one", a=(True, "x"), b=(False, ""))]) == ("b",)
    assert answered_nothing([cut]) == ()
