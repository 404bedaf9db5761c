"""summary.csv: summary.json flat, one row per test and service, for spreadsheets. An empty cell is a missing value."""

import csv
import io
from typing import Final

from inference_bench.metrics.definitions import METRICS
from inference_bench.metrics.distribution import LESS_IS_BETTER, MORE_IS_BETTER
from inference_bench.results.atomic import write_atomically
from inference_bench.results.folder import RunFolder
from inference_bench.results.summary import ServiceSummary, Summary, TestSummary

SUMMARY_CSV: Final = "summary.csv"

Cell = str | int | float | bool | None
_RATES: Final = (
    "requests_per_s",
    "output_tokens_per_s",
    "total_tokens_per_s",
    "rate_asked",
    "rate_sent",
    "concurrency_mean",
    "concurrency_max",
)
_CAPACITY: Final = ("capacity", "capacity_low", "capacity_high", "capacity_at_least", "capacity_unit")
_SANITY: Final = ("sound_rate", "garbled", "short", "empty", "truncated", "flagged", "reason")


def write_summary_csv(folder: RunFolder, summary: Summary) -> None:
    """Write summary.csv, whole or not at all."""
    write_atomically(folder.file(SUMMARY_CSV), summary_csv(summary).encode())


def summary_csv(summary: Summary) -> str:
    """Return the summary as CSV: a header, then a row per test and service; the columns are always the same."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns(), lineterminator="\n")
    writer.writeheader()
    for test in summary.tests:
        for name, service in test.services.items():
            writer.writerow(_row(summary, test, name, service))
    return text.getvalue()


def columns() -> list[str]:
    """Return the column names, in order; those of metrics are METRIC.STATISTIC."""
    fixed = [
        "test_id",
        "run_simulated",
        "simulated",
        "test",
        "kind",
        "service",
        "engine",
        "validity",
        "validity_reasons",
        "rounds",
    ]
    counts = ["window_s", "sent", "ok", "failed", "interrupted", "success_rate", "errors"]
    sanity = [f"sanity_{name}" for name in _SANITY]
    goodput = ["goodput_requests_per_s", "goodput_attainment"]
    statistics = [f"{metric}.{statistic}" for metric in METRICS for statistic in _statistics(metric)]
    return [*fixed, *counts, *_RATES, *goodput, "zero_gap_share", *statistics, *sanity, "sweep", "probe", *_CAPACITY]


def _capacity(summary: Summary, test: TestSummary, name: str) -> dict[str, Cell]:
    """Return a service's capacity, for the row of the load that was its answer."""
    facts = next((facts for facts in summary.capacity if facts.test == test.sweep), None)
    if facts is None or name not in facts.services:
        return {}
    found = facts.services[name]
    return dict(
        zip(_CAPACITY, (found.value, found.low, found.high, str(found.at_least).lower(), facts.unit), strict=True)
    )


def _statistics(metric: str) -> list[str]:
    percents = MORE_IS_BETTER if METRICS[metric].better == "more" else LESS_IS_BETTER
    return ["n", "missing", "mean", "std", "min", *(f"p{percent}" for percent in percents), "max"]


def _row(summary: Summary, test: TestSummary, name: str, service: ServiceSummary) -> dict[str, Cell]:
    requests = service.requests
    row: dict[str, Cell] = {
        "test_id": summary.test_id,
        "run_simulated": str(summary.simulated).lower(),
        "simulated": str(service.simulated).lower(),
        "test": test.name,
        "kind": test.kind,
        "service": name,
        "engine": service.engine,
        "validity": service.validity.verdict,
        "validity_reasons": "; ".join(service.validity.reasons),
        "rounds": test.rounds,
        "window_s": service.window_s,
        "sent": requests.sent,
        "ok": requests.ok,
        "failed": requests.failed,
        "interrupted": requests.interrupted,
        "success_rate": requests.success_rate,
        "errors": "; ".join(f"{error}={number}" for error, number in requests.errors.items()),
        "zero_gap_share": service.stamps.zero_gap_share,
        "sweep": test.sweep,
        "probe": str(test.probe).lower(),
        **(_capacity(summary, test, name) if test.probe else {}),
    }
    row |= {rate: getattr(service.throughput, rate) for rate in _RATES}
    if service.sanity is not None:
        facts = service.sanity.model_dump(include=set(_SANITY))
        row |= {f"sanity_{name}": value for name, value in facts.items()}
        row["sanity_flagged"] = str(service.sanity.flagged).lower()
    if service.goodput is not None:
        row["goodput_requests_per_s"] = service.goodput.requests_per_s
        row["goodput_attainment"] = service.goodput.attainment
    for metric, found in service.metrics.items():
        if metric in METRICS:
            row |= {f"{metric}.{statistic}": getattr(found, statistic) for statistic in _statistics(metric)}
    return row
