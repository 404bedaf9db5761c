"""Before the tests: the same load against a null server of this machine, to say what the machine itself adds.

The null server is a process of its own that answers at a fixed pace and stamps every write on the same clock. It is no
service: what is measured of it goes to a temporary run folder, is read by the very code that reads a run, and only
what it says of this machine is kept.
"""

import asyncio
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pyarrow.parquet as pq

from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import Endpoint
from inference_bench.api.targets import resolve
from inference_bench.orchestration.run_plan import RunPlan, planned_test
from inference_bench.results.finalise import REQUESTS, finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import Manifest, ServiceFacts
from inference_bench.results.manifest import Window as KeptWindow
from inference_bench.results.summary import Summary
from inference_bench.results.tables import load_worker_samples
from inference_bench.results.trust import CalibrationFacts, RunTrust
from inference_bench.results.trust_view import calibration_words
from inference_bench.testing.analyzers import summarise_run
from inference_bench.testing.calibration import (
    GAP_MS,
    TTFT_MS,
    WriteStamps,
    calibrated_tests,
    calibration_plan,
    calibration_shape,
    error_figures,
    judged,
    load_words,
    mark_errors,
)
from inference_bench.testing.context import RunContext, Window
from inference_bench.testing.load_runner import run_load
from inference_bench.testing.plan import LoadPlan
from inference_bench.testing.pool import WorkerPool
from inference_bench.testing.rendering import Renderer, ServiceUnderTest, TestShape
from inference_bench.testing.signs import workers_view
from inference_bench.workloads.prefix import new_nonce

NULL_SERVER: Final = "null-server"
_CONTEXT: Final = 4_000_000  # tokens: no prompt is too long for a server that reads none
_TIMEOUTS: Final = Timeouts(connect_seconds=10.0, idle_seconds=30.0, total_seconds=60.0)


class _Nobody:
    """A watcher that is told and does nothing: a calibration is no test of the run."""

    def test_began(self, test: str, kind: str, turns: int) -> None:
        pass

    def turn_began(self, test: str, service: str | None, round_no: int, seconds: float | None, requests: int) -> None:
        pass

    def turn_ended(self, test: str) -> None:
        pass


async def calibrate(
    plan: RunPlan, folder: RunFolder, *, stop: asyncio.Event, tell: Callable[[str], None], stamps: bool
) -> None:
    """Calibrate for every load test of a plan, and keep what was found in the run's manifest, test by test.

    Ends early when `stop` is set; a calibration that was cut short is not kept. Raises WorkerDiedError, BenchError
    when the null server does not start.
    """
    for test in calibrated_tests(plan.tests):
        if stop.is_set():
            return
        tell(f"calibrating for {test.name} ({load_words(test)}) against a null server on this machine")
        found = await _calibrate_one(plan, test, folder.read_manifest(), stop=stop, stamps=stamps)
        if found is None:
            tell(f"{test.name}: its calibration was cut short and is not kept; --resume makes it anew")
            return
        tell(calibration_words(found))

        def add(manifest: Manifest, found: CalibrationFacts = found) -> Manifest:
            known = {**manifest.trust.calibration, found.test: found}
            trust = manifest.trust.model_copy(update={"calibration": known})
            return manifest.model_copy(update={"trust": trust, "notes": (*manifest.notes, *_note(manifest, found))})

        folder.update(add)


def _note(manifest: Manifest, found: CalibrationFacts) -> tuple[str, ...]:
    """Return what people must know of a calibration that was made in the middle of a run."""
    if not manifest.resumed:
        return ()
    text = (
        f"{found.test} was calibrated ({found.load}) when the run was resumed at {manifest.resumed[-1].at:%H:%M:%S} UTC"
    )
    if found.test in manifest.trust.calibration:
        text += "; this takes the place of its calibration before"
    return (text,)


