"""What can be said with `benchmark --resume`, and which run is meant."""

import sys
from pathlib import Path

import pytest

from inference_bench.cli.main import run
from inference_bench.results.folder import RunFolder
from run_records import manifest


def said(capfd: pytest.CaptureFixture[str], *args: str) -> str:
    """Run `benchmark` with these options, which must be refused; return what it says, in one line."""
    capfd.readouterr()
    assert run(["benchmark", *args]) == 2
    sys.stdout.flush()
    shown = capfd.readouterr()
    assert shown.out == ""
    assert "Traceback" not in shown.err
    return " ".join(shown.err.split())


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--users", "4"], "--users"),
        (["--url", "http://127.0.0.1:1"], "--url"),
        (["-c", "c.yaml"], "-c"),
        (["--quick", "--seed", "2"], "--quick, --seed"),
        (["--until-decided"], "--until-decided"),
        (["--nonce", "abc"], "--nonce"),
        (["--model", "m"], "--model"),
    ],
)
def test_what_would_change_the_plan_is_refused(capfd: pytest.CaptureFixture[str], more: list[str], named: str) -> None:
    text = said(capfd, "--resume", "last", *more, "--yes", "--json")
    assert f"Error: {named} cannot be said with --resume: the run goes on as it was planned" in text


def test_a_run_that_is_not_there_is_said(capfd: pytest.CaptureFixture[str]) -> None:
    assert "no run 'test_x'" in said(capfd, "--resume", "test_x")
    assert "no run 'test_x'" in said(capfd, "--resume", "test_x", "--calibrate")  # it may be said: it changes no plan
    assert "was interrupted and can go on" in said(capfd, "--resume", "last")


def test_last_passes_over_runs_that_cannot_go_on(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "elsewhere" / "test_done_20260102_101500")
    folder.path.mkdir(parents=True)
    folder.write_manifest(manifest(folder.test_id))
    text = said(capfd, "--resume", "last", "-o", "elsewhere")
    assert "no run in elsewhere was interrupted and can go on" in text
    assert "is complete: nothing of it is left to measure" in said(capfd, "--resume", str(folder.path))
    assert "is complete: nothing of it is left to measure" in said(capfd, "--resume", "test_done", "-o", "elsewhere")
