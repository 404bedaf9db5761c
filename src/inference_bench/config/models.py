"""The validated settings, one frozen model per section of the configuration; attribute names are the file's keys.

Reading files, layers and messages live elsewhere (`loader`, `layers`, `problems`); nothing here touches a disk, an
environment variable or a screen. Durations are seconds, targets and limits are milliseconds, shares lie in 0 to 1.
"""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, model_validator

from inference_bench.config.promise_models import Milliseconds, PerRequestSlo, SloSettings, ValueName
from inference_bench.config.rules import NotYet, first_repeated, no_sweep, refuse, require_one_of, word
from inference_bench.config.service_models import STRICT, EndpointSettings, Name, ServicesSettings, Text

__all__ = [
    "Arrivals",
    "BenchmarkSettings",
    "ComparisonSettings",
    "EndpointSettings",
    "LoadTestSettings",
    "OutputSettings",
    "PerRequestSlo",
    "PricingSettings",
    "ScoringSettings",
    "ScoringWeights",
    "ServicesSettings",
    "Settings",
    "SloSettings",
    "TtftTestSettings",
    "WorkloadKind",
    "WorkloadSettings",
]

Arrivals = Literal["closed", "constant", "poisson"]
WorkloadKind = Literal["built-in", "file"]
CacheUse = Literal["unique", "shared"]

Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
CountOrZero = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # engines take a signed 64-bit number
LONGEST_SECONDS = 30 * 86_400.0  # a month: more is a slip of the hand
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Temperature = Annotated[float, Field(ge=0, le=2)]
Effect = Annotated[float, Field(gt=0, lt=10)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]

_SYNTHETIC = "is used by the workload kind synthetic, which is not available yet"
_GAMMA = "is used by gamma arrivals, which are not available yet"


class BenchmarkSettings(BaseModel):
    """What the run is called, which model it is about, and the seed of every random choice."""

    model_config = STRICT

    name: Text = Field(default="default", description="The run's name; the run folder is called after it.")
    description: str = Field(
        default="A standard run of TTFT and load tests", description="A sentence for people who read the run later."
    )
    model: Text | None = Field(
        default=None,
        description="The model to ask for where an endpoint names none; else what is served.",
    )
    seed: Seed = Field(default=0, description="The seed of prompts, arrival times and the order of services.")


class TtftTestSettings(BaseModel):
    """The TTFT test: single requests, services interleaved."""

    model_config = STRICT

    enabled: bool = Field(default=True, description="Whether the TTFT test runs.")
    iterations: Count = Field(default=100, description="Measured requests to each service.")
    warmup_requests: CountOrZero = Field(default=2, description="Uncounted requests to each service before them.")
    max_tokens: Count = Field(default=32, description="Output tokens asked of each request.")
    temperature: Temperature = Field(default=0.0, description="Sampling temperature.")
    target_ms: Milliseconds | None = Field(
        default=100.0, description="The target for ttft_ms.p50, drawn and reported; it gates nothing."
    )
    slo: SloSettings | None = Field(default=None, description="The promises made here, instead of `slo`.")


