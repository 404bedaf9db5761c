"""The settings of one load test: who asks when, for how long, and how much is asked for."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from inference_bench.config.promise_models import Milliseconds, SloSettings
from inference_bench.config.quantities import Count, CountOrZero, PositiveSeconds, Seconds, Temperature
from inference_bench.config.rules import NotYet, no_sweep, refuse, require_one_of, word
from inference_bench.config.service_models import STRICT, Name
from inference_bench.config.workload_models import WorkloadSettings

Arrivals = Literal["closed", "constant", "poisson"]
_GAMMA = "is used by gamma arrivals, which are not available yet"


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
