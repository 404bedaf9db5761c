"""How long prompts and answers are: a number of tokens, or a distribution. Drawing lives in `workloads.lengths`."""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, Field, GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from inference_bench.config.rules import refuse
from inference_bench.config.service_models import STRICT

Distribution = Literal["constant", "uniform", "normal", "lognormal"]
MOST_TOKENS = 1_000_000
Tokens = Annotated[int, Field(ge=1, le=MOST_TOKENS)]
_USED_BY = {"mean": ("constant", "normal", "lognormal"), "stdev": ("normal", "lognormal")}


class LengthSettings(BaseModel):
    """A length in tokens. A bare number N is the same as {distribution: constant, mean: N}.

    `mean` and `stdev` are those of the length itself, before it is cut to `min` and `max`.
    """

    model_config = STRICT
    counted: ClassVar[str] = "tokens"
    such_as: ClassVar[str] = "{distribution: uniform, min: 100, max: 500}"

    distribution: Distribution = Field(default="constant", description="How lengths vary from request to request.")
    mean: Annotated[float, Field(ge=1, le=MOST_TOKENS)] | None = Field(
        default=None, description="Mean length, of constant, normal and lognormal."
    )
    stdev: Annotated[float, Field(gt=0, le=MOST_TOKENS)] | None = Field(
        default=None, description="Standard deviation, of normal and lognormal."
    )
    min: Tokens | None = Field(default=None, description="No length is below; 1 without it.")
    max: Tokens | None = Field(default=None, description="No length is above; uniform needs it.")

    @model_validator(mode="before")
    @classmethod
    def _from_number(cls, data: object) -> object:
        if isinstance(data, cls | Mapping):
            return data
        if isinstance(data, int) and not isinstance(data, bool):
            if not 1 <= data <= MOST_TOKENS:
                raise refuse(f"must be from 1 to {MOST_TOKENS:,} {cls.counted}, not {data}")
            return {"mean": float(data)}
        raise refuse(f"must be a number of {cls.counted}, or a distribution such as {cls.such_as}")

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, users in _USED_BY.items():
            given = getattr(self, key) is not None
            if self.distribution in users and not given:
                raise refuse(f"is needed by the distribution {self.distribution}", key)
            if self.distribution not in users and given:
                listed = " and ".join((", ".join(users[:-1]), users[-1]))
                raise refuse(f"is used by {listed}, not by {self.distribution}", key)
        if self.distribution == "constant":
            self._check_constant()
        elif self.distribution == "uniform" and self.max is None:
            raise refuse("is needed by the distribution uniform", "max")
        if self.max is not None and (self.min or 1) > self.max:
            raise refuse(f"must not be below min, which is {self.min or 1}", "max")
        return self

    def _check_constant(self) -> None:
        for key in ("min", "max"):
            if getattr(self, key) is not None:
                raise refuse("is used by a distribution that varies, not by constant", key)
        if self.mean is not None and self.mean != round(self.mean):
            raise refuse(f"a constant length is a whole number of {self.counted}", "mean")

    @property
    def shortest(self) -> int:
        """The least length that can be drawn, in tokens."""
        return round(self.mean or 1) if self.distribution == "constant" else self.min or 1

    @property
    def longest(self) -> int:
        """The greatest length that can be drawn, in tokens."""
        return round(self.mean or 1) if self.distribution == "constant" else self.max or MOST_TOKENS

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, object]:
        """Say in the schema that a bare number is a length too."""
        return {"anyOf": [{"type": "integer", "minimum": 1, "maximum": MOST_TOKENS}, handler(core)]}


class TurnsSettings(LengthSettings):
    """How many turns a session has. A bare number N is the same as {distribution: constant, mean: N}.

    `mean` and `stdev` are those of the number itself, before it is cut to `min` and `max`.
    """

    counted: ClassVar[str] = "turns"
    such_as: ClassVar[str] = "{distribution: uniform, min: 2, max: 8}"
