"""The options of `benchmark`: their words for click, their values as one object, what they exclude of each other."""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

import rich_click as click

from inference_bench.errors import UsageError
from inference_bench.workloads.choices import shown

MAX_REQUESTS = 10_000
MAX_WORKERS = 256

Command = TypeVar("Command", bound=Callable[..., object])


def _number(text: str, *, whole: bool) -> float:
    """Return the number that a text is, NaN for none: 1_0 and the digits of other scripts are none, as in a file."""
    if not text.isascii() or "_" in text:
        return math.nan
    try:
        return int(text) if whole else float(text)
    except ValueError:
        return math.nan


class NumberOrList(click.ParamType["float | tuple[float, ...]"]):
    """A number above 0, or several with commas between them (a sweep); whole ones with `whole`."""

    name = "number or list"

    def __init__(self, *, whole: bool) -> None:
        self.whole = whole

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | tuple[float, ...]:
        """Return the number or the numbers, or refuse the text. What they mean together is the configuration's."""
        found: list[float] = []
        for part in str(value).split(","):
            number = _number(part, whole=self.whole)
            if not math.isfinite(number) or number <= 0:
                wanted = "a whole number" if self.whole else "a number"
                self.fail(f"{shown(part.strip())} is not {wanted} above 0.", param, ctx)
            found.append(number)
        return found[0] if len(found) == 1 else tuple(found)


class PositiveNumber(click.ParamType[float]):
    """A finite number above 0; `nan` and `inf` are spelled like numbers and are none."""

    name = "number"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number, or refuse the text."""
        number = _number(str(value), whole=False)
        if not math.isfinite(number) or number <= 0:
            self.fail(f"{shown(str(value))} is not a number above 0.", param, ctx)
        return number


@dataclass(frozen=True, slots=True)
class BenchmarkOptions:
    """The command's own options, by the names click gives them."""

    quick: bool
    ttft_only: bool
    load_only: bool
    tests: tuple[str, ...]
    dry_run: bool
    users: int | tuple[int, ...] | None
    rate: float | tuple[float, ...] | None
    arrivals: str | None
    trace: Path | None
    prompts: Path | None
    max_tokens: int | None
    duration: float | None
    requests: int | None
    max_requests: int
    seed: int | None
    nonce: str | None
    workers: str
    name: str | None
    output_dir: Path | None
    resume: str | None
    until_decided: bool
    find_capacity: bool
    fail_if: tuple[str, ...]
    calibrate: bool
    strict: bool
    junit: Path | None
    as_json: bool
    yes: bool

    @classmethod
    def of(cls, given: dict[str, object]) -> "BenchmarkOptions":
        """Return the options click has read. Raises UsageError for those that exclude each other."""
        options = cls(**{field.name: given[field.name] for field in fields(cls)})  # type: ignore[arg-type]
        if options.ttft_only and options.load_only:
            raise UsageError("--ttft-only and --load-only exclude each other")
        if options.nonce == "":
            raise UsageError("--nonce must not be empty", hint="leave it out for a new one")
        if options.find_capacity and options.until_decided:
            raise UsageError("--find-capacity and --until-decided exclude each other: one searches, the other compares")
        if options.find_capacity and options.calibrate:
            raise UsageError(
                "--calibrate measures the loads of a plan, and --find-capacity chooses its loads as it goes",
                hint="find the capacity first, then calibrate a run at that load",
            )
        if options.load_only and options.trace is not None and options.prompts is not None:
            raise UsageError(
                "--prompts is not used by --load-only with --trace: a trace has prompts of its own lengths"
            )
        options._refuse_unused()
        return options

    def overrides(self) -> dict[str, object]:
        """Return the configuration values they stand for, by dotted key."""
        given: dict[str, object] = {
            "load_tests.*.concurrent_users": self.users,
            "load_tests.*.rate": self.rate,
            "load_tests.*.arrivals": self.arrivals,
            "load_tests.*.duration_seconds": self.duration,
            "load_tests.*.requests": self.requests,
            "load_tests.*.max_tokens": self.max_tokens,
            "ttft_test.max_tokens": self.max_tokens,
            "benchmark.seed": self.seed,
            "benchmark.name": self.name,
            "output.directory": None if self.output_dir is None else str(self.output_dir),
        }
        if self._no_load_tests():
            # Nothing is said of load tests that will not run; there may be none.
            given = {key: value for key, value in given.items() if not key.startswith("load_tests.")}
        if self.prompts is not None:
            given |= {"workload.kind": "file", "workload.path": str(self.prompts)}
        if self.trace is not None:
            given |= {"load_tests.*.arrivals": "trace"}
            given |= {"load_tests.*.workload": {"kind": "trace", "path": str(self.trace)}}
        return {key: value for key, value in given.items() if value is not None}

    def worker_count(self) -> int | None:
        """Return the number of measuring processes, None for as many as the plan needs. Raises UsageError."""
        if self.workers == "auto":
            return None
        if not 1 <= _number(self.workers, whole=True) <= MAX_WORKERS:
            raise UsageError(f"--workers takes auto or a number from 1 to {MAX_WORKERS}, not {shown(self.workers)}")
        return int(self.workers)

    def _refuse_unused(self) -> None:
        """Refuse options that concern load tests only, when none will run."""
        given = {
            "--users": self.users,
            "--rate": self.rate,
            "--arrivals": self.arrivals,
            "--trace": self.trace,
            "--find-capacity": self.find_capacity or None,
            "--duration": self.duration,
            "--requests": self.requests,
        }
        unused = [name for name, value in given.items() if value is not None]
        unused += ["--calibrate"] if self.calibrate else []
        if unused and self._no_load_tests():
            who = "--ttft-only" if self.ttft_only else "--test ttft"
            raise UsageError(f"{', '.join(unused)} concerns load tests, and {who} leaves them out")

    def _no_load_tests(self) -> bool:
        return self.ttft_only or set(self.tests) == {"ttft"}


