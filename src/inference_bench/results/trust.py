"""How far a run can be trusted, in figures: signs with their limits, phases, silences, what this machine adds.

Models only. Missing values are null, never 0. The rules that make them stand in `testing.validity`,
`metrics.omission` and `orchestration.calibrating`.
"""

from typing import Literal

from pydantic import BaseModel, Field

from inference_bench.results.summary_parts import MODEL, Number

Verdict = Literal["valid", "suspect", "invalid"]


class SignFacts(BaseModel):
    """One sign: what was measured, and from where on it makes a run suspect or invalid.

    `value` is null where the sign does not apply or was not told; `level` is then null too: it was not judged.
    """

    model_config = MODEL

    sign: str
    value: Number
    unit: str
    suspect: float
    invalid: float
    level: Verdict | None


class PhaseFacts(BaseModel):
    """The requests of one service by phase, all rounds together; the times are those of the longest round.

    `ramp` were sent before the steady window of their round, `steady` in it (open loop: intended in it), `after` when
    it was over. `ramp_s` and `steady_s`: from the round's first counted request to its window, and the window.
    `drain_s`: from the window's end until the last of its round's requests had ended; `in_flight_at_close`: how many
    were on their way when it ended.
    """

    model_config = MODEL

    warmup: int
    ramp: int
    steady: int
    after: int
    ramp_s: Number
    steady_s: Number
    drain_s: Number
    in_flight_at_close: int | None


class Silence(BaseModel):
    """A stretch in which all users of a closed loop waited and nothing came; `start_s` from the start of its window."""

    model_config = MODEL

    round: int
    start_s: float
    seconds: float
    users: int


class OmissionFacts(BaseModel):
    """What a closed loop left out while its service was silent, estimated by `metrics.omission`.

    `silences` are the longest; `count` and `seconds` are those of all (null in runs of versions that told all of them).
    `unsent`: requests that the pace of the rest of the window would have sent meanwhile. `ttft_p99_ms` is as measured,
    `ttft_p99_estimate_ms` with the unsent ones in it; both null below the n that has a p99.
    """

    model_config = MODEL

    silences: tuple[Silence, ...]
    unsent: int
    ttft_p99_ms: Number
    ttft_p99_estimate_ms: Number
    text: str
    count: int | None = None
    seconds: Number = None


class ErrorFigures(BaseModel):
    """Median, 99th percentile (null below 100 values) and largest of `n` differences, in ms."""

    model_config = MODEL

    n: int
    p50: float
    p99: Number
    max: float


class CalibrationFacts(BaseModel):
    """What this machine adds at a test's load, measured against a null server of known timing before the test.

    `ttft_error_ms` and `tpot_error_ms` are our marks minus the null server's own write stamps; `server_late_ms` is how
    late that server was itself, by its own plan. `worker_cpu_share` is the busiest worker's CPU time over the window.
    """

    model_config = MODEL

    test: str
    load: str
    seconds: float
    requests: int
    failed: int
    ttft_error_ms: ErrorFigures | None
    tpot_error_ms: ErrorFigures | None
    server_late_ms: ErrorFigures | None
    send_lag_p99_ms: Number
    worker_cpu_share: Number
    verdict: Verdict
    reasons: tuple[str, ...] = ()


class WatchFacts(BaseModel):
    """The most that our processes held while a test ran, beside what the machine allowed. Bytes; null where not told.

    `memory` is that of all our processes, pages that they share with files counted once; `memory_left` the least that
    was available meanwhile. `files` is the most open files of one process. `time_wait`: ports still held by closed
    connections of this machine.
    """

    model_config = MODEL

    memory: int | None = None
    memory_left: int | None = None
    files: int | None = None
    files_limit: int | None = None
    sockets: int | None = None
    ports: int | None = None
    time_wait: int | None = None


class RunTrust(BaseModel):
    """What the manifest keeps for the summary: by test, what was calibrated and what was watched."""

    model_config = MODEL

    calibration: dict[str, CalibrationFacts] = Field(default_factory=dict)
    watch: dict[str, WatchFacts] = Field(default_factory=dict)
