"""Can this run be trusted? The signs of metrics.md, each with its limits, judged on plain facts.

A sign is about the client and its machine, never about the server: it says whether the numbers are the server's.
The last sign is ours beyond that table: a share of a long window hides a single long stop of a worker (1 s in 60 s is
1.7 %), but every answer of that second was seen late, so the longest stop is judged by itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["valid", "suspect", "invalid"]
_ORDER: tuple[Level, ...] = ("valid", "suspect", "invalid")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one service in one test; None where a sign does not apply or was not told."""

    send_lag_p99_ms: float | None = None
    send_lag_median_ms: float | None = None  # instead, of too few requests to have that percentile
    ttft_median_ms: float | None = None
    rate_sent_over_asked: float | None = None
    merged_first_token_share: float | None = None
    worker_wait_share: float | None = None
    clock_step_ms: float | None = None
    window_over_asked: float | None = None
    longest_stall_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign that was over a limit."""

    sign: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """The worst level found and everything that led to it."""

    verdict: Level
    findings: tuple[Finding, ...]

    @property
    def reasons(self) -> list[str]:
        """The findings in words, the worst first."""
        ranked = sorted(self.findings, key=lambda finding: -_ORDER.index(finding.level))
        return [finding.text for finding in ranked]


def _over(value: float, suspect: float, invalid: float) -> Level:
    return "invalid" if value > invalid else "suspect" if value > suspect else "valid"


def _under(value: float, suspect: float, invalid: float) -> Level:
    return "invalid" if value < invalid else "suspect" if value < suspect else "valid"


def judge(facts: Facts) -> Judgement:
    """Judge one service in one test."""
    found: list[Finding] = []

    def note(sign: str, level: Level, text: str) -> None:
        if level != "valid":
            found.append(Finding(sign, level, text))

    for lag, statistic in ((facts.send_lag_p99_ms, "p99"), (facts.send_lag_median_ms, "median")):
        if lag is not None:
            median = facts.ttft_median_ms or 0.0
            level = _over(lag, max(2.0, 0.01 * median), max(10.0, 0.05 * median))
            note("send_lag", level, f"requests were sent late: send_lag {statistic} {lag:.1f} ms")
    if facts.rate_sent_over_asked is not None:
        level = _under(facts.rate_sent_over_asked, 0.99, 0.95)
        note("rate", level, f"only {facts.rate_sent_over_asked:.1%} of the rate asked for was sent")
    if facts.merged_first_token_share is not None:
        level = _over(facts.merged_first_token_share, 0.01, 0.05)
        note(
            "merged_reads",
            level,
            f"{facts.merged_first_token_share:.1%} of first tokens came in reads that held later ones too",
        )
    if facts.worker_wait_share is not None:
        level = _over(facts.worker_wait_share, 0.02, 0.10)
        note("worker_wait", level, f"workers waited for a CPU {facts.worker_wait_share:.1%} of the window")
    if facts.clock_step_ms is not None:
        level = _over(facts.clock_step_ms, 1.0, 10.0)
        note("clock_step", level, f"the wall clock stepped by {facts.clock_step_ms:.1f} ms")
    if facts.window_over_asked is not None:
        level = _under(facts.window_over_asked, 0.80, 0.50)
        note("window", level, f"the steady window was {facts.window_over_asked:.0%} of the one asked for")
    if facts.longest_stall_ms is not None:
        level = _over(facts.longest_stall_ms, 100.0, 500.0)
        note("stall", level, f"a worker could not run for {facts.longest_stall_ms:.0f} ms at a stretch")
    return Judgement(worst(finding.level for finding in found), tuple(found))


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of these levels; `valid` when there is none."""
    return max(levels, key=_ORDER.index, default="valid")
