"""Only the search of a cluster loads the Kubernetes client library, and `docs/kubernetes.md` has all its names.

That no other room imports it is a contract of import-linter (`pyproject.toml`). Here something stands in the place of
the library and of aiohttp that tells when a process loads it: no help does, and no process of a run without a cluster.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import rich_click as click
from house_tree import LAUNCHER, PACKAGE, ROOT, report, run_python

from inference_bench.cli.main import COMMANDS
from inference_bench.discovery.cluster.facts import CLUSTER_FACTS
from inference_bench.discovery.url_resolver import Rule

LIBRARIES = ("kubernetes_asyncio", "aiohttp")
DOCUMENT = ROOT / "docs" / "kubernetes.md"
_TRAP = """import sys
with open({log!r}, "a") as log:
    log.write({name!r} + " by " + " ".join(sys.argv) + "\\n")
raise ImportError({name!r})
"""
_LINT = "from importlinter.cli import lint_imports_command; lint_imports_command()"


class Trap:
    """Stands first on the path of every process, in the place of the libraries."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "loaded.txt"
        for name in LIBRARIES:
            (folder / f"{name}.py").write_text(_TRAP.format(log=str(self._log), name=name), "utf-8")
        self.environ = {"PYTHONPATH": f"{folder}:{PACKAGE.parent}"}

    @property
    def loaded(self) -> list[str]:
        """Which library was asked for, and by which command line."""
        return self._log.read_text("utf-8").splitlines() if self._log.exists() else []


@pytest.fixture
def trap(tmp_path: Path) -> Trap:
    folder = tmp_path / "trap"
    folder.mkdir()
    return Trap(folder)


def all_commands() -> Iterator[tuple[str, ...]]:
    """Yield the words of every command and sub-command."""
    yield ()
    for name in COMMANDS:
        yield from _below((name,), COMMANDS[name].load())


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[str, ...]]:
    yield words
    if isinstance(command, click.Group):
        for name, lower in command.commands.items():
            yield from _below((*words, name), lower)


def test_no_help_loads_the_library(trap: Trap) -> None:
    commands = list(all_commands())
    assert len(commands) > len(COMMANDS)
    for words in commands:
        done = run_python(str(LAUNCHER), *words, "--help", env=trap.environ)
        assert done.returncode == 0, report(done)
    assert trap.loaded == []


def test_a_run_without_a_cluster_loads_it_in_none_of_its_processes(trap: Trap, tmp_path: Path) -> None:
    shorter = {"VLLM_BENCHMARK__TTFT_TEST__ITERATIONS": "3", "KUBECONFIG": str(tmp_path / "none"), **trap.environ}
    done = run_python(
        str(LAUNCHER), "benchmark", "--quick", "--simulate", "--ttft-only", "-o", str(tmp_path), env=shorter
    )
    assert done.returncode == 0, report(done)
    assert trap.loaded == []


def test_the_search_of_a_cluster_would_be_seen(trap: Trap, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    kubeconfig.write_text("apiVersion: v1\nkind: Config\n", "utf-8")
    environ = {"KUBECONFIG": str(kubeconfig), **trap.environ}
    done = run_python(str(LAUNCHER), "discover", "-n", "llm", env=environ)
    assert done.returncode == 3, report(done)
    assert "needs the extra" in done.stderr
    assert [line.partition(" by ")[0] for line in trap.loaded] == ["kubernetes_asyncio"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_another_room_that_imports_it_would_be_seen(library: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(PACKAGE, tmp_path / "src" / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", "data"))
    room = tmp_path / "src" / PACKAGE.name / "discovery" / "service_finder.py"
    room.write_text(f"import {library}\n{room.read_text('utf-8')}", "utf-8")
    done = run_python("-c", _LINT, "--no-cache", cwd=tmp_path, env={"PYTHONPATH": str(tmp_path / "src")})
    assert done.returncode == 1, report(done)
    assert re.search(rf"inference_bench\.discovery\.service_finder\s*->\s*{library}", done.stdout), report(done)


def test_the_document_has_the_ways_in_their_order() -> None:
    _, _, after = DOCUMENT.read_text("utf-8").partition("\n## How it is reached\n")
    cells = re.findall(r"^\| (.+?) \|", after.partition("\n## ")[0], re.MULTILINE)
    assert cells[1:] == [rule.value for rule in Rule]


def test_the_document_has_every_fact() -> None:
    _, _, after = DOCUMENT.read_text("utf-8").partition("\n## What the cluster says of a service\n")
    named = set(re.findall(r"`(\w+)`", after.partition("\n## ")[0]))
    assert set(CLUSTER_FACTS) <= named
