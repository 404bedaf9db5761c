"""The smaller facts a summary is made of: distributions, counts, rates, costs. Missing values are null, never 0."""

from pydantic import BaseModel, ConfigDict, Field

Bounds = tuple[float, float]
Number = float | None
MODEL = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Intervals(BaseModel):
    """95 % confidence intervals [low, high]; null where n is too small (see `needed_n`) or none is given (`reason`)."""

    model_config = MODEL

    confidence: float
    mean: Bounds | None = None
    p1: Bounds | None = None
    p5: Bounds | None = None
    p10: Bounds | None = None
    p50: Bounds | None = None
    p90: Bounds | None = None
    p95: Bounds | None = None
    p99: Bounds | None = None
    needed_n: dict[str, int] = Field(default_factory=dict)
    reason: str | None = None


class _Figures(BaseModel):
    model_config = MODEL

    unit: str
    n: int
    missing: int
    mean: Number
    std: Number
    min: Number
    max: Number
    ci: Intervals | None
    needed_n: dict[str, int]
    relative_error: Number


class UpperTail(_Figures):
    """The figures of a metric of which less is better, or neither. `needed_n`: what null percentiles would need."""

    p50: Number
    p90: Number
    p95: Number
    p99: Number


class LowerTail(_Figures):
    """The figures of a metric of which more is better: its bad end is the low one."""

    p1: Number
    p5: Number
    p10: Number
    p50: Number


class RequestFacts(BaseModel):
    """Requests of the window: sent = ok + failed + interrupted; `errors` counts the failed by class."""

    model_config = MODEL

    sent: int
    ok: int
    failed: int
    interrupted: int
    success_rate: Number
    errors: dict[str, int]


class ThroughputFacts(BaseModel):
    """Rates inside the window, per second. `tokens_unknown`: good requests whose output tokens nobody told."""

    model_config = MODEL

    requests_per_s: Number
    output_tokens_per_s: Number
    total_tokens_per_s: Number
    tokens_unknown: int
    rate_asked: Number
    rate_sent: Number
    concurrency_mean: Number
    concurrency_max: int | None


class GoodputFacts(BaseModel):
    """Requests per second that met every limit; `attainment` is their share of those sent in the window."""

    model_config = MODEL

    requests_per_s: Number
    attainment: Number
    met: int
    of: int


class ColdStartFacts(BaseModel):
    """What the very first request of the test saw, warm-ups included."""

    model_config = MODEL

    ttft_ms: Number
    server_load_ms: Number


class StampsSummary(BaseModel):
    """How sharp the stamps are: first tokens that shared a read with other chunks; the share of zero gaps."""

    model_config = MODEL

    first_tokens: int
    first_tokens_merged: int
    merged_share: Number
    merged_reads: int
    zero_gap_share: Number


class CostFacts(BaseModel):
    """What a million output tokens cost at the measured rate and the given price."""

    model_config = MODEL

    currency: str
    per_hour: float
    per_million_output_tokens: Number


class SanityFacts(BaseModel):
    """Whether the answers look like answers; the rules stand in `metrics.sanity`.

    Of the `checked` good answers of the window, `garbled` and `short` (wildly, beside the other services') do not look
    sound; `kinds` says by which rule the garbled do not, `paired` how many answers another service's length could be
    held against. `empty` and `truncated` are among the failed. `sound_rate`: sound ones of all that ended, null when
    nothing did. `flagged`: more than 1 % are not sound; `reason` then says what is wrong.
    """

    model_config = MODEL

    checked: int
    sound: int
    garbled: int
    kinds: dict[str, int]
    short: int
    paired: int
    empty: int
    truncated: int
    sound_rate: Number
    flagged: bool
    reason: str | None


class TurnFacts(BaseModel):
    """One turn (from 0) of all sessions of a service: its `n` good requests in the window, and medians."""

    model_config = MODEL

    turn: int
    n: int
    ttft_ms: Number
    prompt_tokens: Number
    cached_tokens: Number


class SessionFacts(BaseModel):
    """The sessions of a service: `begun` in the window, `ended_early` by a turn that failed there.

    Turnaround: what this client took to make a turn of the answer before it, beyond the think time that it had for it,
    over so many `turnarounds`; it is part of no latency. p99 is null where they are too few.
    """

    model_config = MODEL

    begun: int
    ended_early: int
    turnarounds: int
    turnaround_p50_ms: Number
    turnaround_p99_ms: Number
