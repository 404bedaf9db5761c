"""Multi-turn sessions in a test's table of figures: each turn by itself, and the client's turnaround."""

from collections.abc import Sequence

from inference_bench.reporting.view import Cell, Row
from inference_bench.results.summary import ServiceSummary
from inference_bench.results.summary_view import MISSING, number

TURNS_SHOWN = 10  # of a session; summary.json has them all


def session_rows(services: Sequence[ServiceSummary]) -> list[Row]:
    """Return the rows about sessions, under a head of their own; none where no service had any."""
    turns = sorted({turn.turn for service in services for turn in service.turns})[:TURNS_SHOWN]
    if not any(service.sessions is not None for service in services):
        return []
    return [
        Row("Turns of a session"),
        Row("Sessions begun", tuple(_begun(service) for service in services)),
        *(Row(f"Turn {turn + 1}: TTFT p50, ms", tuple(_turn(service, turn) for service in services)) for turn in turns),
        Row("Turnaround of this client p50, ms", tuple(_turnaround(service) for service in services)),
    ]


def _begun(service: ServiceSummary) -> Cell:
    found = service.sessions
    if found is None:
        return Cell(MISSING, "no sessions", "muted")
    early = f"{found.ended_early:,} ended early by a failed turn" if found.ended_early else ""
    return Cell(f"{found.begun:,}", early, "warn" if found.ended_early else "plain")


def _turn(service: ServiceSummary, place: int) -> Cell:
    found = next((turn for turn in service.turns if turn.turn == place), None)
    if found is None or found.ttft_ms is None:
        return Cell(MISSING, "no good answer", "muted")
    said = [f"n {found.n:,}"]
    if found.prompt_tokens is not None:
        said.insert(0, f"prompt {number(found.prompt_tokens)} tokens")
    if found.cached_tokens is not None:
        said.insert(1, f"{number(found.cached_tokens)} cached")
    return Cell(number(found.ttft_ms), " · ".join(said))


def _turnaround(service: ServiceSummary) -> Cell:
    found = service.sessions
    if found is None or found.turnaround_p50_ms is None:
        return Cell(MISSING, "no turn followed another", "muted")
    high = "" if found.turnaround_p99_ms is None else f"p99 {number(found.turnaround_p99_ms)} ms · "
    return Cell(number(found.turnaround_p50_ms), f"{high}n {found.turnarounds:,}")
