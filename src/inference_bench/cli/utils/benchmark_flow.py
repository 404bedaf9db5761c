"""The way through a benchmark as the terminal sees it: find, plan, ask, measure. Measuring itself is done elsewhere."""

import asyncio
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.cli.utils.benchmark_options import BenchmarkOptions
from inference_bench.cli.utils.console_utils import clean, display, err, note, out, print_json, progress, warn
from inference_bench.cli.utils.service_options import ServiceOptions
from inference_bench.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from inference_bench.config.loader import LoadedSettings
    from inference_bench.orchestration.benchmark_orchestrator import RunOutcome
    from inference_bench.orchestration.run_plan import RunPlan
    from inference_bench.orchestration.service_orchestrator import OpenServices
    from inference_bench.orchestrator import RunInput, Selection
    from inference_bench.results.gate_expression import GateExpression


async def run_flow(
    services: ServiceOptions,
    loaded: "LoadedSettings",
    options: BenchmarkOptions,
    gates: Sequence["GateExpression"],
    stop: asyncio.Event,
) -> "RunOutcome | None":
    """Find, plan, confirm, measure; None for a dry run. Raises what the exit codes tell."""
    from inference_bench.cli.utils.run_display import print_plan  # noqa: PLC0415 - keeps --help fast
    from inference_bench.orchestrator import (  # noqa: PLC0415
        RunInput,
        Selection,
        check_selection,
        make_run_plan,
        open_services,
    )
    from inference_bench.results.gates import check_services  # noqa: PLC0415
    from inference_bench.workloads.prefix import new_nonce  # noqa: PLC0415

    settings = loaded.settings
    selection = Selection(ttft=not options.load_only, load=not options.ttft_only, only=options.tests)
    selection = replace(selection, find_capacity=options.find_capacity)
    check_selection(settings, selection)
    _check_tests(loaded, selection, gates)
    workers = options.worker_count()
    opening = open_services(
        loaded, environ=os.environ, only=services.service_names, skip_unhealthy=services.skip_unhealthy
    )
    async with opening as opened:
        say_services(opened)
        names = [service.name for service in opened.services]
        check_services(gates, names)
        if options.until_decided and len(names) < 2:
            raise UsageError(f"--until-decided compares services, and there is only {names[0]}")
        # In a thread: a workload of exact lengths asks a service to count, and Ctrl-C must be heard meanwhile.
        plan = await asyncio.to_thread(make_run_plan, opened, settings, selection, workers=workers)
        if options.calibrate:
            _calibration_plan(plan)  # refused now where it has nothing to do
        if options.dry_run:
            _show_dry_run(plan, opened, options)
            return None
        if not display.quiet:
            print_plan(err(), plan, simulated=opened.simulated)
            _say_until_decided(plan, options)
        await confirm(plan, options, stop)
        if stop.is_set():
            raise InterruptedRunError("interrupted before anything was measured")
        if options.junit is not None:
            options.junit.unlink(missing_ok=True)  # what an earlier run left must not pass for this one's
        given = RunInput(
            plan=plan,
            opened=opened,
            nonce=options.nonce or new_nonce(),
            output_directory=Path(settings.output.directory),
            name=settings.benchmark.name,
            until_decided=options.until_decided,
            fail_if=tuple(gates),
            calibrate=options.calibrate,
        )
        return await measure(given, stop)


async def measure(given: "RunInput", stop: asyncio.Event) -> "RunOutcome":
    """Run the plan under a progress display, and name the folder that keeps it."""
    from inference_bench.cli.utils.run_display import RunDisplay  # noqa: PLC0415 - keeps --help fast
    from inference_bench.orchestrator import run_benchmark  # noqa: PLC0415
    from inference_bench.testing.plan import LoadPlan  # noqa: PLC0415

    made: list[Path] = []

    turns = sum(len(test.turns) if isinstance(test, LoadPlan) else 1 for test in given.plan.tests)
    try:
        with progress("starting", total=turns) as line:
            watcher = RunDisplay(line, turns)

            def on_folder(path: Path) -> None:
                made.append(path)
                line.say(f"Run folder: {path}")

            return await run_benchmark(
                given,
                watcher=watcher,
                on_counts=watcher.counts,
                stop=stop,
                on_folder=on_folder,
                tell=lambda text: line.say(clean(text, limit=500)),
            )
    except asyncio.CancelledError:
        # Ended at once, before the files were whole: what was measured is in the journal.
        if made:
            warn(f"stopped at once; `results recover {made[0].name}` saves what {made[0]} holds")
        raise


