"""When turns of sessions are sent: never early, in order, nothing after the stop; and who is starved."""

from itertools import accumulate

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import Stage
from inference_bench.testing.schedule import FAR_NS, REFUSED_PAUSE_NS
from inference_bench.testing.session_schedule import TURNAROUND_NS, SessionSchedule

MS = 1_000_000


def stage(users: dict[int, int], *, think: int = 0, stop: int = 0) -> Stage:
    """A stage with these users (number: start); none of them: an open loop."""
    starts = tuple(users.items())
    return Stage(1, starts, think, stop, ((0, len(starts)),), sessions=True)


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
                schedule.add([(user, due, job(user))], now)
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


def test_a_turn_that_comes_late_is_sent_at_once_and_the_wait_beyond_the_tolerance_is_starvation() -> None:
    schedule = SessionSchedule(stage({0: 100 * MS}))
    assert schedule.starvation(100 * MS + TURNAROUND_NS) == 0
    assert schedule.starvation(130 * MS) == 30 * MS - TURNAROUND_NS
    schedule.add([(0, 100 * MS, job(1))], 150 * MS)
    found = schedule.due(150 * MS)
    assert found is not None
    assert schedule.starvation(200 * MS) == 20 * MS
    schedule.ended(found, 300 * MS)
    schedule.rest([0], 302 * MS)
    assert schedule.starvation(400 * MS) == 0


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20))
def test_starvation_never_exceeds_the_time_that_passed_however_many_users_wait(starts: list[int]) -> None:
    schedule = SessionSchedule(stage({user: start * MS for user, start in enumerate(starts)}, stop=80 * MS))
    told = sum(schedule.starvation(now * MS) for now in range(0, 200, 7))
    assert told == max(0, 80 * MS - (min(starts) * MS + TURNAROUND_NS))


def test_a_user_thinks_from_the_end_of_the_answer_and_a_refused_one_waits_longer() -> None:
    schedule = SessionSchedule(stage({0: 0}, think=40 * MS))
    schedule.add([(0, 0, job(1))], 0)
    first = schedule.due(0)
    assert first is not None
    schedule.ended(first, 10 * MS)
    assert schedule.starvation(50 * MS + TURNAROUND_NS) == 0
    assert schedule.starvation(60 * MS) == 10 * MS - TURNAROUND_NS
    schedule.add([(0, 50 * MS, job(2))], 60 * MS)
    second = schedule.due(60 * MS)
    assert second is not None
    schedule.ended(second, 60 * MS, refused=True)
    assert schedule.starvation(60 * MS + REFUSED_PAUSE_NS) == 0


def test_a_stage_ends_at_its_stop_or_when_no_more_will_come() -> None:
    schedule = SessionSchedule(stage({0: 0}, stop=100))
    schedule.add([(0, 50, job(1))], 0)
    schedule.no_more()
    assert not schedule.exhausted(10)
    assert schedule.due(50) is not None
    assert schedule.exhausted(50)
    late = SessionSchedule(stage({0: 0}, stop=100))
    late.add([(0, 200, job(1))], 0)
    assert late.next_ns(10) == 100
    assert late.due(100) is None
    assert late.exhausted(100)
    assert late.next_ns(100) == FAR_NS


def test_an_open_loop_sends_a_late_first_turn_and_no_later_turn_after_the_stop() -> None:
    schedule = SessionSchedule(stage({}, stop=100))
    schedule.add([(0, 99, job(1, intended=99)), (1, 99, job(2)), (2, 120, job(3, intended=120))], 0)
    found = schedule.due(105)
    assert found is not None
    assert found.seq == 1
    assert schedule.due(105) is None
    assert not schedule.exhausted(105)
    schedule.no_more()
    assert schedule.exhausted(105)


def test_connections_are_wanted_for_turns_that_are_due_soon() -> None:
    schedule = SessionSchedule(stage({0: 0, 1: 0}))
    schedule.add([(0, 10, job(1)), (1, 900 * MS, job(2))], 0)
    assert schedule.wanted_soon(0) == {0: 1}
