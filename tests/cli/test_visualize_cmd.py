"""The command `visualize` as a user runs it: what it writes where, what it refuses, what it says."""

import json
import sys
import webbrowser
from collections.abc import Callable
from pathlib import Path

import pytest

from drawn_runs import drawn_run
from inference_bench.cli.main import run as run_program
from inference_bench.results.comparing import compare_run, write_comparison_of
from inference_bench.results.finalise import REQUESTS
from inference_bench.results.folder import Run
from inference_bench.results.liveness import this_process
from run_records import request, run_with_journal

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `visualize …` in tmp_path, 80 columns and no terminal; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run_program(["visualize", *args])
        sys.stdout.flush()
        shown = capfdbinary.readouterr()
        assert b"Traceback" not in shown.err
        return code, shown.out.decode(), shown.err.decode()

    return call


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return drawn_run(tmp_path / "results", blocks=12, requests=0, simulated=True)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_documents_go_into_the_run_folder_and_the_manifest_lists_them(command: Command, run: Run) -> None:
    code, out, err = command("test_default")
    assert code == 0, err
    folder = run.folder.path
    shown = [Path(line) for line in out.splitlines()]
    assert shown[0].name == "executive_report.html"
    assert all(path.is_file() for path in shown)
    assert {"executive_report.html", "report.md", "charts/ttft_analysis.html"} <= files(folder)
    listed = run.folder.read_manifest().files
    assert set(listed) == files(folder) - {"test_manifest.json"}
    assert listed["executive_report.html"].bytes == (folder / "executive_report.html").stat().st_size
    assert "Not drawn: What more load costs" in err
    assert "SIMULATED" in err


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--charts-only",), {"charts/ttft_analysis.html"}),
        (("--reports-only",), {"executive_report.html", "report.md"}),
        (("--format", "html"), {"executive_report.html", "report.md", "charts/ttft_analysis.html"}),
    ],
)
def test_elsewhere_holds_what_was_asked_for_and_the_run_stays_as_it_is(
    command: Command, run: Run, tmp_path: Path, options: tuple[str, ...], expected: set[str]
) -> None:
    before = files(run.folder.path)
    place = tmp_path / "new" / "place"
    code, _, err = command(str(run.folder.path), "-o", str(place), *options)
    assert code == 0, err
    found = files(place)
    assert expected <= found
    assert any(name.startswith("charts/") for name in found) == ("--reports-only" not in options)
    assert ("report.md" in found) == ("--charts-only" not in options)
    assert files(run.folder.path) == before


@pytest.mark.slow
def test_pictures_are_written_beside_the_report(command: Command, run: Run, tmp_path: Path) -> None:
    code, _, err = command(run.folder.test_id, "--format", "svg,png", "-o", "out")
    assert code == 0, err
    found = files(tmp_path / "out")
    assert {"charts/ttft_analysis.svg", "charts/ttft_analysis.png", "executive_report.html"} <= found
    assert not [name for name in found if name.startswith("charts/") and name.endswith(".html")]


