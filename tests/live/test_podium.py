"""Who is first: the time to the same number of tokens, ties within what can be measured, why one has no place."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.live.events import HeatEnded, LiveEvent
from inference_bench.live.podium import TIE_NS, Finish, Podium
from live_events import MS, START, answer, board_of, failure, heat

NAMES = "abcdefgh"


def podium(*answers: Sequence[LiveEvent]) -> Podium:
    """Return the podium of a heat with one lane for each answer, in any case over."""
    events = [event for one in answers for event in one]
    board = board_of([heat(*NAMES[: len(answers)]), *events, HeatEnded(START + 10**12)])
    assert board.podium is not None
    return board.podium


def places(found: Podium) -> list[int | None]:
    """Return the places by lane."""
    return [found.of(lane).place for lane in range(len(found.finishes))]


def test_the_time_to_the_tokens_that_all_reached_decides() -> None:
    short_and_slow = answer(0, [100, 300, 500])
    long_and_fast = answer(1, [50, 100, 150, *range(200, 2000, 50)])
    found = podium(short_and_slow, long_and_fast)
    assert found.tokens == 3
    assert places(found) == [2, 1]
    assert (found.of(0).to_tokens_ms, found.of(1).to_tokens_ms) == (500, 150)
    assert "3 tokens" in found.rule


def test_a_chunk_of_several_tokens_brings_them_all_when_it_comes() -> None:
    found = podium(answer(0, [100, 200], tokens=[1, 5]), answer(1, [90, 210, 220, 230]))
    assert found.tokens == 4
    assert (found.of(0).to_tokens_ms, found.of(1).to_tokens_ms) == (200, 230)


def test_a_difference_within_a_millisecond_is_a_tie_and_one_beyond_is_none() -> None:
    exactly = podium(answer(0, [50, 100]), answer(1, [50, 100 + TIE_NS / MS]))
    assert [(one.place, one.tied) for one in exactly.finishes] == [(1, True), (1, True)]
    beyond = podium(answer(0, [50, 100]), answer(1, [50, 100 + (TIE_NS + 1) / MS]))
    assert [(one.place, one.tied) for one in beyond.finishes] == [(1, False), (2, False)]


def test_ties_are_to_the_best_of_them_and_do_not_chain() -> None:
    found = podium(answer(0, [1, 100]), answer(1, [1, 100.8]), answer(2, [1, 101.6]), answer(3, [1, 102.1]))
    assert [(one.place, one.tied) for one in found.finishes] == [(1, True), (1, True), (3, True), (3, True)]


def test_the_doubt_of_the_later_one_makes_a_tie() -> None:
    found = podium(answer(0, [1, 100]), answer(1, [1, 109.9], doubt_ns=9 * MS))
    assert places(found) == [1, 1]
    assert [found.of(lane).doubt_ms for lane in (0, 1)] == [0, 9]
    assert "shared a read" in found.rule
    # A mark is never early: the sooner one's doubt can only make it sooner.
    assert places(podium(answer(0, [1, 100], doubt_ns=9 * MS), answer(1, [1, 109.9]))) == [1, 2]


def test_the_doubt_of_one_lane_ties_no_others() -> None:
    """The third may have come at any time; of the first two it is plain who was first."""
    found = podium(answer(0, [1, 1000]), answer(1, [1, 3000]), answer(2, [1, 5000], doubt_ns=4900 * MS))
    assert places(found) == [1, 2, 1]
    assert [finish.lane for finish in found.finishes] == [0, 2, 1]
    after = podium(answer(0, [1, 1000]), answer(1, [1, 5000], doubt_ns=4900 * MS), answer(2, [1, 6000]))
    assert places(after) == [1, 1, 3]


def test_chunks_that_shared_a_read_may_have_come_sooner() -> None:
    """The third and fourth chunk came in one read, somewhere after the second: no order within these 40 ms is known."""
    merged = answer(0, [20, 60, 100, 100, 140])
    assert places(podium(merged, answer(1, [20, 40, 61]))) == [1, 1]
    assert podium(merged, answer(1, [20, 40, 61])).of(0).doubt_ms == 40
    assert places(podium(merged, answer(1, [20, 40, 58]))) == [2, 1]
    assert podium(merged, answer(1, [20, 61])).of(0).doubt_ms == 0  # the second chunk came alone
    assert podium(merged, answer(1, [20, 40, 60, 61])).of(0).doubt_ms == 40


def test_doubt_of_one_without_a_place_does_not() -> None:
    found = podium(answer(0, [1, 100]), answer(1, [1, 105]), [failure(2, doubt_ns=99 * MS)])
    assert places(found) == [1, 2, None]


def test_tokens_that_were_not_told_are_spread_over_the_chunks_and_marked() -> None:
    found = podium(answer(0, [100, 200], tokens=[None, None], told=8), answer(1, [10, 20, 30, 40]))
    assert found.tokens == 4
    assert (found.of(0).to_tokens_ms, found.of(0).estimated) == (100, True)
    assert not found.of(1).estimated


def test_as_many_chunks_as_tokens_are_no_estimate() -> None:
    assert not podium(answer(0, [100, 200], tokens=[None, None], told=2), answer(1, [10, 20])).of(0).estimated


def test_why_somebody_has_no_place() -> None:
    untold = answer(3, [1, 2], tokens=[None, 1], told=None)
    found = podium(answer(0, [10, 20]), answer(1, [30, 40]), [failure(2)], untold, answer(4, [5]), [])
    assert places(found) == [1, 2, None, None, None, None]
    reasons = [found.of(lane).reason for lane in range(2, 6)]
    assert [reason and reason.split()[1:3] for reason in reasons] == [
        ["answer", "did"], ["did", "not"], ["text", "has"], ["answer", "did"],
    ]  # fmt: skip


def test_nobody_is_first_alone() -> None:
    for found in (podium(answer(0, [1, 2])), podium(answer(0, [1, 2]), [failure(1)])):
        assert found.tokens is None
        assert set(places(found)) == {None}
        assert found.of(0).reason == "there is nobody to compare it with"
        assert "no places" in found.rule


TIMES = st.lists(st.integers(1, 400), min_size=2, max_size=9).map(
    lambda gaps: [sum(gaps[: n + 1]) / 8 for n in range(len(gaps))]
)


@given(st.lists(TIMES, min_size=2, max_size=5), st.data())
def test_the_order_of_the_lanes_makes_no_difference(answers: list[list[float]], data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(answers))))
    straight = podium(*(answer(lane, times) for lane, times in enumerate(answers)))
    shuffled = podium(*(answer(lane, answers[other]) for lane, other in enumerate(order)))

    def said(finish: Finish) -> tuple[object, ...]:
        return finish.place, finish.tied, finish.to_tokens_ms

    assert [said(shuffled.of(lane)) for lane in range(len(order))] == [said(straight.of(other)) for other in order]
    assert (shuffled.tokens, shuffled.rule) == (straight.tokens, straight.rule)


@given(st.lists(TIMES, min_size=2, max_size=5))
def test_places_follow_the_times(answers: list[list[float]]) -> None:
    found = podium(*(answer(lane, times) for lane, times in enumerate(answers)))
    assert found.tokens == min(map(len, answers))
    times = [one.to_tokens_ms for one in found.finishes]
    assert times == sorted(answers[lane][found.tokens - 1] for lane in range(len(answers)))
    for finish in found.finishes:
        assert finish.place is not None
        assert finish.to_tokens_ms is not None
        sooner = [time for time in times if time is not None and time < finish.to_tokens_ms - TIE_NS / MS]
        assert finish.place > len(sooner)
        assert finish.tied == ([one.place for one in found.finishes].count(finish.place) > 1)
