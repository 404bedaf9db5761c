"""Where a run took place: the machine, its system, the versions of what measured. No secrets, no environment variables.

What cannot be told is None; nothing is guessed.
"""

import os
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from inference_bench import __version__
from inference_bench.results.cores import usable_cores

PACKAGES = ("click", "httptools", "httpx", "numpy", "orjson", "pyarrow", "pydantic", "rich", "scipy")
_GIT_SECONDS = 5


class GitState(BaseModel):
    """The checkout a run was started in; `dirty` says that it had uncommitted changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    commit: str
    dirty: bool | None


class Environment(BaseModel):
    """The machine and the software that measured. Memory in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str
    os: str
    kernel: str
    architecture: str
    cpu: str | None
    cores: int | None
    usable_cores: int | None
    memory_bytes: int | None
    python: str
    tool_version: str
    packages: dict[str, str]
    git: GitState | None


def describe_environment(cwd: Path | None = None) -> Environment:
    """Look at this machine; `cwd` is where a git checkout is looked for (default: the working directory)."""
    return Environment(
        host=platform.node(),
        os=_os_name(),
        kernel=platform.release(),
        architecture=platform.machine(),
        cpu=_cpu_name(),
        cores=os.cpu_count(),
        usable_cores=usable_cores(),
        memory_bytes=_memory_bytes(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        tool_version=__version__,
        packages=_versions(PACKAGES),
        git=_git_state(cwd or Path.cwd()),
    )


def _os_name() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def _cpu_name() -> str | None:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or None
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), None)


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError):
        return None


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_state(cwd: Path) -> GitState | None:
    commit = _git(cwd, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    changes = _git(cwd, "status", "--porcelain", "--untracked-files=no")
    return GitState(commit=commit, dirty=None if changes is None else bool(changes))


def _git(cwd: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ("git", *arguments), cwd=cwd, capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
