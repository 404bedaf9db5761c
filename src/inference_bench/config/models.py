"""The validated settings, one frozen model per section of the configuration; attribute names are the file's keys.

Reading files, layers and messages live elsewhere (`loader`, `layers`, `problems`); nothing here touches a disk, an
environment variable or a screen. Durations are seconds, targets and limits are milliseconds, shares lie in 0 to 1.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, Field, model_validator

from inference_bench.config.load_models import SHAPED, Arrivals, LoadTestSettings
from inference_bench.config.promise_models import Milliseconds, PerRequestSlo, SloSettings, ValueName
from inference_bench.config.quantities import Count, CountOrZero, PositiveSeconds, Seed, Temperature
from inference_bench.config.rules import first_repeated, refuse
from inference_bench.config.service_models import STRICT, EndpointSettings, Name, ServicesSettings, Text
from inference_bench.config.workload_models import WorkloadKind, WorkloadSettings

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

Effect = Annotated[float, Field(gt=0, lt=10)]
Confidence = Annotated[float, Field(ge=0.5, lt=1)]
MOST_ITERATIONS = 1_000_000  # the order of each is made before the run


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
    iterations: Annotated[int, Field(gt=0, le=MOST_ITERATIONS)] = Field(
        default=100, description="Measured requests to each service."
    )
    warmup_requests: CountOrZero = Field(default=2, description="Uncounted requests to each service before them.")
    max_tokens: Count = Field(default=32, description="Output tokens asked of each request.")
    temperature: Temperature = Field(default=0.0, description="Sampling temperature.")
    target_ms: Milliseconds | None = Field(
        default=100.0, description="The target for ttft_ms.p50, drawn and reported; it gates nothing."
    )
    slo: SloSettings | None = Field(default=None, description="The promises made here, instead of `slo`.")


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


def _check_work(test: LoadTestSettings, work: WorkloadSettings, position: int) -> None:
    """What a load test and the work it asks for must agree on, whether the work is its own or the run's."""
    if test.arrivals == "trace" and work.kind != "trace":
        raise refuse(
            f"trace arrivals need a workload of kind trace, not {work.kind}", "load_tests", position, "arrivals"
        )
    if test.arrivals not in ("closed", "trace") and test.think_time_seconds > 0 and work.kind != "sessions":
        text = f"is used by closed arrivals and by sessions, not by {test.arrivals} arrivals of {work.kind} prompts"
        raise refuse(text, "load_tests", position, "think_time_seconds")
    if work.kind == "sessions" and (test.arrivals in ("trace", *SHAPED) or test.max_in_flight is not None):
        text = "sessions go with closed, constant, poisson or gamma arrivals, and nothing holds them back"
        raise refuse(text, "load_tests", position, "arrivals")


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

    @model_validator(mode="after")
    def _check(self) -> Self:
        for position, test in enumerate(self.load_tests):
            _check_work(test, test.workload or self.workload, position)
        return self
