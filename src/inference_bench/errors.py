"""The one tree of errors the program raises on purpose, and the exit code each one carries.

    BenchError                      1   something went wrong that we can name
    ├── UsageError                  2   the command line asks for something impossible
    ├── ConfigError                 2   a configuration file or value is wrong (file, line, key)
    ├── NoServiceError              3   no usable service: none found, none healthy, none that answered
    ├── GateFailedError             4   --fail-if, an slo or a regression gate tripped
    ├── InvalidRunError             5   the run cannot be trusted and --strict was given
    ├── InterruptedRunError       130   Ctrl-C or SIGTERM; what was measured is saved
    ├── ResourceLimitError          2   this machine cannot carry the planned load (files, ports, memory)
    ├── WorkerDiedError             1   a process of ours ended in the middle of a run
    └── RunFolderError              2   a run folder is missing, foreign or damaged

Each error says what happened (`message`) and what to do next (`hint`). Failures of a measured request are not
exceptions: they are results, and live in `inference_bench.api.protocols.ErrorClass`.
"""

from pathlib import Path
from typing import ClassVar


class BenchError(Exception):
    """Base of all named errors: `message` says what happened, `hint` what to do next."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(BenchError):
    """The command line asks for something impossible."""

    exit_code = 2


class ConfigError(BenchError):
    """A configuration file or value is wrong.

    `file`, `line` (1-based) and `key` (dotted) are given where they are known.
    """

    exit_code = 2

    def __init__(
        self,
        message: str,
        *,
        file: Path | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.file = file
        self.line = line
        self.key = key


class NoServiceError(BenchError):
    """No usable service: none found, none healthy, or one that answered not a single request."""

    exit_code = 3


class GateFailedError(BenchError):
    """A gate the user set has tripped."""

    exit_code = 4


class InvalidRunError(BenchError):
    """The run's numbers cannot be trusted and --strict was given."""

    exit_code = 5


class InterruptedRunError(BenchError):
    """The user interrupted the run; what was measured is saved."""

    exit_code = 130


class ResourceLimitError(BenchError):
    """This machine cannot carry the planned load: open files, ports or memory."""

    exit_code = 2  # nothing unexpected: it is refused, as a configuration is that asks for the impossible


class WorkerDiedError(BenchError):
    """A process of ours ended in the middle of a run."""


class RunFolderError(BenchError):
    """A run folder is missing, foreign or damaged."""

    exit_code = 2
