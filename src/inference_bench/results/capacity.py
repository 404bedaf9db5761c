"""What the search for each service's capacity found: the answer, and every probe that led to it. Models only.

Two services of two runs are a `CapacityPair`; it is judged in `capacity_between`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

from inference_bench.results.summary_parts import Number

_MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class ProbeFacts(BaseModel):
    """One probe: this load for one turn. `kept` is null where the client could not be trusted with it, where it had
    `too_few` requests for a promise about a percentile, or where the service was `unreachable`: no request of it got a
    connection (`why`).
    """

    model_config = _MODEL

    load: float
    round: int
    kept: bool | None
    why: tuple[str, ...] = ()
    too_few: bool = False
    unreachable: bool = False
    sent: int
    attainment: Number = None
    success_rate: Number = None
    requests_per_s: Number = None
    output_tokens_per_s: Number = None
    ttft_p50_ms: Number = None
    e2e_p50_ms: Number = None


class ServiceCapacity(BaseModel):
    """The capacity of one service (see `metrics.capacity.Answer`). `limited_by` says what ended a search that found no
    load that was too much, or none that was not, or could not enclose the edge or try its ends as often as it should.
    """

    model_config = _MODEL

    value: Number
    low: Number
    high: Number
    at_least: bool
    limited_by: str | None = None
    probes: tuple[ProbeFacts, ...] = ()


class CapacityFacts(BaseModel):
    """The search of one load test. `promise` are its limits in words; `complete` is false while it goes on, or when it
    was interrupted.
    """

    model_config = _MODEL

    test: str
    unit: str  # users or requests/s
    promise: tuple[str, ...]
    rule: str
    complete: bool
    services: dict[str, ServiceCapacity]


class CapacityPair(BaseModel):
    """A capacity of A against one of B. `found_a` and `found_b` are the answers without their probes, of several runs
    on a side what encloses them; null where there is none.

    `better` carries more: the intervals do not overlap. `change_percent` is from A to B, with what the intervals leave
    open: null where an end is open. `reason` says why they are not comparable.
    """

    model_config = _MODEL

    test: str
    unit: str
    promise: tuple[str, ...]
    a: str
    b: str
    found_a: ServiceCapacity | None
    found_b: ServiceCapacity | None
    verdict: Literal["better", "not_told_apart", "not_comparable"]
    better: str | None = None
    change_percent: Number = None
    change_low_percent: Number = None
    change_high_percent: Number = None
    reason: str | None = None


RULE = (
    "the load is doubled until the promises break, the edge enclosed within {resolution:.0%} (or one user), and its "
    "two ends tried {repeats} times; a load counts as kept when more than half of its probes kept every promise. "
    "Interval: every probe up to the lower end kept them, none from the upper end on"
)


def capacity_words(found: ServiceCapacity, unit: str) -> str:
    """Return an answer in words: `41 users (39 to 44)`, `at least 64 users`, `not even 1 user`."""
    what = _unit(found.value, unit)
    if found.value is None:
        least = min((probe.load for probe in found.probes if probe.kept is False), default=found.high)
        return "not known" if least is None else f"not even {least:g} {_unit(least, unit)}"
    if found.at_least:
        return f"at least {found.value:g} {what}"
    interval = interval_words(found)
    return f"{found.value:g} {what}" + ("" if interval is None else f" ({interval})")


def _unit(value: float | None, unit: str) -> str:
    return "user" if unit == "users" and value == 1 else unit


def interval_words(found: ServiceCapacity) -> str | None:
    """Return the interval of the edge: `39 to 44`, `from 64 on`, `under 2`; None where neither end is known."""
    if found.low is None:
        return None if found.high is None else f"under {found.high:g}"
    return f"from {found.low:g} on" if found.high is None else f"{found.low:g} to {found.high:g}"
