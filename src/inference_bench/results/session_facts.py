"""From the records of multi-turn sessions to what the summary says of them."""

from inference_bench.metrics.columns import Records
from inference_bench.metrics.sessions import session_figures
from inference_bench.metrics.windows import Windows
from inference_bench.results.summary import ServiceSummary
from inference_bench.results.summary_parts import SessionFacts, TurnFacts


def with_sessions(
    summary: ServiceSummary, requests: Records, windows: Windows, *, think_seconds: float
) -> ServiceSummary:
    """Return the summary with what the service's sessions show, turn by turn; as it is when it had none."""
    found = session_figures(requests, windows, think_seconds=think_seconds)
    if found is None:
        return summary
    return summary.model_copy(
        update={
            "sessions": SessionFacts(
                begun=found.begun,
                ended_early=found.ended_early,
                turnarounds=found.turnarounds,
                turnaround_p50_ms=found.turnaround_p50_ms,
                turnaround_p99_ms=found.turnaround_p99_ms,
            ),
            "turns": tuple(TurnFacts.model_validate(turn, from_attributes=True) for turn in found.turns),
        }
    )
