"""The command line of `inspect`: what it refuses before anything is sent, and how services that are down end it."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from engine_servers import closed_port
from inference_bench.cli.main import run as run_program
from inspect_servers import Kept, keeping_server, streamed

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Command:
    """Run `inspect …` in tmp_path, 80 columns and no terminal; return exit code, stdout, stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def call(*args: str) -> tuple[int, str, str]:
        capfdbinary.readouterr()
        code = run_program(["inspect", *args])
        sys.stdout.flush()
        shown = capfdbinary.readouterr()
        assert b"Traceback" not in shown.err
        return code, shown.out.decode(), shown.err.decode()

    return call


REFUSED = {
    "raw streaming": (["--raw", "--theme", "streaming"], "--raw prints the bytes alone"),
    "raw performance": (["--raw", "--theme", "performance"], "--theme performance would not be seen"),
    "two questions": (["--prompt", "x", "--scenario", "1"], "both say what to ask"),
    "no such prompt": (["--prompt", "99"], "there is no canned prompt '99'"),
    "empty prompt": (["--prompt", " "], "the prompt is empty"),
    "no such scenario": (["--scenario", "nothing"], "there is no scenario"),
    "no such theme": (["--theme", "colours"], "'colours' is not one of"),
    "no tokens": (["--max-tokens", "0"], "0 is not in the range"),
    "no folder": (["--save", "missing/a.json"], "there is no folder missing"),
    "file there": (["--save", "there.json"], "there.json already exists"),
}


@pytest.mark.parametrize(("args", "said"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_is_refused_before_anything_is_sent(
    command: Command, tmp_path: Path, args: list[str], said: str
) -> None:
    (tmp_path / "there.json").write_text("mine")
    with keeping_server() as server:
        code, out, err = command("--url", f"openai={server.url}", *args)
        assert not server.posts
    assert (code, out) == (2, "")
    assert said in " ".join(err.split())
    assert (tmp_path / "there.json").read_text() == "mine"


def test_a_script_of_engines_that_end_with_the_command_is_refused(command: Command, tmp_path: Path) -> None:
    code, _, err = command("--simulate", "--save", "a.curl")
    assert code == 2
    assert "simulated engines end with the command" in err
    assert not list(tmp_path.iterdir())


def test_a_service_that_is_down_stops_it_unless_it_may_be_skipped(command: Command) -> None:
    dead = f"vllm/dead=http://127.0.0.1:{closed_port()}"
    with keeping_server() as server:
        code, out, err = command("--url", dead, "--url", f"openai={server.url}")
        assert (code, out) == (3, "")
        assert "vllm-dead" in err
        code, out, err = command("--url", dead, "--url", f"openai={server.url}", "--skip-unhealthy")
        assert len(server.posts) == 1
    assert code == 0
    assert "vllm-dead is left out" in err
    assert "vllm-dead" not in out


def test_a_file_that_came_meanwhile_is_not_overwritten(command: Command, tmp_path: Path) -> None:
    target = tmp_path / "a.json"

    def answer(head: bytes, body: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        target.write_text("somebody else's")
        return streamed(head, body)

    with keeping_server(answer) as server:
        code, out, err = command("--url", f"openai={server.url}", "--save", "a.json")
    assert code == 2
    assert "already exists" in err
    assert "one two" in out  # what was seen is shown all the same
    assert target.read_text() == "somebody else's"


def shown_with(server: Kept, command: Command, *args: str) -> str:
    code, out, _ = command("--url", f"openai={server.url}", *args)
    assert code == 0
    return out


def test_each_theme_shows_its_part_and_no_other(command: Command) -> None:
    parts = {
        "payload": ("What was sent", "In whose words", "What came back"),
        "streaming": ("The streams on one line of time", "What came when"),
        "errors": ("What each counts as",),
        "performance": ("Where the time of one request went",),
    }
    with keeping_server() as server:
        for theme in parts:
            out = shown_with(server, command, "--theme", theme)
            for other, titles in parts.items():
                assert all((title in out) is (other == theme) for title in titles), (theme, other)
        whole = shown_with(server, command)
        assert len(server.posts) == len(parts) + 2  # the theme of errors asks twice
    assert all(title in whole for theme in ("payload", "streaming") for title in parts[theme])


def test_80_columns_hold_all_of_it(command: Command) -> None:
    with keeping_server() as server:
        out = shown_with(server, command, "--prompt", "word " * 200)
    assert max(map(len, out.splitlines())) <= 80
