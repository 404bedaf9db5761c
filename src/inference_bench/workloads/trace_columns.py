"""A trace as columns, and the collecting of its rows with the checks that every format has in common."""

import math
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt

from inference_bench.workloads.opened import wrong

BLOCK_TOKENS = 512
"""Tokens that one hash id of a Mooncake trace stands for."""


@dataclass(frozen=True, slots=True)
class SharedBlocks:
    """Which blocks of text the prompts of a trace have in common, in rows of unequal length.

    Row i begins with the blocks `ids[starts[i]:starts[i + 1]]`, each of `BLOCK_TOKENS` tokens; equal ids are equal
    text. `starts` has one entry more than there are rows. Both are int64 arrays.
    """

    ids: npt.NDArray[np.int64]
    starts: npt.NDArray[np.int64]

    def of(self, row: int) -> npt.NDArray[np.int64]:
        """Return the ids of one row."""
        return self.ids[self.starts[row] : self.starts[row + 1]]


@dataclass(frozen=True, slots=True)
class Trace:
    """Recorded traffic as columns of equal length, one row a request.

    `times_s`: arrival in s from the first one, ascending from 0 (float64). `prompt_tokens` and `output_tokens`:
    lengths, at least 1 (int32). `notes` say what was left out and what the numbers mean.
    """

    name: str
    times_s: npt.NDArray[np.float64]
    prompt_tokens: npt.NDArray[np.int32]
    output_tokens: npt.NDArray[np.int32]
    notes: tuple[str, ...] = ()
    blocks: SharedBlocks | None = None

    @property
    def rows(self) -> int:
        """How many requests there are."""
        return len(self.times_s)

    @property
    def span_s(self) -> float:
        """Time from the first to the last request, in s."""
        return float(self.times_s[-1])

    @property
    def rate(self) -> float | None:
        """Mean arrival rate in requests per second: gaps over the span; None when all came at once."""
        return (self.rows - 1) / self.span_s if self.span_s > 0 else None


MOST_TOKENS = 2**31 - 1
KNOWN_FORMATS = (
    'known are Mooncake (JSONL with "timestamp", "input_length" and "output_length"), Azure LLM inference (CSV with '
    "TIMESTAMP, ContextTokens, GeneratedTokens), BurstGPT (CSV with Timestamp, Request tokens, Response tokens) and "
    "run folders"
)


Part = Literal["time", "prompt", "output"]


class RowError(Exception):
    """A row is not what its format says: what is wrong with it, in which column (from 1) or with which part, and what
    to do where that is not the formats that are known.
    """

    def __init__(self, problem: str, column: int = 1, *, part: Part | None = None, hint: str | None = None) -> None:
        super().__init__(problem)
        self.hint = hint
        self.column = column
        self.part = part


class Columns:
    """Collects the rows of a trace as columns.

    Rows that ask for nothing are left out and counted: no prompt, or no answer, as failed requests have in BurstGPT.
    """

    def __init__(self) -> None:
        self._times = array("d")
        self._prompts = array("i")
        self._outputs = array("i")
        self._ids = array("q")
        self._starts = array("q", [0])
        self._skipped = 0
        self._crowded = 0  # rows with more blocks than fit into their prompts
        self._last = -math.inf

    def add(self, time_s: float, prompt: int, output: int, ids: Sequence[int] = ()) -> None:
        """Add a row: a time in s from anywhere, lengths in tokens, shared blocks. RowError for what cannot be."""
        if not (self._last <= time_s < math.inf and 0 < prompt <= MOST_TOKENS and 0 < output <= MOST_TOKENS):
            self._check(time_s, prompt, output)
            self._last = time_s
            self._skipped += 1
            return
        self._last = time_s
        self._times.append(time_s)
        self._prompts.append(prompt)
        self._outputs.append(output)
        if ids:
            self._ids.extend(ids)
            self._crowded += len(ids) > -(-prompt // BLOCK_TOKENS)
        self._starts.append(len(self._ids))

    def _check(self, time_s: float, prompt: int, output: int) -> None:
        if not math.isfinite(time_s):
            raise RowError("the time is not a finite number", part="time")
        if time_s < self._last:
            raise RowError(f"the time is {self._last - time_s:g} s before that of the row above", part="time")
        lengths: tuple[tuple[Part, int], ...] = (("prompt", prompt), ("output", output))
        for part, value in lengths:
            if value < 0:
                raise RowError(f"the {part} length is negative: {value}", part=part)
            if value > MOST_TOKENS:
                raise RowError(f"the {part} length is more than {MOST_TOKENS:,} tokens", part=part)

    def trace(self, path: Path, kind: str, notes: tuple[str, ...] = ()) -> Trace:
        """Return what was collected. ConfigError when that is nothing."""
        if not self._times:
            raise wrong(path, f"there is no request in this {kind} trace", hint=KNOWN_FORMATS)
        times = np.array(self._times, dtype=np.float64)
        times -= times[0]
        if self._skipped:
            left_out = f"{self._skipped:,} row{'s' if self._skipped > 1 else ''} without a prompt or an answer left out"
            notes = (*notes, left_out)
        if self._crowded:
            rows = f"{self._crowded:,} row{'s name' if self._crowded > 1 else ' names'}"
            fit = f"more blocks of {BLOCK_TOKENS} tokens than fit into the prompt"
            notes = (*notes, f"{rows} {fit}: are this trace's blocks of another size?")
        blocks = SharedBlocks(np.array(self._ids, np.int64), np.array(self._starts, np.int64)) if self._ids else None
        prompts, outputs = np.array(self._prompts, np.int32), np.array(self._outputs, np.int32)
        return Trace(path.name, times, prompts, outputs, (f"{kind} trace of {len(times):,} requests", *notes), blocks)
