"""How long the answers of a dataset are, in tokens: counted for those that are asked first, estimated for the rest.

Counting an answer costs a question to a server, so not all of a large dataset are counted. The estimate is the number
of characters divided by the characters per token of those that were counted, or by those of `estimate` when nobody
counts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from inference_bench.workloads.estimate import estimate_tokens
from inference_bench.workloads.tokens import TokenCounter

MOST_COUNTED = 2_000


@dataclass(frozen=True, slots=True)
class AnswerLengths:
    """Token counts of answers by their key, and what is known for the others. `note` says which is which."""

    counted: Mapping[int, int]
    characters_per_token: float | None
    note: str

    def of(self, key: int, answer: str) -> int:
        """Return the length of an answer in tokens, at least 1."""
        if key in self.counted:
            return self.counted[key]
        if self.characters_per_token is None:
            return max(1, estimate_tokens(answer))
        return max(1, round(len(answer) / self.characters_per_token))


def answer_lengths(answers: Sequence[tuple[int, str]], more: bool, counter: TokenCounter | None) -> AnswerLengths:
    """Count these answers, given with their keys; `more`: the dataset has others, which are estimated."""
    if counter is None:
        return AnswerLengths({}, None, "answer lengths are estimated from the dataset's answers: nobody counted tokens")
    texts = [answer for _, answer in answers]
    counts = [max(1, count) for count in counter.count(texts)]
    counted = {key: count for (key, _), count in zip(answers, counts, strict=True)}
    if not counted:
        return AnswerLengths({}, None, "the dataset has no answers: their lengths are those of the test")
    ratio = sum(map(len, texts)) / sum(counts)
    note = f"answer lengths are those of the dataset's answers: {len(counted):,} counted by {counter.source}"
    if more:
        note += f", the others estimated by their {ratio:.2f} characters a token"
    return AnswerLengths(counted, max(ratio, 1e-3), note)
