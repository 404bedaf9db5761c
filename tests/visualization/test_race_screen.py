"""The race's screen: exactly as large as asked whatever is in the lanes, with all that matters on it."""

import re
from collections.abc import Iterable
from io import StringIO

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent
from inference_bench.live.plain import plain
from inference_bench.visualization.components.race_screen import RaceMarks, race_screen
from inference_bench.visualization.components.wrapping import cut, head_lines, tail_lines
from live_events import MS, START, answer, board_of, facts, failure, heat, heats

SIZES = ((80, 24), (120, 40), (200, 50))
MARKS = RaceMarks("run 2 of 10", "q leaves")
WORDS = "the quick brown fox jumps over the lazy dog and runs on into the wood where nobody has ever been before "
HOSTILE = {
    "escapes": "\x1b[2J\x1b[31mred\x1b]0;title\x07\x9b5A ",
    "wide": "中文字符非常宽ひらがな漢字 ",
    "emoji": "👩\u200d👩\u200d👧🇩🇪👍🏽❤\ufe0f🏴\U000e0067\U000e007f ",
    "right to left": "\u202eשלום עולם\u202c العربية ",
    "zalgo": "z" + "\u0316\u0317\u0301\u0302" * 30 + " ",
    "markup": "[bold red]no[/] [link=http://x]x[/link] :smile: ",
    "one long word": "w" * 700,
    "line feeds": "\n\r\n\r",
    "Hindi": "ट्रांसफॉर्मर मॉडल में ध्यान ",
}


def drawn(shown: RenderableType, width: int, height: int = 50, *, terminal: bool = False) -> str:
    """Return what is written for it: plain text, or what a terminal is sent."""
    file = StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=terminal)
    console.print(shown, end="")
    return file.getvalue()


def screen(board: Board, width: int, height: int, *, now_ns: int = START, marks: RaceMarks = MARKS) -> list[str]:
    """Return the screen's lines, and check that they fill it exactly."""
    written = drawn(race_screen(board, now_ns, width, height, marks=marks), width, height)
    lines = written.removesuffix("\n").split("\n")
    assert len(lines) == height
    assert {cell_len(line) for line in lines} == {width}
    return lines


def flowing(lines: list[str], lane: int) -> str:
    """Return what stands in a lane's box, or on the whole screen where there are none, without its line breaks."""
    boxed = [line.strip("│").split("││")[lane] for line in lines if line.startswith("│")]
    return " ".join(" ".join(boxed or lines).split())


def streaming(count: int, text: str = WORDS, prompt: str = "Why?") -> list[LiveEvent]:
    """Return a heat in which as many lanes stream this text."""
    names = ("alpha", "beta", "gamma", "delta", "epsilon")[:count]
    chunks = [
        Chunk(lane, START + (100 + 10 * lane + 5 * number) * MS, START, piece, "", 1)
        for lane in range(count)
        for number, piece in enumerate(re.findall(r"\S*\s|\S+", text * 4))
    ]
    return [heat(*names, prompt=prompt), *chunks]


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(events=heats(), data=st.data())
def test_any_moment_of_any_heat_fills_any_screen_exactly(events: list[LiveEvent], data: st.DataObject) -> None:
    board = board_of(events[: data.draw(st.integers(0, len(events)))])
    width, height = data.draw(st.integers(1, 210)), data.draw(st.integers(1, 60))
    marks = RaceMarks(data.draw(st.text()), data.draw(st.text()), data.draw(st.none() | st.text()))
    screen(board, width, height, now_ns=START + data.draw(st.integers(-(10**9), 10**13)), marks=marks)


@pytest.mark.parametrize(("width", "height"), [*SIZES, (1, 1), (3, 2), (34, 8), (20, 60)])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("count", [1, 2, 4])
def test_no_answer_leaves_its_lane(text: str, count: int, width: int, height: int) -> None:
    lines = screen(board_of(streaming(count, text * 20)), width, height)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", "".join(lines))


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("count", [2, 3, 4])
def test_everything_is_there_at_every_size(count: int, width: int, height: int) -> None:
    board = board_of([*streaming(count, prompt="Why is the sky blue?"), *answer(0, [100, 200])[-1:]])
    board.take(
        failure(1, error_class="timeout", error_message="nothing came for 30 s", first_token_ns=START + 110 * MS)
    )
    lines = screen(board, width, height, now_ns=START + 2_000 * MS)
    shown = "\n".join(lines)
    for words in ("run 2 of 10", "Why is the sky blue?", "same instant", "may share a host", "q leaves"):
        assert words in shown
    for name in ("alpha", "beta", "gamma", "delta")[:count]:
        assert name in shown
    assert "done (length)" in shown
    assert "failed: timeout" in shown
    assert "nothing came for 30 s" in flowing(lines, 1)
    assert shown.count("streaming") == count - 2
    assert re.findall(r"TTFT ([\d.]+) ms", shown) == [f"{100 + 10 * lane:.1f}" for lane in range(count)]
    assert shown.count(" elapsed") == count


