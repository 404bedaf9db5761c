"""`inspect` on a real terminal (tmux): beside one another where there is room, whole in 80 columns, nothing obeyed."""

import json
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import LAUNCHER, run
from rich.cells import cell_len
from test_hostile_server import ERROR, MODEL, OBEYED, VERSION, answer, harmless
from test_terminal import COLOUR, on_terminal, screen

from engine_servers import Page, serving, vllm_pages
from inference_bench.simulator.launcher import SimulatorProcess

THEMES = ("payload", "streaming", "errors", "performance")


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    with SimulatorProcess(
        ["vllm,ttft-ms=60,itl-ms=20,context=900", "tgi,ttft-ms=90,itl-ms=30,context=900"]
    ) as simulator:
        yield [word for engine in ("vllm", "tgi") for word in ("--url", f"{engine}={simulator.urls[engine]}")]


def shown(tmp_path: Path, columns: int, *args: str) -> list[str]:
    words = shlex.join([sys.executable, str(LAUNCHER), "inspect", "--max-tokens", "6", *args])
    with screen(tmp_path / "tmux") as made:
        made.open(f"{words}; echo END=$?; cat", columns=columns, cwd=tmp_path)
        return made.until(lambda lines: any(line.startswith("END=") for line in lines))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("columns", [80, 160])
def test_every_theme_fits(urls: list[str], tmp_path: Path, theme: str, columns: int) -> None:
    lines = shown(tmp_path, columns, *urls, "--theme", theme)
    assert lines[-1] == "END=0", "\n".join(lines)
    # A line that was too long would go on in the next one, without the blanks that cells begin with.
    assert all(cell_len(line) <= columns for line in lines)
    titles = [line for line in lines if re.search(r"vllm · vLLM .* · SIMULATED ─", line)]
    beside = [line for line in titles if "tgi · TGI" in line]
    assert titles
    # A waterfall is read down one scale; everything else has its place beside the other where there is room.
    assert len(beside) == (len(titles) if columns == 160 and theme != "performance" else 0)


def test_bars_of_both_services_have_one_scale(urls: list[str], tmp_path: Path) -> None:
    lines = shown(tmp_path, 160, *urls, "--theme", "performance")
    bars = [line for line in lines if line.startswith(("sent > first body byte", "first > last token"))]
    found = [
        (float(match[1]), match[2]) for line in bars if (match := re.search(r"([\d.]+) ms (\s*[█▏▎▍▌▋▊▉]+)", line))
    ]
    assert len(found) == 4
    (wait_a, bar_a), (stream_a, flow_a), (wait_b, bar_b), (stream_b, flow_b) = found
    # On a busy machine the quicker engine's answer may have come later: the longer bar is the finer measure.
    longest, widest = max((wait_a, bar_a), (wait_b, bar_b))
    per_column = longest / len(widest)
    for wait, bar, stream, flow in ((wait_a, bar_a, stream_a, flow_a), (wait_b, bar_b, stream_b, flow_b)):
        assert abs(len(bar) - wait / per_column) <= 1.5
        assert abs(len(flow) - len(flow.lstrip()) - wait / per_column) <= 1.5  # begins where the wait ended
        assert abs(len(flow) - (wait + stream) / per_column) <= 2.5


def test_the_first_token_is_told_from_the_role_chunk(urls: list[str], tmp_path: Path) -> None:
    lines = shown(tmp_path, 80, *urls[:2], "--theme", "streaming")
    table = [line for line in lines if re.match(r"\s+(#\d+|same)\s", line)]
    kinds = [re.search(r"(no text|first token|text|usage|end|finish)", line) for line in table]
    words = [match[1] for match in kinds if match]
    assert words == ["no text", "first token", "text", "text", "text", "text", "text", "usage", "end"]
    assert any(line.startswith("usage: +") for line in lines)
    assert any(line.startswith("end mark: +") for line in lines)


@pytest.mark.parametrize("environ", [{}, {"NO_COLOR": "1"}], ids=["colour", "plain"])
def test_colours_are_there_and_can_be_switched_off(urls: list[str], tmp_path: Path, environ: dict[str, str]) -> None:
    written = on_terminal(tmp_path, "inspect", *urls, "--max-tokens", "4", **environ)
    coloured = [found for found in COLOUR.findall(written) if "3" in found or "4" in found]
    assert bool(coloured) is not bool(environ)
    assert "SIMULATED" in written


@pytest.fixture(scope="module")
def hostile() -> Iterator[list[str]]:
    pages = vllm_pages(MODEL, VERSION)
    wide = {"message": ERROR, "wide": "日本語 \U0001f469\u200d\U0001f467 עברית x\u0300\u0301\u0302\u0303", "deep": DEEP}
    evil = (("x-evil", "[bold]a[/] \x1b[31mred\x9b2J"), *((f"x-{number}", "v" * 900) for number in range(60)))
    refusing = {**pages, "/v1/chat/completions": Page({"error": wide}, status=500, headers=evil)}
    with (
        serving({**pages, "/v1/chat/completions": answer()}, server_header="[red]x\x1b[2J") as good,
        serving(refusing) as bad,
    ):
        yield ["--url", f"vllm/good={good.url}", "--url", f"vllm/bad={bad.url}"]


DEEP: object = "x"
for _ in range(60):
    DEEP = [DEEP, "y" * 5000]


@pytest.mark.parametrize("args", [[], ["--theme", "errors"], ["--theme", "performance"]], ids=str)
def test_what_a_hostile_server_says_is_text(hostile: list[str], tmp_path: Path, args: list[str]) -> None:
    done = run("inspect", *hostile, *args, "--save", "a.json", cwd=tmp_path)
    said = harmless(done)
    assert done.code == (0 if "errors" in args else 3), done.said()
    saved = (tmp_path / "a.json").read_text()
    assert OBEYED.search(saved) is None
    assert len(done.out.splitlines()) < 250 * len(json.loads(saved)["exchanges"])
    assert "v[/link]" in said
    if not args:
        assert "“[bold ”" in said
        assert "x-evil: [bold]a[/] \\x1b[31mred\\x9b2J" in said


def test_raw_on_a_terminal_is_escaped(hostile: list[str], tmp_path: Path) -> None:
    lines = shown(tmp_path, 200, *hostile[:2], "--raw")
    assert lines[-1] == "END=0"
    text = "".join(lines)
    assert '"delta": {"content": "[bold "}' in text
    assert any(line.endswith("↵") for line in lines)
    pages = {**vllm_pages(MODEL, VERSION), "/v1/chat/completions": Page(b"\x1b[2J\x1b]0;t\x07\xff\x9b", status=500)}
    with serving(pages) as bare:
        written = "".join(shown(tmp_path, 200, "--url", f"vllm={bare.url}", "--raw"))
    assert "\\x1b[2J\\x1b]0;t\\x07\\xff\\x9b" in written
