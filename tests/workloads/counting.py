"""Token counters for tests: rules of their own, so that composing has to find out what words cost."""

import re
from collections.abc import Sequence

from inference_bench.api.protocols import Message
from inference_bench.simulator import tokenizer
from inference_bench.workloads.items import Workload
from inference_bench.workloads.prefix import unique_prefix, with_prefix


class Pieces:
    """Counts pieces of at most `letters` letters, each with the blank before it; remembers what it was asked."""

    def __init__(self, letters: int = 4) -> None:
        self.source = f"pieces of {letters}"
        self._piece = re.compile(rf" ?(?:[A-Za-z]{{1,{letters}}}|[^A-Za-z])")
        self.asked: list[str] = []

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many pieces each text has."""
        self.asked += texts
        return [len(self._piece.findall(text)) for text in texts]


class Simulated:
    """Counts as the simulator's tokeniser does: two tokens for each word of four letters."""

    source = "the simulator"

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return [tokenizer.count(text) for text in texts]


class Uneven:
    """Counts the first letter of a word as well: words cost one to three tokens, and a word at the start one more."""

    source = "uneven"

    def count(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens each text has."""
        return [1 + sum(1 + (word[0] in "abc") + (word[-1] == "e") for word in text.split()) for text in texts]


def as_sent(workload: Workload, index: int, *, unique: bool = True, nonce: str = "nonce") -> tuple[Message, ...]:
    """Return the messages of a request as the renderer makes them, unique prefix included."""
    item = workload.item(index)
    if not unique:
        return item.messages
    prefix = unique_prefix(nonce, "test", 0, index, words=workload.prefix_words)
    return with_prefix(item.messages, prefix, after=item.shared_characters)
