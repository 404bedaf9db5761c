"""Load on other machines is asked about first: yes goes on, anything else does not, Ctrl-C interrupts.

0.0.0.0 is no loopback address, and on Linux it leads to this machine all the same.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from front_door import run
from talk_terminal import assert_whole, terminal

from inference_bench.simulator.launcher import SimulatorProcess

CROWD = ("demo", "--mode", "race", "--crowd", "1", "--max-tokens", "6")
BENCHMARK = ("benchmark", "--ttft-only", "--max-tokens", "4")
QUESTIONS = {CROWD: "Load vllm with 1 users each, 1 times? [y/N]", BENCHMARK: "to services on other machines? [y/N]"}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with SimulatorProcess(["vllm,ttft-ms=10,itl-ms=2"]) as simulator:
        yield simulator.urls["vllm"].replace("127.0.0.1", "0.0.0.0")


@pytest.mark.parametrize("args", [CROWD, BENCHMARK], ids=["crowd", "benchmark"])
@pytest.mark.parametrize(("answer", "code"), [(["n", "Enter"], 2), (["Enter"], 2), (["C-d"], 2), (["C-c"], 130)])
def test_no_is_no_and_an_interruption_is_one(
    url: str, tmp_path: Path, args: tuple[str, ...], answer: list[str], code: int
) -> None:
    with terminal(tmp_path, [*args, "--url", f"vllm={url}"], columns=120, rows=30) as screen:
        screen.until(QUESTIONS[args])
        screen.keys(*answer)
        assert screen.end() == code
        shown = screen.lines(history=True)
        assert_whole(screen)
    assert not any("Traceback" in line for line in shown)
    assert not (tmp_path / "results").exists()


def test_yes_lets_the_crowd_in(url: str, tmp_path: Path) -> None:
    with terminal(tmp_path, [*CROWD, "--url", f"vllm={url}"], columns=120, rows=30) as screen:
        screen.until(QUESTIONS[CROWD])
        screen.keys("y", "Enter")
        screen.until("any key goes on")
        screen.keys("x")
        assert screen.end() == 0


def test_where_nobody_can_be_asked_it_is_refused_or_said(url: str, tmp_path: Path) -> None:
    refused = run(*CROWD, "--url", f"vllm={url}", cwd=tmp_path)
    assert refused.code == 2, refused.said()
    assert "a crowd of 1 users would load services on other machines" in refused.errors[0]
    assert run(*CROWD, "--yes", "--url", f"vllm={url}", cwd=tmp_path).code == 0
