"""The race on a real terminal (tmux): every size, with and without colour, whole during, after, however it ends."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from race_services import FOUR, assert_fits, headings, recorded, row_of, saved, url_options
from rich.cells import cell_len
from talk_terminal import Terminal, assert_whole, terminal

from inference_bench.live.feeling import READING_SOURCE, SOURCE
from inference_bench.simulator.launcher import SimulatorProcess

RACE = ("demo", "--mode", "race", "--max-tokens", "60")
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|9[0-7])[;m]")
SIZES = ((80, 24), (120, 40), (200, 50))


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    with SimulatorProcess(FOUR) as simulator:
        yield simulator.urls


def racing(lines: list[str]) -> bool:
    """Whether a lane is drawn and streams."""
    return any("streaming" in line for line in lines)


def over(lines: list[str]) -> bool:
    """Whether the heat is over and waits to be looked at."""
    return any("any key goes on" in line for line in lines)


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("colour", ["colours", "plain"])
def test_four_lanes_hold_at_every_size(
    urls: dict[str, str], tmp_path: Path, columns: int, rows: int, colour: str
) -> None:
    plain = {} if colour == "colours" else {"NO_COLOR": "1"}
    args = [*RACE, "--save", "r.json", *url_options(urls)]
    with terminal(tmp_path, args, columns=columns, rows=rows, **plain) as screen:
        during = screen.until(racing)
        painted = screen.lines(colours=True)
        after = screen.until(over)
        screen.keys("x")
        code = screen.end()
        history = screen.lines(history=True)
        assert_whole(screen)
    assert code == 0
    for shown in (during, after):
        assert_fits(shown, columns, rows)
        for name in urls:
            assert any(name in line for line in shown), f"no lane of {name}"
        assert any("SIMULATED" in line for line in shown)
        assert any("same instant" in line for line in during)
    for name, lane in saved(tmp_path / "r.json")["heats"][0]["lanes"].items():
        figure = f"{lane['ttft_ms']:,.1f}"
        assert any(figure in line for line in after), f"{name}: the lane does not show {figure}"
        assert figure in row_of("\n".join(history), name)
    assert any("1st" in line for line in after)
    assert any(COLOUR.search(line) for line in painted) == (colour == "colours")


def test_a_resized_terminal_is_whole_with_the_next_frame(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["demo", "--mode", "race", "--max-tokens", "200", *url_options(urls)]
    with terminal(tmp_path, args, columns=200, rows=50) as screen:
        screen.until(racing)
        for columns, rows in ((80, 24), (120, 40)):
            screen.resize(columns, rows)
            lines = screen.until(lambda shown, wide=columns: racing(shown) and fits(shown, wide))  # type: ignore[misc]
            assert_fits(lines, columns, rows)
        screen.until(over)
        screen.keys("q")
        assert screen.end() == 0
        assert_whole(screen)


def fits(lines: list[str], columns: int) -> bool:
    """Whether the whole frame of this width has been drawn: its lanes reach to the edge and not beyond."""
    heads = headings(lines)
    edges = [*heads, *(line for line in lines if line.startswith(("│", "╰")))]
    return bool(heads) and all(columns - 3 <= cell_len(line.rstrip()) <= columns for line in edges)


@pytest.mark.parametrize(("key", "code"), [("C-c", 130), ("q", 0)])
def test_the_terminal_is_whole_however_a_race_is_left(
    urls: dict[str, str], tmp_path: Path, key: str, code: int
) -> None:
    args = ["demo", "--mode", "race", "--max-tokens", "2000", "--record", "r.jsonl", *url_options(urls)]
    with terminal(tmp_path, args, columns=120, rows=30) as screen:
        screen.until(racing)
        screen.types("keys that nobody asked for", enter=False)
        screen.keys(key)
        assert screen.end() == code
        shown = screen.lines(history=True)
        assert_whole(screen)
    assert not any("Traceback" in line for line in shown)
    assert not any("nobody asked for" in line for line in shown)
    _, lines = recorded(tmp_path / "r.jsonl")
    ends = [line[3]["error_class"] for line in lines if line[1] == "finished"]
    assert ends == ["interrupted"] * 4


def test_the_first_heats_are_shown_and_the_others_counted(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["demo", "--mode", "race", "--max-tokens", "6", "--runs", "5", *url_options(urls, "vllm", "tgi")]
    with terminal(tmp_path, args, columns=120, rows=40) as screen:
        for number in (1, 2, 3):
            screen.until(f"heat {number} of 5")
            assert screen.value("alternate_on") == "1"
        screen.until("heat 4 of 5")
        assert counted(screen)
        assert screen.end() == 0
        shown = screen.lines(history=True)
        assert_whole(screen)
    assert any("Verdict" in line for line in shown)
    assert f"{SOURCE}; {READING_SOURCE}" in " ".join(" ".join(shown).split()), "a word is broken in two"


def counted(screen: Terminal) -> bool:
    """Whether the heat is on a progress line of the normal screen."""
    return screen.value("alternate_on") == "0" and any("━" in line or "heat" in line for line in screen.lines())


def test_a_crowd_gathers_before_the_heat_in_it(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["demo", "--mode", "race", "--max-tokens", "20", "--crowd", "2", *url_options(urls, "vllm", "tgi")]
    with terminal(tmp_path, args, columns=120, rows=40) as screen:
        screen.until("the crowd gathers, 2 users on each service")
        screen.until("in a crowd of 2 users on each service")
        screen.until(over)
        screen.keys("Space")
        assert screen.end() == 0
        shown = screen.lines(history=True)
        assert_whole(screen)
    assert any("In the crowd: 2 background users on each service" in line for line in shown)
