"""A test's summary as rows of text: the same rows for the terminal, Markdown and whoever draws a table. No markup here.

A missing value is shown as a dash, with the n it would need where that is the reason.
"""

from collections.abc import Callable
from functools import partial
from typing import Final

from inference_bench.results.summary import ServiceSummary, TestSummary
from inference_bench.results.trust_view import closest_sign, drain_text, phases_text

MISSING: Final = "–"

_STATISTICS: Final = (
    ("TTFT p50, ms", "ttft_ms", "p50"),
    ("TTFT p95, ms", "ttft_ms", "p95"),
    ("TTFT p99, ms", "ttft_ms", "p99"),
    ("TTFT from intended p95, ms", "ttft_intended_ms", "p95"),
    ("TPOT p50, ms", "tpot_ms", "p50"),
    ("Chunk gap p50, ms", "icl_ms", "p50"),
    ("Chunk gap p99, ms", "icl_ms", "p99"),
    ("E2E p50, ms", "e2e_ms", "p50"),
    ("E2E p95, ms", "e2e_ms", "p95"),
    ("Output tokens p50", "output_tokens", "p50"),
)

_TURNS_SHOWN: Final = 5  # of a session; summary.json has them all


def number(value: float | None) -> str:
    """Return a figure with about three digits that mean something; a dash when it is missing."""
    if value is None:
        return MISSING
    size = abs(value)
    decimals = 0 if size >= 1000 or value == int(value) else 1 if size >= 100 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def percent(share: float | None) -> str:
    """Return a share as per cent; 100 % only when it is all of them."""
    if share is None:
        return MISSING
    shown = f"{100 * share:.1f}"
    return f"{'>99.9' if shown == '100.0' and share < 1 else shown} %"


def statistic(service: ServiceSummary, metric: str, name: str) -> str:
    """Return one statistic of a metric as text."""
    found = service.metrics.get(metric)
    if found is None or found.n == 0:
        return MISSING
    value: float | None = getattr(found, name)
    if value is None and name in found.needed_n:
        return f"{MISSING} (n {found.n} of {found.needed_n[name]})"
    return number(value)


def rows(test: TestSummary) -> list[tuple[str, list[str]]]:
    """Return (label, one cell per service in the summary's order) for every figure that any service has."""
    services = list(test.services.values())
    made: list[tuple[str, list[str]]] = []

    def add(label: str, cell: Callable[[ServiceSummary], str]) -> None:
        cells = [cell(service) for service in services]
        if any(text != MISSING for text in cells):
            made.append((label, cells))

    add("Engine", lambda service: service.engine)
    add("Requests good / sent", lambda service: f"{service.requests.ok} / {service.requests.sent}")
    add("Failed", _errors)
    add("Success rate", lambda service: percent(service.requests.success_rate))
    add("Sound answers", _sound)
    for label, metric, name in _STATISTICS:
        add(label, lambda service, metric=metric, name=name: statistic(service, metric, name))  # type: ignore[misc]
    for label, target, metric, name in (
        ("TTFT p50", test.load.target_ms, "ttft_ms", "p50"),
        ("E2E p95", test.load.target_p95_ms, "e2e_ms", "p95"),
    ):
        if target is not None:
            judge = partial(_met, metric=metric, name=name, target=target)
            add(f"Target {label} <= {number(target)} ms", judge)
    if test.kind == "load":
        add("Requests/s", lambda service: number(service.throughput.requests_per_s))
        add("Output tokens/s", lambda service: number(service.throughput.output_tokens_per_s))
        add("In flight mean / max", _in_flight)
        add("Warm-up / ramp / steady", lambda service: phases_text(service.phases) if service.phases else MISSING)
        add("Drain, s (in flight)", _drain)
    for place in range(min(_TURNS_SHOWN, max((len(service.turns) for service in services), default=0))):
        add(f"Turn {place + 1} TTFT p50, ms", partial(_turn_ttft, place=place))
    add("Turnaround p50 / p99, ms", _turnaround)
    add("Goodput, requests/s", lambda service: number(service.goodput.requests_per_s if service.goodput else None))
    add("Goodput attainment", lambda service: percent(service.goodput.attainment if service.goodput else None))
    add("Cost per 1M output tokens", _cost)
    add("Nearest limit", lambda service: closest_sign(service) or MISSING)
    add("Validity", lambda service: service.validity.verdict)
    return made


def sanity_warnings(test: TestSummary) -> list[str]:
    """Return a sentence for each service whose answers do not look sound: its figures are no merit."""
    return [
        f"{name}: {service.sanity.reason}; its figures say how fast it answers, not that it answers well"
        for name, service in test.services.items()
        if service.sanity is not None and service.sanity.flagged
    ]


def _sound(service: ServiceSummary) -> str:
    if service.sanity is None:
        return MISSING
    return f"{percent(service.sanity.sound_rate)}{' (!)' if service.sanity.flagged else ''}"


def _turn_ttft(service: ServiceSummary, *, place: int) -> str:
    """Return a turn's TTFT with the length of its prompt, which grows with the conversation."""
    found = next((turn for turn in service.turns if turn.turn == place), None)
    if found is None or found.ttft_ms is None:
        return MISSING
    length = "" if found.prompt_tokens is None else f" ({number(found.prompt_tokens)} tokens)"
    return f"{number(found.ttft_ms)}{length}"


def _turnaround(service: ServiceSummary) -> str:
    """Return what this client took between an answer and the next turn, beyond the think time."""
    found = service.sessions
    if found is None or found.turnaround_p50_ms is None:
        return MISSING
    return f"{number(found.turnaround_p50_ms)} / {number(found.turnaround_p99_ms)}"


def _met(service: ServiceSummary, *, metric: str, name: str, target: float) -> str:
    found = service.metrics.get(metric)
    value: float | None = None if found is None else getattr(found, name)
    return MISSING if value is None else "met" if value <= target else "missed"


def _errors(service: ServiceSummary) -> str:
    named = [f"{name} {count}" for name, count in service.requests.errors.items()]
    if service.requests.interrupted:
        named.append(f"interrupted {service.requests.interrupted}")
    return ", ".join(named) or MISSING


def _drain(service: ServiceSummary) -> str:
    return (drain_text(service.phases) if service.phases else None) or MISSING


def _in_flight(service: ServiceSummary) -> str:
    rates = service.throughput
    if rates.concurrency_mean is None:
        return MISSING
    return f"{number(rates.concurrency_mean)} / {rates.concurrency_max}"


def _cost(service: ServiceSummary) -> str:
    if service.cost is None or service.cost.per_million_output_tokens is None:
        return MISSING
    return f"{number(service.cost.per_million_output_tokens)} {service.cost.currency}"
