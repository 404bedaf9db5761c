"""Chat, interactive and inspect by keys on terminals of three sizes, with colours and without: nothing overflows."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from talk_terminal import Terminal, assert_whole, terminal

from inference_bench.simulator.launcher import SimulatorProcess

COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
SIZES = ((80, 24), (120, 40), (200, 50))
EVERY_SIZE = pytest.mark.parametrize(("columns", "rows"), SIZES)
EVERY_LOOK = pytest.mark.parametrize("look", ["colours", "NO_COLOR"])
NAMES = ("vllm-a", "tgi-b")


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    speed = "ttft-ms=300,itl-ms=40"  # slow enough to be looked at while it streams
    with SimulatorProcess([f"vllm,name=a,{speed}", f"tgi,name=b,{speed}"]) as simulator:
        yield [word for name in "ab" for word in ("--url", f"{simulator.engines[name]}/{name}={simulator.urls[name]}")]


def plain(look: str) -> dict[str, str]:
    return {"NO_COLOR": "1"} if look == "NO_COLOR" else {}


def streaming(screen: Terminal) -> tuple[list[str], bool]:
    """Wait until text streams in on a live screen; return its lines, and whether it has colours."""
    live = screen.until(
        lambda lines: screen.value("alternate_on") == "1" and any("streaming" in line for line in lines)
    )
    return live, any(COLOUR.search(line) for line in screen.lines(colours=True))


def assert_holds(frame: list[str], kept: list[str], columns: int, rows: int) -> None:
    """Check a live frame and what stayed afterwards: inside the screen, all services there, simulated said."""
    assert len(frame) <= rows
    for lines in (frame, kept):
        assert max(map(cell_len, lines)) <= columns
        assert all(any(name in line for line in lines) for name in NAMES)
        assert any("SIMULATED" in line for line in lines)
    assert not any("Traceback" in line for line in kept)


@EVERY_SIZE
@EVERY_LOOK
def test_a_chat_by_keys(urls: list[str], tmp_path: Path, columns: int, rows: int, look: str) -> None:
    words = ["demo", "--mode", "chat", "--max-tokens", "12", *urls]
    with terminal(tmp_path, words, columns=columns, rows=rows, **plain(look)) as screen:
        screen.until("You:")
        screen.types("Why is the sky blue?")
        frame, coloured = streaming(screen)
        screen.until(lambda lines: screen.value("alternate_on") == "0" and lines[-1].rstrip() == "You:")
        screen.types("q")
        assert screen.end() == 0
        kept = screen.lines(history=True)
        assert_whole(screen)
    assert_holds(frame, kept, columns, rows)
    assert coloured == (look == "colours")


@EVERY_SIZE
@EVERY_LOOK
def test_interactive_by_keys(urls: list[str], tmp_path: Path, columns: int, rows: int, look: str) -> None:
    words = ["demo", "--mode", "interactive", "--max-tokens", "12", *urls]
    with terminal(tmp_path, words, columns=columns, rows=rows, **plain(look)) as screen:
        screen.until("What shall they be asked?")
        screen.keys("Down", "Enter")
        frame, coloured = streaming(screen)
        screen.until("any key goes on")
        screen.keys("Space")
        screen.until(lambda lines: screen.value("alternate_on") == "0" and asked_again(lines))
        screen.keys("q")
        assert screen.end() == 0
        kept = screen.lines(history=True)
        assert_whole(screen)
    assert_holds(frame, kept, columns, rows)
    assert coloured == (look == "colours")
    assert any("1st" in line for line in kept)


def asked_again(lines: list[str]) -> bool:
    """Whether the menu is there once more, below a result."""
    return any("What shall they be asked?" in line for line in lines[-12:]) and any("own" in line for line in lines)


@EVERY_SIZE
@EVERY_LOOK
def test_inspect(urls: list[str], tmp_path: Path, columns: int, rows: int, look: str) -> None:
    words = ["inspect", "--max-tokens", "3", *urls]
    with terminal(tmp_path, words, columns=columns, rows=rows, **plain(look)) as screen:
        assert screen.end() == 0
        kept = screen.lines(history=True)
        coloured = any(COLOUR.search(line) for line in screen.lines(history=True, colours=True))
        assert_whole(screen)
    assert_holds(kept[:rows], kept, columns, rows)
    assert coloured == (look == "colours")
