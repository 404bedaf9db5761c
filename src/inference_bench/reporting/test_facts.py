"""A test as tables: what was asked, the figures with n and intervals, errors, promises and targets."""

from collections.abc import Callable, Mapping, Sequence

from inference_bench.reporting.drawing import bar_group
from inference_bench.reporting.labels import FIGURES, label
from inference_bench.reporting.pair_table import pair_table
from inference_bench.reporting.sanity import sanity_table
from inference_bench.reporting.session_rows import session_rows
from inference_bench.reporting.text import clean, count, slug
from inference_bench.reporting.view import BarGroup, Cell, Head, Row, Table, TestView
from inference_bench.results.comparison import Comparison
from inference_bench.results.gates import GateResult, Gates, cause_text
from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.summary_view import MISSING, number, percent
from inference_bench.results.values import missing_reason, value_of

Numbers = Mapping[str, int]


def test_view(
    position: int, test: TestSummary, comparison: Comparison | None, gates: Gates | None, numbers: Numbers
) -> TestView:
    """Return one test; `position` is its place in the run."""
    silent = [
        f"{name} answered not one of its {count(found.requests.sent, 'request')} with success: it has no latencies."
        for name, found in test.services.items()
        if found.requests.ok == 0
    ]
    own = () if gates is None else tuple(result for result in gates.results if result.test == test.name)
    return TestView(
        name=test.name,
        anchor=f"test-{position}-{slug(test.name)}",
        kind=_kind(test),
        load=load_words(test),
        validity=test.validity.verdict,
        reasons=tuple(clean(reason) for reason in test.validity.reasons),
        silent=tuple(silent),
        bars=bars_of(test, numbers),
        figures=_figures(test, numbers),
        comparison=None if comparison is None else pair_table(comparison, test.name),
        errors=_errors(test, numbers),
        sanity=sanity_table(test, numbers),
        promises=_promises(test, own),
        remarks=tuple(_remarks(test)),
    )


def _kind(test: TestSummary) -> str:
    if test.probe:
        return "Load of the search for capacity"
    if test.sweep is not None:
        return "Load of a sweep"
    return "TTFT test" if test.kind == "ttft" else "Load test"


def load_words(test: TestSummary) -> str:
    """Return what a test asked for, in words."""
    load, said = test.load, []
    several = len(test.services) > 1
    if load.concurrent_users is not None:
        said.append(f"{count(load.concurrent_users, 'user')}, each waiting for its answer")
    if load.think_time_seconds:
        said.append(f"thinking {number(load.think_time_seconds)} s in between")
    if load.rate is not None:
        what = "sessions begun" if any(service.sessions for service in test.services.values()) else "requests"
        said.append(f"{number(load.rate)} {what}/s, {load.arrivals or 'open'} arrivals")
    if load.iterations is not None:
        said.append(f"{count(load.iterations, 'request')} to each service, one at a time")
        said += ["services interleaved"] if several else []
    if load.duration_seconds is not None:
        said.append(f"{number(load.duration_seconds)} s steady for each service")
    if load.requests is not None:
        said.append(f"{count(load.requests, 'request')} to each service")
    if test.kind == "load":
        said.append(count(test.rounds, "round"))
    if load.max_tokens is not None:
        said.append(f"at most {count(load.max_tokens, 'output token')} each")
    if load.warmup_requests:
        said.append(f"{count(load.warmup_requests, 'warm-up request')} uncounted")
    return ", ".join(said)


def bars_of(test: TestSummary, numbers: Numbers) -> tuple[BarGroup, ...]:
    """Return the few values of a test that say most."""
    asked: Sequence[tuple[str, float | None]] = (
        [("ttft_ms.p50", test.load.target_ms), ("ttft_ms.p95", None)]
        if test.kind == "ttft"
        else [
            ("ttft_ms.p50", test.load.target_ms),
            ("ttft_ms.p95", None),
            ("e2e_ms.p95", test.load.target_p95_ms),
            ("tpot_ms.p50", None),
            ("output_tokens_per_s", None),
        ]
    )
    found = [bar_group(test, name, numbers, target) for name, target in asked]
    return tuple(group for group in found if group is not None)


