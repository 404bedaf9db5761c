"""`benchmark --resume`: an interrupted run goes on: which one, what may be said with it, what is left."""

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from click import get_current_context
from click.core import ParameterSource

from inference_bench.cli.utils.benchmark_flow import confirm, measure, say_services
from inference_bench.cli.utils.benchmark_options import BenchmarkOptions
from inference_bench.cli.utils.console_utils import clean, display, err, note, out, print_json
from inference_bench.cli.utils.run_choice import found_run, runs_directory
from inference_bench.cli.utils.service_options import ServiceOptions
from inference_bench.errors import InterruptedRunError, UsageError

if TYPE_CHECKING:
    from inference_bench.orchestration.benchmark_orchestrator import RunOutcome
    from inference_bench.orchestration.resumed_search import SearchLeft
    from inference_bench.orchestration.resuming import Interrupted
    from inference_bench.orchestration.run_plan import RunPlan
    from inference_bench.orchestration.service_orchestrator import OpenServices
    from inference_bench.results.folder import RunFolder
    from inference_bench.results.gate_expression import GateExpression

LAST = "last"
_GO_WITH_IT = frozenset(
    {
        "resume", "yes", "dry_run", "as_json", "junit", "strict", "fail_if", "output_dir", "max_requests",
        "api_key_env", "calibrate",
    }
)  # fmt: skip


def check_given() -> None:
    """Refuse options of the command at hand that would change what was planned long ago. Raises UsageError."""
    ctx = get_current_context()
    said = [
        parameter.opts[0]
        for parameter in ctx.command.params
        if parameter.name is not None
        and parameter.name not in _GO_WITH_IT
        and ctx.get_parameter_source(parameter.name) is ParameterSource.COMMANDLINE
    ]
    if said:
        raise UsageError(
            f"{', '.join(said)} cannot be said with --resume: the run goes on as it was planned",
            hint="leave it out, or begin a new run with it",
        )


def resumed_run(options: BenchmarkOptions) -> "Interrupted":
    """Return the run that is to go on; unless this is a dry run, what a killed one left is turned into tables first.

    Raises UsageError and RunFolderError for a run that is not there or cannot go on.
    """
    from inference_bench.orchestrator import interrupted_run  # noqa: PLC0415 - keeps --help fast

    assert options.resume is not None
    if options.resume == LAST:
        folder = _last(runs_directory(options.output_dir))
    else:
        folder = found_run(options.output_dir, options.resume).folder
    return interrupted_run(folder, rescue=not options.dry_run)


async def resume_flow(
    services: ServiceOptions,
    run: "Interrupted",
    options: BenchmarkOptions,
    gates: Sequence["GateExpression"],
    stop: asyncio.Event,
) -> "RunOutcome | None":
    """Open the run's services again, see what is left, confirm, measure; None for a dry run."""
    from inference_bench.cli.utils.run_display import print_plan  # noqa: PLC0415 - keeps --help fast
    from inference_bench.orchestrator import (  # noqa: PLC0415
        RunInput,
        in_their_order,
        left_of,
        make_run_plan,
        open_services,
    )

    _check_gates(gates, run)
    keys = {name or "*": variable for name, variable in services.api_key_envs}
    note(f"Configuration: that of {run.folder.test_id}")
    async with open_services(run.loaded(keys), environ=os.environ, only=run.services) as found:
        opened = in_their_order(found, run)
        say_services(opened)
        # In a thread, as for a new run: Ctrl-C must be heard while a workload is made.
        plan = left_of(
            await asyncio.to_thread(make_run_plan, opened, run.settings, run.selection, workers=run.workers), run
        )
        calibrate = _calibrates(run, plan, options)
        if options.dry_run:
            _show_dry_run(run, plan, opened, options)
            return None
        for line in _kept_lines(run, plan):
            note(line)
        if not display.quiet and (plan.tests or not run.searches_over):
            print_plan(err(), plan, simulated=opened.simulated)
        await confirm(plan, options, stop)
        if stop.is_set():
            raise InterruptedRunError("interrupted before anything was measured")
        if options.junit is not None:
            options.junit.unlink(missing_ok=True)  # what an earlier part left must not pass for this one's
        given = RunInput(
            plan=plan,
            opened=opened,
            nonce=run.manifest.nonce,
            output_directory=run.folder.path.parent,
            name=run.manifest.name,
            fail_if=tuple(gates),
            calibrate=calibrate,
            resumed=run,
        )
        return await measure(given, stop)


