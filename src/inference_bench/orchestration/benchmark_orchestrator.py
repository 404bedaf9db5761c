"""The main story: a planned run is measured, kept, summed up.

plan -> run folder -> workers -> every test -> further blocks, where wanted -> tables -> summary, comparison, gates ->
documents. What was measured survives whatever happens: Ctrl-C, a worker that dies, an error of ours.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from inference_bench.api.clock import kernel_stamps_work
from inference_bench.config.loader import redacted_config
from inference_bench.errors import BenchError, UsageError
from inference_bench.orchestration.calibrating import calibrate
from inference_bench.orchestration.closing import end_run
from inference_bench.orchestration.find_capacity import FindCapacity
from inference_bench.orchestration.own_watch import own_processes_watched
from inference_bench.orchestration.resuming import Interrupted
from inference_bench.orchestration.resumption import begin_again
from inference_bench.orchestration.run_design import design_of, with_completed
from inference_bench.orchestration.run_plan import RunPlan, planned_test
from inference_bench.orchestration.server_watch import servers_watched
from inference_bench.orchestration.service_orchestrator import OpenServices, timeouts_of
from inference_bench.orchestration.until_decided import Measured, Until
from inference_bench.orchestration.work_digest import work_digests
from inference_bench.results.comparison import Comparison, read_comparison
from inference_bench.results.environment import describe_environment
from inference_bench.results.finalise import FinalStatus
from inference_bench.results.folder import RunFolder
from inference_bench.results.gate_expression import GateExpression
from inference_bench.results.gates import Gates, read_gates
from inference_bench.results.liveness import boot_id, this_process
from inference_bench.results.manifest import ClockAnchor, Manifest, StampSource
from inference_bench.results.manifest import Window as KeptWindow
from inference_bench.results.summary import Summary, read_summary
from inference_bench.testing.context import Ran, RunContext, Watcher, Window
from inference_bench.testing.frames import Tally
from inference_bench.testing.load_runner import run_load
from inference_bench.testing.plan import LoadPlan, TtftPlan
from inference_bench.testing.pool import WorkerPool
from inference_bench.testing.rendering import Renderer
from inference_bench.testing.ttft_runner import run_ttft

Counts = Mapping[tuple[str, str], Tally]


@dataclass(frozen=True, slots=True)
class RunInput:
    """A plan with what makes this run this run. `nonce` starts every prompt's unique prefix.

    With `until_decided` the run goes on after its plan, for `budget_seconds` at most (None: as configured). `resumed`
    is the run that goes on, where one was interrupted: the plan is what is left of it.
    """

    plan: RunPlan
    opened: OpenServices
    nonce: str
    output_directory: Path
    name: str
    until_decided: bool = False
    budget_seconds: float | None = None
    fail_if: tuple[GateExpression, ...] = ()
    calibrate: bool = False
    resumed: Interrupted | None = None

    @property
    def budget(self) -> float:
        """How long the run may go on after its plan, in seconds."""
        given = self.budget_seconds
        return self.plan.settings.comparison.budget if given is None else given


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of a run. `failure` is set when a process of ours died, or the services could not be compared; what
    was measured is kept then too. `warnings` say which documents could not be made, and how to make them.
    """

    folder: RunFolder
    summary: Summary
    interrupted: bool
    failure: BenchError | None = None
    comparison: Comparison | None = None
    gates: Gates | None = None
    documents: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()


async def run_benchmark(
    given: RunInput,
    *,
    watcher: Watcher,
    on_counts: Callable[[Counts], None],
    stop: asyncio.Event,
    on_folder: Callable[[Path], None] = lambda _: None,
    tell: Callable[[str], None] = lambda _: None,
) -> RunOutcome:
    """Measure the plan and return where the results are.

    `on_folder` is told the run folder before anything is measured; `tell` gets a line about each look of a run that
    goes on until it is decided. Raises RunFolderError, WorkerDiedError, UsageError.
    """
    if given.until_decided and len(given.plan.services) < 2:
        raise UsageError("a run goes on until it is decided only between services, and there is one")
    stamps = kernel_stamps_work()
    folder = _run_folder(given, "kernel" if stamps else "read")
    on_folder(folder.path)
    interrupted = False
    failure: BenchError | None = None
    try:
        interrupted = await _measure(
            given, folder, watcher=watcher, on_counts=on_counts, stop=stop, tell=tell, stamps=stamps
        )
    except BenchError as error:
        failure = error
    status: FinalStatus = "failed" if failure is not None else "partial" if interrupted else "complete"
    if failure is not None and not folder.journal.is_dir():
        folder.update(lambda manifest: manifest.model_copy(update={"status": "failed"}))
        raise failure
    # In a thread, so that a second Ctrl-C is heard while a long run is being written out.
    save = given.plan.settings.output.save_raw_data
    ended = await asyncio.to_thread(end_run, folder, status=status, save_raw_data=save, fail_if=given.fail_if)
    summary = read_summary(folder)
    assert summary is not None
    return RunOutcome(
        folder,
        summary,
        interrupted,
        failure or ended.failure,
        comparison=None if ended.failure is not None else read_comparison(folder),
        gates=read_gates(folder),
        documents=ended.documents.paths,
        warnings=ended.documents.warnings,
    )