@pytest.mark.parametrize("width", [12, 40, 60, 72, 76])
def test_a_place_is_seen_on_a_narrow_screen(width: int) -> None:
    names = ("alpha", "beta", "gamma")
    ends = [event for lane, _ in enumerate(names) for event in answer(lane, [100, 200 + 100 * lane])]
    shown = "\n".join(screen(board_of([heat(*names), *ends, HeatEnded(START + 500 * MS)]), width, 24))
    assert [place for place in ("1st", "2nd", "3rd") if f" {place} " in shown] == ["1st", "2nd", "3rd"]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_place_stands_beside_the_time_it_rests_on(width: int, height: int) -> None:
    """A long answer may be first: the time of all of it beside "1st" would say that the slowest had won."""
    first, second = answer(0, [100 * number for number in range(1, 31)]), answer(1, [500, 1_500])
    board = board_of([heat("alpha", "beta"), *first, *second, HeatEnded(START + 4_000 * MS, late_ms=9.5)])
    shown = "\n".join(screen(board, width, height, now_ns=START + 5_000 * MS))
    assert "200.0 ms to 2" in shown
    assert "1.500 s to 2" in shown
    assert " 1st " in shown
    assert "elapsed" not in shown
    assert "could not run for 9.5 ms" in shown
    assert width < 120 or "placed by the time" in shown


def test_four_lanes_at_80x24_are_stacked_with_two_lines_of_text_each() -> None:
    lines = screen(board_of(streaming(4)), 80, 24, marks=RaceMarks("1 of 2", "q", "recorded once"))
    heads = [number for number, line in enumerate(lines) if line.startswith("─ ")]
    assert len(heads) == 4
    for start, end in zip(heads, [*heads[1:], 23], strict=True):
        assert lines[start + 1].startswith("TTFT ")
        text = [line.strip() for line in lines[start + 2 : end]]
        assert len([line for line in text if line]) >= 2
        assert text[-1].endswith("ever been before")  # the end is what is seen


@pytest.mark.parametrize(
    ("count", "width", "beside"),
    [(2, 80, 2), (2, 67, 0), (3, 120, 3), (4, 120, 0), (4, 136, 4), (4, 200, 4), (1, 80, 1)],
)
def test_lanes_stand_side_by_side_where_each_has_room(count: int, width: int, beside: int) -> None:
    lines = screen(board_of(streaming(count)), width, 24)
    assert max(line.count("╭") for line in lines) == beside


def test_a_low_screen_counts_the_lanes_it_cannot_show() -> None:
    lines = screen(board_of(streaming(5)), 80, 10)
    assert "and 3 more" in lines[-2]
    assert "beta" in "\n".join(lines)
    assert "gamma" not in "\n".join(lines)


def test_the_waiting_time_runs_from_the_common_start() -> None:
    board = board_of([heat("a", "b")])
    assert "ready" in "".join(screen(board, 80, 24, now_ns=START - 1))
    for ms, said in ((0, "0.00"), (421, "0.42"), (12_345, "12.35")):
        assert f"waiting {said} s" in "".join(screen(board, 80, 24, now_ns=START + ms * MS))


def test_places_and_the_rule_come_with_the_end() -> None:
    events = [heat("a", "b", "c"), *answer(0, [50, 100]), *answer(1, [60, 100.4]), *answer(2, [70, 300])]
    before = "\n".join(screen(board_of(events), 120, 24))
    after = "\n".join(screen(board_of([*events, HeatEnded(START + 999 * MS)]), 120, 24))
    assert not re.search("1st|3rd|placed by", before)
    assert (after.count("1st (tie)"), after.count("3rd")) == (2, 1)
    assert "placed by the time from sending to 2 tokens" in after


def test_a_stop_of_the_measuring_process_is_said() -> None:
    events = [heat("a", "b"), *answer(0, [50, 100]), *answer(1, [60, 101])]
    said = "could not run for 2.3 ms: do not trust small differences"
    assert said in "\n".join(screen(board_of([*events, HeatEnded(START, 2.3)]), 80, 24))
    assert said[:13] not in "\n".join(screen(board_of([*events, HeatEnded(START, 2.0)]), 80, 24))


def test_only_what_was_told_is_said_of_a_service() -> None:
    told = facts("a", told=(("engine", "vLLM 0.9.1"), ("slots", "4")))
    silent = facts("b", engine="tgi", told=())
    shown = "\n".join(screen(board_of([Heat((told, silent), "?", 8, START)]), 80, 24))
    assert "vLLM 0.9.1 · slots 4" in shown
    assert "tgi" not in shown


