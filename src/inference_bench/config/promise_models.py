"""The settings of section `slo`: what is promised to users, per request and for a whole test. No figures here.

Which values of a summary can be limited is known elsewhere (`vocabulary` checks the names); here stands their form.
"""

from collections.abc import Mapping
from typing import Annotated, Self

from pydantic import BaseModel, Field, model_validator

from inference_bench.config.rules import refuse
from inference_bench.config.service_models import STRICT

Milliseconds = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, le=1)]
ValueName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)?$")]


class PerRequestSlo(BaseModel):
    """The limits a request must meet, all of them, to count as goodput."""

    model_config = STRICT

    ttft_ms: Milliseconds | None = Field(default=None, description="Longest time to first token.")
    tpot_ms: Milliseconds | None = Field(default=None, description="Longest time per output token after the first.")
    e2e_ms: Milliseconds | None = Field(default=None, description="Longest time to the last token.")


class SloSettings(BaseModel):
    """What is promised to users: limits per request (goodput), and what fails the run when it does not hold."""

    model_config = STRICT

    per_request: PerRequestSlo = Field(default=PerRequestSlo(), description="Limits each request is held against.")
    attainment: Share | None = Field(
        default=None, description="The share of requests that must meet every limit of per_request; less fails the run."
    )
    success_rate: Share | None = Field(
        default=None, description="The share of requests that must succeed; less fails the run."
    )
    limits: Mapping[ValueName, Annotated[float, Field(ge=0)]] = Field(
        default_factory=dict,
        description="Limits for any metric and statistic, such as ttft_ms.p95: 300. Where more is better "
        "(output_tok_per_s_user.p5: 20) the number is the least that is accepted. What is beyond fails the run.",
    )

    @property
    def has_request_limits(self) -> bool:
        """Whether a request is held against anything: then there is goodput."""
        limits = self.per_request
        return any(limit is not None for limit in (limits.ttft_ms, limits.tpot_ms, limits.e2e_ms))

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.attainment is not None and not self.has_request_limits:
            raise refuse(
                "is the share that meets per_request: give that a limit (ttft_ms, tpot_ms, e2e_ms)", "attainment"
            )
        if not self.has_request_limits and self.success_rate is None and not self.limits:
            raise refuse(
                "promises nothing: give per_request a limit (ttft_ms, tpot_ms or e2e_ms), success_rate, or limits"
            )
        return self