def _last(directory: Path) -> "RunFolder":
    """Return the newest run of a directory that can go on. Raises UsageError when there is none."""
    from inference_bench.orchestrator import resume_command  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.folder import list_runs  # noqa: PLC0415

    for run in list_runs(directory).runs:
        if resume_command(run.folder) is not None:
            return run.folder
    raise UsageError(f"no run in {directory} was interrupted and can go on", hint="`results` lists what there is")


def _check_gates(gates: Sequence["GateExpression"], run: "Interrupted") -> None:
    """Refuse gates on services or tests that the run does not have. Raises UsageError."""
    from inference_bench.results.gates import check_services, check_tests  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.slo import slo_of  # noqa: PLC0415

    tests = {test.name: slo_of(run.manifest.config, test.name) for test, _ in run.planned}
    if gates and run.searches and not tests:
        raise UsageError(
            "--fail-if has no test to judge: the loads that a search tries fail nothing",
            hint="gate the load that was found in a run of its own",
        )
    check_services(gates, run.services)
    check_tests(gates, tests)


def _kept_lines(run: "Interrupted", plan: "RunPlan") -> list[str]:
    """Say what a run holds, what of it is whole, and what is measured anew."""
    lines = [f"{run.folder.test_id} holds {run.progress.requests:,} requests; whole: {_whole(run)}"]
    for test, first in run.cut.items():
        lines.append(
            f"Note: {clean(test)} goes on with its {run.unit(test)} {first + 1}; what was cut is measured anew"
        )
    lines += [_search_line(left) for left in run.searches]
    if run.was_to_go_on:
        lines.append("Note: the run ends with its plan: going on until it is decided cannot be resumed")
    if not plan.tests and run.searches_over:
        lines.append("All tests are whole: only the closing of the run is left")
    return lines


def _search_line(left: "SearchLeft") -> str:
    """Say how far a search had come, and what it goes on with."""
    from inference_bench.results.capacity_rows import load_text  # noqa: PLC0415 - keeps --help fast

    name = clean(left.test.name)
    upcoming = left.state.next_probe()
    if upcoming is None:
        return f"Note: the search of {name} is whole, with {left.made}"
    one, load = upcoming
    what = load_text(load, one.unit)
    return f"Note: the search of {name} goes on after {left.made}, with {clean(one.name)} at {what}"


def _calibrates(run: "Interrupted", plan: "RunPlan", options: BenchmarkOptions) -> bool:
    """Return whether the machine is calibrated before the run goes on, for the tests that are left; say so.

    Raises UsageError where that was asked for with --resume, and no load test is left.
    """
    from inference_bench.testing.calibration import calibrated_tests  # noqa: PLC0415 - keeps --help fast

    if not options.calibrate and not run.manifest.calibrate:
        return False
    names = [clean(test.name) for test in calibrated_tests(plan.tests)]
    if options.calibrate and not names:
        raise UsageError("--calibrate needs a load test, and none is left to measure", hint="leave it out")
    kept = [clean(name) for name in run.manifest.trust.calibration if name not in {test.name for test in plan.tests}]
    stays = f"; what was found for {', '.join(kept)} stays" if kept else ""
    if names:
        note(f"Calibration: before the run goes on, for {', '.join(names)}{stays}")
    return bool(names)


def _whole(run: "Interrupted") -> str:
    done = [
        f"{clean(test.name)} {run.progress.completed[test.name]} of {planned} {run.unit(test.name)}s"
        for test, planned in run.planned
    ]
    done += [f"{clean(left.test.name)} {left.made}" for left in run.searches]
    return "; ".join(done) or "nothing"


def _show_dry_run(run: "Interrupted", plan: "RunPlan", opened: "OpenServices", options: BenchmarkOptions) -> None:
    """Print what is left on stdout: it is what a dry run is for."""
    from inference_bench.cli.utils.run_display import plan_json, print_plan  # noqa: PLC0415 - keeps --help fast

    if options.as_json:
        document = plan_json(plan, simulated=opened.simulated)
        document["resumes"] = {
            "test_id": run.folder.test_id,
            "requests_held": run.progress.requests,
            "completed": {test.name: run.progress.completed[test.name] for test, _ in run.planned},
            "probes": {left.test.name: left.probes for left in run.searches},
        }
        print_json(document)
        return
    for line in _kept_lines(run, plan):
        out().print(line, markup=False, soft_wrap=True)
    if plan.tests or not run.searches_over:
        print_plan(out(), plan, simulated=opened.simulated)
