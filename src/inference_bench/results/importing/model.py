"""What the readers make of a foreign file: tests, exchanges, and the figures that the tool gave. Values only."""

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Literal

from inference_bench.results.manifest import LoadShape

Tool = Literal["guidellm", "aiperf", "vllm bench serve", "inference-perf"]
TokenSource = Literal["usage", "tokenizer"]


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request as another tool kept it.

    Marks are seconds on the file's own clock, None where the file does not tell. `chunks` are the arrivals of text
    chunks in stream order; empty where they were not kept. `text_chunks` counts them where only their number is known.
    """

    sent: float | None
    end: float | None = None
    first_token: float | None = None
    last_token: float | None = None
    first_answer_token: float | None = None
    intended: float | None = None
    ok: bool = True
    error_class: str | None = None
    error_message: str | None = None
    warmup: bool = False
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: TokenSource | None = None
    text_chunks: int | None = None
    chunks: tuple[float, ...] = ()
    reused: bool = False

    @property
    def orderly(self) -> bool:
        """Whether time runs forwards through the marks that are known."""
        marks = [self.sent, self.first_token, *self.chunks, self.last_token, self.end]
        known = [mark for mark in marks if mark is not None]
        return all(earlier <= later for earlier, later in itertools.pairwise(known))


@dataclass(frozen=True, slots=True)
class Reported:
    """A distribution as the file gives it, in the unit of our metric; None where it does not.

    `percentiles` maps percent to value.
    """

    n: int
    mean: float | None = None
    least: float | None = None
    most: float | None = None
    percentiles: Mapping[int, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ForeignTest:
    """One test of the file.

    `value` names it among several (`16` in `load@16`). `exchanges` yields its requests; None where the file keeps only
    figures: those are in `reported` (by our metric's id) and in the rates. `window` is what the tool calls measured,
    on the clock of the exchanges; None: from the first request to the last end. Rates are per second.
    """

    value: str | None
    load: LoadShape
    exchanges: Callable[[], Iterator[Exchange]] | None = None
    window: tuple[float, float] | None = None
    seconds: float | None = None
    ok: int = 0
    failed: int = 0
    interrupted: int = 0
    errors: Mapping[str, int] = field(default_factory=dict)
    reported: Mapping[str, Reported] = field(default_factory=dict)
    requests_per_s: float | None = None
    output_tokens_per_s: float | None = None
    total_tokens_per_s: float | None = None
    rate_asked: float | None = None
    concurrency_mean: float | None = None
    concurrency_max: int | None = None
    goodput_per_s: float | None = None


@dataclass(frozen=True, slots=True)
class Foreign:
    """A foreign result file: whose it is, what it says of itself, its tests in their order.

    `simulated` is True where the file itself says so, None where it does not tell.
    """

    tool: Tool
    path: Path
    tests: tuple[ForeignTest, ...]
    version: str | None = None
    started: datetime | None = None
    model: str | None = None
    url: str | None = None
    simulated: bool | None = None
    notes: tuple[str, ...] = ()
