"""A lane: what it shows while chunks come and when they have come, bounded whatever a server sends."""

import sys
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.live.events import Chunk, Finished, HeatEnded, Outcome
from inference_bench.live.lane import SHOWN_CHARACTERS, Lane, Phase
from inference_bench.live.plain import plain
from live_events import MS, START, answer, board_of, facts, failure, heat


def lane_of(*chunks: Chunk) -> Lane:
    lane = Lane(facts("a"), START)
    for chunk in chunks:
        lane.take(chunk)
    return lane


def test_the_phases_in_their_order() -> None:
    board = board_of([heat("a", "b")])
    assert board.phase(0, START - 1) is Phase.READY
    assert board.phase(0, START) is Phase.WAITING
    chunk, end = answer(0, [100])
    board.take(chunk)
    assert board.phase(0, START + 100 * MS) is Phase.STREAMING
    board.take(end)
    board.take(failure(1))
    assert [lane.phase for lane in board.lanes] == [Phase.DONE, Phase.FAILED]
    assert board.running
    board.take(HeatEnded(START + 999 * MS))
    assert not board.running
    assert Lane(facts("c", down="refused: nobody listens"), START).phase is Phase.DOWN


def test_ttft_is_the_same_before_and_after_the_end() -> None:
    *chunks, end = answer(0, [123.4567, 150])
    lane = lane_of(*chunks)  # type: ignore[arg-type]
    assert lane.ttft_ms == 123.4567
    assert isinstance(end, Finished)
    lane.take(end)
    assert lane.ttft_ms == 123.4567


def test_a_new_heat_begins_anew() -> None:
    board = board_of([heat("a"), *answer(0, [1, 2]), HeatEnded(START + 3 * MS, 7.5)])
    assert (board.podium is None, board.late_ms) == (False, 7.5)
    board.take(heat("a", "b"))
    assert (board.podium, board.late_ms, len(board.lanes)) == (None, 0.0, 2)
    assert (board.lanes[0].text, board.lanes[0].tokens) == ("", 0)


def test_every_event_is_news_to_whoever_draws() -> None:
    board = board_of([heat("a")])
    before = board.version
    for event in answer(0, [1, 2, 3]):
        board.take(event)
    assert board.version == before + 4


def test_elapsed_runs_and_then_stands() -> None:
    lane = Lane(facts("a"), START)
    assert lane.elapsed_ms(START - 5 * MS) == 0
    assert lane.elapsed_ms(START + 250 * MS) == 250
    for event in answer(0, [100, 300]):
        lane.take(event)  # type: ignore[arg-type]
    assert lane.elapsed_ms(START + 10**12) == 300


def test_a_time_of_0_is_a_time() -> None:
    lane = Lane(facts("a"), -3 * MS)
    lane.take(Chunk(0, 2 * MS, 0, "x", "", 1))
    assert lane.elapsed_ms(7 * MS) == 7
    lane.take(Finished(0, 9 * MS, Outcome(ok=True, sent_ns=-2 * MS, first_token_ns=0, last_token_ns=0, end_ns=9 * MS)))
    assert (lane.elapsed_ms(99 * MS), lane.ttft_ms) == (2, 2)


def test_tokens_per_second_counts_what_came_after_the_first_chunk() -> None:
    chunks = [Chunk(0, START + at * MS, START, "x", "", tokens) for at, tokens in ((100, 3), (150, 2), (200, 2))]
    assert lane_of(*chunks).tokens_per_second() == 40
    assert lane_of(chunks[0]).tokens_per_second() is None
    assert lane_of(chunks[0], Chunk(0, START + 110 * MS, START, "y", "", None)).tokens_per_second() is None


def test_chunks_that_tell_no_tokens_are_counted_as_chunks() -> None:
    lane = lane_of(Chunk(0, START, START, "x", "", 4), Chunk(0, START, START, "x", "", None))
    assert (lane.tokens_told, lane.tokens) == (False, 5)


def test_thinking_is_told_from_the_answer() -> None:
    think = [Chunk(0, START + at * MS, START, "", "hm ", 2) for at in (10, 20)]
    lane = lane_of(*think)
    assert (lane.thinking, lane.thought_tokens, lane.answer_ms) == (True, 4, None)
    lane.take(Chunk(0, START + 30 * MS, START, "So", "", 1))
    lane.take(Chunk(0, START + 40 * MS, START, " it is.", "", 1))
    assert (lane.thinking, lane.thought_chunks, lane.answer_ms, lane.ttft_ms) == (False, 2, 30, 10)
    assert lane.text == "hm hm \n\nSo it is."


def test_what_comes_after_the_end_is_not_part_of_it() -> None:
    lane = lane_of()
    lane.take(failure(0))
    lane.take(Chunk(0, START, START, "late", "", 1))
    lane.take(Finished(0, START, Outcome(ok=True)))
    assert (lane.phase, lane.text, len(lane.arrivals)) == (Phase.FAILED, "", 0)


def test_a_hundred_thousand_chunks_stay_bounded() -> None:
    lane = lane_of()
    for number in range(100_000):
        lane.take(Chunk(0, START + number, START, f"token{number} ", "", 1))
    assert lane.cut
    assert lane.text.endswith(" token99998 token99999 ")
    assert SHOWN_CHARACTERS <= len(lane.text) <= 2 * SHOWN_CHARACTERS
    assert lane.tokens == len(lane.arrivals) == 100_000
    assert sum(map(sys.getsizeof, (lane.arrivals, lane.counts))) < 16 * 100_000


def test_one_chunk_without_end_stays_bounded() -> None:
    lane = lane_of(Chunk(0, START, START, "é" * 5_000_000 + " the end", "", None))
    assert lane.cut
    assert lane.text.endswith("é the end")
    assert len(lane.text) <= SHOWN_CHARACTERS


def test_tokens_beyond_a_column_do_not_break_it() -> None:
    assert lane_of(Chunk(0, START, START, "x", "", 2**40)).counts[0] == 2**31 - 1


@given(st.text(st.sampled_from("ab \r\n\u0300\u0301\x1b👩\u200d🚀中"), max_size=60), st.integers(0, 2**32))
def test_any_split_of_an_answer_reads_the_same(text: str, seed: int) -> None:
    random = Random(seed)
    lane = lane_of()
    rest = text
    while rest:
        size = random.randint(1, 4)
        lane.take(Chunk(0, START, START, rest[:size], "", 1))
        rest = rest[size:]
    assert lane.text == plain(text)


@pytest.mark.parametrize("lane", [2, 99])
def test_a_lane_that_is_not_there_is_passed_over(lane: int) -> None:
    board = board_of([heat("a", "b"), Chunk(lane, START, START, "x", "", 1), failure(lane)])
    assert [one.phase for one in board.lanes] == [Phase.WAITING, Phase.WAITING]


@pytest.mark.parametrize(("first", "tpot"), [(None, 100.0), (0, 50.0), (1, 100.0), (2, None)])
def test_the_time_per_token_is_that_of_the_metrics(first: int | None, tpot: float | None) -> None:
    told = {"output_tokens": 2, "first_chunk_tokens": first, "text_chunks": 2}
    outcome = Outcome(ok=True, first_token_ns=0, last_token_ns=100 * MS, **told)  # type: ignore[arg-type]
    assert outcome.tpot_ms == tpot
