"""Can this run be trusted? The signs of metrics.md, each with its limits, judged on plain facts.

A sign is about the client and its machine, never about the server: it says whether the numbers are the server's.
The last signs are ours beyond that table. A share of a long window hides a single long stop of a worker (1 s in 60 s is
1.7 %), but every answer of that second was seen late, so the longest stop is judged by itself. And a read that should
have brought a kernel stamp and did not has the later time of the read: judged like the stamps of merged reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

Level = Literal["valid", "suspect", "invalid"]
_ORDER: tuple[Level, ...] = ("valid", "suspect", "invalid")
NEAR: Final = 0.8  # of the way to a limit
_MERGED: Final = "{:.1%} of first tokens came in reads that held later ones too"
_WAITED: Final = "workers waited for a CPU {:.1%} of the window"
_WINDOW: Final = "the steady window was {:.0%} of the one asked for"
_TURN_WAIT: Final = "users of conversations waited {:.1%} of their time for this client to make their next turn"
_TURN_LAG: Final = "the next turn of a conversation was sent {:.0f} ms after it was due: this client made it late"
_STALL: Final = "a worker could not run for {:.0f} ms at a stretch"
_UNSTAMPED: Final = "{:.1%} of reads brought no kernel stamp: the time of the read stood in"


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
    unstamped_share: float | None = None
    turn_wait_share: float | None = None
    longest_turn_lag_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One sign that was over a limit."""

    sign: str
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Sign:
    """One sign as it was measured: its value (None: not judged), its limits, and how it was judged by them.

    `best` is the value of an undisturbed run: a sign is near when it is `NEAR` of the way from there to a limit.
    """

    sign: str
    value: float | None
    unit: str
    suspect: float
    invalid: float
    best: float
    text: str

    @property
    def level(self) -> Level | None:
        """The level by its limits; the limit itself still passes."""
        if self.value is None:
            return None
        sense = 1 if self.suspect >= self.best else -1
        if sense * (self.value - self.invalid) > 0:
            return "invalid"
        return "suspect" if sense * (self.value - self.suspect) > 0 else "valid"

    @property
    def near(self) -> bool:
        """Whether it is valid, and at least `NEAR` of the way to being suspect."""
        if self.value is None or self.level != "valid":
            return False
        return abs(self.value - self.best) >= NEAR * abs(self.suspect - self.best)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The worst level found, everything that led to it, and every sign as it was measured."""

    verdict: Level
    findings: tuple[Finding, ...]
    signs: tuple[Sign, ...] = ()

    @property
    def reasons(self) -> list[str]:
        """The findings in words, the worst first."""
        ranked = sorted(self.findings, key=lambda finding: -_ORDER.index(finding.level))
        return [finding.text for finding in ranked]

    @property
    def near(self) -> list[str]:
        """What is valid and near its limit, in words."""
        return [f"near its limit of {shown(sign.suspect, sign.unit)}: {sign.text}" for sign in self.signs if sign.near]


def shown(value: float, unit: str) -> str:
    """Return a value of a sign, or one of its limits, as a reader sees it."""
    return f"{100 * value:.3g} %" if unit == "share" else f"{value:.3g} {unit}"


def signs_of(facts: Facts) -> tuple[Sign, ...]:
    """Return every sign with its limits. Those of the send lag grow with the median TTFT."""
    median = facts.ttft_median_ms or 0.0
    few = facts.send_lag_p99_ms is None
    lag = facts.send_lag_median_ms if few else facts.send_lag_p99_ms
    late = f"requests were sent late: send_lag {'median' if few else 'p99'} {{:.1f}} ms"

    def sign(name: str, value: float | None, unit: str, limits: tuple[float, float], text: str) -> Sign:
        best = 0.0 if limits[0] < limits[1] else 1.0
        return Sign(name, value, unit, *limits, best, "" if value is None else text.format(value))

    return (
        sign("send_lag", lag, "ms", (max(2.0, 0.01 * median), max(10.0, 0.05 * median)), late),
        sign("rate", facts.rate_sent_over_asked, "share", (0.99, 0.95), _sent_words(facts)),
        sign("merged_reads", facts.merged_first_token_share, "share", (0.01, 0.05), _MERGED),
        sign("worker_wait", facts.worker_wait_share, "share", (0.02, 0.10), _WAITED),
        sign("clock_step", facts.clock_step_ms, "ms", (1.0, 10.0), "the wall clock stepped by {:.1f} ms"),
        sign("window", facts.window_over_asked, "share", (0.80, 0.50), _WINDOW),
        sign("stall", facts.longest_stall_ms, "ms", (100.0, 500.0), _STALL),
        sign("unstamped", facts.unstamped_share, "share", (0.01, 0.05), _UNSTAMPED),
        sign("turn_wait", facts.turn_wait_share, "share", (0.02, 0.10), _TURN_WAIT),
        sign("turn_lag", facts.longest_turn_lag_ms, "ms", (100.0, 500.0), _TURN_LAG),
    )


def _sent_words(facts: Facts) -> str:
    """Say the share sent, with the digits that tell a share just below 1 from 1."""
    share = facts.rate_sent_over_asked
    digits = 2 if share is not None and share > 0.985 else 1
    return f"only {{:.{digits}%}} of the rate asked for was sent"


def judge(facts: Facts) -> Judgement:
    """Judge one service in one test."""
    signs = signs_of(facts)
    found = tuple(
        Finding(one.sign, level, one.text) for one in signs if (level := one.level) is not None and level != "valid"
    )
    return Judgement(worst(finding.level for finding in found), found, signs)


def worst(levels: Iterable[Level]) -> Level:
    """Return the worst of these levels; `valid` when there is none."""
    return max(levels, key=_ORDER.index, default="valid")
