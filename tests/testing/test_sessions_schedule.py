"""When turns of sessions are sent: never early, in order, and nothing after the stop."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import Stage
from inference_bench.testing.schedule import FAR_NS
from inference_bench.testing.session_schedule import SessionSchedule

MS = 1_000_000


def stage(users: dict[int, int], *, stop: int = 0) -> Stage:
    """A stage with these users (number: start); none of them: an open loop."""
    starts = tuple(users.items())
    return Stage(1, starts, 0, stop, ((0, len(starts)),), sessions=True)


def job(seq: int, *, intended: int = 0) -> Job:
    return Job(seq, 0, b"", intended_ns=intended)


Turn = tuple[int, int]  # when it comes, when it is due


@given(
    st.lists(st.tuples(st.integers(0, 900), st.integers(0, 1000)), max_size=20),
    st.lists(st.integers(1, 300), min_size=1, max_size=12),
    st.integers(1, 1200),
)
def test_turns_go_in_the_order_of_their_due_times_never_early_and_never_from_the_stop_on(
    turns: list[Turn], steps: list[int], stop: int
) -> None:
    schedule = SessionSchedule(stage(dict.fromkeys(range(len(turns)), 0), stop=stop))
    sent: set[int] = set()
    before = -1
    for now in accumulate(steps):
        for user, (comes, due) in enumerate(turns):
            if before < comes <= now:
                schedule.add([(user, due, job(user))])
        latest = -1
        while (found := schedule.due(now)) is not None:
            due = turns[found.seq][1]
            assert found.user == found.seq
            assert latest <= due <= now < stop
            latest = due
            assert found.seq not in sent
            sent.add(found.seq)
        ripe = {user for user, (comes, due) in enumerate(turns) if comes <= now and due <= now}
        assert now >= stop or ripe == sent
        assert schedule.next_ns(now) > now
        before = now
    assert schedule.taken == len(sent)


def test_a_turn_that_comes_late_is_sent_at_once() -> None:
    schedule = SessionSchedule(stage({0: 100 * MS}))
    schedule.add([(0, 100 * MS, job(1))])
    assert schedule.due(100 * MS - 1) is None
    assert schedule.due(150 * MS) is not None
    assert schedule.due(150 * MS) is None


def test_a_stage_ends_at_its_stop_or_when_no_more_will_come() -> None:
    schedule = SessionSchedule(stage({0: 0}, stop=100))
    schedule.add([(0, 50, job(1))])
    schedule.no_more()
    assert not schedule.exhausted(10)
    assert schedule.due(50) is not None
    assert schedule.exhausted(50)
    late = SessionSchedule(stage({0: 0}, stop=100))
    late.add([(0, 200, job(1))])
    assert late.next_ns(10) == 100
    assert late.due(100) is None
    assert late.exhausted(100)
    assert late.next_ns(100) == FAR_NS


def test_an_open_loop_sends_a_late_first_turn_and_no_later_turn_after_the_stop() -> None:
    schedule = SessionSchedule(stage({}, stop=100))
    schedule.add([(0, 99, job(1, intended=99)), (1, 99, job(2)), (2, 120, job(3, intended=120))])
    found = schedule.due(105)
    assert found is not None
    assert found.seq == 1
    assert schedule.due(105) is None
    assert not schedule.exhausted(105)
    schedule.no_more()
    assert schedule.exhausted(105)


def test_connections_are_wanted_for_turns_that_are_due_soon() -> None:
    schedule = SessionSchedule(stage({0: 0, 1: 0}))
    schedule.add([(0, 10, job(1)), (1, 900 * MS, job(2))])
    assert schedule.wanted_soon(0) == {0: 1}
