"""Lanes in trouble: one dead, one that dies in mid-stream, one far slower, one without end, one that sends anything."""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from front_door import run, start
from race_services import answer, assert_fits, headings, saved
from rich.cells import cell_len
from talk_terminal import assert_whole, terminal

from engine_servers import closed_port, serving, vllm_pages
from inference_bench.simulator.launcher import SimulatorProcess

MANY = 100_000
FLOOD_TEXT = "word "
FULL_BYTES = 8_192  # what a file may hold on the full disk: no recording, but a saved heat
HOSTILE = (
    "\x1b[2J\x1b]0;owned\x07\x9b31mred\x1b[?1049l ",
    "[bold red]markup[/] ",
    "漢字かな交じり文 " * 6,
    "שלום עולם مرحبا بالعالم \u202eabc\u202c ",
    "👩‍👩‍👧‍👦🏳️‍🌈🇩🇪👍🏽 ❤️ ",
    "e\u0301\u0301\u0301\u0301\u0301 z̸̧a̵l̶g̷o̸ ",
    "\ttab\rreturn\x00nul\u2028line\u00ad ",
    "a" * 300 + " ",
)
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
SIMULATED = ("vllm,name=vllm-cut,ttft-ms=20,itl-ms=10,fault=cut:5", "vllm,name=vllm-slow,ttft-ms=600,itl-ms=300",
             "vllm,name=vllm-refuse,fault=refuse", "vllm,name=vllm-good,ttft-ms=20,itl-ms=10")  # fmt: skip


@pytest.fixture(scope="module")
def urls() -> Iterator[dict[str, str]]:
    pages = vllm_pages()
    flood = {**pages, "/v1/chat/completions": answer([FLOOD_TEXT] * MANY, tokens=MANY)}
    hostile = {**pages, "/v1/chat/completions": answer(list(HOSTILE) * 12, tokens=12 * len(HOSTILE))}
    with SimulatorProcess(SIMULATED) as simulator, serving(flood) as one, serving(hostile) as other:
        yield {**simulator.urls, "vllm-flood": one.url, "vllm-odd": other.url}


def options(urls: dict[str, str], *names: str) -> list[str]:
    return [word for name in names for word in ("--url", f"vllm/{name.removeprefix('vllm-')}={urls[name]}")]


@pytest.mark.parametrize(("columns", "rows"), [(80, 24), (120, 40), (200, 50)])
def test_every_lane_says_what_is_wrong_and_the_layout_holds(
    urls: dict[str, str], tmp_path: Path, columns: int, rows: int
) -> None:
    lanes = options(urls, "vllm-cut", "vllm-slow", "vllm-odd", "vllm-good")
    args = ["demo", "--mode", "race", "--max-tokens", "14", "--save", "r.json", *lanes]
    with terminal(tmp_path, args, columns=columns, rows=rows) as screen:
        during = screen.until(lambda lines: sum("done" in line for line in lines) >= 1 and any(map(cut, lines)))
        after = screen.until("any key goes on")
        screen.keys("x")
        assert screen.end() == 3  # one of them gave not a single good answer
        history = screen.lines(history=True)
        assert screen.value("pane_title") != "owned"
        assert_whole(screen)
    for shown in (during, after):
        assert_fits(shown, columns, rows)
        assert not any(OBEYED.search(line) for line in shown)
    assert_equal_boxes(after)
    kept = saved(tmp_path / "r.json")["heats"][0]["lanes"]
    assert (kept["vllm-cut"]["ok"], kept["vllm-cut"]["error_class"]) == (False, "truncated")
    assert [kept[name]["ok"] for name in ("vllm-slow", "vllm-odd", "vllm-good")] == [True, True, True]
    assert kept["vllm-slow"]["place"] == 3
    said = "\n".join(history)
    assert "truncated" in said
    assert "vllm-cut answered not a single request" in said


def cut(line: str) -> bool:
    return "truncated" in line or "failed" in line


def assert_equal_boxes(lines: list[str]) -> None:
    heads = headings(lines)
    for line in lines:
        if line.startswith("│"):
            assert line.count("│") == heads[0].count("╭") * 2, line
            assert cell_len(line.rstrip()) == cell_len(heads[0].rstrip()), line


def test_a_hundred_thousand_tokens_are_followed_to_their_end(urls: dict[str, str], tmp_path: Path) -> None:
    lanes = options(urls, "vllm-flood", "vllm-good")
    args = ["demo", "--mode", "race", "--max-tokens", "20", "--save", "r.json", "--record", "r.jsonl", *lanes]
    with terminal(tmp_path, args, columns=120, rows=40) as screen:
        after = screen.until("any key goes on")
        screen.keys("x")
        assert screen.end() == 0
        assert_whole(screen)
    assert_fits(after, 120, 40)
    assert any("100,000" in line for line in after)
    kept = saved(tmp_path / "r.json")["heats"][0]["lanes"]
    assert (kept["vllm-flood"]["output_tokens"], kept["vllm-flood"]["text_chunks"]) == (MANY, MANY)
    assert kept["vllm-good"]["ok"]
    assert sum(1 for line in (tmp_path / "r.jsonl").open() if '"chunk",0,' in line) == MANY