def _check_tests(loaded: "LoadedSettings", selection: "Selection", gates: Sequence["GateExpression"]) -> None:
    """Refuse gates on tests that will not run. Raises UsageError."""
    from inference_bench.results.gates import check_tests  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.slo import slo_of  # noqa: PLC0415
    from inference_bench.testing.sweeps import planned_names  # noqa: PLC0415

    if not gates:
        return
    config = loaded.settings.model_dump(mode="json")
    load = selection.load and not selection.find_capacity
    names = planned_names(loaded.settings, ttft=selection.ttft, load=load, only=selection.only)
    if selection.find_capacity and not names:
        raise UsageError(
            "--fail-if has no test to judge: the loads that --find-capacity tries fail nothing",
            hint="gate the load that was found in a run of its own",
        )
    check_tests(gates, {name: slo_of(config, name) for name in names})


def _show_dry_run(plan: "RunPlan", opened: "OpenServices", options: BenchmarkOptions) -> None:
    """Print the plan on stdout: it is what a dry run is for."""
    from inference_bench.cli.utils.run_display import plan_json, print_plan  # noqa: PLC0415 - keeps --help fast

    if not options.as_json:
        print_plan(out(), plan, simulated=opened.simulated)
        for line in (*_calibration_lines(plan, options), *_until_decided_lines(plan, options)):
            out().print(line, markup=False, soft_wrap=True)
        return
    document = plan_json(plan, simulated=opened.simulated)
    if options.calibrate:
        document["calibration"] = _calibration_plan(plan)
    if options.until_decided:
        document["until_decided"] = {
            "budget_seconds": plan.settings.comparison.budget,
            "further_requests_at_most": _further_requests(plan),
        }
    print_json(document)


def _say_until_decided(plan: "RunPlan", options: BenchmarkOptions) -> None:
    for line in (*_calibration_lines(plan, options), *_until_decided_lines(plan, options)):
        note(line)


def _calibration_plan(plan: "RunPlan") -> dict[str, object]:
    """Return the tests that will be calibrated for, and how long that takes. Raises UsageError when there are none."""
    from inference_bench.testing.calibration import calibrated_tests, calibration_seconds  # noqa: PLC0415

    tests = [test.name for test in calibrated_tests(plan.tests)]
    if not tests:
        raise UsageError("--calibrate needs a load test, and none will run", hint="leave it out")
    return {"tests": tests, "seconds": calibration_seconds(plan.tests)}


def _calibration_lines(plan: "RunPlan", options: BenchmarkOptions) -> list[str]:
    """Say what --calibrate will do before the plan, and how long it takes."""
    from inference_bench.cli.utils.run_display import counted, duration  # noqa: PLC0415 - keeps --help fast

    if not options.calibrate:
        return []
    found = _calibration_plan(plan)
    tests, seconds = found["tests"], found["seconds"]
    assert isinstance(tests, list)
    assert isinstance(seconds, float)
    return [
        f"Calibration: before the tests, the load of {counted(len(tests), 'load test')} goes to a null server of this "
        f"machine, ~{duration(seconds)}."
    ]


def _until_decided_lines(plan: "RunPlan", options: BenchmarkOptions) -> list[str]:
    """Say what --until-decided will do after the plan, and how much that may be."""
    from inference_bench.cli.utils.run_display import duration  # noqa: PLC0415 - keeps --help fast

    if not options.until_decided:
        return []
    comparison = plan.settings.comparison
    return [
        "Until decided: after the plan, further blocks follow until every primary metric is better or equivalent "
        f"(smallest effect {100 * comparison.min_effect:g} %), for at most {duration(comparison.budget)} "
        f"(comparison.budget), about {_further_requests(plan):,} requests."
    ]


def _further_requests(plan: "RunPlan") -> int:
    """Return how many requests fit into the budget, at the plan's pace."""
    return round(plan.requests * plan.settings.comparison.budget / plan.seconds) if plan.seconds else 0


def say_services(opened: "OpenServices") -> None:
    for service in opened.left_out:
        warn(f"{service.name} is left out: {service.health.status}: {clean(service.health.detail)}")
    for text in opened.notes:
        note(f"Note: {clean(text, limit=500)}")


async def confirm(plan: "RunPlan", options: BenchmarkOptions, stop: asyncio.Event) -> None:
    """Ask before large load, or load on other machines; refuse where nobody can be asked."""
    requests = plan.requests + (_further_requests(plan) if options.until_decided else 0)
    large = requests > options.max_requests
    if options.yes or (plan.loopback and not large):
        return
    if not sys.stdin.isatty():
        if large:
            raise UsageError(
                f"the plan sends about {requests:,} requests, more than --max-requests {options.max_requests:,}",
                hint="raise --max-requests or say --yes",
            )
        return
    where = "" if plan.loopback else " to services on other machines"
    from inference_bench.cli.utils.questions import confirmed  # noqa: PLC0415 - rarely asked

    if not await confirmed(f"Send about {requests:,} requests{where}?", stop):
        raise UsageError("nothing was sent")
