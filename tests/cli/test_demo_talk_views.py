"""What a talk draws: frames that fit whatever the size and whatever was said, and figures that are plain arithmetic."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LaneFacts, Outcome
from inference_bench.live.plain import plain
from inference_bench.visualization.components.bubbles import per_row
from inference_bench.visualization.components.talk_screen import TalkMarks, talk_screen, turn_shown
from inference_bench.visualization.components.talk_tables import Growth, growth_of, growth_table, growth_words

MS = 1_000_000
HOSTILE = "[bold]x[/] \x1b[2J\x1b]0;t\x07\u202e 東京東京東京 مرحبا 👩‍👩‍👧🇩🇪 z\u0300\u0301\u0302\u0303 \t\r\n\u2028 `c`"
LANES = tuple(LaneFacts(name, "vllm", simulated=True) for name in ("vllm-a", "a-service-with-a-long-name", "東京", "d"))
PAST = plain(f"You: {HOSTILE}\n\n{HOSTILE * 9}")
MARKS = TalkMarks("a note " * 30, "q: this turn is the last · Ctrl-C stops", pasts=(PAST,) * 4)


def board(lanes: int, text: str, *, ended: bool) -> Board:
    """A turn with a lane that talks, one that fails, one that is silent, one that is down."""
    made = Board()
    down = LaneFacts("down", "tgi", down="it is not there")
    facts = (*LANES[: lanes - 1], down) if lanes == 4 else LANES[:lanes]
    made.take(Heat(facts, text, 9, 0, kind="conversation", number=2, of=4, title="[red]Title[/red]"))
    for lane in range(lanes):
        if facts[lane].down is None and lane != 2:
            made.take(Chunk(lane, 5 * MS, MS, text, "", 3))
    if ended:
        for lane in range(lanes):
            bad = Outcome(ok=False, error_class="truncated", error_message=text, sent_ns=MS, end_ns=9 * MS)
            good = Outcome(ok=True, sent_ns=MS, first_token_ns=5 * MS, last_token_ns=9 * MS, finish_reason=text)
            made.take(Finished(lane, 9 * MS, good if lane == 0 else bad))
        made.take(HeatEnded(10 * MS, late_ms=3.0))
    return made


def drawn(shown: RenderableType, width: int) -> list[str]:
    console = Console(width=width, file=io.StringIO(), color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(shown)
    return captured.get().removesuffix("\n").split("\n")


@pytest.mark.parametrize("lanes", [1, 2, 3, 4])
@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50), (40, 10), (20, 5), (3, 2), (1, 1)])
@pytest.mark.parametrize(
    "text", ["", "word " * 400, HOSTILE * 20, "東" * 900], ids=["none", "words", "hostile", "wide"]
)
def test_a_frame_is_exactly_as_large_as_the_screen(lanes: int, width: int, height: int, text: str) -> None:
    for ended in (False, True):
        lines = drawn(talk_screen(board(lanes, text, ended=ended), 7 * MS, width, height, marks=MARKS), width)
        assert len(lines) == height
        assert {cell_len(line) for line in lines} == {width}
        assert not any("\x1b" in line or "\u202e" in line for line in lines)


@given(st.text(max_size=300), st.integers(10, 130), st.integers(3, 40), st.integers(1, 4))
def test_any_text_fits_any_screen(text: str, width: int, height: int, lanes: int) -> None:
    lines = drawn(talk_screen(board(lanes, text, ended=False), 7 * MS, width, height, marks=MARKS), width)
    assert [cell_len(line) for line in lines] == [width] * height


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 50)])
def test_a_frame_shows_every_lane_its_state_and_the_end_of_its_text(width: int, height: int) -> None:
    text = "word " * 2000 + "the-very-end"
    whole = "\n".join(drawn(talk_screen(board(4, text, ended=False), 7 * MS, width, height, marks=MARKS), width))
    assert "SIMULATED ENGINES" in whole
    assert "Conversation: [red]Title[/red], turn 2 of 4" in whole
    assert whole.count("the-very-end") == 2
    assert whole.count(" streaming ") == 2
    assert "waiting 0.01 s" in whole
    assert "down: it is not there" in whole
    assert whole.count("TTFT 4.0 ms") == 2


def test_what_stands_beside_the_talk_is_dim_where_there_are_styles() -> None:
    console = Console(width=80, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    with console.capture() as captured:
        console.print(talk_screen(board(2, "x", ended=False), 7 * MS, 80, 24, marks=TalkMarks("a note", "keys")))
    assert "\x1b[2ma note" in captured.get()
    assert "\x1b[2mkeys" in captured.get()


@pytest.mark.parametrize("width", [40, 80, 120, 200])
def test_what_stays_of_a_turn_is_bounded_and_says_what_went_wrong(width: int) -> None:
    lines = drawn(turn_shown(board(4, "line\n" * 5000, ended=True), width, marks=TalkMarks()), width)
    assert len(lines) <= 100
    assert max(map(cell_len, lines)) <= width
    whole = " ".join("\n".join(lines).split())
    assert "failed: truncated" in whole
    assert "line…" in whole  # there is more than is shown
    assert "do not trust small differences" in whole.replace("│", "")


def test_places_are_named_only_where_times_compare() -> None:
    made = board(2, "x", ended=True)
    assert "place" not in "\n".join(drawn(turn_shown(made, 100, marks=TalkMarks()), 100))
    compared = " ".join("\n".join(drawn(turn_shown(made, 100, marks=TalkMarks(places=True)), 100)).split())
    assert "place" in compared
    assert "one turn proves nothing" in compared


def test_figures_stand_in_the_order_of_the_race_and_each_under_its_heading() -> None:
    outcome = Outcome(
        ok=True,
        sent_ns=0,
        first_token_ns=5 * MS,
        last_token_ns=105 * MS,
        output_tokens=11,
        prompt_tokens=7,
        first_chunk_tokens=1,
        text_chunks=11,
    )
    lines = drawn(growth_table(["a"], [{"a": outcome}], 100), 100)
    heads = " ".join(lines[1].split()), " ".join(lines[2].split())
    assert heads == ("prompt TTFT, tokens answer E2E,", "service turn tokens ms per s tokens ms")
    row = next(line.split() for line in lines if line.split()[:1] == ["a"])
    assert row == ["a", "1", "7", "5.0", "100.0", "11", "105.0"]


@pytest.mark.parametrize(
    ("width", "bubbles", "side"),
    [(80, 4, 2), (80, 3, 2), (120, 4, 2), (120, 3, 3), (200, 4, 4), (60, 4, 1), (80, 1, 1)],
)
def test_bubbles_stand_side_by_side_where_there_is_room(width: int, bubbles: int, side: int) -> None:
    assert per_row(width, bubbles) == side


def told(tokens: int | None, ttft_ms: int, *, ok: bool = True) -> Outcome:
    return Outcome(ok=ok, prompt_tokens=tokens, sent_ns=0, first_token_ns=ttft_ms * MS)


def test_growth_is_the_difference_of_the_first_and_the_last_told_turn() -> None:
    turns = [told(None, 5), told(100, 20), told(700, 99, ok=False), told(600, 45), None]
    growth = growth_of(turns)
    assert growth == Growth(2, 4, 500, 25.0)
    assert growth.ms_per_thousand == 50.0
    assert growth_words("a", turns) == (
        "a: from turn 2 to turn 4 +500 prompt tokens, TTFT +25.0 ms: +50.0 ms for each 1,000 tokens"
    )


@pytest.mark.parametrize("turns", [[], [told(9, 5)], [told(9, 5), told(None, 6)], [told(9, 5), None]])
def test_growth_is_missing_where_it_was_not_told(turns: list[Outcome | None]) -> None:
    assert growth_of(turns) is None
    assert "no two turns" in growth_words("a", turns)


def test_a_prompt_that_did_not_grow_has_no_price_per_token() -> None:
    assert growth_words("a", [told(100, 20), told(100, 30)]).endswith("+0 prompt tokens, TTFT +10.0 ms")
