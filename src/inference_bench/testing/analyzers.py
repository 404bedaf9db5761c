"""From records to measurements: a run folder's tables become its summary, with a verdict on each service's validity.

Everything is read from the folder (tables, manifest), so that a run that was cut short is summed up by the same code
that sums up a whole one.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inference_bench.config.promise_models import PerRequestSlo
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.columns import RequestColumns
from inference_bench.metrics.sanity import Answers, answers_of
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import Manifest, PlannedTest, ServiceFacts
from inference_bench.results.slo import slo_of
from inference_bench.results.summarise import summarise_service, with_sanity, worst
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity, write_summary
from inference_bench.results.summary_csv import write_summary_csv
from inference_bench.results.tables import load_chunks, load_requests, load_worker_samples
from inference_bench.testing.validity import Facts, judge

Bounds = Sequence[tuple[int, int]]
EDGE_NS = 10_000_000  # the send lag from which a run is invalid by that sign alone
_NOT_MEASURED = Validity(
    verdict="invalid", reasons=("no request was sent in a steady window: was all of it ramp, or cut short?",)
)


def write_summaries(folder: RunFolder) -> None:
    """Sum the run up and write summary.json and summary.csv. Raises RunFolderError when its tables are damaged."""
    summary = summarise_run(folder)
    write_summary(folder, summary)
    write_summary_csv(folder, summary)


def summarise_run(folder: RunFolder) -> Summary:
    """Return the summary of everything the run's tables hold. Raises RunFolderError when they are damaged."""
    manifest = folder.read_manifest()
    samples = load_worker_samples(folder)
    tests = tuple(_summarise_test(folder, manifest, test, samples) for test in manifest.plan)
    simulated = manifest.simulated or any(service.simulated for test in tests for service in test.services.values())
    return Summary(test_id=folder.test_id, simulated=simulated, tests=tests)


def _summarise_test(folder: RunFolder, manifest: Manifest, test: PlannedTest, samples: pa.Table) -> TestSummary:
    found = {facts.name: _summarise_service(folder, manifest, test, facts, samples) for facts in manifest.services}
    answers = {name: of_service for name, (_, of_service) in found.items()}
    services = with_sanity({name: service for name, (service, _) in found.items()}, answers)
    windows = [service.window_s for service in services.values()]
    return TestSummary(
        name=test.name,
        kind=test.kind,
        load=test.load,
        rounds=manifest.rounds_of(test),
        window_s=min(windows) if windows else None,
        services=services,
        validity=worst({name: service.validity for name, service in services.items()}),
    )


def _summarise_service(
    folder: RunFolder, manifest: Manifest, test: PlannedTest, facts: ServiceFacts, samples: pa.Table
) -> tuple[ServiceSummary, Answers]:
    requests = load_requests(folder, test=test.name, service=facts.name)
    bounds = manifest.window_bounds(test.name, facts.name)
    calculator = MetricsCalculator(
        requests, load_chunks(folder, requests), windows=bounds, slo=limits_of(manifest.config, test.name)
    )
    summary = summarise_service(
        calculator,
        engine=facts.engine,
        simulated=facts.simulated or bool(np.any(requests.column("simulated").to_numpy(zero_copy_only=False))),
        validity=_validity(calculator, requests, test, bounds, samples) if bounds else _NOT_MEASURED,
        price=price_of(manifest.config, facts.name),
    )
    return summary, answers_of(requests, bounds)


def limits_of(config: Mapping[str, object], test: str) -> PerRequestSlo | None:
    """Return the limits per request that the configuration sets for a test (its own, else the run's); None of none."""
    slo = slo_of(config, test)
    return slo.per_request if slo is not None and slo.has_request_limits else None


def price_of(config: Mapping[str, object], service: str) -> tuple[str, float] | None:
    """Return (currency, price per hour) of a service when the configuration gives one."""
    pricing = config.get("pricing")
    if not isinstance(pricing, Mapping) or not isinstance(pricing.get("per_hour"), Mapping):
        return None
    price = pricing["per_hour"].get(service)
    return (str(pricing["currency"]), float(price)) if price is not None else None


