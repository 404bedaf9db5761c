"""Every error becomes one clear line on stderr and its exit code; the lazy commands are what they say they are."""

import sys
from types import ModuleType

import pytest
import rich_click as click

from inference_bench import errors
from inference_bench.cli.main import COMMANDS, run
from inference_bench.cli.utils.lazy_group import LazyCommand


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> "list[BaseException]":
    """Add a command `boom` that raises the exception put into the list."""
    raised: list[BaseException] = []

    @click.command(short_help="Fails.")
    def boom() -> None:
        raise raised[0]

    module = ModuleType("a_failing_command")
    module.boom = boom  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(COMMANDS, "boom", LazyCommand(module.__name__, "boom", "Fails."))
    return raised


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.BenchError("broken"), 1),
        (errors.UsageError("broken"), 2),
        (errors.ConfigError("broken"), 2),
        (errors.NoServiceError("broken"), 3),
        (errors.GateFailedError("broken"), 4),
        (errors.InvalidRunError("broken"), 5),
        (errors.InterruptedRunError("broken"), 130),
        (click.UsageError("broken"), 2),
        (ValueError("broken"), 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_one_line_and_the_error_s_exit_code(
    error: Exception, code: int, failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert run(["boom"]) == code
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "broken" in shown.err.splitlines()[0]
    assert "Traceback" not in shown.err


def test_the_hint_follows_the_message_and_markup_is_text(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(errors.UsageError("no [bold]service[/bold] :smile: here", hint="try [red]this"))
    run(["boom"])
    assert capsys.readouterr().err == "Error: no [bold]service[/bold] :smile: here\nHint: try [red]this\n"


def test_an_unexpected_error_shows_its_traceback_only_when_asked(
    failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(ZeroDivisionError("what"))
    assert run(["boom"]) == 1
    shown = capsys.readouterr().err
    assert shown == "Error: unexpected: ZeroDivisionError: what\nHint: run again with --verbose for the traceback\n"
    assert run(["boom", "--verbose"]) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    assert run(["boom"]) == 1
    assert "Traceback" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (EOFError(), 2, "the input ended"),
        (click.Abort(), 130, "interrupted"),
    ],
    ids=["ctrl-c", "end of input", "abort"],
)
def test_interruptions(
    error: BaseException, code: int, words: str, failing: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    failing.append(error)
    assert run(["boom"]) == code
    assert f"Error: {words}" in capsys.readouterr().err


def test_a_reader_that_went_away_is_quiet(failing: list[BaseException], capsys: pytest.CaptureFixture[str]) -> None:
    failing.append(BrokenPipeError())
    assert run(["boom"]) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", COMMANDS)
def test_the_group_s_short_help_is_the_command_s_own(name: str) -> None:
    command = COMMANDS[name].load()
    assert command.name == name
    assert command.get_short_help_str(limit=200) == COMMANDS[name].short_help


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_s_help_has_examples(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([name, "--help"]) == 0
    assert f"vllm-benchmark {name}" in capsys.readouterr().out
