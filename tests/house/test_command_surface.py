"""The nine-command surface is honest: the help lists exactly what works, each command explains itself by examples.

A command that later work brings is added to PRESENT when it works, and is refused as an unknown word until then.
"""

import re
import shlex
from collections.abc import Iterator

import pytest
import rich_click as click
from house_tree import report, run_command

from inference_bench.cli.main import COMMANDS, cli

NINE = ("benchmark", "config", "demo", "discover", "init", "inspect", "results", "test", "visualize")
PRESENT = ("benchmark", "config", "demo", "discover", "init", "inspect", "results", "test", "visualize")
# Commands that an earlier tool had and that became options of others, or nothing.
GONE = ("cleanup", "migrate", "reprocess", "race", "conversation", "try-it")

_LISTED = re.compile(r"^│ ([a-z][a-z-]*) {2,}\S")
_EXAMPLE = re.compile(r"^[\s$]*((?:[A-Z_]+=\S+ )*(?:vllm-benchmark|python vllm_benchmark\.py) .*\S)")


def listed_commands(help_text: str) -> list[str]:
    """Return the names in the panel of commands."""
    panel = help_text[help_text.index("Commands") :]
    return [match[1] for line in panel.splitlines() if (match := _LISTED.match(line))]


def examples(help_text: str) -> list[str]:
    """Return the example command lines of a help text, as a reader sees them: each on a line of its own."""
    after = help_text.partition("Examples:")[2]
    return [match[1] for line in after.splitlines() if (match := _EXAMPLE.match(line))]


def family(name: str) -> dict[tuple[str, ...], click.Command]:
    """Return a command and its sub-commands, each by the words that call it."""
    return dict(_below((name,), COMMANDS[name].load()))


def _below(words: tuple[str, ...], command: click.Command) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    yield words, command
    if isinstance(command, click.Group):
        for name, lower in command.commands.items():
            yield from _below((*words, name), lower)


def test_the_help_lists_exactly_the_present_commands() -> None:
    done = run_command("--help")
    assert done.returncode == 0, report(done)
    assert listed_commands(done.stdout) == sorted(PRESENT)
    assert sorted(COMMANDS) == sorted(PRESENT)
    assert set(PRESENT) <= set(NINE)


@pytest.mark.parametrize("word", [*GONE, *(name for name in NINE if name not in PRESENT)])
def test_a_command_that_is_not_there_is_refused(word: str) -> None:
    done = run_command(word)
    assert done.returncode == 2, report(done)
    assert word in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", PRESENT)
def test_each_command_has_a_help_with_examples(name: str) -> None:
    for words in family(name):
        done = run_command(*words, "--help")
        assert done.returncode == 0, report(done)
        assert "Usage:" in done.stdout
        call = " ".join(words)
        shown = [line for line in examples(done.stdout) if f" {call}" in line]
        assert shown, f"no example of {call!r} on a line of its own\n{done.stdout}"


@pytest.mark.parametrize("name", PRESENT)
def test_the_examples_name_only_options_that_exist(name: str) -> None:
    for words in family(name):
        for line in examples(run_command(*words, "--help").stdout):
            arguments = program_arguments(line)
            named = {part.partition("=")[0] for part in arguments if part.startswith("-") and part != "-"}
            assert named <= options_of(arguments), line


def program_arguments(line: str) -> list[str]:
    """Return what an example passes to the program: no redirection, no variables before it."""
    words = shlex.split(re.split(r" [>|#] ?", line)[0])
    start = next(index for index, word in enumerate(words) if word in ("vllm-benchmark", "vllm_benchmark.py"))
    return words[start + 1 :]


def options_of(arguments: list[str]) -> set[str]:
    """Return every option that the called command, and the groups above it, accept."""
    known = {name for parameter in cli.params for name in parameter.opts} | {"-h", "--help", "--version"}
    below = family(arguments[0]) if arguments and arguments[0] in COMMANDS else {}
    called = [command for words, command in below.items() if tuple(arguments[: len(words)]) == words]
    return known | {name for command in called for parameter in command.params for name in parameter.opts}