def test_pictures_are_refused_before_anything_is_drawn(
    command: Command, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER_PATH", "/nowhere/chromium")
    before = files(run.folder.path)
    code, out, err = command(run.folder.test_id, "--format", "html,png")
    assert code == 1
    assert "Error: BROWSER_PATH names /nowhere/chromium" in err
    assert "Hint:" in err
    assert out == ""
    assert files(run.folder.path) == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("x", "--charts-only", "--reports-only"), "exclude each other"),
        (("x", "--reports-only", "--format", "html"), "--reports-only writes none"),
        (("x", "--format", "pdf"), "there is no format 'pdf'"),
        (("x", "--format", ""), "there is no format"),
        (("x", "--charts-only", "--format", "png", "--open"), "--open shows a page"),
        (("nosuch",), "no run 'nosuch'"),
        ((), "Missing argument"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(command: Command, options: tuple[str, ...], words: str) -> None:
    code, out, err = command(*options)
    assert code == 2, err
    assert words.lower() in err.lower()
    assert out == ""


def test_a_place_that_cannot_be_written_is_refused(command: Command, run: Run, tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir()
    (tmp_path / "closed" / "charts").write_text("a file in the way")
    code, _, err = command(run.folder.test_id, "-o", str(tmp_path / "closed"))
    assert code == 2
    assert "cannot write to" in err


def test_a_run_that_goes_on_is_refused(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", [request(0)], process=this_process())
    code, _, err = command(folder.test_id)
    assert code == 2
    assert "is still running" in err
    assert not (folder.path / "report.md").exists()


def test_a_killed_run_is_to_be_recovered_first(command: Command, tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path / "results", [request(0)])
    code, _, err = command(folder.test_id)
    assert code == 2
    assert f"results recover {folder.test_id}" in " ".join(err.split())


def test_a_partial_run_has_documents_that_say_so(command: Command, run: Run) -> None:
    run.folder.update(lambda manifest: manifest.model_copy(update={"status": "partial"}))
    code, _, err = command(run.folder.test_id, "--reports-only")
    assert code == 0
    assert "Warning: this run is partial" in err
    assert "did not run to its end" in (run.folder.path / "report.md").read_text()
    assert run.folder.read_manifest().status == "partial"


def test_a_run_without_records_says_what_cannot_be_drawn(command: Command, run: Run) -> None:
    write_comparison_of(run.folder)
    run.folder.file(REQUESTS).unlink()
    code, _, err = command(run.folder.test_id)
    assert code == 0, err
    assert err.count("Not drawn: ") > 2


def test_a_damaged_summary_is_one_clear_line(command: Command, run: Run) -> None:
    run.folder.file("summary.json").write_text("{")
    code, _, err = command(run.folder.test_id)
    assert code == 2
    assert len([line for line in err.splitlines() if line.startswith("Error: ")]) == 1


def test_a_comparison_file_alone_has_its_chart_and_a_short_report(command: Command, run: Run, tmp_path: Path) -> None:
    path = tmp_path / "monday.json"
    path.write_text(compare_run(run.folder).model_dump_json())
    code, out, err = command("monday.json")
    assert code == 0, err
    assert out.splitlines() == ["monday_report.html", "monday_report.md", "charts/monday.html"]
    assert all((tmp_path / line).is_file() for line in out.splitlines())
    assert "SIMULATED" in err


def test_the_comparison_in_a_runs_folder_means_the_run(command: Command, run: Run) -> None:
    write_comparison_of(run.folder)
    code, out, err = command(str(run.folder.file("comparison.json")), "--reports-only")
    assert code == 0, err
    assert [Path(line).name for line in out.splitlines()] == ["executive_report.html", "report.md"]


@pytest.mark.parametrize("content", ["{", "[]", "{}", json.dumps({"schema_version": 99})])
def test_a_file_that_is_no_comparison_is_refused(command: Command, tmp_path: Path, content: str) -> None:
    (tmp_path / "x.json").write_text(content)
    code, _, err = command("x.json")
    assert code == 2
    assert "x.json" in err
    assert not (tmp_path / "x_report.html").exists()


def test_open_without_a_screen_says_where_the_page_is(
    command: Command, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(address: str) -> bool:
        raise AssertionError(f"a browser of the terminal would have been started for {address}")

    monkeypatch.setattr(webbrowser, "open", never)
    monkeypatch.setattr(sys, "platform", "linux")
    code, _, err = command(run.folder.test_id, "--reports-only", "--open")
    assert code == 0
    assert "the page is at file:///" in err


@pytest.mark.parametrize("works", [True, False])
def test_open_shows_the_report(command: Command, run: Run, monkeypatch: pytest.MonkeyPatch, works: bool) -> None:
    opened: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")

    def shown(address: str) -> bool:
        opened.append(address)
        return works

    monkeypatch.setattr(webbrowser, "open", shown)
    code, _, err = command(run.folder.test_id, "--reports-only", "--open")
    assert code == 0
    assert opened == [(run.folder.path / "executive_report.html").resolve().as_uri()]
    assert ("No browser opens here" in err) is not works


def test_quiet_prints_the_paths_alone(command: Command, run: Run) -> None:
    code, out, err = command(run.folder.test_id, "--reports-only", "--quiet")
    assert code == 0
    assert len(out.splitlines()) == 2
    assert err == ""
