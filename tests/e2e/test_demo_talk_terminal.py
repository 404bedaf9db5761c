"""Conversation, chat and interactive on a real terminal (tmux), driven by keys: whole during, after, after a mishap."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from talk_terminal import Terminal, assert_whole, terminal
from test_demo_talk_saved import answering

from engine_servers import Page, serving, vllm_pages
from inference_bench.simulator.launcher import SimulatorProcess

SIZES = [(80, 24), (120, 40), (200, 50)]
COLOUR = re.compile(r"\x1b\[(?:[0-9;]*;)?(?:3[0-8]|4[0-8]|9[0-7]|10[0-7])[;m]")
HOSTILE = (
    "[bold]x[/] \x1b[2J\x1b]2;title\x07\u202e 東京東京東京 مرحبا بالعالم 👩‍👩‍👧🇩🇪👍🏽 z\u0300\u0301\u0302 ก็ \t`c`\r\n"
)
NAMES = ("vllm-a", "tgi-b", "ollama-c")


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    speed = "ttft-ms=400,itl-ms=40"  # slow enough to be looked at while it streams
    serve = [f"vllm,name=a,{speed}", f"tgi,name=b,{speed}", f"ollama,name=c,{speed},fault=cut:4/3"]
    with SimulatorProcess(serve) as simulator:
        yield [word for name in "abc" for word in ("--url", f"{simulator.engines[name]}/{name}={simulator.urls[name]}")]


def is_live(screen: Terminal) -> bool:
    return screen.value("alternate_on") == "1"


def streaming(screen: Terminal) -> list[str]:
    """Wait for a live frame in which text streams in; return its lines."""
    return screen.until(lambda lines: is_live(screen) and any("streaming ╮" in line for line in lines))


def asked(screen: Terminal) -> None:
    """Wait until the chat asks for the next line."""
    screen.until(lambda lines: not is_live(screen) and bool(lines) and lines[-1].rstrip() == "You:")


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("plain", ["", "1"], ids=["colours", "NO_COLOR"])
def test_a_conversation_is_seen_and_stays_in_the_scrollback(
    urls: list[str], tmp_path: Path, columns: int, rows: int, plain: str
) -> None:
    words = ["demo", "--mode", "conversation", "--max-tokens", "14", *urls]
    with terminal(tmp_path, words, columns=columns, rows=rows, **({"NO_COLOR": plain} if plain else {})) as screen:
        screen.until("Which situation?")
        screen.keys("Down", "Enter")
        frame = streaming(screen)
        coloured = screen.lines(colours=True)
        code = screen.end()
        kept = screen.lines(history=True)
        assert_whole(screen)
    assert code == 0
    assert len(frame) == rows
    assert all(cell_len(line) <= columns for line in [*frame, *kept])
    assert "SIMULATED ENGINES" in frame[0]
    assert "Conversation: Code review, turn " in frame[0]
    assert all(any(f" {name} " in line for line in frame) for name in NAMES)
    assert sum(line.count("╭") for line in frame) == sum(line.count("╯") for line in frame) == 3
    assert any("q: this turn is the last" in line for line in frame)
    assert bool(COLOUR.search("\n".join(coloured))) is not bool(plain)
    assert [line for line in kept if ", turn " in line] == [
        f" SIMULATED ENGINES  Conversation: Code review, turn {number} of 4" for number in range(1, 5)
    ]
    assert any("All turns: how the prompt grew" in line for line in kept)
    assert not any("q: this turn is the last" in line for line in kept)  # of the other screen nothing is left


def test_q_makes_a_turn_the_last_and_typing_does_not_spill(urls: list[str], tmp_path: Path) -> None:
    words = ["demo", "--mode", "conversation", "--scenario", "3", "--max-tokens", "30", *urls[:4]]
    with terminal(tmp_path, words, columns=80, rows=24) as screen:
        streaming(screen)
        screen.types("spilled")
        screen.keys("q")
        screen.until("this turn is the last · Ctrl-C stops")
        assert screen.end() == 0
        kept = screen.lines(history=True)
        assert_whole(screen)
    assert sum(", turn " in line for line in kept) == 1
    assert not any("spilled" in line for line in kept)


def test_a_chat_by_keys_survives_a_service_that_dies_and_resizes(urls: list[str], tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,ttft-ms=300,itl-ms=30", "tgi,ttft-ms=300,itl-ms=30,fault=cut:5/3"]) as simulator:
        # Long enough that a busy machine resizes it twice while answers stream in.
        words = ["demo", "--mode", "chat", "--max-tokens", "90", "--save", "t.md"]
        for engine in ("vllm", "tgi"):
            words += ["--url", f"{engine}={simulator.urls[engine]}"]
        with terminal(tmp_path, words, columns=80, rows=24) as screen:
            asked(screen)
            screen.types("[bold]first[/bold] 東京")
            streaming(screen)
            screen.resize(60, 16)
            screen.until(lambda lines: is_live(screen) and sum("╭" in line for line in lines) == 2)
            screen.resize(120, 40)
            wide = screen.until(lambda lines: is_live(screen) and any(line.count("╭") == 2 for line in lines))
            asked(screen)
            screen.keys("Enter")
            screen.until("Nothing was typed.")
            screen.types("second")
            screen.until("failed: truncated", history=True)
            asked(screen)
            screen.types("third")
            screen.until("Chat, turn 3", history=True)
            asked(screen)
            screen.types("q")
            assert screen.end() == 0
            kept = screen.lines(history=True)
            assert_whole(screen)
    assert len(wide) == 40
    assert any("[bold]first[/bold] 東京" in line for line in kept)
    assert "No answer from tgi: this question goes along with the next one." in kept
    assert (tmp_path / "t.md").read_text().count("**SIMULATED: ") == 1


@pytest.mark.parametrize(("columns", "rows"), SIZES)
def test_the_layout_holds_whatever_a_server_says(tmp_path: Path, columns: int, rows: int) -> None:
    broken = {**vllm_pages("m", "1"), "/v1/chat/completions": Page({"error": {"message": HOSTILE}}, status=500)}
    with serving(answering(HOSTILE * 9)) as good, serving(broken) as bad:
        words = [
            "demo",
            "--mode",
            "chat",
            "--prompt",
            "hi",
            "--url",
            f"vllm/good={good.url}",
            "--url",
            f"vllm/bad={bad.url}",
        ]
        with terminal(tmp_path, words, columns=columns, rows=rows) as screen:
            asked(screen)
            screen.keys("C-d")
            assert screen.end() == 3  # one of them answered nothing
            kept = screen.lines(history=True)
            title = screen.value("pane_title")
            assert_whole(screen)
    assert title != "title"  # no sequence was obeyed
    inside = [line for line in kept if line.startswith("│")]
    assert len(inside) >= 4
    assert all(line.endswith("│") and line.count("│") == 4 for line in inside)
    assert any("[bold]x[/] [2J" in line for line in inside)


@pytest.mark.parametrize("when", ["while answers come in", "at the question", "at the question, by a signal"])
def test_after_ctrl_c_the_terminal_is_whole_and_what_was_said_is_saved(
    urls: list[str], tmp_path: Path, when: str
) -> None:
    words = ["demo", "--mode", "chat", "--max-tokens", "60", "--save", "t.json", "--prompt", "hello", *urls[:4]]
    with terminal(tmp_path, words, columns=80, rows=24) as screen:
        streaming(screen)
        if when.startswith("at the question"):
            asked(screen)
            screen.types("half a qu", enter=False)
        else:
            screen.resize(100, 30)
        if when.endswith("by a signal"):
            screen.terminate()
        else:
            screen.keys("C-c")
        assert screen.end() == 130
        assert not any("Traceback" in line for line in screen.lines(history=True))
        assert_whole(screen)
    talk = json.loads((tmp_path / "t.json").read_text())
    assert [turn["said"] for turn in talk["turns"]] == ["hello"]
    assert talk["interrupted"] is (when == "while answers come in")


def test_interactive_races_what_is_chosen_and_what_is_typed(urls: list[str], tmp_path: Path) -> None:
    with terminal(tmp_path, ["demo", "--mode", "interactive", "--max-tokens", "8", *urls[:4]]) as screen:
        for keys, typed in ((["5", "Enter"], None), (["Up", "Enter"], "[red]my own[/red]")):
            screen.until(lambda lines: not is_live(screen) and any("q leaves" in line for line in lines))
            screen.keys(*keys)
            if typed is not None:
                screen.until("Your prompt:")
                screen.types(typed)
                screen.until(lambda lines: is_live(screen) and any("[red]my own[/red]" in line for line in lines))
            screen.until(lambda lines: is_live(screen) and any("any key" in line for line in lines))
            screen.keys("Space")
        screen.until(lambda lines: not is_live(screen) and any("q leaves" in line for line in lines))
        screen.keys("q")
        assert screen.end() == 0
        kept = screen.lines(history=True)
        assert_whole(screen)
    assert sum("Placed by the time" in line for line in kept) == 2
    assert "What shall they be asked? Machine learning in a paragraph" in kept
