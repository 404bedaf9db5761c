"""What one viewer of the page is told: all of it at first, then only what is new, and never more than is held."""

import asyncio
from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LaneFacts, Outcome
from inference_bench.live.lane import SHOWN_CHARACTERS
from inference_bench.visualization.web.shown import Recorded, Shown
from inference_bench.visualization.web.stage import MOST_VIEWERS, Stage
from inference_bench.visualization.web.state import Plain, Reader, picture_of

MS = 1_000_000
LANES = (LaneFacts("a", "vllm"), LaneFacts("b", "tgi"))
HEAT = Heat(LANES, "why?", 100, 1000 * MS)


def board_of(*events: Heat | Chunk | Finished | HeatEnded) -> Board:
    board = Board()
    for event in events:
        board.take(event)
    return board


def chunk(lane: int, text: str, at_ms: int = 1500) -> Chunk:
    return Chunk(lane, at_ms * MS, 1000 * MS, text, "", 1)


def shown_at(now_ms: float, played: Recorded | None = None) -> Shown:
    return Shown(LANES, lambda: int(now_ms * MS), played=played)


def text_of(message: Plain) -> list[tuple[bool, str] | None]:
    return cast("list[tuple[bool, str] | None]", message["text"])


@given(st.lists(st.tuples(st.integers(0, 1), st.text("ab\n", max_size=9), st.booleans()), max_size=40))
def test_the_pieces_that_a_viewer_is_told_make_the_text(events: list[tuple[int, str, bool]]) -> None:
    shown, board = shown_at(2000), board_of(HEAT)
    reader, texts = Reader(shown), ["", ""]
    for lane, text, looks in [*events, (0, "", True)]:
        board.take(chunk(lane, text))
        if looks:
            for place, news in enumerate(text_of(reader.message(picture_of(board, shown, "racing")))):
                if news is not None:
                    goes_on, piece = news
                    texts[place] = texts[place] + piece if goes_on else piece
    assert texts == [lane.text for lane in board.lanes]


def test_a_viewer_is_told_the_setting_once_and_the_text_once() -> None:
    shown, board = shown_at(2000), board_of(HEAT, chunk(0, "one"))
    reader = Reader(shown)
    first = reader.message(picture_of(board, shown, "racing"))
    assert "setting" in first
    assert first["text"] == [[False, "one"], None]
    board.take(chunk(0, " two"))
    second = reader.message(picture_of(board, shown, "racing"))
    assert "setting" not in second
    assert second["text"] == [[True, " two"], None]
    assert reader.message(picture_of(board, shown, "racing"))["text"] == [None, None]
    late = Reader(shown).message(picture_of(board, shown, "racing"))  # who comes later is told everything
    assert late["text"] == [[False, "one two"], None]
    board.take(Heat(LANES, "again?", 100, 3000 * MS, number=2))
    again = reader.message(picture_of(board, shown, "racing"))
    assert "setting" in again  # another race: everything begins anew
    assert again["text"] == [None, None]


def test_who_was_slow_gets_what_is_held_and_no_gap() -> None:
    shown, board = shown_at(2000), board_of(HEAT, chunk(0, "begin"))
    reader = Reader(shown)
    reader.message(picture_of(board, shown, "racing"))
    for number in range(5 * SHOWN_CHARACTERS // 10):
        board.take(chunk(0, f"{number:09d} "))
    told = reader.message(picture_of(board, shown, "racing"))["text"]
    assert told == [[False, board.lanes[0].text], None]
    assert len(board.lanes[0].text) <= 2 * SHOWN_CHARACTERS


def test_the_clock_of_a_lane_runs_from_the_common_start_and_stops_with_it() -> None:
    board = board_of(HEAT)

    def since(now_ms: float) -> object:
        return picture_of(board, shown_at(now_ms), "racing").values["lanes"][0]["since_ms"]  # type: ignore[index]

    assert since(700) == -300.0  # before the start
    assert since(1250) == 250.0
    board.take(Chunk(0, 1500 * MS, 1001 * MS, "x", "", 1))
    assert since(1501) == 500.0  # from its own sending, once that is known
    sent = Outcome(ok=True, sent_ns=1001 * MS, first_token_ns=1500 * MS, last_token_ns=1600 * MS)
    board.take(Finished(0, 1700 * MS, sent))
    assert since(9999) is None
    lane = picture_of(board, shown_at(9999), "racing").values["lanes"][0]  # type: ignore[index]
    assert (lane["ttft"], lane["elapsed"]) == ("TTFT 499.0 ms", "0.60 s")


def test_a_message_that_is_told_late_says_so() -> None:
    now = [1200.0]
    shown = Shown(LANES, lambda: int(now[0] * MS))
    picture = picture_of(board_of(HEAT), shown, "racing")
    now[0] = 1950.0
    assert Reader(shown).message(picture)["age_ms"] == 750.0


def test_simulated_is_said_as_soon_as_anything_says_it() -> None:
    def said(shown: Shown, *events: Heat | Chunk | Finished) -> object:
        return picture_of(board_of(*events), shown, None).values["simulated"]

    assert said(shown_at(0)) is None
    assert said(Shown((LaneFacts("a", "vllm", simulated=True),), lambda: 0)) == "SIMULATED ENGINES"
    assert said(shown_at(0, played=Recorded("words", 1.0, simulated=True))) == "SIMULATED ENGINES"
    assert said(shown_at(0), HEAT, Finished(1, 0, Outcome(ok=True))) is None
    # A service that was taken for a real one says with its answer that it is none.
    assert said(shown_at(0), HEAT, Finished(1, 0, Outcome(ok=True, simulated=True))) == "SIMULATED ENGINES"


def test_one_wish_at_a_time_and_none_after_the_end() -> None:
    async def story() -> None:
        stage, stop = Stage(Board(), shown_at(0)), asyncio.Event()
        assert stage.want("first?")
        assert not stage.want("second?")  # wanted already
        assert await stage.wanted(stop) == "first?"
        assert not stage.want("second?")  # goes on
        stage.says(None)
        assert stage.want("second?")
        assert await stage.wanted(stop) == "second?"
        stage.says(None)
        waiting = asyncio.ensure_future(stage.wanted(stop))
        await asyncio.sleep(0)
        stop.set()
        assert await waiting is None
        stage.close()
        assert not stage.want("third?")

    asyncio.run(story())


def test_an_error_of_the_serving_reaches_whoever_waits() -> None:
    async def story() -> str:
        stage = Stage(Board(), shown_at(0))
        stage.fail(RuntimeError("it broke"))
        stage.fail(RuntimeError("and again"))
        try:
            await stage.wanted(asyncio.Event())
        except RuntimeError as error:
            return str(error)
        return "nothing"

    assert asyncio.run(story()) == "it broke"


def test_seats_are_counted_and_given_back() -> None:
    async def story() -> None:
        stage = Stage(Board(), shown_at(0))
        seats = [stage.sit() for _ in range(MOST_VIEWERS)]
        assert None not in seats
        assert stage.sit() is None
        assert seats[0] is not None
        stage.leave(seats[0])
        assert stage.sit() is not None
        assert stage.sit() is None

    asyncio.run(story())
