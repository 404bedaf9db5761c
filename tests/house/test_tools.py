"""The linters and the type checker, run on the whole tree as the pre-commit hooks run them."""

import subprocess
from pathlib import Path

import pytest
from house_tree import report, run_python

# A cold mypy on a busy machine reads NumPy's and pydantic's stubs first.
pytestmark = pytest.mark.timeout(600)

LINT_IMPORTS = "from importlinter.cli import lint_imports_command; lint_imports_command()"


def finds_nothing(done: subprocess.CompletedProcess[str]) -> None:
    assert done.returncode == 0, report(done)


def test_ruff_finds_nothing() -> None:
    finds_nothing(run_python("-m", "ruff", "check", "--no-cache", "--output-format=concise", "."))


def test_ruff_would_format_nothing() -> None:
    finds_nothing(run_python("-m", "ruff", "format", "--no-cache", "--check", "."))


def test_mypy_strict_finds_nothing(tmp_path: Path) -> None:
    finds_nothing(run_python("-m", "mypy", "--cache-dir", str(tmp_path), timeout=550))


def test_the_import_directions_hold() -> None:
    finds_nothing(run_python("-c", LINT_IMPORTS, "--no-cache"))


def test_the_hooks_are_well_formed(tmp_path: Path) -> None:
    home = {"PRE_COMMIT_HOME": str(tmp_path)}
    finds_nothing(run_python("-m", "pre_commit", "validate-config", ".pre-commit-config.yaml", env=home))
