"""The command as a user runs it: `python vllm_benchmark.py …` in a process of its own."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from inference_bench import __version__

LAUNCHER = Path(__file__).parents[2] / "vllm_benchmark.py"
COMMANDS = ("benchmark", "config", "demo", "discover", "init", "inspect", "results", "test", "visualize")
HEAVY = ("pydantic", "numpy", "pyarrow", "scipy", "httpx", "yaml", "orjson", "asyncio")


def run(*args: str, cwd: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    """Run the launcher, without a terminal, with a plain environment."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("VLLM_BENCHMARK", "NO_COLOR"))}
    return subprocess.run(
        [sys.executable, str(LAUNCHER), *args],
        cwd=cwd,
        env={**inherited, "COLUMNS": "80", **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


def run_on_terminal(*args: str, cwd: Path, **environ: str) -> str:
    """Run the launcher with a terminal as its output, and return what it wrote there."""
    leader, follower = pty.openpty()
    inherited = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, str(LAUNCHER), *args],
        cwd=cwd,
        env={**inherited, "TERM": "xterm-256color", "COLUMNS": "80", **environ},
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    written = b""
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # Linux says EIO when the last writer has gone
            break
        if not piece:
            break
        written += piece
    os.close(leader)
    process.wait(timeout=60)
    return written.decode()


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_help_shows_the_commands_and_examples(flag: str, tmp_path: Path) -> None:
    done = run(flag, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    listed = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("│ ") and "-" not in line[:4]]
    assert listed == list(COMMANDS)
    assert "$ vllm-benchmark benchmark --quick --simulate" in done.stdout
    assert max(len(line) for line in done.stdout.splitlines()) <= 80


@pytest.mark.parametrize("args", [["--help"], ["config", "--help"], ["init", "--help"]])
def test_no_help_imports_anything_heavy(args: list[str], tmp_path: Path) -> None:
    code = (
        "import sys; from inference_bench.cli.main import run; "
        f"code = run({args!r}); print([name for name in {HEAVY!r} if name in sys.modules]); sys.exit(code)"
    )
    source = str(LAUNCHER.parent / "src")
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": source},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_the_version(tmp_path: Path) -> None:
    done = run("--version", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"vllm-benchmark, version {__version__}\n")


def test_without_a_command_the_help_is_shown_and_the_usage_is_wrong(tmp_path: Path) -> None:
    done = run(cwd=tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "Usage: vllm-benchmark" in done.stdout


BROKEN = "ttft_test:\n  iteratons: 3\n"
WRONG = {
    "unknown command": (["confg"], "Error: there is no command 'confg'; did you mean config?"),
    "unknown command, nothing near": (["xyzzy"], "Error: there is no command 'xyzzy'; commands: benchmark, config, "),
    "unknown option": (["config", "--chek"], "Error: no such option '--chek'; did you mean --check?"),
    "unknown global option": (["--loud", "config"], "Error: no such option '--loud'"),
    "too many words": (["config", "a", "b"], "Error: got unexpected extra argument (b)"),
    "missing file": (["config", "none.yaml"], "Error: there is no configuration file none.yaml"),
    "unknown key": (["config", "broken.yaml"], "Error: broken.yaml:2: ttft_test.iteratons: unknown key; did you mean"),
    "unknown key, checked": (["config", "--check", "broken.yaml"], "Error: broken.yaml:2: ttft_test.iteratons: unkno"),
    "broken YAML": (["config", "syntax.yaml"], "Error: syntax.yaml:2: not valid YAML, column 1: "),
    "schema of a file": (["config", "--schema", "broken.yaml"], "Error: --schema stands alone"),
    "a folder": (["config", "."], "Error: cannot read the configuration file .: Is a directory"),
}


@pytest.mark.parametrize(("args", "wanted"), WRONG.values(), ids=WRONG.keys())
def test_wrong_usage_is_one_clear_line_and_exit_code_2(args: list[str], wanted: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(BROKEN)
    (tmp_path / "syntax.yaml").write_text("benchmark:\n\tname: x\n")
    done = run(*args, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    first, *rest = done.stderr.splitlines()
    assert first.startswith(wanted)
    assert len(rest) <= 1
    assert all(line.startswith("Hint: ") for line in rest)


def test_a_traceback_comes_with_verbose_only_before_or_after_the_command(tmp_path: Path) -> None:
    for args in (["--verbose", "config", "none.yaml"], ["config", "none.yaml", "--verbose"]):
        done = run(*args, cwd=tmp_path)
        assert done.returncode == 2
        assert "Traceback (most recent call last)" in done.stderr
        assert "Error: there is no configuration file none.yaml" in done.stderr


def test_config_shows_values_and_origins_on_stdout_and_the_choice_on_stderr(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yaml").write_text("benchmark:\n  name: mine\nload_tests: []\n")
    done = run("config", cwd=tmp_path, COLUMNS="110", VLLM_BENCHMARK__BENCHMARK__SEED="7")
    assert (done.returncode, done.stderr) == (0, "Configuration: config/default.yaml\n")
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["name", "mine", "config/default.yaml:2"] in rows
    assert ["seed", "7", "VLLM_BENCHMARK__BENCHMARK__SEED"] in rows
    assert ["load_tests", "[]", "config/default.yaml:3"] in rows
    assert ["iterations", "100", "built-in"] in rows
    assert "\x1b" not in done.stdout
    assert run("--quiet", "config", cwd=tmp_path).stderr == ""


@pytest.mark.parametrize("columns", ["40", "60", "200"])
def test_the_table_keeps_to_the_width_and_loses_nothing(columns: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("benchmark: {name: '" + "long-name-" * 12 + "', description: '[bold]x[/bold]'}")
    done = run("config", "x.yaml", cwd=tmp_path, COLUMNS=columns)
    below = [line for line in done.stdout.splitlines() if line.startswith("benchmark.name")]
    assert below == ([] if columns == "200" else [f"benchmark.name  {'long-name-' * 12}"])  # whole, to be copied
    assert max(len(line) for line in done.stdout.splitlines() if line not in below) <= int(columns)
    # The name is folded, not cut: all of its letters are there, in order, between those of the other columns.
    letters = iter(done.stdout)
    assert all(character in letters for character in "long-name-" * 12)
    assert "[bold]" in done.stdout


def test_header_values_are_not_shown(tmp_path: Path) -> None:
    text = "services: {endpoints: [{url: 'http://a', headers: {x-tenant: blue, x-token: 'env:TOKEN'}}]}"
    (tmp_path / "x.yaml").write_text(text)
    done = run("config", "x.yaml", cwd=tmp_path)
    assert "blue" not in done.stdout
    assert "env:TOKEN" in done.stdout


def test_check_says_right_and_schema_is_a_schema(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("")
    done = run("config", "--check", "x.yaml", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x.yaml: the configuration is right\n")
    done = run("config", "--schema", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    jsonschema.Draft202012Validator.check_schema(json.loads(done.stdout))


def test_init_writes_three_files_that_config_finds_and_never_overwrites(tmp_path: Path) -> None:
    done = run("init", cwd=tmp_path)
    assert done.returncode == 0
    names = ["config/default.yaml", "config/quick-test.yaml", "config/stress-test.yaml"]
    assert done.stdout.splitlines() == names
    assert all((tmp_path / name).is_file() for name in names)
    assert "Configuration: config/default.yaml" in run("config", cwd=tmp_path).stderr

    (tmp_path / names[0]).write_text("# mine\n")
    done = run("init", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "already exist; nothing was written" in done.stderr
    assert (tmp_path / names[0]).read_text() == "# mine\n"

    assert run("init", "--force", cwd=tmp_path).returncode == 0
    assert (tmp_path / names[0]).read_text() != "# mine\n"
    assert run("init", "else/where", cwd=tmp_path).stdout.startswith("else/where/config/default.yaml")


def test_a_terminal_gets_colours_unless_told_otherwise(tmp_path: Path) -> None:
    assert "\x1b[" in run_on_terminal("config", "none.yaml", cwd=tmp_path)
    assert "\x1b[" in run_on_terminal("--help", cwd=tmp_path)
    assert "\x1b[" not in run_on_terminal("--no-color", "config", "none.yaml", cwd=tmp_path)
    assert "\x1b[" not in run_on_terminal("config", "--no-color", cwd=tmp_path)
    assert "\x1b[" not in run_on_terminal("--no-color", "--help", cwd=tmp_path)
    assert "\x1b[3" not in run_on_terminal("config", "none.yaml", cwd=tmp_path, NO_COLOR="1")


def test_a_reader_that_goes_away_is_no_news(tmp_path: Path) -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    with os.fdopen(write_end, "wb") as broken:
        for args in (["config"], ["config", "--schema"], ["--help"]):
            done = subprocess.run(
                [sys.executable, str(LAUNCHER), *args],
                cwd=tmp_path,
                stdout=broken,
                stderr=subprocess.PIPE,
                text=True,
                timeout=60,
                check=False,
            )
            assert done.returncode == 1
            assert done.stderr in ("", "Configuration: built-in defaults\n")
