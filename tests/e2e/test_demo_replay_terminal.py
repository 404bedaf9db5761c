"""A recording on a real terminal (tmux): every size, hostile answers, keys, Ctrl-C, damage; the terminal is whole."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from unicodedata import category

import pytest
from rich.cells import get_character_cell_size
from talk_terminal import assert_whole, terminal

from inference_bench.live.events import Heat, HeatEnded, LaneFacts, LiveEvent
from inference_bench.live.recording import Recorder
from live_events import MS, START, answer, facts, failure, heat

NAMES = ("blue", "green", "amber", "grey")
SIZES = ((80, 24), (120, 40), (200, 50))
NEVER = 10**7  # ms: a chunk that no test waits for
HOSTILE = (
    "\x1b[2J\x1b[31mred\x1b]0;title\x07 and ",
    "中文字符非常宽 ひらがな ",
    "👩\u200d👩\u200d👧 🇩🇪 👍🏽 ❤\ufe0f ",
    "\u202eשלום עולם العربية ",
    "ट्रांसफॉर्मर मॉडल में ध्यान तंत्र ",
    "z" + "\u0316\u0301" * 9 + " ",
)


def record(path: Path, events: Sequence[LiveEvent]) -> Path:
    with Recorder(path, simulated=True, kernel_stamps=True) as recorder:
        for event in events:
            recorder.take(event)
    return path


def lanes(count: int) -> tuple[LaneFacts, ...]:
    return tuple(facts(name, simulated=True) for name in NAMES[:count])


def endless(path: Path, count: int, words: Sequence[str] = HOSTILE) -> Path:
    """Record answers of which all but the last chunk come at once, and that one never."""
    times = [*range(10, 130), NEVER]
    events: list[LiveEvent] = [Heat(lanes(count), "Why is the sky blue?", 256, START)]
    for lane in range(count):
        said = [words[number % len(words)] for number in range(len(times))]
        events += answer(lane, times, words=said)[:-2]
    events += answer(0, times)[-2:-1]
    return record(path, events)


def streaming(count: int) -> Callable[[list[str]], bool]:
    """Return whether so many lanes show all the chunks that come."""
    return lambda lines: sum(line.count("120 tokens") for line in lines) == count


def cells(text: str) -> int:
    """Return how many cells tmux gives a text: a vowel sign that stands beside its letter has one of its own."""
    return sum(max(get_character_cell_size(one), int(category(one) == "Mc")) for one in text)


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("colour", ["colours", "plain"])
@pytest.mark.parametrize("count", [2, 4])
def test_hostile_answers_stay_in_their_lanes(tmp_path: Path, columns: int, rows: int, colour: str, count: int) -> None:
    path = endless(tmp_path / "r", count)
    plain = {"NO_COLOR": "1"} if colour == "plain" else {}
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=columns, rows=rows, **plain) as screen:
        lines = screen.until(streaming(count))
        painted = "\n".join(screen.lines(colours=True))
        assert screen.value("alternate_on") == "1"
        screen.keys("q")
        assert screen.end() == 0
        assert_whole(screen)
        assert screen.value("wrap_flag") == "1"
    assert len(lines) == rows
    assert max(map(cells, lines)) <= columns
    assert "SIMULATED ENGINES" in lines[0]
    assert "RECORDING" in lines[0]
    assert "Why is the sky blue?" in "\n".join(lines)
    assert lines[-1].startswith("q leaves")
    for name in NAMES[:count]:
        assert sum(name in line for line in lines[3:]) == 1
    edges = {tuple(cells(line[: found.start()]) for found in re.finditer("│", line)) for line in lines if "│" in line}
    width = columns // count
    expected = tuple(at for lane in range(count) for at in (lane * width, (lane + 1) * width - 1))
    assert edges == ({expected} if width >= 34 else set())
    assert bool(re.search(r"\x1b\[[\d;]*38;", painted)) == (colour == "colours")


def test_a_resized_terminal_is_whole_with_the_next_frame(tmp_path: Path) -> None:
    path = endless(tmp_path / "r", 2)
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=200, rows=50) as screen:
        screen.until(streaming(2))
        for columns, rows in ((80, 24), (60, 15), (120, 40)):
            screen.resize(columns, rows)
            beside = columns // 2 >= 34

            def whole(lines: list[str], columns: int = columns, rows: int = rows, beside: bool = beside) -> bool:
                heads = [line for line in lines if line.startswith(("╭─ ", "─ "))]
                fits = len(lines) == rows and {cells(line) for line in heads} == {columns}
                return fits and len(heads) == (1 if beside else 2) and lines[-1].startswith("q leaves")

            screen.until(whole)
        screen.keys("C-c")
        assert screen.end() == 130
        assert_whole(screen)
        assert screen.value("wrap_flag") == "1"


def test_the_end_shows_places_and_leaves_the_result_behind(tmp_path: Path) -> None:
    events = [
        Heat(lanes(2), "Why?", 8, START),
        *answer(0, [400.4, 900.9], words=["Be", "cause."]),
        *answer(1, [500, 700.7]),
        HeatEnded(START + 1_000 * MS),
    ]
    path = record(tmp_path / "r", events)
    with terminal(tmp_path, ["demo", "--replay", str(path), "--speed", "0.5"], columns=80, rows=24) as screen:
        screen.until("waiting 0.")
        during = screen.until("Be")
        last = screen.until("1st")
        assert screen.end() == 0
        after = screen.lines(history=True)
        assert_whole(screen)
    assert not any("1st" in line for line in during)
    shown = "\n".join(last)
    for words in ("TTFT 400.4 ms", "TTFT 500.0 ms", "Because.", "2nd", "played 0.5 times as fast"):
        assert words in shown
    rows = {line.split()[1]: line.split() for line in after if line.split()[:1] in (["1st"], ["2nd"])}
    assert rows["green"][:4] == ["1st", "green", "700.7", "500.0"]
    assert rows["blue"][:4] == ["2nd", "blue", "900.9", "400.4"]
    assert any("SIMULATED ENGINES  RECORDING" in line for line in after)


def test_damage_never_reaches_the_other_screen(tmp_path: Path) -> None:
    path = endless(tmp_path / "r", 2)
    path.write_text(path.read_text() + "boom\n")
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=300, rows=24) as screen:
        assert screen.end() == 2
        lines = screen.lines(history=True)
        assert_whole(screen)
    assert [line.split("line ")[1] for line in lines if "Error" in line] == ["244: damaged: it is not JSON"]
    assert not any("Traceback" in line or "RECORDING" in line for line in lines)


def test_a_failure_and_a_lane_that_is_down_are_told_on_the_screen(tmp_path: Path) -> None:
    taking_part, down = facts("blue"), facts("green", down="refused: nobody listens")
    events = [Heat((taking_part, facts("red"), down), "?", 8, START), failure(1), *answer(0, [10, NEVER])[:-1]]
    path = record(tmp_path / "r", events)
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=120, rows=24) as screen:
        lines = screen.until("failed: reset")
        screen.keys("q")
        assert screen.end() == 0
    middle, right = (" ".join(line.split("││")[lane] for line in lines if line.startswith("│")) for lane in (1, 2))
    assert "failed: reset: Connection reset by peer" in " ".join(middle.split())
    assert "down: refused: nobody listens" in " ".join(right.replace("│", "").split())


def test_other_keys_do_nothing_and_are_not_left_to_the_shell(tmp_path: Path) -> None:
    path = endless(tmp_path / "r", 2)
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=80, rows=24) as screen:
        screen.until(streaming(2))
        screen.types("xyz", enter=False)
        screen.keys("C-z")  # would leave the shell on the other screen
        assert "xyz" not in "\n".join(screen.lines())
        screen.keys("Q")
        assert screen.end() == 0
        assert "xyz" not in "\n".join(screen.lines(history=True))
        assert_whole(screen)


def test_the_heats_of_a_show_follow_each_other_on_the_screen(tmp_path: Path) -> None:
    later = START + 600_000 * MS  # ten minutes, of which two seconds are waited for
    events: list[LiveEvent] = []
    for number, start in enumerate((START, later), 1):
        events.append(heat("blue", "green", start_ns=start, number=number, of=2, title=f"question {number}"))
        events += [*answer(0, [10, 20], start_ns=start), *answer(1, [20, 40], start_ns=start)]
        events.append(HeatEnded(start + 50 * MS))
    path = record(tmp_path / "r", events)
    with terminal(tmp_path, ["demo", "--replay", str(path)], columns=80, rows=24) as screen:
        places = screen.until("1st")
        ready = screen.until("2 of 2: question 2")
        assert screen.end() == 0
    assert any("1 of 2: question 1" in line for line in places)  # to be seen before the next heat's lanes
    assert not any("1st" in line for line in ready)