def test_simulated_recorded_and_down_are_said() -> None:
    lanes = (facts("a", simulated=True), facts("b", down="unreachable: nobody listens there"))
    board = board_of([Heat(lanes, "?", 8, START)])
    marks = RaceMarks("", "", "recorded on a Monday")
    shown = "\n".join(screen(board, 80, 24, marks=marks))
    for words in ("SIMULATED ENGINES", "RECORDING", "recorded on a Monday"):
        assert words in shown
    assert "down: unreachable: nobody listens there" in flowing(shown.splitlines(), 1)
    real = "\n".join(screen(board_of([heat("a", "b")]), 80, 24))
    assert "SIMULATED" not in real
    assert "RECORDING" not in real


@pytest.mark.parametrize(("stamps", "said"), [(True, "stamped by the kernel"), (False, "stamped at the read")])
def test_whose_clock_the_times_are_of(stamps: bool, said: str) -> None:
    assert said in screen(board_of([heat("a", "b")]), 80, 24, marks=RaceMarks(kernel_stamps=stamps))[-1]


def test_figures_do_not_move_while_they_grow() -> None:
    def columns(events: Iterable[LiveEvent]) -> list[int]:
        line = next(line for line in screen(board_of([*events]), 80, 24) if line.startswith("TTFT"))
        return [line.index(word) for word in ("token", "/s", "elapsed")]

    few = streaming(4)[:2]
    assert len({tuple(columns(few))[2] // 18, tuple(columns(streaming(4)))[2] // 18}) == 1


def test_lanes_without_colour_have_signs_of_their_own() -> None:
    shown = "\n".join(screen(board_of(streaming(4)), 200, 50))
    assert {sign for sign in "●■◆▲" if sign in shown} == set("●■◆▲")


def test_on_a_terminal_each_edge_goes_to_its_own_column() -> None:
    """Where a terminal takes a character for wider than the table does, the border still stands where it belongs."""
    board = board_of(streaming(2, HOSTILE["Hindi"] * 9))
    written = drawn(race_screen(board, START, 80, 24, marks=MARKS), 80, 24, terminal=True)
    assert "\x1b[2mall start" in written  # a line of one style has it
    inside = [row for row in written.split("\n") if "│" in row]
    assert len(inside) > 10
    for row in inside:
        assert re.findall(r"\x1b\[(\d+)G(?:\x1b\[[\d;]*m)?│", row) == ["40", "80"]
        assert row.startswith("\x1b[2K")


# -- lines -----------------------------------------------------------------------------------------------------------

TEXTS = st.text(st.sampled_from("ab c\n中👍\u0301é "), max_size=200).map(plain)


@given(text=TEXTS, width=st.integers(2, 40), rows=st.integers(1, 12))
def test_wrapped_lines_fit_and_end_with_the_end(text: str, width: int, rows: int) -> None:
    lines = tail_lines(text, width, rows)
    assert len(lines) <= rows
    assert all(cell_len(line) <= width for line in lines)
    kept = "".join("".join(lines).split())
    assert "".join(text.split()).endswith(kept)
    if text.strip():
        assert lines[-1].strip()


@given(text=TEXTS, width=st.integers(2, 40))
def test_wrapping_loses_nothing_but_spaces(text: str, width: int) -> None:
    lines = tail_lines(text, width, 500)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(text=TEXTS, width=st.integers(1, 40), rows=st.integers(1, 5))
def test_the_beginning_says_that_there_is_more(text: str, width: int, rows: int) -> None:
    lines = head_lines(text, width, rows)
    assert len(lines) <= rows
    assert all(cell_len(line) <= max(width, 2) for line in lines)
    whole = head_lines(text, width, 10_000)
    if len(whole) > rows:
        assert lines[-1].endswith("…")
        assert lines[:-1] == whole[: rows - 1]
    else:
        assert lines == whole


@given(text=TEXTS.map(lambda text: text.replace("\n", " ")), width=st.integers(0, 40))
def test_a_cut_text_fits_and_says_so(text: str, width: int) -> None:
    shown = cut(text, width)
    assert cell_len(shown) <= width
    assert shown in (text, "") or (shown.endswith("…") and text.startswith(shown[:-1]))


def test_an_endless_paragraph_breaks_its_lines_where_it_did_before() -> None:
    """Each frame sees a longer text; lines that stay on the screen must stay as they are, but for rare jumps."""
    text = "".join(f"word{number} " for number in range(6_000))
    jumps = 0
    before = tail_lines(text[:30_000], 38, 10)
    for end in range(30_010, 38_000, 10):
        after = tail_lines(text[:end], 38, 10)
        jumps += not any(after[: len(before) - shift - 1] == before[shift:-1] for shift in (0, 1))
        before = after
    assert jumps <= 2


def test_a_finished_end_is_on_the_screen_of_a_hundred_thousand_tokens() -> None:
    board = board_of([heat("a", "b")])
    for number in range(100_000):
        board.take(Chunk(0, START + number, START, f"t{number} ", "", 1))
    end = answer(0, [0, 1])[-1]
    assert isinstance(end, Finished)
    board.take(end)
    assert "t99999" in "".join(screen(board, 80, 24))
