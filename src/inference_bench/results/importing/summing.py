"""The summary of an imported run: our formulas on the marks of its requests, or the figures that the tool gave."""

from inference_bench.errors import ConfigError
from inference_bench.metrics.calculator import MetricsCalculator
from inference_bench.results.folder import RunFolder
from inference_bench.results.importing.definitions import TITLES
from inference_bench.results.importing.introducing import Imported
from inference_bench.results.importing.reported import reported_service
from inference_bench.results.manifest import Manifest
from inference_bench.results.summarise import summarise_service, worst
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary, Validity, write_summary
from inference_bench.results.summary_csv import write_summary_csv
from inference_bench.results.tables import load_chunks, load_requests


def summarise_import(folder: RunFolder, imported: Imported) -> None:
    """Write summary.json and summary.csv of a run whose tables are written.

    Raises:
        ConfigError: a test has neither requests nor a length.
    """
    manifest = folder.read_manifest()
    tests = []
    for planned in manifest.plan:
        one = _service(folder, manifest, planned.name, imported)
        tests.append(
            TestSummary(
                name=planned.name,
                kind=planned.kind,
                load=planned.load,
                rounds=1,
                window_s=one.window_s,
                sweep=planned.sweep,
                services={imported.service: one},
                validity=worst({imported.service: one.validity}),
            )
        )
    summary = Summary(test_id=folder.test_id, simulated=manifest.simulated, tests=tuple(tests))
    write_summary(folder, summary)
    write_summary_csv(folder, summary)


def _service(folder: RunFolder, manifest: Manifest, name: str, imported: Imported) -> ServiceSummary:
    engine, simulated, test = imported.engine, manifest.simulated, imported.tests[name]
    unwatched = Validity(
        verdict="suspect",
        reasons=(
            f"imported from {TITLES[imported.foreign.tool]}: nobody watched that client, so how late it was "
            "(send lag, merged reads, waiting for a core) is not known",
        ),
    )
    bounds = manifest.window_bounds(name, imported.service)
    if not bounds:
        if test.seconds is None:
            raise ConfigError(f"{imported.foreign.path}: {name} has neither requests with marks nor a duration")
        return reported_service(test, test.seconds, engine=engine, simulated=simulated, validity=unwatched)
    requests = load_requests(folder, test=name, service=imported.service)
    calculator = MetricsCalculator(requests, load_chunks(folder, requests), windows=bounds)
    return summarise_service(calculator, engine=engine, simulated=simulated, validity=unwatched)