def benchmark_options(command: Command) -> Command:
    """Add the options to a command, which gets each as a keyword argument."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


_WHICH = (
    click.option("--quick", is_flag=True, help="The quick configuration: done within two minutes."),
    click.option("--ttft-only", is_flag=True, help="Only the TTFT test."),
    click.option("--load-only", is_flag=True, help="Only the load tests."),
    click.option("--test", "tests", multiple=True, metavar="NAME", help="Only this test (repeatable); ttft is one."),
    click.option("--dry-run", is_flag=True, help="Show the plan, its time and its tokens; measure nothing."),
)
_LOAD = (
    click.option(
        "--users",
        "--concurrent-users",
        type=NumberOrList(whole=True),
        metavar="N[,N…]",
        help="Users of every load test; several are a sweep.",
    ),
    click.option(
        "--rate",
        type=NumberOrList(whole=False),
        metavar="R[,R…]",
        help="Requests/s of every load test; several are a sweep, or the course of steps and ramp.",
    ),
    click.option(
        "--arrivals",
        type=click.Choice(["closed", "constant", "poisson", "gamma", "steps", "ramp", "trace"]),
        help="When requests are sent.",
    ),
    click.option(
        "--trace",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Replay a trace: Mooncake JSONL, Azure or BurstGPT CSV, or a run folder.",
    ),
    click.option(
        "--prompts", type=click.Path(path_type=Path), metavar="FILE", help="Prompts from a text or JSONL file."
    ),
    click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Output tokens asked of every request."),
    click.option("-d", "--duration", type=PositiveNumber(), metavar="S", help="Steady time, s."),
    click.option("--requests", type=click.IntRange(min=1), metavar="N", help="Requests per service instead of a time."),
    click.option(
        "--max-requests",
        type=click.IntRange(min=1),
        default=MAX_REQUESTS,
        show_default=True,
        metavar="N",
        help="Ask (without a terminal: refuse) before sending more than about this many.",
    ),
)
_RUN = (
    click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of prompts, times and orders."),
    click.option("--nonce", metavar="TEXT", help="Repeat a run's prompts exactly: the nonce of its manifest."),
    click.option("--workers", default="auto", show_default=True, metavar="N|auto", help="Measuring processes."),
    click.option("--name", metavar="TEXT", help="Name of the run."),
    click.option("-o", "--output-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where run folders go."),
)
_RESUME = (
    click.option(
        "--resume",
        metavar="TEST_ID",
        help="Go on with an interrupted run where it stopped: same folder, plan and prompts. `last` is the newest one "
        "that can go on. Only --yes, --dry-run, --json, --junit, --strict, --fail-if, --calibrate and -o go with it, "
        "and --api-key-env.",
    ),
)
_VERDICT = (
    click.option(
        "--until-decided",
        is_flag=True,
        help="Go on with more blocks until every primary metric is decided, or comparison.budget is used up.",
    ),
    click.option(
        "--find-capacity",
        is_flag=True,
        help="Search for the most users (or the highest rate) at which each service still keeps the test's slo.",
    ),
    click.option(
        "--fail-if",
        multiple=True,
        metavar="EXPR",
        help="Exit with 4 when this is true (repeatable): [TEST:]SERVICE.METRIC[.STAT] OP NUMBER, joined by and/or; "
        "OP is one of < <= > >= == !=. A missing value counts as true.",
    ),
    click.option(
        "--calibrate",
        is_flag=True,
        help="Before the tests, put the same load on a null server of this machine, and say what the machine adds.",
    ),
    click.option("--strict", is_flag=True, help="Exit with 5 when the run is invalid."),
    click.option(
        "--junit",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Write gates, validity and verdicts as JUnit XML, whatever the exit code.",
    ),
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        help="Print the summary as JSON on stdout, with the comparison and the gates beside it.",
    ),
    click.option("--yes", is_flag=True, help="Do not ask before large load or load on another machine."),
)
_OPTIONS = (*_WHICH, *_LOAD, *_RUN, *_RESUME, *_VERDICT)