def service_heads(test: TestSummary, numbers: Numbers) -> tuple[Head, ...]:
    """Return a column's head for each service."""
    return tuple(Head(name, numbers.get(name)) for name in test.services)


def _figures(test: TestSummary, numbers: Numbers) -> Table:
    services = list(test.services.values())
    rows = [
        Row("Requests"),
        _row("Good / sent", services, lambda one: Cell(f"{one.requests.ok:,} / {one.requests.sent:,}")),
        _row("Success rate", services, _success),
    ]
    for group, metrics in FIGURES:
        made = [
            Row(label(metric, statistic, services[0].metrics[metric].unit), _cells(services, metric, statistic))
            for metric, statistics in metrics
            if any(one.metrics.get(metric) is not None and one.metrics[metric].n for one in services)
            for statistic in statistics
        ]
        if group == "This client":
            made += _client_rows(services)
        rows += [Row(group), *made] if made else []
        if group == "Latency":
            rows += session_rows(services) + _throughput_rows(test, services)
    caption = f"Figures of {test.name}: a column for each service, 95 % confidence intervals and n below the values"
    return Table(caption, (Head("Figure"), *service_heads(test, numbers)), tuple(rows))


def _row(name: str, services: Sequence[ServiceSummary], cell: Callable[[ServiceSummary], Cell]) -> Row:
    return Row(name, tuple(cell(service) for service in services))


def _success(service: ServiceSummary) -> Cell:
    rate = service.requests.success_rate
    return Cell(percent(rate), tone="plain" if rate is None or rate >= 0.99 else "warn" if rate > 0 else "bad")


def _cells(services: Sequence[ServiceSummary], metric: str, statistic: str) -> tuple[Cell, ...]:
    return tuple(figure_cell(service, metric, statistic) for service in services)


def figure_cell(service: ServiceSummary, metric: str, statistic: str) -> Cell:
    """Return a figure with its interval and n; a missing one with why."""
    name = f"{metric}.{statistic}"
    value, found = value_of(service, name), service.metrics.get(metric)
    if value is None or found is None:
        return Cell(MISSING, clean(missing_reason(service, name), limit=80), "muted")
    bounds = getattr(found.ci, statistic, None) if found.ci is not None else None
    interval = f"{number(bounds[0])} – {number(bounds[1])}" if bounds is not None else "no CI"
    missing = f", {found.missing:,} missing" if found.missing else ""
    return Cell(number(value), f"{interval} · n {found.n:,}{missing}")


def _throughput_rows(test: TestSummary, services: Sequence[ServiceSummary]) -> list[Row]:
    rows = []
    if test.kind == "load":
        for words, name in (
            ("Requests/s", "requests_per_s"),
            ("Output tokens/s", "output_tokens_per_s"),
            ("Prompt and output tokens/s", "total_tokens_per_s"),
        ):
            rows.append(Row(words, tuple(_scalar(service, name) for service in services)))
        rows.append(Row("In flight, mean / max", tuple(_in_flight(service) for service in services)))
        if any(service.throughput.rate_asked is not None for service in services):
            rows.append(Row("Rate asked / sent, per s", tuple(_rates(service) for service in services)))
    if any(service.goodput is not None for service in services):
        rows.append(Row("Goodput, requests/s", tuple(_scalar(one, "goodput.requests_per_s") for one in services)))
        rows.append(Row("Goodput attainment", tuple(_attainment(service) for service in services)))
    return [Row("Throughput"), *rows] if rows else []


def _scalar(service: ServiceSummary, name: str) -> Cell:
    value = value_of(service, name)
    return Cell(MISSING, missing_reason(service, name), "muted") if value is None else Cell(number(value))


def _in_flight(service: ServiceSummary) -> Cell:
    rates = service.throughput
    if rates.concurrency_mean is None:
        return Cell(MISSING, tone="muted")
    return Cell(f"{number(rates.concurrency_mean)} / {number(rates.concurrency_max)}")


def _rates(service: ServiceSummary) -> Cell:
    rates = service.throughput
    return Cell(f"{number(rates.rate_asked)} / {number(rates.rate_sent)}")