async def _measure(
    given: RunInput,
    folder: RunFolder,
    *,
    watcher: Watcher,
    on_counts: Callable[[Counts], None],
    stop: asyncio.Event,
    tell: Callable[[str], None],
    stamps: bool,
) -> bool:
    """Run every test, and go on until it is decided where that is wanted; return whether the run was interrupted.
    Raises WorkerDiedError.
    """
    plan = given.plan
    settings = plan.settings
    if given.calibrate:
        await calibrate(plan, folder, stop=stop, tell=tell, stamps=stamps)
    first_seq, shift_ns = _part_of(folder)
    pool = WorkerPool(
        [service.target for service in plan.services],
        timeouts_of(settings.services),
        count=plan.workers,
        journal=folder.journal,
        stamps=stamps,
        keep_text=settings.output.save_responses,
        on_counts=on_counts,
    )
    endpoints = [service.endpoint for service in plan.services]
    async with pool, servers_watched(endpoints, folder) as watch, own_processes_watched(pool, folder) as own:
        context = RunContext(
            pool=pool,
            services=plan.services,
            renderer=Renderer(plan.services, nonce=given.nonce, seed=settings.benchmark.seed, first_seq=first_seq),
            watcher=own.watching(watch.watching(watcher)),
            record_window=partial(_keep_window, folder, shift_ns),
            stop=stop,
        )
        measured: dict[str, Measured] = {}
        for test in plan.tests:
            if stop.is_set():
                return True
            ran, measured[test.name] = await _run_test(context, plan, test)
            folder.update(partial(with_completed, test=test.name, completed=ran.completed))
            if ran.interrupted:
                return True
        if plan.searches:
            return await FindCapacity(context, plan, folder, tell).run()
        if given.until_decided:
            return await Until(context, plan, folder, given.budget, tell).run(measured)
    return False


async def _run_test(context: RunContext, plan: RunPlan, test: TtftPlan | LoadPlan) -> tuple[Ran, Measured]:
    began = time.monotonic()
    measured = Measured(test)
    shape = plan.shapes[test.name]
    if isinstance(test, TtftPlan):
        ran, planned = await run_ttft(context, test, shape), test.blocks
    else:
        ran, planned = await run_load(context, test, shape), test.rounds
    measured.add(ran, time.monotonic() - began, began=planned)
    return ran, measured


def _run_folder(given: RunInput, stamp_source: StampSource) -> RunFolder:
    """Return the folder of the run, its manifest written: a new one, or that of the run that goes on."""
    if given.resumed is None:
        return _create_folder(given, stamp_source)
    if given.resumed.manifest.stamp_source != stamp_source:
        raise UsageError("the times of arrivals would not be taken as they were", hint="begin a new run")
    begin_again(given.resumed, given.plan, calibrate=given.calibrate)
    return given.resumed.folder


def _part_of(folder: RunFolder) -> tuple[int, int]:
    """Return the first request number of this part of the run, and what its clock is shifted by, in ns."""
    resumed = folder.read_manifest().resumed
    return (resumed[-1].first_seq, resumed[-1].shifted_ns) if resumed else (0, 0)


def _create_folder(given: RunInput, stamp_source: StampSource) -> RunFolder:
    """Make the run folder and write the manifest of a run that has just begun."""
    settings = given.plan.settings
    created = datetime.now(UTC)
    clock = ClockAnchor(wall_ns=time.time_ns(), monotonic_ns=time.monotonic_ns(), boot_id=boot_id())
    work = work_digests(given.plan.shapes)  # before there is a folder: a file of prompts may be gone
    folder = RunFolder.create(given.output_directory, given.name, created)
    manifest = Manifest(
        test_id=folder.test_id,
        name=given.name,
        created=created,
        clock=clock,
        stamp_source=stamp_source,
        status="running",
        simulated=given.opened.simulated,
        seed=settings.benchmark.seed,
        nonce=given.nonce,
        config=redacted_config(settings),  # type: ignore[arg-type]  # plain JSON values, by its contract
        environment=describe_environment(Path.cwd()),
        services=given.plan.facts,
        plan=tuple(planned_test(test) for test in given.plan.tests),
        design=design_of(given.plan, given.nonce, budget_seconds=given.budget if given.until_decided else None),
        process=this_process(),
        searches=tuple(test.name for test in given.plan.searches),
        calibrate=given.calibrate,
        work=work,
        resumed=(),
        notes=(*given.opened.notes, *given.plan.notes),
    )
    folder.write_manifest(manifest)
    return folder


def _keep_window(folder: RunFolder, shift_ns: int, test: str, service: str, window: Window) -> None:
    """Write a finished turn's window into the manifest at once: a run that dies later still has it."""
    if window.end_ns <= window.start_ns:
        return
    kept = KeptWindow(
        round=window.round_no,
        start_ns=window.start_ns + shift_ns,
        end_ns=window.end_ns + shift_ns,
        cut=window.cut,
        requests=window.requests,
    )

    def add(manifest: Manifest) -> Manifest:
        of_test = dict(manifest.windows.get(test, {}))
        of_test[service] = (*of_test.get(service, ()), kept)
        return manifest.model_copy(update={"windows": {**manifest.windows, test: of_test}})

    folder.update(add)
