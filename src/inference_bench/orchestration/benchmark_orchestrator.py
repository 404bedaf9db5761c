"""The main story: a planned run is measured, kept, summed up.

plan -> run folder -> workers -> every test -> tables -> summary. What was measured survives whatever happens: Ctrl-C,
a worker that dies, an error of ours.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from inference_bench.api.clock import kernel_stamps_work
from inference_bench.config.loader import redacted_config
from inference_bench.discovery.services import FoundService
from inference_bench.errors import BenchError
from inference_bench.orchestration.run_plan import RunPlan, planned_test
from inference_bench.orchestration.service_orchestrator import OpenServices, timeouts_of
from inference_bench.results.environment import describe_environment
from inference_bench.results.finalise import FinalStatus, finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.liveness import this_process
from inference_bench.results.manifest import ClockAnchor, Manifest, ServiceFacts, StampSource
from inference_bench.results.manifest import Window as KeptWindow
from inference_bench.results.summary import Summary, read_summary
from inference_bench.testing.analyzers import write_summaries
from inference_bench.testing.context import RunContext, Watcher, Window
from inference_bench.testing.frames import Tally
from inference_bench.testing.load_runner import run_load
from inference_bench.testing.plan import TtftPlan
from inference_bench.testing.pool import WorkerPool
from inference_bench.testing.rendering import Renderer
from inference_bench.testing.ttft_runner import run_ttft

Counts = Mapping[tuple[str, str], Tally]


@dataclass(frozen=True, slots=True)
class RunInput:
    """A plan with what makes this run this run. `nonce` starts every prompt's unique prefix."""

    plan: RunPlan
    opened: OpenServices
    nonce: str
    output_directory: Path
    name: str


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """What became of a run. `failure` is set when a process of ours died; what was measured is kept then too."""

    folder: RunFolder
    summary: Summary
    interrupted: bool
    failure: BenchError | None = None


async def run_benchmark(
    given: RunInput, *, watcher: Watcher, on_counts: Callable[[Counts], None], stop: asyncio.Event
) -> RunOutcome:
    """Measure the plan and return where the results are. Raises RunFolderError, WorkerDiedError."""
    stamps = kernel_stamps_work()
    folder = _create_folder(given, "kernel" if stamps else "read")
    interrupted = False
    failure: BenchError | None = None
    try:
        interrupted = await _measure(given, folder, watcher, on_counts, stop, stamps=stamps)
    except BenchError as error:
        failure = error
    status: FinalStatus = "failed" if failure is not None else "partial" if interrupted else "complete"
    if failure is not None and not folder.journal.is_dir():
        folder.update(lambda manifest: manifest.model_copy(update={"status": "failed"}))
        raise failure
    # In a thread, so that a second Ctrl-C is heard while a long run is being written out.
    save = given.plan.settings.output.save_raw_data
    await asyncio.to_thread(finalise, folder, status=status, save_raw_data=save, summarise=write_summaries)
    summary = read_summary(folder)
    assert summary is not None
    return RunOutcome(folder, summary, interrupted, failure)


async def _measure(
    given: RunInput,
    folder: RunFolder,
    watcher: Watcher,
    on_counts: Callable[[Counts], None],
    stop: asyncio.Event,
    *,
    stamps: bool,
) -> bool:
    """Run every test; return whether the run was interrupted. Raises WorkerDiedError."""
    plan = given.plan
    settings = plan.settings
    pool = WorkerPool(
        [service.target for service in plan.services],
        timeouts_of(settings.services),
        count=plan.workers,
        journal=folder.journal,
        stamps=stamps,
        keep_text=settings.output.save_responses,
        on_counts=on_counts,
    )
    async with pool:
        context = RunContext(
            pool=pool,
            services=plan.services,
            renderer=Renderer(plan.services, nonce=given.nonce, seed=settings.benchmark.seed),
            watcher=watcher,
            record_window=lambda test, service, window: _keep_window(folder, test, service, window),
            stop=stop,
        )
        for test in plan.tests:
            if stop.is_set():
                return True
            shape = plan.shapes[test.name]
            if isinstance(test, TtftPlan):
                interrupted = await run_ttft(context, test, shape)
            else:
                interrupted = await run_load(context, test, shape)
            if interrupted:
                return True
    return False


def _create_folder(given: RunInput, stamp_source: StampSource) -> RunFolder:
    """Make the run folder and write the manifest of a run that has just begun."""
    settings = given.plan.settings
    created = datetime.now(UTC)
    clock = ClockAnchor(wall_ns=time.time_ns(), monotonic_ns=time.monotonic_ns())
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
        services=tuple(
            _facts(found, service.target.sockaddr, service.client.engine)
            for found, service in zip(given.opened.services, given.plan.services, strict=True)
        ),
        plan=tuple(planned_test(test) for test in given.plan.tests),
        process=this_process(),
        notes=(*given.opened.notes, *given.plan.notes),
    )
    folder.write_manifest(manifest)
    return folder


def _facts(found: FoundService, sockaddr: tuple[str | int, ...], engine: str) -> ServiceFacts:
    """Return what is known of a service: only what it said, or how it was reached."""
    identity = found.identity
    host, port = str(sockaddr[0]), sockaddr[1]
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    said: dict[str, object] = {}
    if identity is not None:
        model = identity.facts_of(found.model)
        if model is not None:
            said = {key: getattr(model, key) for key in ("context_length", "quantisation", "dtype", "parameter_size")}
        said |= {"slots": identity.slots, "max_concurrent_requests": identity.max_concurrent_requests}
        said = {key: value for key, value in said.items() if value is not None}
        said["evidence"] = list(identity.evidence)
    return ServiceFacts(
        name=found.name,
        engine=engine,
        dialect=found.dialect,
        product=None if identity is None else identity.product,
        version=None if identity is None else identity.version,
        model=found.model,
        url=found.url,
        addresses=(address,),
        simulated=found.simulated,
        said=said,  # type: ignore[arg-type]  # plain JSON values
    )


def _keep_window(folder: RunFolder, test: str, service: str, window: Window) -> None:
    """Write a finished turn's window into the manifest at once: a run that dies later still has it."""
    if window.end_ns <= window.start_ns:
        return
    kept = KeptWindow(round=window.round_no, start_ns=window.start_ns, end_ns=window.end_ns)

    def add(manifest: Manifest) -> Manifest:
        of_test = dict(manifest.windows.get(test, {}))
        of_test[service] = (*of_test.get(service, ()), kept)
        return manifest.model_copy(update={"windows": {**manifest.windows, test: of_test}})

    folder.update(add)
