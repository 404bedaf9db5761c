"""What the tests of the house share: where it stands, which files are its own, and how a tool is run on it.

Nothing here knows a rule; the rules stand in the tests.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "inference_bench"
LAUNCHER = ROOT / "vllm_benchmark.py"

# What git ignores at the root, and caches anywhere. The tree is walked, not asked of git, so that a file that was
# never added is held to the rules too, and a copy without its history can be tested.
_ROOT_OUTPUTS = frozenset({"results", "config", "build", "dist"})
_KEPT_HIDDEN = frozenset({".ci", ".github", ".gitignore", ".pre-commit-config.yaml"})


def own_files() -> Iterator[Path]:
    """Yield every file of the project: no caches, no outputs, no virtual environments."""
    yield from _below(ROOT)


def _below(folder: Path) -> Iterator[Path]:
    for entry in sorted(folder.iterdir()):
        if _foreign(entry):
            continue
        if entry.is_dir() and not entry.is_symlink():
            yield from _below(entry)
        elif entry.is_file():
            yield entry


def _foreign(entry: Path) -> bool:
    if entry.name.startswith(".") and entry.name not in _KEPT_HIDDEN:
        return True
    if entry.name == "__pycache__" or entry.name.endswith(".egg-info"):
        return True
    return (entry.parent == ROOT and entry.name in _ROOT_OUTPUTS) or (entry / "pyvenv.cfg").is_file()


def is_data(path: Path) -> bool:
    """Whether a file is data (recordings, prompts, pictures), which the rules on the length of files leave alone."""
    relative = path.relative_to(ROOT)
    return "data" in relative.parts or relative.suffix in {".svg", ".png", ".parquet", ".gz"}


def shown(path: Path) -> str:
    """Return a path as a reader of the project would write it."""
    return path.relative_to(ROOT).as_posix()


def run_python(
    *arguments: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run this very Python with the package importable and without colours; nothing is raised for its exit status."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**plain_environment(), **(env or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def run_command(*arguments: str, cwd: Path = ROOT, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the launcher as a user of a checkout does."""
    return run_python(str(LAUNCHER), *arguments, cwd=cwd, timeout=timeout)


def plain_environment() -> dict[str, str]:
    """Return the environment for a child: none of the tests' own settings of our program, a plain wide terminal."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_BENCHMARK", "PYTEST"))}
    return {**kept, "PYTHONPATH": str(ROOT / "src"), "NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "120"}


def report(done: subprocess.CompletedProcess[str]) -> str:
    """Return what a child said, for the message of a failed assertion."""
    return f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}"


def problems(lines: Sequence[str]) -> str:
    """Return the message of a failed rule: one line for each place."""
    return "\n" + "\n".join(lines)
