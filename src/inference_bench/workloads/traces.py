"""Recorded traffic: when requests came and how long they were, and the work that has the same lengths.

The formats are read by `trace_text` and `trace_runs`; when the times are followed lives in `testing`.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from inference_bench.api.protocols import Message
from inference_bench.workloads.composing import Composer
from inference_bench.workloads.exactness import TEMPLATE_NOTE
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.opened import open_once, wrong
from inference_bench.workloads.synthetic import composer_for, length_note
from inference_bench.workloads.tokens import TokenCounter
from inference_bench.workloads.trace_columns import BLOCK_TOKENS, SharedBlocks, Trace
from inference_bench.workloads.trace_runs import PARQUET_MAGIC, read_run_trace, run_parquet
from inference_bench.workloads.trace_text import read_text_trace

TRACE_CATEGORY: Final = "trace"


def read_trace(path: Path) -> Trace:
    """Read a trace of any known format, told by its content.

    Mooncake (JSONL), Azure LLM inference and BurstGPT (CSV), and our own runs: a run folder or its requests.parquet.
    Of a run the first load test and its first service are taken, or those named behind a `#` as `PATH#TEST/SERVICE`
    or `PATH#TEST`.

    Raises ConfigError with file, line and column for anything that is not a row of the format, for negative,
    non-finite or descending times, and for negative lengths.
    """
    selection = None
    # os.path: a name that is too long, or hidden, is no exception there; opening it says what is wrong.
    if not os.path.exists(path) and "#" in str(path):  # noqa: PTH110
        plain, _, selection = str(path).rpartition("#")
        path = Path(plain)
    if os.path.isdir(path):  # noqa: PTH112
        path = run_parquet(path)
    with open_once(path, "trace") as stream:
        if stream.read(len(PARQUET_MAGIC)) == PARQUET_MAGIC:
            return read_run_trace(path, stream, selection)
        if selection is not None:
            raise wrong(path, "a test and a service can be chosen of a run only", hint="leave out the part behind #")
        stream.seek(0)
        return read_text_trace(path, stream)


@dataclass(frozen=True, slots=True)
class TraceWorkload:
    """The work of a trace: item i has the lengths of row i, and begins with the blocks of text that row shares.

    Rows repeat after the last one. Texts are composed of words; equal (trace, seed, index) is equal work.
    """

    trace: Trace
    composer: Composer
    seed: int
    unique: bool
    notes: tuple[str, ...] = ()
    _shared: Callable[[int], int] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_shared", _shared_counter(self.trace.blocks))

    @property
    def name(self) -> str:
        """What the work is: `trace conversation.jsonl`."""
        return f"trace {self.trace.name}"

    @property
    def times_s(self) -> npt.NDArray[np.float64]:
        """When its rows came, in seconds from the first, ascending."""
        return self.trace.times_s

    @property
    def prefix_words(self) -> tuple[str, ...] | None:
        """The words its unique prefixes are made of."""
        return self.composer.prefix_words

    def tokens(self, index: int) -> int:
        """Return the length in tokens of the prompt with this index, unique prefix included."""
        return int(self.trace.prompt_tokens[index % self.trace.rows])

    def item(self, index: int) -> WorkItem:
        """Return the work of row `index` (from 0); a negative one raises IndexError."""
        if index < 0:
            raise IndexError(f"work is numbered from 0, there is no item {index}")
        row = index % self.trace.rows
        tokens = self.tokens(row)
        blocks = self._blocks(row, tokens)
        key = f"{self.seed}:row:{index}"
        if blocks:
            start = self._beginning(blocks)
            rest = tokens - len(blocks) * BLOCK_TOKENS
            text, shared = self._after(start, rest, key)
        else:
            text, shared = self._alone(tokens, key), 0
        return WorkItem((Message("user", text),), int(self.trace.output_tokens[row]), TRACE_CATEGORY, shared)

    def _alone(self, tokens: int, key: str) -> str:
        """Return a text that is as long as asked once the unique prefix stands before it."""
        if not self.unique:
            return self.composer.beginning(key, tokens)
        return self.composer.lead + self.composer.run(key, tokens - self.composer.costs.prefix)

    def _after(self, start: str, tokens: int, key: str) -> tuple[str, int]:
        """Return a shared start with `tokens` more behind it, and where in it a unique prefix belongs."""
        if not self.unique:
            return start + self.composer.run(key, tokens), len(start)
        own = self.composer.lead + self.composer.run(key, tokens - self.composer.costs.later_prefix)
        return f"{start} {own}", len(start) + 1

    def _blocks(self, row: int, tokens: int) -> Sequence[int]:
        """Return the shared blocks a row begins with, as many as leave room for its own text."""
        if self.trace.blocks is None:
            return ()
        room = tokens - self.composer.costs.later_prefix if self.unique else tokens
        fit = max(room, 0) // BLOCK_TOKENS
        return [int(one) for one in self.trace.blocks.of(row)[: min(fit, self._shared(row))]]

    def _beginning(self, blocks: Sequence[int]) -> str:
        first = self.composer.beginning(f"{self.seed}:block:{blocks[0]}", BLOCK_TOKENS)
        return first + "".join([self.composer.run(f"{self.seed}:block:{one}", BLOCK_TOKENS) for one in blocks[1:]])


def _shared_counter(blocks: SharedBlocks | None) -> Callable[[int], int]:
    """Return a function of the row: how many of its leading blocks occur in other rows too."""
    if blocks is None or not len(blocks.ids):
        return lambda _row: 0
    ids, counts = np.unique(blocks.ids, return_counts=True)
    often = counts[np.searchsorted(ids, blocks.ids)] > 1

    def leading(row: int) -> int:
        mine = often[blocks.starts[row] : blocks.starts[row + 1]]
        return len(mine) if mine.all() else int(np.argmin(mine))

    return leading


def trace_workload(path: Path, seed: int, counter: TokenCounter | None, *, unique: bool) -> TraceWorkload:
    """Read a trace and return its work, with notes on how exact its lengths are. Raises ConfigError."""
    trace, composer = read_trace(path), composer_for(counter)
    plain = TraceWorkload(trace, composer, seed, unique)
    counted = length_note(plain.item, plain.tokens, counter, composer=composer, unique=unique, most=trace.rows)
    notes = [*trace.notes, counted, TEMPLATE_NOTE]
    least = composer.costs.prefix if unique else composer.costs.lead
    short = int((trace.prompt_tokens < least).sum())
    if short:
        what = "a unique prefix" if unique else "a word"
        notes.append(f"{short:,} prompts are shorter than {what} and sent with {least} tokens")
    if trace.blocks is not None:
        notes.append(f"prompts share their beginnings as the trace says, in blocks of {BLOCK_TOKENS} tokens")
    return TraceWorkload(trace, composer, seed, unique, tuple(notes))
