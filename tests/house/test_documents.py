"""What the documents say is true: their commands run, their links lead somewhere, their tables match the program.

How the commands are run. Every line of a ```bash block of README.md and docs/**/*.md is one command. The commands of
one document are run in order, as a reader would type them, in one fresh directory that looks like a checkout, with
`python` being the Python of this test. Each must exit with 0 and without a traceback. Only this differs from what the
reader types:

- A command that begins by making `.venv` is run from the program on: installing needs a network, and `.ci/run` does it
  word for word in a clean copy. What is left of the second command of the README is `python -m pytest`, which is what
  runs this test; it is not started inside itself.
- `http://localhost:8000`, `:8001`, `:8080` and `:11434` become the addresses of simulated vLLM (two of them), TGI and
  Ollama, started here on free ports. Their answers say that they are simulated, and so do the results.
- `KUBECONFIG` names a cluster with three of these engines in its namespace `llm` (`documented_cluster`).
- `TEST_ID` becomes the newest run's, which an earlier command of the same document has made.
- A command with `--web` serves until it is interrupted: once it has printed its address it gets SIGINT, as by Ctrl-C,
  and must exit with 130.
- Environment variables make runs shorter than the configuration files say (`shell_blocks.reader_environment`).
"""

import json
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from documented_cluster import documented_cluster
from house_tree import ROOT, plain_environment, shown
from shell_blocks import (
    RUN_THE_TESTS,
    Command,
    checkout,
    commands_of,
    documents,
    reader_environment,
)

from inference_bench.errors import BenchError

README = ROOT / "README.md"
ENGINES = {
    "vllm,name=first": "http://localhost:8000",
    "vllm,name=second": "http://localhost:8001",
    "tgi": "http://localhost:8080",
    "ollama": "http://localhost:11434",
}
_LINK = re.compile(r"\]\(([^)#\s]+)")
_TABLE_ROW = re.compile(r"^\| (.+?) \|", re.MULTILINE)


@pytest.fixture(scope="module")
def addresses() -> Iterator[dict[str, str]]:
    """Start the simulated engines; give the address to use for each one that the documents name."""
    serve = [part for engine in ENGINES for part in ("--serve", engine)]
    simulator = subprocess.Popen(
        [sys.executable, "-m", "inference_bench.simulator", *serve, "--exit-with-parent"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=plain_environment(),
    )
    with simulator:
        assert simulator.stdout is not None
        ready = [json.loads(simulator.stdout.readline()) for _ in ENGINES]
        yield dict(zip(ENGINES.values(), (engine["url"] for engine in ready), strict=True))
        simulator.terminate()


@pytest.fixture(scope="module")
def environ(addresses: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Give the reader's environment, in which the kubeconfig leads to the cluster of the documents."""
    vllm, _, tgi, ollama = addresses.values()
    with documented_cluster(vllm, tgi, ollama, tmp_path_factory.mktemp("cluster")) as kubeconfig:
        yield {**reader_environment(), "KUBECONFIG": str(kubeconfig)}


def substituted(text: str, addresses: dict[str, str], runs: Path) -> str:
    """Return the command with this test's addresses and the newest run's id in it."""
    for written, real in addresses.items():
        text = re.sub(re.escape(written) + r"(?!\d)", real, text)
    if "TEST_ID" in text:
        newest = max(runs.iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
        text = text.replace("TEST_ID", newest.name)
    return text


def run_line(command: Command, line: str, directory: Path, environ: Mapping[str, str]) -> None:
    """Run one command line and hold it to what a reader expects of it."""
    if " --web" in line:
        interrupt_when_served(command, line, directory, environ)
        return
    done = subprocess.run(
        ["bash", "-c", line],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    said = f"{command.place}: {line}\nexit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    assert done.returncode == 0, said
    assert "Traceback" not in done.stderr, said


def interrupt_when_served(command: Command, line: str, directory: Path, environ: Mapping[str, str]) -> None:
    """Run a command that serves a page, and interrupt it once it has said where."""
    with subprocess.Popen(
        ["bash", "-c", f"exec {line}"],
        cwd=directory,
        env=environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        address = next((said for said in serving.stdout if "http://127.0.0.1:" in said), None)
        serving.send_signal(signal.SIGINT)
        serving.communicate(timeout=60)
    assert address is not None, f"{command.place}: {line} prints no address"
    assert serving.returncode == 130, f"{command.place}: {line} exits with {serving.returncode}"


def result_files(directory: Path) -> set[str]:
    """Return the names of the files in the newest run folder."""
    newest = max((directory / "results").iterdir(), key=lambda folder: folder.stat().st_mtime_ns)
    return {f"{entry.name}/" if entry.is_dir() else entry.name for entry in newest.iterdir()}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("document", [path for path in documents() if commands_of(path)], ids=shown)
def test_every_command_runs(document: Path, tmp_path: Path, addresses: dict[str, str], environ: dict[str, str]) -> None:
    directory = checkout(tmp_path)
    for command in commands_of(document):
        if command.program != RUN_THE_TESTS:
            run_line(command, substituted(command.program, addresses, directory / "results"), directory, environ)
    if document == README:
        assert result_files(directory) == set(table_below("## A run on disk")) - {"journal/"}


def table_below(heading: str) -> list[str]:
    """Return the names in the first column of the README's table under a heading."""
    _, found, after = README.read_text("utf-8").partition(heading + "\n")
    assert found, f"the README has no {heading!r}"
    cells = _TABLE_ROW.findall(after.partition("\n## ")[0])[1:]
    return [name.strip("` ") for cell in cells for name in cell.split(",")]


def test_the_first_screen_has_the_two_commands() -> None:
    first, second, *_ = commands_of(README)
    assert first.program == "python vllm_benchmark.py benchmark --quick --simulate"
    assert second.program == RUN_THE_TESTS
    assert first.text != first.program, "it makes its own virtual environment"
    assert second.text != second.program, "it makes its own virtual environment"
    assert second.line < 25


def test_the_exit_codes_of_the_readme_are_those_of_the_program() -> None:
    kinds = [BenchError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    assert [int(code) for code in table_below("## Exit codes")] == sorted({0, *(kind.exit_code for kind in kinds)})


@pytest.mark.parametrize("document", [*documents(), ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"], ids=shown)
def test_links_lead_somewhere(document: Path) -> None:
    local = [link for link in _LINK.findall(document.read_text("utf-8")) if "://" not in link]
    assert not [link for link in local if not (document.parent / link).exists()]


@pytest.mark.parametrize("document", [ROOT / "CONTRIBUTING.md"], ids=shown)
def test_paths_named_to_contributors_exist(document: Path) -> None:
    quoted = re.findall(r"`([\w.-]*(?:/[\w.-]+)*/?)`", document.read_text("utf-8"))
    paths = [path for path in quoted if "/" in path or path.endswith((".py", ".toml", ".txt", ".yaml", ".md"))]
    homes = (ROOT, ROOT / "src" / "inference_bench", ROOT / "src" / "inference_bench" / "cli")
    assert paths
    assert not [path for path in paths if not any((home / path).exists() for home in homes)]