def _attainment(service: ServiceSummary) -> Cell:
    good = service.goodput
    if good is None:
        return Cell(MISSING, tone="muted")
    return Cell(percent(good.attainment), f"{good.met:,} of {good.of:,}")


def _client_rows(services: Sequence[ServiceSummary]) -> list[Row]:
    rows = [Row("First tokens in merged reads", tuple(_merged(service) for service in services))]
    if any(one.cold_start is not None and one.cold_start.ttft_ms is not None for one in services):
        rows.append(Row("First request of all, TTFT, ms", tuple(_cold(service) for service in services)))
    return rows


def _merged(service: ServiceSummary) -> Cell:
    stamps = service.stamps
    return Cell(percent(stamps.merged_share), f"{stamps.first_tokens_merged:,} of {stamps.first_tokens:,}")


def _cold(service: ServiceSummary) -> Cell:
    cold = service.cold_start
    return Cell(number(None if cold is None else cold.ttft_ms), "warm-ups included")


def _errors(test: TestSummary, numbers: Numbers) -> Table | None:
    classes = list(dict.fromkeys(name for one in test.services.values() for name in one.requests.errors))
    rows = [
        Row(clean(name, limit=60), tuple(_counted(one.requests.errors.get(name, 0)) for one in test.services.values()))
        for name in classes
    ]
    if any(one.requests.interrupted for one in test.services.values()):
        rows.append(
            Row(
                "interrupted (no failure)",
                tuple(Cell(f"{one.requests.interrupted:,}") for one in test.services.values()),
            )
        )
    if not rows:
        return None
    caption = f"Failed requests of {test.name} by class; they enter no latency figure"
    return Table(caption, (Head("Class"), *service_heads(test, numbers)), tuple(rows))


def _counted(number_of: int) -> Cell:
    return Cell(f"{number_of:,}", tone="bad" if number_of else "muted")


def _promises(test: TestSummary, gates: Sequence[GateResult]) -> Table | None:
    """Targets are reported, promises (slo) and --fail-if gate; all stand in one table with what became of them."""
    rows = []
    for words, name, target in (
        ("TTFT p50", "ttft_ms.p50", test.load.target_ms),
        ("End to end p95", "e2e_ms.p95", test.load.target_p95_ms),
    ):
        if target is not None:
            for service, found in test.services.items():
                value = value_of(found, name)
                shown = (
                    Cell(MISSING, missing_reason(found, name), "muted")
                    if value is None
                    else Cell(f"{number(value)} ms")
                )
                rows.append(
                    Row(f"{service}: {words} at most {number(target)} ms", (_met(value, target), shown, Cell("target")))
                )
    rows += [gate_row(result) for result in gates]
    if not rows:
        return None
    heads = (Head("What was asked"), Head("Outcome"), Head("Value"), Head("Kind"))
    return Table(f"Targets, promises and gates of {test.name}", heads, tuple(rows), numeric=False)


def _met(value: float | None, target: float) -> Cell:
    if value is None:
        return Cell("unknown", tone="muted")
    return Cell("met", tone="good") if value <= target else Cell("missed", tone="warn")


def gate_row(result: GateResult) -> Row:
    """Return one gate: what was asked, what became of it, the values it was judged by, its kind."""
    alone = result.conditions[0].value if len(result.conditions) == 1 else None
    values = (
        number(alone)
        if alone is not None
        else "; ".join(
            f"{condition.name} {number(condition.value)}" if condition.value is not None else cause_text(condition)
            for condition in result.conditions[:6]
        )
    )
    kind = "slo" if result.source == "slo" else "--fail-if"
    outcome = Cell("failed", tone="bad") if result.failed else Cell("held", tone="good")
    return Row(clean(result.expression), (outcome, Cell(clean(values)), Cell(kind)))


def _remarks(test: TestSummary) -> Sequence[str]:
    found = []
    for name, service in test.services.items():
        unknown = service.throughput.tokens_unknown
        if unknown:
            found.append(f"{name} did not tell the tokens of {count(unknown, 'answer')}: rates of tokens are missing.")
    if test.window_s is not None:
        found.append(f"The steady window is {number(test.window_s)} s for each service (the shortest of them).")
    return found