def test_a_service_that_dies_between_the_look_and_the_race(urls: dict[str, str], tmp_path: Path) -> None:
    done = run("demo", "--mode", "race", "--max-tokens", "8", *options(urls, "vllm-refuse", "vllm-good"), cwd=tmp_path)
    assert done.code == 3, done.said()
    assert "vllm-refuse" in done.out
    assert "reset" in done.out
    assert "vllm-refuse answered not a single request" in done.err
    assert "no places" in done.out.lower()


def test_what_was_over_is_kept_when_the_measuring_process_dies(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["--mode", "race", "--runs", "200", "--max-tokens", "8", "--save", "r.json", *options(urls, "vllm-good")]
    with start("demo", *args, cwd=tmp_path) as race:
        race.wait_for_line("heat 4 of 200")
        race.child("inference_bench.testing.worker").kill()
        done = race.finish()
    assert done.code == 1, done.said()
    assert "the measuring process ended out of turn" in done.errors[0]
    heats = saved(tmp_path / "r.json")["heats"]
    assert len(heats) >= 3
    assert all(heat["lanes"]["vllm-good"]["ok"] for heat in heats)


def test_a_crowd_too_large_for_this_machine_is_refused_before_the_race(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["--mode", "race", "--crowd", "512", "--max-tokens", "8", *options(urls, "vllm-good")]
    with start("demo", *args, cwd=tmp_path) as race:
        psutil.Process(race.pid).rlimit(psutil.RLIMIT_NOFILE, (300, 300))
        done = race.finish()
    assert done.code == 2, done.said()
    assert "open files" in done.errors[0]
    assert "--workers" not in done.err  # an option of benchmark
    assert "first token" not in done.err


def test_a_full_disk_costs_the_recording_and_not_the_race(urls: dict[str, str], tmp_path: Path) -> None:
    args = ["--mode", "race", "--max-tokens", "200", "--save", "r.json", "--record", "r.jsonl"]
    with start("demo", *args, *options(urls, "vllm-good"), cwd=tmp_path) as race:
        race.wait_for_line("First a few tokens")
        psutil.Process(race.pid).rlimit(psutil.RLIMIT_FSIZE, (FULL_BYTES, FULL_BYTES))
        done = race.finish()
    assert done.code == 1, done.said()
    assert "r.jsonl holds the beginning only" in done.errors[0]
    assert "vllm-good" in done.out
    assert saved(tmp_path / "r.json")["heats"][0]["lanes"]["vllm-good"]["output_tokens"] == 200


def test_an_engine_that_says_in_its_answers_alone_that_it_is_simulated(tmp_path: Path) -> None:
    told = replace(answer(["word "] * 8, tokens=8), headers=(("x-simulated-engine", "vllm"),))
    with serving({**vllm_pages(), "/v1/chat/completions": told}) as server:
        args = ["--mode", "race", "--max-tokens", "8", "--save", "r.json", "--record", "r.jsonl", "--url", server.url]
        done = run("demo", *args, cwd=tmp_path)
    assert done.code == 0, done.said()
    assert "SIMULATED ENGINES" in done.err
    assert "SIMULATED ENGINES" in done.out
    assert saved(tmp_path / "r.json")["services"][0]["simulated"]
    again = run("demo", "--replay", "r.jsonl", "--speed", "100", cwd=tmp_path)
    assert "SIMULATED engines" in again.err


def test_a_dead_service_stops_the_race_or_has_a_lane_that_says_so(urls: dict[str, str], tmp_path: Path) -> None:
    lanes = [*options(urls, "vllm-good"), "--url", f"vllm/gone=http://127.0.0.1:{closed_port()}"]
    refused = run("demo", "--mode", "race", *lanes, cwd=tmp_path)
    assert refused.code == 3, refused.said()
    assert "vllm-gone" in refused.errors[0]
    without = run("demo", "--mode", "race", "--max-tokens", "8", "--skip-unhealthy", *lanes, cwd=tmp_path)
    assert without.code == 0, without.said()
    assert "vllm-gone" in without.out
    assert "unreachable" in without.out


def test_hostile_text_is_text_in_every_output(urls: dict[str, str], tmp_path: Path) -> None:
    done = run("demo", "--mode", "race", "--max-tokens", "8", *options(urls, "vllm-odd", "vllm-good"), cwd=tmp_path)
    assert done.code == 0, done.said()
    for stream in (done.out, done.err):
        assert OBEYED.search(stream) is None
    assert "[bold red]markup[/]" in done.err + done.out