async def _calibrate_one(
    plan: RunPlan, test: LoadPlan, manifest: Manifest, *, stop: asyncio.Event, stamps: bool
) -> CalibrationFacts | None:
    """Measure a null server with one test's load; None when it was interrupted."""
    from inference_bench.simulator.launcher import SimulatorProcess  # noqa: PLC0415 - only calibrated runs load it

    began = time.monotonic()
    short = calibration_plan(test, plan.settings.benchmark.seed)
    shape = calibration_shape(test, plan.shapes[test.name])
    with tempfile.TemporaryDirectory(prefix="vllm-benchmark-") as name:
        truth = Path(name) / "truth.jsonl"
        serve = f"vllm,name={NULL_SERVER},ttft-ms={TTFT_MS:g},itl-ms={GAP_MS:g},context={_CONTEXT}"
        # Started and stopped on this thread, as every simulator is: a cancelled story leaves no process.
        with SimulatorProcess([serve], truth_log=truth) as simulator:
            url = simulator.urls[NULL_SERVER]
            scratch = _scratch_folder(Path(name), manifest, short, url)
            interrupted = await _ask(plan, short, shape, scratch, url=url, stop=stop, stamps=stamps)
        if interrupted:
            return None
        return await asyncio.to_thread(_evaluate, scratch, truth, test, began)


def _scratch_folder(place: Path, manifest: Manifest, short: LoadPlan, url: str) -> RunFolder:
    """Make the temporary run of a calibration: one service, one test."""
    scratch = RunFolder.create(place, "calibration", datetime.now(UTC))
    facts = ServiceFacts(name=NULL_SERVER, engine="vllm", dialect="vllm", url=url, simulated=True)
    changes: dict[str, object] = {
        "test_id": scratch.test_id,
        "services": (facts,),
        "plan": (planned_test(short),),
        "windows": {},
        "design": None,
        "resumed": (),
        "config": {},
        "trust": RunTrust(),
        "files": {},
    }
    scratch.write_manifest(manifest.model_copy(update=changes))
    return scratch


async def _ask(
    plan: RunPlan,
    short: LoadPlan,
    shape: TestShape,
    scratch: RunFolder,
    *,
    url: str,
    stop: asyncio.Event,
    stamps: bool,
) -> bool:
    """Send the load with as many workers as the run has; return whether it was interrupted."""
    endpoint = Endpoint(name=NULL_SERVER, dialect="vllm", url=url, model="simulated-model")
    services = [ServiceUnderTest.of(endpoint, resolve(endpoint))]

    def keep(test: str, service: str, window: Window) -> None:
        kept = KeptWindow(round=window.round_no, start_ns=window.start_ns, end_ns=window.end_ns)
        scratch.update(lambda manifest: manifest.model_copy(update={"windows": {test: {service: (kept,)}}}))

    pool = WorkerPool(
        [service.target for service in services],
        _TIMEOUTS,
        count=plan.workers,
        journal=scratch.journal,
        stamps=stamps,
        keep_text=False,
    )
    async with pool:
        context = RunContext(
            pool=pool,
            services=services,
            renderer=Renderer(services, nonce=new_nonce(), seed=plan.settings.benchmark.seed),
            watcher=_Nobody(),
            record_window=keep,
            stop=stop,
        )
        return (await run_load(context, short, shape)).interrupted


def _evaluate(scratch: RunFolder, truth: Path, test: LoadPlan, began: float) -> CalibrationFacts:
    """Read a finished calibration as a run is read, and hold its marks against the null server's stamps."""
    summaries: list[Summary] = []
    finalise(
        scratch, status="complete", save_raw_data=True, summarise=lambda ended: summaries.append(summarise_run(ended))
    )
    service = summaries[0].tests[0].services[NULL_SERVER]
    requests = pq.read_table(scratch.file(REQUESTS))
    ttft, tpot, late = mark_errors(requests, _write_stamps(truth))
    error = error_figures(ttft)
    verdict, reasons = judged(service.validity.verdict, service.validity.reasons, error)
    lag = next((sign.value for sign in service.validity.signs if sign.sign == "send_lag"), None)
    bounds = scratch.read_manifest().window_bounds(test.name, NULL_SERVER)
    return CalibrationFacts(
        test=test.name,
        load=load_words(test),
        seconds=time.monotonic() - began,
        requests=service.requests.sent,
        failed=service.requests.failed,
        ttft_error_ms=error,
        tpot_error_ms=error_figures(tpot),
        server_late_ms=error_figures(late),
        send_lag_p99_ms=lag,
        worker_cpu_share=workers_view(load_worker_samples(scratch), bounds).cpu_share,
        verdict=verdict,
        reasons=reasons,
    )


def _write_stamps(truth: Path) -> dict[str, WriteStamps]:
    """Return the null server's own stamps by request id."""
    from inference_bench.simulator.truth import read_truth  # noqa: PLC0415 - only calibrated runs load it

    return {
        record.request_id: WriteStamps(record.written_ns[: record.text_tokens], record.lateness_ns)
        for record in read_truth(truth)
    }
