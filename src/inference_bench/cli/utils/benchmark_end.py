"""How a benchmark ends: its figures, its comparison, its gates on the screen or as JSON, and the exit code."""

from pathlib import Path
from typing import TYPE_CHECKING

from inference_bench.cli.utils.benchmark_options import BenchmarkOptions
from inference_bench.cli.utils.console_utils import (
    clean,
    display,
    err,
    foreign,
    note,
    out,
    print_json,
    table,
    warn,
)
from inference_bench.errors import (
    BenchError,
    GateFailedError,
    InterruptedRunError,
    InvalidRunError,
    NoServiceError,
)

if TYPE_CHECKING:
    from rich.console import Console

    from inference_bench.orchestration.benchmark_orchestrator import RunOutcome
    from inference_bench.results.gates import Gates

REPORT = "executive_report.html"


def show_outcome(outcome: "RunOutcome", options: BenchmarkOptions) -> None:
    """Write what was asked for, print the run, and raise what the exit code must say."""
    # The file first: whatever becomes of the showing (a closed pipe, say), CI has its answer.
    unwritten = _write_junit(outcome, options.junit) if options.junit is not None else None
    if options.as_json:
        print_json(outcome_json(outcome))
    else:
        _print(outcome)
    if outcome.gates is not None and outcome.gates.failed:
        print_failed_gates(err() if options.as_json else out(), outcome.gates)
    for text in outcome.warnings:
        warn(clean(text, limit=500))
    note(f"Run folder: {outcome.folder.path}")
    if outcome.failure is not None and (way := _way_on(outcome)) is not None:
        note(f"The run can {way}")
    report = next((path for path in outcome.documents if path.name == REPORT), None)
    if report is not None:
        note(f"Report: {report}")
    if options.junit is not None and unwritten is None:
        note(f"JUnit: {options.junit}")
    error = verdict(outcome, strict=options.strict)
    if error is not None and unwritten is not None:
        warn(unwritten.message)
    worst = error or unwritten
    if worst is not None:
        raise worst


def outcome_json(outcome: "RunOutcome") -> dict[str, object]:
    """Return the run as plain data: the keys of summary.json, and beside them `comparison` and `gates` (or null)."""
    comparison, gates = outcome.comparison, outcome.gates
    return {
        **outcome.summary.model_dump(mode="json"),
        "comparison": None if comparison is None else comparison.model_dump(mode="json"),
        "gates": None if gates is None else gates.model_dump(mode="json"),
    }


def verdict(outcome: "RunOutcome", *, strict: bool) -> BenchError | None:
    """Return what the exit code must say; of several the contract's order: 130, what failed in us, then 3, 5, 4."""
    if outcome.interrupted:
        return InterruptedRunError("interrupted; what was measured until then is saved", hint=_way_on(outcome))
    if outcome.failure is not None:
        return outcome.failure
    silent = silent_services(outcome)
    if silent:
        return _silence(outcome, silent)
    # A search for capacity tries again what was disturbed, and leaves it out of its answer.
    tests = [test for test in outcome.summary.tests if not test.probe]
    invalid = [test.name for test in tests if test.validity.verdict == "invalid"]
    if strict and invalid:
        return InvalidRunError(
            f"the run is invalid: {', '.join(invalid)}", hint="the reasons stand above the test's figures"
        )
    return _tripped(outcome.gates) if outcome.gates is not None and outcome.gates.failed else None


def _way_on(outcome: "RunOutcome") -> str | None:
    """Return how an interrupted run goes on; None for one that cannot."""
    from inference_bench.orchestrator import resume_command  # noqa: PLC0415 - keeps --help fast

    command = resume_command(outcome.folder)
    return None if command is None else f"go on with: {command}"


def _tripped(gates: "Gates") -> GateFailedError:
    from inference_bench.results.gates import cause_text  # noqa: PLC0415 - keeps --help fast

    first = cause_text(gates.failed[0].causes[0])
    more = "; see the table" if len(gates.failed) > 1 else ""
    count = f"{len(gates.failed)} of {len(gates.results)} gates failed"
    return GateFailedError(f"{count}: {clean(first)}{more}", hint="gates.json in the run folder holds all of them")


def print_failed_gates(console: "Console", gates: "Gates") -> None:
    """Print what tripped: a row per condition that holds in a gate that failed, then why values are missing."""
    from inference_bench.results.gate_expression import number_text  # noqa: PLC0415 - keeps --help fast
    from inference_bench.results.gates import cause_text  # noqa: PLC0415
    from inference_bench.results.summary_view import MISSING  # noqa: PLC0415

    title = "Gates that failed" + (" (SIMULATED)" if gates.simulated else "")
    made = table("Gate", "Test", "Service", "Value", "Trips when", right=("Value",), title=title)
    missing: dict[str, None] = {}
    for result in gates.failed:
        what = f"{'must hold' if result.source == 'slo' else 'fails if'}: {result.expression}"
        for position, cause in enumerate(result.causes):
            value = MISSING if cause.value is None else f"{cause.value:,.6g}"
            trips = f"{cause.op} {number_text(cause.limit)}"
            cells = (what if position == 0 else "", cause.test, cause.service, value, trips)
            made.add_row(*(foreign(cell, limit=2_000) for cell in cells))
            if cause.value is None:
                missing[cause_text(cause)] = None
    console.print(made)
    for line in missing:
        console.print(clean(line), markup=False, soft_wrap=True)


def silent_services(outcome: "RunOutcome") -> list[str]:
    """Return the services that answered not a single measured request, inside a steady window or outside."""
    from inference_bench.results.tables import outcome_counts  # noqa: PLC0415 - keeps --help fast

    good = {name: 0 for test in outcome.summary.tests for name in test.services}
    for (_, service), counts in outcome_counts(outcome.folder).items():
        good[service] = good.get(service, 0) + counts[True]
    return [name for name, count in good.items() if not count]


def _print(outcome: "RunOutcome") -> None:
    from inference_bench.cli.utils.comparison_view import print_comparison  # noqa: PLC0415 - keeps --help fast
    from inference_bench.cli.utils.results_view import print_run  # noqa: PLC0415
    from inference_bench.results.folder import Run  # noqa: PLC0415

    print_run(Run(outcome.folder, outcome.folder.read_manifest()))
    if outcome.comparison is not None:
        print_comparison(outcome.comparison, exploratory=display.verbose)


def _write_junit(outcome: "RunOutcome", path: Path) -> BenchError | None:
    """Write the JUnit file; a failure is an error of its own, for the file was asked for and the run is saved."""
    from inference_bench.results.junit import write_junit  # noqa: PLC0415 - keeps --help fast

    try:
        write_junit(path, outcome.folder)
    except OSError as error:
        return BenchError(f"cannot write {path}: {error.strerror}", hint="the run itself is saved")
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
