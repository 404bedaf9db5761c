"""test_manifest.json: what a run is, where and with what it was made, and what became of it. Models only.

Reading and writing the file is the run folder's business. Secrets have no place in it: the configuration names them,
and the models here have no field that could hold one.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from inference_bench.results.capacity import CapacityFacts
from inference_bench.results.design import Design
from inference_bench.results.environment import Environment
from inference_bench.results.liveness import ProcessMark
from inference_bench.results.schema import SCHEMA_VERSION
from inference_bench.results.trust import RunTrust

RunStatus = Literal["running", "complete", "partial", "failed"]
StampSource = Literal["kernel", "read"]
TestKind = Literal["ttft", "load"]

_MODEL = ConfigDict(extra="forbid", frozen=True)


class ClockAnchor(BaseModel):
    """One moment on both clocks, in ns: turns the monotonic marks of the records into wall time.

    `boot_id` tells which start of the machine the monotonic clock counts from (None: the system does not say).
    """

    model_config = _MODEL

    wall_ns: int
    monotonic_ns: int
    boot_id: str | None = None


class Window(BaseModel):
    """The steady window of one round, [start, end) on the monotonic clock.

    `cut` says that the turn was cut short; `requests` is how many its workers took up, ramp included and warm-ups not
    (None: not known): with fewer records than that, some were lost.
    """

    model_config = _MODEL

    round: int
    start_ns: int
    end_ns: int
    cut: bool = False
    requests: int | None = None


class CutTurn(BaseModel):
    """One turn of one service in a search for a capacity that was cut: its records gave way."""

    model_config = _MODEL

    test: str
    service: str
    round: int


class Resumption(BaseModel):
    """An interrupted run that went on. Times in ns are on the run's own clock, that of its first start.

    `after_requests` is what was kept of the parts before; `removed_requests` were of the round or block that was cut
    and is measured anew. `cut` names it by test: records from this round (ttft: block) on gave way; `cut_turns` are
    the probes of a search that did. Requests of the new part are numbered from `first_seq`, its workers from
    `first_worker`; `shifted_ns` was added to its marks, because the machine had been started again and its clock with
    it.
    """

    model_config = _MODEL

    at: datetime
    began_ns: int
    pause_seconds: float
    after_requests: int
    removed_requests: int
    first_seq: int
    first_worker: int
    shifted_ns: int = 0
    cut: dict[str, int] = Field(default_factory=dict)
    cut_turns: tuple[CutTurn, ...] = ()


class LoadShape(BaseModel):
    """What a test asks for, in the words of the configuration; None where a key does not concern it."""

    model_config = _MODEL

    arrivals: str | None = None
    concurrent_users: int | None = None
    rate: float | None = None
    rates: tuple[float, ...] | None = None  # of steps, and of a ramp from the first to the second
    burstiness: float | None = None
    speed: float | None = None  # of a trace
    max_in_flight: int | None = None
    think_time_seconds: float | None = None
    duration_seconds: float | None = None
    requests: int | None = None
    iterations: int | None = None
    ramp_up_seconds: float | None = None
    warmup_requests: int | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    target_ms: float | None = None  # for ttft_ms.p50
    target_p95_ms: float | None = None  # for e2e_ms.p95


class PlannedTest(BaseModel):
    """One test of the plan. `rounds` is what is run, after it was raised to suit the number of services.

    `sweep` names the load test of the configuration whose list this one is a value of; `probe` says that the search
    for a service's capacity chose it: then duration and requests of `load` are those of a turn; `services` are those
    it asks, None for all.
    """

    model_config = _MODEL

    name: str
    kind: TestKind
    rounds: int
    load: LoadShape
    sweep: str | None = None
    probe: bool = False
    services: tuple[str, ...] | None = None


class ServiceFacts(BaseModel):
    """A measured service: how it was reached, and what it said of itself (None: it did not)."""

    model_config = _MODEL

    name: str
    engine: str
    dialect: str | None = None
    product: str | None = None
    version: str | None = None
    model: str | None = None
    url: str
    addresses: tuple[str, ...] = ()
    simulated: bool = False
    said: dict[str, JsonValue] = Field(default_factory=dict)


class FileFacts(BaseModel):
    """A file of the run folder; `rows` where it has rows."""

    model_config = _MODEL

    bytes: int
    rows: int | None = None


class ImportedFrom(BaseModel):
    """The result file of another tool that a run was made of. `with_requests`: tests of which it kept the requests.

    The figures of the other tests are the tool's own. `sha256` is that of the file itself.
    """

    model_config = _MODEL

    tool: str
    version: str | None
    file: str
    bytes: int
    sha256: str
    with_requests: tuple[str, ...] = ()


class Manifest(BaseModel):
    """The run. `windows` maps test and service to the windows of the rounds that were completed.

    `design` says how the experiment was made; None in runs of versions that did not keep it. `resumed` lists when an
    interrupted run went on; None in runs of versions that could not. `searches` are the load tests whose capacity is
    searched, `calibrate` whether the machine was to be calibrated, `work` is a digest of the prompts of each test: what
    a run that goes on must know.
    """

    model_config = _MODEL

    schema_version: int = SCHEMA_VERSION
    test_id: str
    name: str
    created: datetime
    clock: ClockAnchor
    stamp_source: StampSource
    status: RunStatus
    simulated: bool
    seed: int
    nonce: str
    config: dict[str, JsonValue]
    environment: Environment
    services: tuple[ServiceFacts, ...]
    files: dict[str, FileFacts] = Field(default_factory=dict)
    plan: tuple[PlannedTest, ...] = ()
    windows: dict[str, dict[str, tuple[Window, ...]]] = Field(default_factory=dict)
    design: Design | None = None
    process: ProcessMark | None = None
    searches: tuple[str, ...] = ()
    calibrate: bool = False
    work: dict[str, str] = Field(default_factory=dict)
    capacity: tuple[CapacityFacts, ...] = ()
    resumed: tuple[Resumption, ...] | None = None
    imported: ImportedFrom | None = None
    trust: RunTrust = Field(default_factory=RunTrust)
    notes: tuple[str, ...] = ()

    def window_bounds(self, test: str, service: str) -> tuple[tuple[int, int], ...]:
        """Return the windows of one service in one test as (start_ns, end_ns); none when they are not known."""
        return tuple((window.start_ns, window.end_ns) for window in self.windows.get(test, {}).get(service, ()))

    def rounds_of(self, test: PlannedTest) -> int:
        """Return how many rounds a test has: the planned ones, and those added until it was decided."""
        design = None if self.design is None else self.design.tests.get(test.name)
        return test.rounds if design is None or design.unit != "round" else max(test.rounds, design.run)
