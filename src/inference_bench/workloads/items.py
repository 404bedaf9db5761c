"""One piece of work and the source it is drawn from; how prompts are read, composed or prefixed lives elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from inference_bench.api.protocols import Message
from inference_bench.workloads.permutation import place_in_pass


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One piece of work, in no engine's language and without a prefix.

    `max_tokens` is the output length this item asks for; None leaves it to the test. `category` says what kind of
    work it is, for grouping: a built-in category, or what the prompt file said. The first `shared_characters` of the
    first message are a beginning that other work has too: a unique prefix stands after them, or nothing could be
    shared.
    """

    messages: tuple[Message, ...]
    max_tokens: int | None
    category: str
    shared_characters: int = 0


class Workload(Protocol):
    """A source of work. Equal seed and equal index mean equal work, in any process and on any machine."""

    @property
    def name(self) -> str:
        """What the work is, in a few words for a plan or a manifest: `built-in/code`, `file my-prompts.jsonl`."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of it, in sentences: how exact its lengths are, what was left out of a file."""

    @property
    def prefix_words(self) -> tuple[str, ...] | None:
        """The words its unique prefixes are made of; None for all of them. A power of two of them, at least two."""

    def item(self, index: int) -> WorkItem:
        """Return the work with this index, for any index >= 0; a negative one raises IndexError."""


@dataclass(frozen=True, slots=True)
class PooledWorkload:
    """Draws from a fixed pool of items, in a fresh seeded order for each pass over the pool.

    Within a pass every item is used exactly once, so over whole passes all are used equally often. An index costs
    O(1) as long as it falls into one of the last few passes asked for, one shuffle of the pool otherwise; pools of more
    than `permutation.MOST_SORTED` items are never shuffled, an index then costs a few digests.
    """

    name: str
    items: Sequence[WorkItem]
    seed: int
    notes: tuple[str, ...] = ()
    prefix_words: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("a workload needs at least one item")

    def item(self, index: int) -> WorkItem:
        if index < 0:
            raise IndexError(f"work is numbered from 0, there is no item {index}")
        return self.items[place_in_pass(self.seed, index, len(self.items))]
