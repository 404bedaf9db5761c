"""The command `benchmark`: words into a plan, the plan's story told, its figures shown. Nothing is measured here."""

import asyncio
import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import rich_click as click

from inference_bench.cli.utils.async_utils import run_story
from inference_bench.cli.utils.console_utils import (
    clean,
    display,
    err,
    note,
    out,
    print_json,
    progress,
    warn,
)
from inference_bench.cli.utils.help_text import examples
from inference_bench.cli.utils.service_options import ServiceOptions, load_configuration, service_options
from inference_bench.errors import (
    BenchError,
    InterruptedRunError,
    InvalidRunError,
    NoServiceError,
    UsageError,
)

if TYPE_CHECKING:
    from inference_bench.config.loader import LoadedSettings
    from inference_bench.orchestration.benchmark_orchestrator import RunOutcome
    from inference_bench.orchestration.run_plan import RunPlan
    from inference_bench.orchestration.service_orchestrator import OpenServices

MAX_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class _Options:
    """The command's own options, by the names click gives them."""

    quick: bool
    ttft_only: bool
    load_only: bool
    tests: tuple[str, ...]
    dry_run: bool
    users: int | None
    rate: float | None
    arrivals: str | None
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
    strict: bool
    as_json: bool
    yes: bool

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
        if self.ttft_only:
            # Nothing is said of load tests that will not run; there may be none.
            given = {key: value for key, value in given.items() if not key.startswith("load_tests.")}
        if self.prompts is not None:
            given |= {"workload.kind": "file", "workload.path": str(self.prompts)}
        return {key: value for key, value in given.items() if value is not None}


@click.command(
    short_help="Send the same work to every service, measure, and keep the run.",
    epilog=examples(
        "vllm-benchmark benchmark --quick --simulate",
        "vllm-benchmark benchmark --url vllm=http://localhost:8000",
        "vllm-benchmark benchmark --url vllm/a=http://h1:8000 --url vllm/b=http://h2:8000",
        "vllm-benchmark benchmark -c config/stress-test.yaml --dry-run",
        "vllm-benchmark benchmark --load-only --rate 5 --arrivals poisson -d 60",
    ),
)
@service_options
@click.option("--quick", is_flag=True, help="The quick configuration: done within two minutes.")
@click.option("--ttft-only", is_flag=True, help="Only the TTFT test.")
@click.option("--load-only", is_flag=True, help="Only the load tests.")
@click.option("--test", "tests", multiple=True, metavar="NAME", help="Only this test (repeatable); ttft is one.")
@click.option("--dry-run", is_flag=True, help="Show the plan, its time and its tokens; measure nothing.")
@click.option(
    "--users", "--concurrent-users", type=click.IntRange(min=1), metavar="N", help="Users of every load test."
)
@click.option("--rate", type=click.FloatRange(min=0, min_open=True), metavar="R", help="Requests/s of every load test.")
@click.option("--arrivals", type=click.Choice(["closed", "constant", "poisson"]), help="When requests are sent.")
@click.option("--prompts", type=click.Path(path_type=Path), metavar="FILE", help="Prompts from a text or JSONL file.")
@click.option("--max-tokens", type=click.IntRange(min=1), metavar="N", help="Output tokens asked of every request.")
@click.option("-d", "--duration", type=click.FloatRange(min=0, min_open=True), metavar="S", help="Steady time, s.")
@click.option("--requests", type=click.IntRange(min=1), metavar="N", help="Requests per service instead of a time.")
@click.option(
    "--max-requests",
    type=click.IntRange(min=1),
    default=MAX_REQUESTS,
    show_default=True,
    metavar="N",
    help="Ask (without a terminal: refuse) before sending more than about this many.",
)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Seed of prompts, times and orders.")
@click.option("--nonce", metavar="TEXT", help="Repeat a run's prompts exactly: the nonce of its manifest.")
@click.option("--workers", default="auto", show_default=True, metavar="N|auto", help="Measuring processes.")
@click.option("--name", metavar="TEXT", help="Name of the run.")
@click.option("-o", "--output-dir", type=click.Path(path_type=Path), metavar="DIR", help="Where run folders go.")
@click.option("--strict", is_flag=True, help="Exit with 5 when the run is invalid.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout.")
@click.option("--yes", is_flag=True, help="Do not ask before large load or load on another machine.")
def benchmark(services: ServiceOptions, **given: object) -> int:
    """Send the same work to every service, measure, and keep the run.

    Without --url or a configured endpoint the engines on this machine's usual ports are measured; with --simulate,
    simulated ones. Results go to a folder of their own under results/.
    """
    options = _Options(**{field.name: given[field.name] for field in fields(_Options)})  # type: ignore[arg-type]
    if options.ttft_only and options.load_only:
        raise UsageError("--ttft-only and --load-only exclude each other")
    if options.nonce == "":
        raise UsageError("--nonce must not be empty", hint="leave it out for a new one")
    _say_unused(options)
    workers = _worker_count(options.workers)
    loaded = load_configuration(services, quick=options.quick, overrides=options.overrides())
    outcome = run_story(
        lambda stop: _story(services, loaded, options, workers, stop), stopping="stopping; what was measured is saved"
    )
    return 0 if outcome is None else _show(outcome, options)


