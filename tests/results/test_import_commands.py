"""`results import` as a user runs it, and the other commands on what it made, by the command's own entry."""

import json
import shutil
from pathlib import Path

import pytest
from imported_files import AIPERF, APPENDED, DETAILED, GUIDELLM, INFERENCE_PERF

from inference_bench.cli.main import main


def run(capsys: pytest.CaptureFixture[str], *args: object) -> tuple[int, str, str]:
    """Run a command line; return its exit code and what it said on both streams."""
    with pytest.raises(SystemExit) as ended:
        main([str(arg) for arg in args])
    said = capsys.readouterr()
    code = ended.value.code
    return (code if isinstance(code, int) else 0), said.out, said.err


def test_an_imported_run_is_listed_shown_exported_and_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--dir", tmp_path / "runs")
    code, out, err = run(capsys, "results", "import", GUIDELLM, "--engine", "vllm", *place)
    assert code == 0, err
    test_id = Path(out.splitlines()[0]).name
    assert "SUSPECT" in out and "nobody watched that client" in out
    assert "ttft_ms: there" in " ".join(err.split())
    assert "IMPORTED" in run(capsys, "results", *place)[1]
    shown = run(capsys, "results", "show", test_id, *place)[1]
    assert "IMPORTED from GuideLLM 0.8.1 (benchmarks.json)" in shown
    code, out, err = run(capsys, "results", "export", test_id, "--format", "json", *place)
    assert len(out.splitlines()) == 24, err
    assert {json.loads(line)["test"] for line in out.splitlines()} == {"load@1", "load@2"}
    code, out, err = run(capsys, "visualize", test_id, *place)
    assert code == 0, err
    report = (tmp_path / "runs" / test_id / "report.md").read_text()
    assert "> **Imported:** Another client measured this" in report
    assert "same prompts, in the same order" not in report  # what this program did not do
    chart = (tmp_path / "runs" / test_id / "charts" / "ttft_analysis.html").read_text()
    assert "IMPORTED: measured by another client; imported from GuideLLM 0.8.1 (benchmarks.json)" in chart


def test_figures_alone_are_shown_and_drawn_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--dir", tmp_path / "runs")
    code, out, _ = run(capsys, "results", "import", APPENDED, "--test", "curve", "--json", *place)
    made = json.loads(out)
    assert code == 0
    assert [(test["name"], test["ok"]) for test in made["tests"]] == [("curve@2", 12), ("curve@4", 12)]
    assert made["imported"]["with_requests"] == []
    code, out, err = run(capsys, "visualize", made["test_id"], *place)
    assert code == 0, err
    assert "66.67" in (tmp_path / "runs" / made["test_id"] / "report.md").read_text()
    assert run(capsys, "results", "export", made["test_id"], "--format", "csv", *place)[0] == 0


@pytest.mark.parametrize("source", [AIPERF.parent, INFERENCE_PERF, DETAILED], ids=lambda path: path.stem)
def test_two_imports_of_a_tool_are_compared(source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = ("--dir", tmp_path / "runs")
    for name in ("one", "two"):
        assert run(capsys, "results", "import", source, "--name", name, *place)[0] == 0
    a, b = sorted(path.name for path in (tmp_path / "runs").iterdir())
    code, out, err = run(capsys, "results", "compare", a, b, *place)
    assert code == 0, err
    assert "another client, its lateness not watched, and not the same prompts" in " ".join(out.split())


def test_what_is_wrong_is_one_line_and_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "benchmarks.json"
    shutil.copy(GUIDELLM, broken)
    broken.write_text(broken.read_text()[:5000])
    for file in (broken, tmp_path / "nothing.json", tmp_path):
        code, out, err = run(capsys, "results", "import", file, "--dir", tmp_path / "runs")
        assert (code, out) == (2, "")
        assert err.startswith("Error: ") and "Traceback" not in err
    assert not (tmp_path / "runs").exists() or not list((tmp_path / "runs").iterdir())