class WorkloadSettings(BaseModel):
    """What is asked."""

    model_config = STRICT

    kind: Annotated[
        WorkloadKind, BeforeValidator(word(get_args(WorkloadKind), ("synthetic", "sharegpt", "sessions", "trace")))
    ] = Field(default="built-in", description="Where prompts come from.")
    path: Text | None = Field(default=None, description="The prompts file (text or JSONL) of kind file.")
    category: Text | None = Field(default=None, description="Take prompts of this category only.")
    prompt_tokens: Annotated[None, BeforeValidator(NotYet(None, _SYNTHETIC))] = Field(
        default=None, description="Prompt length of kind synthetic. Not available yet."
    )
    output_tokens: Annotated[None, BeforeValidator(NotYet(None, _SYNTHETIC))] = Field(
        default=None, description="Output length of kind synthetic. Not available yet."
    )
    shared_prefix: Annotated[None, BeforeValidator(NotYet(None, _SYNTHETIC))] = Field(
        default=None, description="A prefix that prompts of kind synthetic share. Not available yet."
    )
    cache: CacheUse = Field(
        default="unique",
        description="unique: each prompt starts with a prefix of its own, so that no prefix cache answers.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.kind == "file" and self.path is None:
            raise refuse("is needed by the workload kind file", "path")
        if self.kind != "file" and self.path is not None:
            raise refuse(f"is used by the workload kind file, not by {self.kind}", "path")
        return self


class LoadTestSettings(BaseModel):
    """One load test: who asks when, for how long, and how much is asked for."""

    model_config = STRICT

    name: Name = Field(description="The test's name in tables, files and gates.")
    arrivals: Annotated[Arrivals, BeforeValidator(word(get_args(Arrivals), ("gamma", "steps", "ramp", "trace")))] = (
        Field(
            default="closed",
            description="closed: each user waits for its answer; constant and poisson send at a rate. "
            "Without it: closed with concurrent_users, poisson with rate.",
        )
    )
    concurrent_users: Annotated[Count | None, BeforeValidator(no_sweep)] = Field(
        default=None, description="Users of a closed loop."
    )
    rate: Annotated[Annotated[float, Field(gt=0)] | None, BeforeValidator(no_sweep)] = Field(
        default=None, description="Requests per second of an open loop."
    )
    burstiness: Annotated[None, BeforeValidator(NotYet(None, _GAMMA))] = Field(
        default=None, description="Shape of gamma arrivals. Not available yet."
    )
    think_time_seconds: Seconds = Field(default=0.0, description="A user's pause between answer and next request.")
    duration_seconds: PositiveSeconds | None = Field(
        default=None, description="A service's total steady time, divided over the rounds; the ramp comes on top."
    )
    requests: Count | None = Field(default=None, description="Measured requests to each service, not a duration.")
    ramp_up_seconds: Seconds = Field(default=0.0, description="How long the load takes to build up.")
    warmup_requests: CountOrZero = Field(default=2, description="Uncounted requests before each turn of a service.")
    rounds: Count = Field(default=3, description="Turns of each service; raised to a multiple of their number.")
    max_tokens: Count = Field(default=256, description="Output tokens asked of each request.")
    temperature: Temperature = Field(default=0.0, description="Sampling temperature.")
    target_p95_ms: Milliseconds | None = Field(
        default=None, description="The target for e2e_ms.p95, drawn and reported; it gates nothing."
    )
    workload: WorkloadSettings | None = Field(default=None, description="What is asked here, instead of `workload`.")
    slo: SloSettings | None = Field(default=None, description="The promises made here, instead of `slo`.")

    @model_validator(mode="before")
    @classmethod
    def _derive_arrivals(cls, data: object) -> object:
        """A rate alone says that the loop is open; poisson is what independent users do."""
        if isinstance(data, Mapping) and data.get("rate") is not None and data.get("concurrent_users") is None:
            return {"arrivals": "poisson", **data}
        return data

    @model_validator(mode="after")
    def _check(self) -> Self:
        users, rate = ("concurrent_users", self.concurrent_users), ("rate", self.rate)
        require_one_of((users, rate), "a load is given by its users or by its rate")
        durations = (("duration_seconds", self.duration_seconds), ("requests", self.requests))
        require_one_of(durations, "a test ends after a time or after a number of requests")
        if self.arrivals == "closed" and self.rate is not None:
            raise refuse("closed needs concurrent_users; rate goes with constant or poisson", "arrivals")
        if self.arrivals != "closed" and self.concurrent_users is not None:
            raise refuse(f"{self.arrivals} needs rate; concurrent_users goes with closed", "arrivals")
        if self.arrivals != "closed" and self.think_time_seconds > 0:
            raise refuse(f"is used by closed arrivals, not by {self.arrivals}", "think_time_seconds")
        return self


class ComparisonSettings(BaseModel):
    """How two services are compared."""

    model_config = STRICT

    primary: ValueName | None = Field(
        default=None,
        description="The one metric that decides every test, such as ttft_ms.p95; without it ttft_ms.p50 in the TTFT "
        "test and ttft_ms.p95 in load tests.",
    )
    min_effect: Effect = Field(default=0.05, description="The smallest effect worth naming, as a share.")
    confidence: Confidence = Field(
        default=0.95, description="1 minus the share of false verdicts that is accepted; the intervals' confidence."
    )
    budget: PositiveSeconds = Field(default=600.0, description="How long --until-decided may go on after the plan (s).")


class ScoringWeights(BaseModel):
    """What each part of a score weighs; the sum is 1."""

    model_config = STRICT

    latency: Annotated[float, Field(ge=0, le=1)] = 0.4
    throughput: Annotated[float, Field(ge=0, le=1)] = 0.3
    reliability: Annotated[float, Field(ge=0, le=1)] = 0.3

    @model_validator(mode="after")
    def _check(self) -> Self:
        total = self.latency + self.throughput + self.reliability
        if abs(total - 1) > 1e-6:
            raise refuse(f"latency, throughput and reliability must add up to 1, not {total:g}")
        return self


class ScoringSettings(BaseModel):
    """How a service's score is made."""

    model_config = STRICT

    weights: ScoringWeights = Field(default=ScoringWeights(), description="What each part weighs; the sum is 1.")
    references: Mapping[ValueName, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict,
        description="The value that earns a full score, by metric, such as ttft_ms.p50 or requests_per_s.",
    )


class PricingSettings(BaseModel):
    """What running a service costs; nothing is guessed. With a price, reports tell the cost of a million tokens."""

    model_config = STRICT

    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] | None = Field(
        default=None, description="The prices' currency, three capital letters (ISO 4217)."
    )
    per_hour: Mapping[Name, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="Price of an hour, by service."
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.per_hour and self.currency is None:
            raise refuse("is needed beside per_hour", "currency")
        return self


class OutputSettings(BaseModel):
    """Where a run is kept and what of it."""

    model_config = STRICT

    directory: Text = Field(default="results", description="The folder that holds run folders.")
    save_raw_data: bool = Field(default=True, description="Keep every text chunk's times (chunks.parquet).")
    save_responses: bool = Field(default=False, description="Keep the generated texts.")
    generate_charts: bool = Field(default=False, description="Draw the charts as files of their own (charts/*.html).")
    generate_report: bool = Field(default=True, description="Write executive_report.html and report.md.")


def default_load_tests() -> list[dict[str, object]]:
    """Return the built-in load tests as a file would write them; every key absent here has its model's default."""
    quick = {"name": "quick-latency", "concurrent_users": 5, "duration_seconds": 30, "ramp_up_seconds": 2}
    standard = {"name": "standard-load", "concurrent_users": 25, "duration_seconds": 60, "ramp_up_seconds": 5}
    return [{**quick, "target_p95_ms": 6000}, {**standard, "target_p95_ms": 10000}]


def _unique_names(tests: tuple[LoadTestSettings, ...]) -> tuple[LoadTestSettings, ...]:
    repeated = first_repeated(test.name for test in tests)
    if repeated is not None:
        raise refuse(f"the name {repeated[1]!r} is taken by an earlier load test", repeated[0], "name")
    if any(test.name == "ttft" for test in tests):
        position = next(i for i, test in enumerate(tests) if test.name == "ttft")
        raise refuse("'ttft' is the name of the TTFT test", position, "name")
    return tests


class Settings(BaseModel):
    """The whole configuration; `Settings()` is the built-in default."""

    model_config = STRICT

    benchmark: BenchmarkSettings = Field(default=BenchmarkSettings(), description="The run.")
    services: ServicesSettings = Field(default=ServicesSettings(), description="The services.")
    ttft_test: TtftTestSettings = Field(default=TtftTestSettings(), description="The TTFT test.")
    load_tests: Annotated[tuple[LoadTestSettings, ...], Field(strict=False), AfterValidator(_unique_names)] = Field(
        default_factory=lambda: tuple(LoadTestSettings.model_validate(test) for test in default_load_tests()),
        description="The load tests, in order; an empty list means none.",
    )
    workload: WorkloadSettings = Field(default=WorkloadSettings(), description="What is asked.")
    comparison: ComparisonSettings = Field(default=ComparisonSettings(), description="How services are compared.")
    slo: SloSettings | None = Field(
        default=None, description="The promises: goodput is held against them, and a broken one fails the run."
    )
    scoring: ScoringSettings = Field(default=ScoringSettings(), description="How scores are made.")
    pricing: PricingSettings = Field(default=PricingSettings(), description="What services cost.")
    output: OutputSettings = Field(default=OutputSettings(), description="What is kept.")
