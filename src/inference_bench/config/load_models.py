"""The settings of one load test: who asks when, for how long, and how much is asked for."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, Discriminator, Field, Tag, model_validator

from inference_bench.config.promise_models import Milliseconds, SloSettings
from inference_bench.config.quantities import (
    LONGEST_SECONDS,
    Count,
    CountOrZero,
    PositiveSeconds,
    Seconds,
    Temperature,
)
from inference_bench.config.rules import ascending, one_or_list, refuse, require_at_most_one, require_one_of
from inference_bench.config.service_models import STRICT, Name
from inference_bench.config.workload_models import WorkloadSettings

Arrivals = Literal["closed", "constant", "poisson", "gamma", "steps", "ramp", "trace"]
PER_SECOND = 1_000_000.0  # requests a second: a million is a slip of the hand
MOST_POINTS = 64
MOST_ROUNDS = 10_000  # each is planned before the run
MOST_DUE = 100_000_000  # requests of an open loop: their times are held in memory, eight bytes each
LEAST_SHAPE = 0.001  # below, nearly all gaps are 0 and a single one is longer than any test
Rate = Annotated[float, Field(gt=0, le=PER_SECOND)]
Many = Field(strict=False, min_length=1, max_length=MOST_POINTS)
UsersOrSweep = Annotated[
    Annotated[Count, Tag("one")] | Annotated[tuple[Count, ...], Many, AfterValidator(ascending), Tag("list")],
    Discriminator(one_or_list),
]
RateOrRates = Annotated[
    Annotated[Rate, Tag("one")] | Annotated[tuple[Rate, ...], Many, Tag("list")], Discriminator(one_or_list)
]
SWEPT = ("constant", "poisson", "gamma")  # arrivals for which a list of rates is a sweep, one test for each
SHAPED = ("steps", "ramp")  # arrivals for which it is the course of one turn


class LoadTestSettings(BaseModel):
    """One load test: who asks when, for how long, and how much is asked for."""

    model_config = STRICT

    name: Name = Field(description="The test's name in tables, files and gates.")
    arrivals: Arrivals = Field(
        default="closed",
        description="closed: each user waits for its answer. At a rate: constant, poisson, gamma (bursts), steps and "
        "ramp (the rate changes within a turn). trace: at the times of a recorded trace. "
        "Without it: closed with concurrent_users, poisson with rate.",
    )
    concurrent_users: UsersOrSweep | None = Field(
        default=None, description="Users of a closed loop; a list is a sweep, one test for each number."
    )
    rate: RateOrRates | None = Field(
        default=None,
        description="Requests per second of an open loop; a list is a sweep, one test for each rate. Of steps: the "
        "rates, each for an equal part of the turn; of ramp: the first and the last.",
    )
    burstiness: Annotated[float, Field(ge=LEAST_SHAPE, le=10_000)] | None = Field(
        default=None,
        description="Shape of the gamma distribution of gaps: 1 is poisson, less comes in bursts, more is steadier.",
    )
    speed: Annotated[float, Field(gt=0, le=1_000_000)] | None = Field(
        default=None, description="How many times as fast as it was recorded a trace is replayed; 1 without it."
    )
    max_in_flight: Count | None = Field(
        default=None,
        description="Most requests of an open loop under way at once; the rest wait in the client, which "
        "ttft_intended_ms shows. Without it nothing is held back.",
    )
    think_time_seconds: Seconds = Field(default=0.0, description="A user's pause between answer and next request.")
    duration_seconds: PositiveSeconds | None = Field(
        default=None, description="A service's total steady time, divided over the rounds; the ramp comes on top."
    )
    requests: Count | None = Field(
        default=None,
        description="Measured requests to each service, not a duration. What a closed loop sends in a ramp is among "
        "them and is not measured.",
    )
    ramp_up_seconds: Seconds = Field(default=0.0, description="How long the load takes to build up.")
    warmup_requests: CountOrZero = Field(default=2, description="Uncounted requests before each turn of a service.")
    rounds: Annotated[int, Field(gt=0, le=MOST_ROUNDS)] = Field(
        default=3, description="Turns of each service; raised to a multiple of their number."
    )
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
        durations = (("duration_seconds", self.duration_seconds), ("requests", self.requests))
        if self.arrivals == "trace":
            self._check_trace()
            require_at_most_one(durations, "a trace is cut after a time or after a number of requests")
            return self
        users, rate = ("concurrent_users", self.concurrent_users), ("rate", self.rate)
        require_one_of((users, rate), "a load is given by its users or by its rate")
        require_one_of(durations, "a test ends after a time or after a number of requests")
        if self.arrivals == "closed" and self.rate is not None:
            raise refuse("closed needs concurrent_users; rate goes with constant, poisson, gamma, …", "arrivals")
        if self.arrivals != "closed" and self.concurrent_users is not None:
            raise refuse(f"{self.arrivals} needs rate; concurrent_users goes with closed", "arrivals")
        if self.arrivals == "closed" and self.max_in_flight is not None:
            raise refuse("is used by open loops; users of a closed loop wait anyway", "max_in_flight")
        if self.speed is not None:
            raise refuse(f"is used by trace arrivals, not by {self.arrivals}", "speed")
        self._check_shape()
        self._check_size()
        return self

    def _check_trace(self) -> None:
        given = {
            "concurrent_users": self.concurrent_users,
            "rate": self.rate,
            "burstiness": self.burstiness,
            "think_time_seconds": self.think_time_seconds or None,
            "ramp_up_seconds": self.ramp_up_seconds or None,
        }
        for key, value in given.items():
            if value is not None:
                raise refuse("says nothing of trace arrivals: a trace has its own times", key)

    def _check_size(self) -> None:
        """An open loop's times are made before the run: there is an end to how many, and to how late they are."""
        if self.rate is None:
            return
        rates = self.rate if isinstance(self.rate, tuple) else (self.rate,)
        if self.requests is not None and self.requests / min(rates) > LONGEST_SECONDS:
            slow = (
                f"{self.requests:,} requests at {min(rates):g}/s take longer than {LONGEST_SECONDS / 86_400:.0f} days"
            )
            raise refuse(f"{slow}: raise it, or ask for fewer requests", "rate")
        # The mean of steps and ramp is at most their highest rate, and not less than half of a ramp's.
        busiest = sum(rates) / len(rates) if self.arrivals in SHAPED else max(rates)
        due = self.requests or busiest * ((self.duration_seconds or 0.0) + self.ramp_up_seconds / 2)
        if due > MOST_DUE:
            raise refuse(f"about {due:,.0f} requests would be due in this test; {MOST_DUE:,} are the most", "rate")

    def _check_shape(self) -> None:
        """What the course of the rate needs: a list for steps and ramp, a duration, a shape for gamma."""
        if self.arrivals == "gamma" and self.burstiness is None:
            raise refuse(
                "is needed by gamma arrivals: the shape of their gaps (1 is poisson, less is burstier)", "burstiness"
            )
        if self.burstiness is not None and self.arrivals not in ("gamma", *SHAPED):
            raise refuse(f"is used by gamma, steps and ramp arrivals, not by {self.arrivals}", "burstiness")
        if self.arrivals in SHAPED:
            if (
                not isinstance(self.rate, tuple)
                or len(self.rate) < 2
                or (self.arrivals == "ramp" and len(self.rate) > 2)
            ):
                wanted = (
                    "a list of two or more rates" if self.arrivals == "steps" else "a list of two rates, from and to,"
                )
                raise refuse(f"must be {wanted} with {self.arrivals} arrivals", "rate")
            if self.duration_seconds is None:
                raise refuse(f"is needed by {self.arrivals} arrivals: the rate changes with time", "duration_seconds")
            if self.ramp_up_seconds:
                raise refuse(
                    f"says nothing beside {self.arrivals} arrivals, which have their own course", "ramp_up_seconds"
                )
        elif isinstance(self.rate, tuple) and (
            list(self.rate) != sorted(self.rate) or len({f"{rate:.10g}" for rate in self.rate}) < len(self.rate)
        ):  # ten figures of a rate are in the name of its test
            raise refuse("must be a list of different rates in ascending order", "rate")
