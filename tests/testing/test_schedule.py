"""Who sends when, by a clock of the test's own."""

from inference_bench.api.exchange import Job
from inference_bench.testing.frames import FrameReader, Stage, encode
from inference_bench.testing.schedule import (
    FAR_NS,
    REFUSED_PAUSE_NS,
    ClosedSchedule,
    OpenSchedule,
    Patience,
    schedule_for,
)


def stage(users: dict[int, int], *, think: int = 0, stop: int = 0) -> Stage:
    return Stage(1, tuple(users.items()), think, stop, ((0, len(users)),))


def jobs(count: int, step: int = 0) -> list[Job]:
    return [Job(seq, 0, b"", intended_ns=seq * step) for seq in range(count)]


def test_users_take_jobs_in_order_as_they_become_ready() -> None:
    schedule = schedule_for(stage({0: 100, 1: 200}, think=50))
    assert isinstance(schedule, ClosedSchedule)
    schedule.add(jobs(5))
    assert schedule.due(99) is None
    assert schedule.next_ns(99) == 100
    first = schedule.due(100)
    assert first is not None
    assert (first.seq, first.user) == (0, 0)
    assert schedule.due(150) is None
    second = schedule.due(230)
    assert second is not None
    assert (second.seq, second.user) == (1, 1)
    schedule.ended(first, 300)
    assert schedule.due(349) is None
    third = schedule.due(350)
    assert third is not None
    assert (third.seq, third.user) == (2, 0)
    assert schedule.taken == 3


def test_nothing_is_sent_from_the_stop_on() -> None:
    schedule = ClosedSchedule(stage({0: 100}, stop=500))
    schedule.add(jobs(3))
    assert not schedule.exhausted(499)
    assert schedule.due(500) is None
    assert schedule.exhausted(500)
    assert schedule.next_ns(500) == FAR_NS  # the drain waits for answers, it does not spin


def test_a_closed_loop_ends_when_its_jobs_are_used_up() -> None:
    schedule = ClosedSchedule(stage({0: 0, 1: 0}))
    schedule.add(jobs(1))
    schedule.no_more()
    assert schedule.due(0) is not None
    assert schedule.exhausted(0)


def test_a_user_who_waits_for_a_request_is_noticed() -> None:
    schedule = ClosedSchedule(stage({0: 100}))
    assert schedule.due(100) is None
    schedule.add(jobs(1))
    assert schedule.starvation(2_000_100) == 2_000_000
    assert schedule.due(5_000_100) is not None
    assert schedule.starvation(6_000_000) == 3_000_000
    assert schedule.starvation(7_000_000) == 0


def test_a_user_who_waits_until_the_end_is_noticed_too() -> None:
    schedule = ClosedSchedule(stage({0: 100}, stop=1_000))
    assert schedule.due(100) is None
    assert schedule.starvation(5_000) == 900


def test_open_loop_sends_at_intended_times_whatever_ended() -> None:
    schedule = schedule_for(stage({}))
    assert isinstance(schedule, OpenSchedule)
    schedule.add(jobs(3, step=1000))
    assert schedule.due(0) is not None
    assert schedule.due(999) is None
    assert schedule.next_ns(999) == 1000
    assert schedule.due(2500) is not None
    assert schedule.due(2500) is not None
    assert schedule.next_ns(2500) == FAR_NS
    assert not schedule.exhausted(2500)
    schedule.no_more()
    assert schedule.exhausted(2500)


def test_connections_are_wanted_ahead_of_their_time() -> None:
    schedule = OpenSchedule()
    schedule.add(jobs(10, step=100_000_000))
    assert schedule.wanted_soon(0) == {0: 3}


def test_frames_survive_any_split() -> None:
    data = b"".join(encode(("message", number, b"x" * number)) for number in range(50))
    for size in (1, 3, 7, 64, 1000):
        reader = FrameReader()
        got = [message for at in range(0, len(data), size) for message in reader.feed(data[at : at + size])]
        assert [message[1] for message in got] == list(range(50))


def test_who_is_turned_away_does_not_ask_again_at_once() -> None:
    schedule = ClosedSchedule(stage({0: 100}))
    schedule.add(jobs(2))
    first = schedule.due(100)
    assert first is not None
    schedule.ended(first, 200, refused=True)
    assert schedule.due(200 + REFUSED_PAUSE_NS - 1) is None
    assert schedule.due(200 + REFUSED_PAUSE_NS) is not None


def test_who_is_turned_away_again_and_again_waits_ever_longer_and_an_answer_ends_that() -> None:
    patience = Patience(think_ns=150_000_000)
    waits = [patience.pause_ns(7, refused=True) / 1e6 for _ in range(7)]
    assert waits == [150, 200, 400, 800, 1600, 2000, 2000]
    assert patience.pause_ns(8, refused=True) / 1e6 == 150  # each user has a patience of its own
    assert patience.pause_ns(7, refused=False) / 1e6 == 150
    assert [patience.pause_ns(7, refused=True) / 1e6 for _ in range(2)] == [150, 200]
