"""Sweeps and capacities as a user sees them: `results show` at 80 columns, in full with --verbose, exit codes."""

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from inference_bench.cli.main import run
from inference_bench.results.folder import Run
from inference_bench.results.summary import Validity
from searched_runs import searched_run, swept_run

Show = Callable[..., str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Show:
    """Run `results show` and return what it prints."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(stored: Run, *options: str) -> str:
        capfd.readouterr()
        assert run([*options, "results", "show", str(stored.folder.path)]) == 0
        sys.stdout.flush()
        return capfd.readouterr().out

    return call


def test_a_capacity_is_one_table_with_the_promise_and_who_carries_more(show: Show, tmp_path: Path) -> None:
    stored = searched_run(tmp_path)
    shown = show(stored)
    assert "Capacity under the promises: knee" in shown
    assert "Promise: ttft_ms at most 100 for 0.9 of the requests." in shown
    assert re.search(r"vllm +8 users +8 to 9 +9 +80 +51 +5 \(1 void\)", shown)
    assert "tgi: broken at 4 users in 1 of 1 probes (goodput.attainment 0.5)" in shown
    assert "vllm carries 8 users, tgi 2: 4 times as many." in shown
    assert "few (load" not in shown, "what a search tried is shown in full with --verbose only"
    assert "few (load" in show(stored, "--verbose")


def test_a_sweep_is_one_table_that_fits(show: Show, tmp_path: Path) -> None:
    stored = swept_run(tmp_path, many=Validity(verdict="suspect", reasons=("late", "busy", "stalled")))
    shown = show(stored)
    table = shown.partition("curve (sweep: 2 loads, 2 to 8 users)")[2].partition("Req/s and Tok/s")[0]
    assert len(re.findall(r"^ +(?:\d+ +)?(?:vllm|tgi) .*%", table, re.MULTILINE)) == 4
    assert max(map(len, table.splitlines())) <= 80
    assert "many suspect: late; busy; and 1 more" in shown
    assert "ttft (ttft" in shown
    assert "few (load" not in shown


def test_simulated_is_said_beside_each_table(show: Show, tmp_path: Path) -> None:
    shown = show(searched_run(tmp_path, simulated=True))
    assert "knee  SIMULATED" in shown
