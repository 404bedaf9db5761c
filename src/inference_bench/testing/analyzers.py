"""From records to measurements: a run folder's tables become its summary, with a verdict on each service's validity.

Everything is read from the folder (tables, manifest), so that a run that was cut short is summed up by the same code
that sums up a whole one.
"""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from inference_bench.config.promise_models import PerRequestSlo
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.metrics.columns import RequestColumns
from inference_bench.metrics.sanity import Answers, answers_of
from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import Manifest, PlannedTest, ServiceFacts
from inference_bench.results.server_reconcile import server_facts_of
from inference_bench.results.server_series import ServerSeries, load_server_samples
from inference_bench.results.session_facts import with_sessions
from inference_bench.results.slo import slo_of
from inference_bench.results.summarise import summarise_service, with_sanity, worst
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity, write_summary
from inference_bench.results.summary_csv import write_summary_csv
from inference_bench.results.tables import load_chunks, load_requests, load_worker_samples
from inference_bench.testing.evidence import Evidence, omission_of, phases_facts, validity_of

_NOT_MEASURED = Validity(
    verdict="invalid", reasons=("no request was sent in a steady window: was all of it ramp, or cut short?",)
)


class _Samples(NamedTuple):
    """What was sampled over a whole run: the workers of themselves, and each server of itself."""

    workers: pa.Table
    servers: Mapping[str, ServerSeries]


def write_summaries(folder: RunFolder) -> None:
    """Sum the run up and write summary.json and summary.csv. Raises RunFolderError when its tables are damaged."""
    summary = summarise_run(folder)
    write_summary(folder, summary)
    write_summary_csv(folder, summary)


def summarise_run(folder: RunFolder) -> Summary:
    """Return the summary of everything the run's tables hold. Raises RunFolderError when they are damaged."""
    manifest = folder.read_manifest()
    servers = load_server_samples(folder)
    series = {facts.name: ServerSeries(servers, facts.name) for facts in manifest.services}
    samples = _Samples(load_worker_samples(folder), series)
    tests = tuple(_summarise_test(folder, manifest, test, samples) for test in manifest.plan)
    simulated = manifest.simulated or any(service.simulated for test in tests for service in test.services.values())
    return Summary(test_id=folder.test_id, simulated=simulated, tests=tests, capacity=manifest.capacity)


def _summarise_test(folder: RunFolder, manifest: Manifest, test: PlannedTest, samples: _Samples) -> TestSummary:
    asked = [facts for facts in manifest.services if test.services is None or facts.name in test.services]
    found = {facts.name: _summarise_service(folder, manifest, test, facts, samples) for facts in asked}
    answers = {name: of_service for name, (_, of_service) in found.items()}
    services = with_sanity({name: service for name, (service, _) in found.items()}, answers)
    windows = [service.window_s for service in services.values()]
    return TestSummary(
        name=test.name,
        kind=test.kind,
        load=test.load,
        sweep=test.sweep,
        probe=test.probe,
        rounds=manifest.rounds_of(test),
        window_s=min(windows) if windows else None,
        services=services,
        validity=worst({name: service.validity for name, service in services.items()}),
        calibration=manifest.trust.calibration.get(test.name),
        watch=manifest.trust.watch.get(test.name),
    )


def _summarise_service(
    folder: RunFolder, manifest: Manifest, test: PlannedTest, facts: ServiceFacts, samples: _Samples
) -> tuple[ServiceSummary, Answers]:
    requests = load_requests(folder, test=test.name, service=facts.name)
    bounds = manifest.window_bounds(test.name, facts.name)
    chunks = load_chunks(folder, requests)
    calculator = MetricsCalculator(requests, chunks, windows=bounds, slo=limits_of(manifest.config, test.name))
    evidence = Evidence(manifest, test, facts.name, requests, samples.workers)
    # First what needs no chunks: the calculator holds them from the first figure on that is made of them.
    answers = answers_of(requests, bounds)
    phases = phases_facts(evidence)
    server = server_facts_of(
        requests,
        samples.servers[facts.name],
        test=test.name,
        windows=bounds,
        kernel_stamps=manifest.stamp_source == "kernel",
    )
    summary = summarise_service(
        calculator,
        engine=facts.engine,
        simulated=facts.simulated or bool(RequestColumns(requests).flag("simulated").any()),
        validity=validity_of(evidence, calculator) if bounds else _NOT_MEASURED,
        price=price_of(manifest.config, facts.name),
    )
    summary = with_sessions(summary, requests, bounds, think_seconds=test.load.think_time_seconds or 0.0)
    omission = omission_of(evidence, calculator, chunks) if bounds else None
    notes = () if omission is None else (omission.text,)
    told = {"phases": phases, "omission": omission, "server": server, "notes": notes}
    return summary.model_copy(update=told), answers


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
