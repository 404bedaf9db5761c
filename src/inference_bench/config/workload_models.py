"""The settings of section `workload`: what is asked. Building it is the business of `inference_bench.workloads`."""

from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from inference_bench.config.rules import NotYet, refuse, word
from inference_bench.config.service_models import STRICT, Text

WorkloadKind = Literal["built-in", "file"]
CacheUse = Literal["unique", "shared"]
_SYNTHETIC = "is used by the workload kind synthetic, which is not available yet"


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
