"""The command `vllm-benchmark`: the group, its global options, and the one place where errors become exit codes."""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import rich_click as click
from click.exceptions import NoArgsIsHelpError

from inference_bench import __version__
from inference_bench.cli.utils.console_utils import display, error_line, reset_display
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.lazy_group import LazyCommand, LazyGroup, global_options
from inference_bench.errors import BenchError

PROGRAM = "vllm-benchmark"
INTERRUPTED = 130

_COMMANDS = "inference_bench.cli.commands"
COMMANDS = {
    "benchmark": LazyCommand(
        f"{_COMMANDS}.benchmark_cmd", "benchmark", "Send the same work to every service, measure, and keep the run."
    ),
    "config": LazyCommand(
        f"{_COMMANDS}.config_cmd", "config", "Show the effective configuration and where each value came from."
    ),
    "demo": LazyCommand(f"{_COMMANDS}.demo_cmd", "demo", "Race services, or talk to them side by side."),
    "discover": LazyCommand(f"{_COMMANDS}.service_cmd", "discover", "Find services and say how they are."),
    "init": LazyCommand(f"{_COMMANDS}.config_cmd", "init", "Write commented configuration files to start from."),
    "inspect": LazyCommand(
        f"{_COMMANDS}.inspect_cmd", "inspect", "Show what is sent to each engine, and what comes back."
    ),
    "results": LazyCommand(f"{_COMMANDS}.results_cmd", "results", "List stored runs, show one, or export it."),
    "test": LazyCommand(f"{_COMMANDS}.service_cmd", "test", "Send one quick request to every service."),
    "visualize": LazyCommand(
        f"{_COMMANDS}.visualize_cmd", "visualize", "Draw the charts and write the report of a stored run."
    ),
}


class _Program(LazyGroup):
    lazy_commands = COMMANDS


@click.group(
    name=PROGRAM,
    cls=_Program,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=examples(
        "vllm-benchmark benchmark --quick --simulate",
        "vllm-benchmark benchmark --url vllm=http://localhost:8000",
        "vllm-benchmark discover",
        "vllm-benchmark COMMAND --help",
    ),
)
@click.version_option(__version__, prog_name=PROGRAM)
def cli() -> None:
    """Says which LLM inference engine serves your chat workload better, and whether the number can be believed."""


global_options(cli)


def main(args: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with its exit code; the console script calls this."""
    code = run(sys.argv[1:] if args is None else args)
    # A reader that went away is found out here at the latest, and not by the interpreter's own complaint at exit.
    for stream in (sys.stdout, sys.stderr):
        if stream is None:  # closed by the caller before we began
            continue
        try:
            stream.flush()
        except BrokenPipeError:
            code = code or 1
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    sys.exit(code)


def run(args: Sequence[str]) -> int:
    """Run one command and return its exit code. Every error becomes one clear line on stderr."""
    reset_display()
    try:
        result = cli.main(args=list(args), prog_name=PROGRAM, standalone_mode=False)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else int(error.code is not None)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - the outermost edge
        return _tell(error)
    return int(result) if isinstance(result, int) else 0


def _tell(error: BaseException) -> int:
    """Say what went wrong, on stderr, and return the exit code for it."""
    if isinstance(error, BrokenPipeError):
        return 1
    if isinstance(error, NoArgsIsHelpError):
        return error.exit_code  # rich-click has shown the help
    if isinstance(error, click.Abort | KeyboardInterrupt):
        ended = isinstance(error.__context__, EOFError)
        error_line("the input ended where an answer was needed" if ended else "interrupted")
        return 2 if ended else INTERRUPTED
    if isinstance(error, click.ClickException):
        error_line(_sentence(error), _usage_hint(error))
        return error.exit_code
    if display.verbose:
        import traceback  # noqa: PLC0415 - rarely needed

        traceback.print_exception(error)
    if isinstance(error, BenchError):
        error_line(error.message, error.hint)
        return error.exit_code
    again = None if display.verbose else "run again with --verbose for the traceback"
    error_line(f"unexpected: {type(error).__name__}: {error}", again)
    return 1


def _sentence(error: click.ClickException) -> str:
    near = getattr(error, "possibilities", None)
    message = f"{error.message.rstrip('.')}; did you mean {near[0]}?" if near else error.format_message().strip()
    return message[:1].lower() + message[1:] if message[1:2].islower() else message


def _usage_hint(error: click.ClickException) -> str | None:
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{context.command_path} --help" if context is not None else None


if __name__ == "__main__":
    main()
