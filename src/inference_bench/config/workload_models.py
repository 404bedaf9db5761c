"""The settings of section `workload`: what is asked. Building it is the business of `inference_bench.workloads`."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from inference_bench.config.length_models import LengthSettings, Tokens, TurnsSettings
from inference_bench.config.quantities import Count
from inference_bench.config.rules import refuse
from inference_bench.config.service_models import STRICT, Text

WorkloadKind = Literal["built-in", "file", "synthetic", "sharegpt", "sessions", "trace"]
CacheUse = Literal["unique", "shared"]

KINDS_BY_KEY: Mapping[str, tuple[WorkloadKind, ...]] = {
    "path": ("file", "sharegpt", "sessions", "trace"),
    "category": ("built-in", "file", "sessions"),
    "prompt_column": ("file",),
    "prompt_tokens": ("synthetic", "sessions"),
    "output_tokens": ("synthetic", "sharegpt", "sessions"),
    "shared_prefix": ("synthetic",),
    "tokenizer": ("synthetic", "sharegpt", "sessions", "trace"),
    "turns": ("sessions",),
    "sessions": ("sessions",),
}
"""Which kinds use which key; any other use is refused."""
_NEEDED_BY: Mapping[str, tuple[WorkloadKind, ...]] = {
    "path": ("file", "sharegpt", "trace"),
    "prompt_tokens": ("synthetic",),
}


class SharedPrefixSettings(BaseModel):
    """A beginning that some prompts have in common, so that a prefix cache can answer for it."""

    model_config = STRICT

    share: Annotated[float, Field(gt=0, le=1)] = Field(description="The share of requests that start with one.")
    tokens: Tokens = Field(description="Its length in tokens; it is part of the prompt's length.")
    groups: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1, description="How many different ones there are; each is as likely."
    )


class WorkloadSettings(BaseModel):
    """What is asked."""

    model_config = STRICT

    kind: WorkloadKind = Field(default="built-in", description="Where prompts come from.")
    path: Text | None = Field(
        default=None,
        description="The file: prompts (text, JSONL or CSV) of kind file, conversations (JSON or JSONL) of sharegpt "
        "and sessions, a trace or a run folder of trace.",
    )
    category: Text | None = Field(default=None, description="Take prompts or conversations of this category only.")
    prompt_column: Text | None = Field(
        default=None, description="The column of a CSV file that holds the prompts; found by its usual names without."
    )
    prompt_tokens: LengthSettings | None = Field(
        default=None,
        description="Prompt length in tokens of kind synthetic, and of each user's turn of sessions without a path: "
        "a number, or a distribution.",
    )
    output_tokens: LengthSettings | None = Field(
        default=None,
        description="Answer length in tokens, instead of the test's max_tokens: a number, or a distribution.",
    )
    shared_prefix: SharedPrefixSettings | None = Field(
        default=None, description="A beginning that a share of the prompts of kind synthetic has in common."
    )
    tokenizer: Text | None = Field(
        default=None,
        description="A tokenizer.json that counts tokens, instead of the server's own /tokenize. Needs the extra "
        "tokenizers.",
    )
    turns: TurnsSettings | None = Field(
        default=None, description="Turns of a session: a number, or a distribution; of a given conversation at most."
    )
    sessions: Count | None = Field(
        default=None, description="How many different sessions there are; they repeat after that."
    )
    cache: CacheUse = Field(
        default="unique",
        description="unique: each prompt has a prefix of its own, so that no prefix cache answers. It stands at the "
        "very start, or right after a shared prefix.",
    )

    @model_validator(mode="after")
    def _check(self) -> Self:
        for key, kinds in _NEEDED_BY.items():
            if self.kind in kinds and getattr(self, key) is None:
                raise refuse(f"is needed by the workload kind {self.kind}", key)
        for key, kinds in KINDS_BY_KEY.items():
            if self.kind not in kinds and getattr(self, key) is not None:
                listed = " and ".join((", ".join(kinds[:-1]), kinds[-1]) if kinds[1:] else kinds)
                noun = "kinds" if kinds[1:] else "kind"
                raise refuse(f"is used by the workload {noun} {listed}, not by {self.kind}", key)
        if self.kind == "sessions":
            self._check_sessions()
        if self.kind == "sharegpt" and self.tokenizer is not None and self.output_tokens is not None:
            raise refuse(
                "counts the dataset's answers, which output_tokens replaces: leave one of them out", "tokenizer"
            )
        if self.shared_prefix is not None and self.prompt_tokens is not None:
            self._check_prefix(self.shared_prefix, self.prompt_tokens)
        return self

    def _check_sessions(self) -> None:
        if self.path is not None and self.prompt_tokens is not None:
            raise refuse(
                "is used by sessions without a path: the conversations of a file have their own", "prompt_tokens"
            )
        if self.path is not None and self.category is not None:
            raise refuse("is used by sessions without a path", "category")
        if self.category is not None and self.prompt_tokens is not None:
            raise refuse("chooses among the built-in scripts; composed sessions have none", "category")
        if self.tokenizer is not None and self.prompt_tokens is None:
            raise refuse("is used by sessions that are composed of prompt_tokens", "tokenizer")
        if self.prompt_tokens is not None and self.turns is None:
            raise refuse("is needed by sessions that are composed of prompt_tokens", "turns")

    def _check_prefix(self, prefix: SharedPrefixSettings, lengths: LengthSettings) -> None:
        if prefix.tokens >= lengths.shortest:
            raise refuse(
                f"must be below the shortest prompt, which is {lengths.shortest} tokens; give prompt_tokens a min",
                "shared_prefix",
                "tokens",
            )