async def _story(
    services: ServiceOptions, loaded: "LoadedSettings", options: _Options, workers: int | None, stop: asyncio.Event
) -> "RunOutcome | None":
    """Find, plan, confirm, measure; None for a dry run."""
    from inference_bench.cli.utils.run_display import (  # noqa: PLC0415 - keeps --help fast
        RunDisplay,
        plan_json,
        print_plan,
    )
    from inference_bench.orchestrator import (  # noqa: PLC0415
        RunInput,
        Selection,
        check_selection,
        make_run_plan,
        open_services,
        run_benchmark,
    )
    from inference_bench.testing.plan import LoadPlan  # noqa: PLC0415
    from inference_bench.workloads.prefix import new_nonce  # noqa: PLC0415

    settings = loaded.settings
    selection = Selection(ttft=not options.load_only, load=not options.ttft_only, only=options.tests)
    check_selection(settings, selection)
    opening = open_services(
        loaded, environ=os.environ, only=services.service_names, skip_unhealthy=services.skip_unhealthy
    )
    async with opening as opened:
        _say_services(opened)
        plan = make_run_plan(opened, settings, selection, workers=workers)
        if options.dry_run:
            # The plan is what a dry run is for: here it goes where results go.
            if options.as_json:
                print_json(plan_json(plan, simulated=opened.simulated))
            else:
                print_plan(out(), plan, simulated=opened.simulated)
            return None
        if not display.quiet:
            print_plan(err(), plan, simulated=opened.simulated)
        _confirm(plan, options)
        if stop.is_set():
            raise InterruptedRunError("interrupted before anything was measured")
        given = RunInput(
            plan=plan,
            opened=opened,
            nonce=options.nonce or new_nonce(),
            output_directory=Path(settings.output.directory),
            name=settings.benchmark.name,
        )
        turns = sum(len(test.turns) if isinstance(test, LoadPlan) else 1 for test in plan.tests)
        with progress("starting", total=turns) as line:
            watcher = RunDisplay(line, turns)
            return await run_benchmark(given, watcher=watcher, on_counts=watcher.counts, stop=stop)


def _say_services(opened: "OpenServices") -> None:
    for service in opened.left_out:
        warn(f"{service.name} is left out: {service.health.status}: {clean(service.health.detail)}")
    for text in opened.notes:
        note(f"Note: {clean(text, limit=500)}")


def _confirm(plan: "RunPlan", options: _Options) -> None:
    """Ask before large load, or load on other machines; refuse where nobody can be asked."""
    large = plan.requests > options.max_requests
    if options.yes or (plan.loopback and not large):
        return
    if not sys.stdin.isatty():
        if large:
            raise UsageError(
                f"the plan sends about {plan.requests:,} requests, more than --max-requests {options.max_requests:,}",
                hint="raise --max-requests or say --yes",
            )
        return
    where = "" if plan.loopback else " to services on other machines"
    if not click.confirm(f"Send about {plan.requests:,} requests{where}?", err=True):
        raise UsageError("nothing was sent")


def _say_unused(options: _Options) -> None:
    """Say which options concern load tests only, when none will run."""
    given = {
        "--users": options.users,
        "--rate": options.rate,
        "--arrivals": options.arrivals,
        "--duration": options.duration,
        "--requests": options.requests,
    }
    unused = [name for name, value in given.items() if value is not None]
    if options.ttft_only and unused:
        raise UsageError(f"{', '.join(unused)} concerns load tests, and --ttft-only leaves them out")


def _worker_count(text: str) -> int | None:
    if text == "auto":
        return None
    if not text.isdigit() or not 1 <= int(text) <= 256:
        raise UsageError(f"--workers takes auto or a number from 1 to 256, not {text!r}")
    return int(text)


def _show(outcome: "RunOutcome", options: _Options) -> int:
    """Print the run and turn what became of it into the exit code."""
    from inference_bench.cli.utils.results_view import print_run  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.folder import Run  # noqa: PLC0415

    if options.as_json:
        print_json(outcome.summary.model_dump(mode="json"))
    else:
        print_run(Run(outcome.folder, outcome.folder.read_manifest()))
    note(f"Run folder: {outcome.folder.path}")
    error = _verdict(outcome, strict=options.strict)
    if error is not None:
        raise error
    return 0


def _verdict(outcome: "RunOutcome", *, strict: bool) -> BenchError | None:
    """Return what the exit code must say; of several the contract's order: 130, 3, 5, then what failed in us."""
    if outcome.interrupted:
        return InterruptedRunError("interrupted; what was measured until then is saved")
    if outcome.failure is not None:
        return outcome.failure
    silent = silent_services(outcome)
    if silent:
        return _silence(outcome, silent)
    invalid = [test.name for test in outcome.summary.tests if test.validity.verdict == "invalid"]
    if strict and invalid:
        return InvalidRunError(
            f"the run is invalid: {', '.join(invalid)}", hint="the reasons stand above the test's figures"
        )
    return None


def _silence(outcome: "RunOutcome", silent: list[str]) -> NoServiceError:
    """Say which services did not answer at all, and why: the error that each gave most often."""
    from inference_bench.results.tables import commonest_error  # noqa: PLC0415 - keeps --help fast

    reasons = {name: commonest_error(outcome.folder, name) or "" for name in silent}
    said = [
        f"{name} answered not a single request" + (f" ({clean(why)})" if why else "") for name, why in reasons.items()
    ]
    locked = next((name for name, why in reasons.items() if "HTTP 401" in why or "HTTP 403" in why), None)
    hint = "try a single request with: test; every request's error: results export"
    if locked is not None:
        hint = f"check its key: --api-key-env {locked}=VARIABLE names the variable that holds it"
    return NoServiceError("; ".join(said), hint=hint)


def silent_services(outcome: "RunOutcome") -> list[str]:
    """Return the services that answered not a single measured request, inside a steady window or outside."""
    from inference_bench.results.tables import outcome_counts  # noqa: PLC0415 - keeps --help fast

    good = {name: 0 for test in outcome.summary.tests for name in test.services}
    for (_, service), counts in outcome_counts(outcome.folder).items():
        good[service] = good.get(service, 0) + counts[True]
    return [name for name, count in good.items() if not count]