def _validity(
    calculator: MetricsCalculator, requests: pa.Table, test: PlannedTest, bounds: Bounds, samples: pa.Table
) -> Validity:
    lag = send_lags_ms(requests, bounds)
    ttft = calculator.values("ttft_ms")
    asked = test.load.duration_seconds
    workers = worker_facts(samples, bounds)
    judgement = judge(
        Facts(
            send_lag_p99_ms=float(np.percentile(lag, 99)) if lag.size else None,
            ttft_median_ms=float(np.median(ttft)) if ttft.size else None,
            rate_sent_over_asked=sent_over_asked(requests, bounds),
            merged_first_token_share=calculator.stamps().merged_share,
            worker_wait_share=workers.worker_wait_share,
            clock_step_ms=workers.clock_step_ms,
            window_over_asked=calculator.window_seconds / asked if asked else None,
            longest_stall_ms=workers.longest_stall_ms,
        )
    )
    return Validity(verdict=judgement.verdict, reasons=tuple(judgement.reasons))


def send_lags_ms(requests: pa.Table, bounds: Bounds) -> npt.NDArray[np.float64]:
    """Return how late every request intended in the windows was sent, whatever became of it; empty in a closed loop."""
    columns = RequestColumns(requests)
    intended, sent = columns.whole("intended_ns"), columns.whole("sent_ns")
    counted = intended.known & sent.known & ~columns.flag("warmup")
    inside = np.zeros(counted.shape, dtype=np.bool_)
    for start, end in bounds:
        inside |= (intended.value >= start) & (intended.value < end)
    chosen = counted & inside
    return (sent.value[chosen] - intended.value[chosen]) / 1e6


def sent_over_asked(requests: pa.Table, bounds: Bounds) -> float | None:
    """Return the share of the requests intended in the windows that were sent (or tried, where no connection came
    about: that is the server's doing) before their window closed. None in a closed loop.

    The window's edge forgives `EDGE_NS`: a last request that is sent a moment late is judged by its send lag.
    """
    columns = RequestColumns(requests)
    intended, sent, tried = (columns.whole(name) for name in ("intended_ns", "sent_ns", "connect_start_ns"))
    left = np.where(sent.known, sent.value, tried.value)
    left_known = sent.known | tried.known
    counted = intended.known & ~columns.flag("warmup")
    asked = in_time = 0
    for start, end in bounds:
        of_window = counted & (intended.value >= start) & (intended.value < end)
        asked += int(of_window.sum())
        in_time += int((of_window & left_known & (left < end + EDGE_NS)).sum())
    return in_time / asked if asked else None


def worker_facts(samples: pa.Table, bounds: Bounds) -> Facts:
    """Return what the workers' samples say of these windows: the worst worker's share of time it could not run, its
    longest stall, the largest clock step. A sample speaks for the time since the one before it; a worker whose
    samples do not reach to the end of a window has not told of it, and one that told of none is not judged.
    """
    shares: list[float] = []
    stalls: list[float] = []
    steps: list[float] = []
    for worker in np.unique(samples.column("worker").to_numpy()):
        rows = samples.filter(pa.compute.equal(samples.column("worker"), worker)).sort_by("at_ns")
        at = rows.column("at_ns").to_numpy()
        told = [(start, end) for start, end in bounds if at[0] <= start and at[-1] >= end]
        if not told:
            continue
        late = rows.column("late_ns").to_numpy()
        waited = rows.column("wait_ns")
        offsets = rows.column("wall_offset_ns").to_numpy()
        grown = 0.0
        for start, end in told:
            late_in = float(np.diff(np.interp([start, end], at, late))[0])
            known = waited.null_count == 0
            waited_in = float(np.diff(np.interp([start, end], at, waited.to_numpy()))[0]) if known else 0.0
            grown += max(late_in, waited_in)
            inside = (at > start) & (np.concatenate([at[:1], at[:-1]]) < end)
            stalls.extend(rows.column("longest_stall_ns").to_numpy()[inside] / 1e6)
            steps.extend(np.abs(np.diff(offsets, prepend=offsets[:1]))[inside] / 1e6)
        shares.append(grown / sum(end - start for start, end in told))
    return Facts(
        worker_wait_share=max(shares, default=None),
        longest_stall_ms=float(max(stalls)) if stalls else None,
        clock_step_ms=float(max(steps)) if steps else None,
    )
