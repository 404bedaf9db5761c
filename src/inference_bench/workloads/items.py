"""One piece of work and the source it is drawn from; how prompts are read, composed or prefixed lives elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Protocol

from inference_bench.api.protocols import Message


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One piece of work, in no engine's language and without a prefix.

    `max_tokens` is the output length this item asks for; None leaves it to the test. `category` says what kind of
    work it is, for grouping: a built-in category, or what the prompt file said.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None
    category: str


class Workload(Protocol):
    """A source of work. Equal seed and equal index mean equal work, in any process and on any machine."""

    @property
    def name(self) -> str:
        """What the work is, in a few words for a plan or a manifest: `built-in/code`, `file my-prompts.jsonl`."""

    def item(self, index: int) -> WorkItem:
        """Return the work with this index, for any index >= 0; a negative one raises IndexError."""


@dataclass(frozen=True, slots=True)
class PooledWorkload:
    """Draws from a fixed pool of items, in a fresh seeded order for each pass over the pool.

    Within a pass every item is used exactly once, so over whole passes all are used equally often. An index costs
    O(1) as long as it falls into one of the last few passes asked for, one shuffle of the pool otherwise.
    """

    name: str
    items: Sequence[WorkItem]
    seed: int

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("a workload needs at least one item")

    def item(self, index: int) -> WorkItem:
        if index < 0:
            raise IndexError(f"work is numbered from 0, there is no item {index}")
        pass_no, position = divmod(index, len(self.items))
        return self.items[_pass_order(self.seed, pass_no, len(self.items))[position]]


@lru_cache(maxsize=4)
def _pass_order(seed: int, pass_no: int, count: int) -> tuple[int, ...]:
    """Return the seeded permutation of range(count) for one pass.

    Sorting by `random()` draws instead of calling `shuffle`: Python guarantees only the former to be the same in
    every version, and a seed must mean the same work wherever it is given.
    """
    draw = Random(f"{seed}:{pass_no}").random
    return tuple(sorted(range(count), key=[draw() for _ in range(count)].__getitem__))
