"""The check of skipped tests in .ci: a skip needs a reason that is on the list, a missing report is no pass."""

import subprocess
from pathlib import Path

import pytest
from house_tree import ROOT, run_python

ALLOWED = "needs a real engine|needs a GPU"
_SUITE = '<testsuites><testsuite name="pytest">{cases}</testsuite></testsuites>'
_PASSED = '<testcase classname="tests.a" name="test_b"/>'
_SKIPPED = (
    '<testcase classname="tests.a" name="test_c"><skipped type="pytest.skip" message="{reason}">x</skipped></testcase>'
)


def verdict(report: Path, cases: str) -> subprocess.CompletedProcess[str]:
    report.write_text(_SUITE.format(cases=cases), "utf-8")
    return run_python(str(ROOT / ".ci" / "skips.py"), str(report), ALLOWED)


def test_no_skip_is_right(tmp_path: Path) -> None:
    done = verdict(tmp_path / "tests.xml", _PASSED)
    assert done.returncode == 0
    assert "tests: 1, failed: 0, skipped: 0" in done.stdout


@pytest.mark.parametrize("reason", ["needs a real engine: set ENGINE_URL", "needs a GPU"])
def test_a_skip_on_the_list_is_shown_and_allowed(tmp_path: Path, reason: str) -> None:
    done = verdict(tmp_path / "tests.xml", _PASSED + _SKIPPED.format(reason=reason))
    assert done.returncode == 0
    assert f"skipped (allowed): tests.a::test_c: {reason}" in done.stdout


@pytest.mark.parametrize("reason", ["flaky today", ""])
def test_any_other_skip_fails(tmp_path: Path, reason: str) -> None:
    done = verdict(tmp_path / "tests.xml", _PASSED + _SKIPPED.format(reason=reason))
    assert done.returncode == 1
    assert "NOT ALLOWED" in done.stdout


def test_no_tests_and_no_report_fail(tmp_path: Path) -> None:
    assert verdict(tmp_path / "tests.xml", "").returncode == 1
    assert run_python(str(ROOT / ".ci" / "skips.py"), str(tmp_path / "absent.xml"), ALLOWED).returncode == 1


def test_the_script_itself_is_sound() -> None:
    script = ROOT / ".ci" / "run"
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert script.stat().st_mode & 0o111, "it must be executable"
    assert f"allowed_skips='{ALLOWED}'" in script.read_text("utf-8")
