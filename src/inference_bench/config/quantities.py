"""The kinds of number a setting may be: counts, seconds, shares, with their bounds."""

from typing import Annotated

from pydantic import Field

Count = Annotated[int, Field(gt=0, le=1_000_000_000)]
CountOrZero = Annotated[int, Field(ge=0, le=2**63 - 1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]  # engines take a signed 64-bit number
LONGEST_SECONDS = 30 * 86_400.0  # a month: more is a slip of the hand
Seconds = Annotated[float, Field(ge=0, le=LONGEST_SECONDS)]
PositiveSeconds = Annotated[float, Field(gt=0, le=LONGEST_SECONDS)]
Temperature = Annotated[float, Field(ge=0, le=2)]
