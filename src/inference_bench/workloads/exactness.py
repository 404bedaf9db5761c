"""Counts a sample of composed prompts and says in words how exact their lengths are."""

from collections.abc import Sequence
from dataclasses import dataclass

from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.prefix import unique_prefix, with_prefix
from inference_bench.workloads.tokens import TokenCounter

MOST_COUNTED = 512
_LEAST_COUNTED = 16
_TOKENS_COUNTED = 400_000
TEMPLATE_NOTE = "prompt lengths are those of the text; the tokens of a chat template come on top"
UNCOUNTED_NOTE = (
    "prompt lengths are approximate: no tokenizer counted them, and a word is taken for a token, as it is in the "
    "vocabularies of Llama 2, Llama 3, Qwen 2, GPT-2 and Gemma"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and the length in tokens that it was composed for."""

    item: WorkItem
    tokens: int


def sample_size(mean_tokens: float) -> int:
    """Return how many prompts of this mean length are counted: fewer when they are long."""
    return max(_LEAST_COUNTED, min(MOST_COUNTED, int(_TOKENS_COUNTED / max(mean_tokens, 1.0))))


def exactness_note(
    samples: Sequence[Sample], counter: TokenCounter, *, unique: bool, words: Sequence[str] | None
) -> str:
    """Count the samples as they will be sent, unique prefixes included, and say how far they are off."""
    texts = [_as_sent(sample.item, place, unique, words) for place, sample in enumerate(samples)]
    errors = [count - sample.tokens for count, sample in zip(counter.count(texts), samples, strict=True)]
    wrong = sum(1 for error in errors if error)
    counted = f"{len(samples)} prompts counted by {counter.source}"
    if not wrong:
        return f"{counted}: all exactly as long as asked"
    return f"{counted}: {wrong} not as long as asked, off by {min(errors):+d} to {max(errors):+d} tokens"


def _as_sent(item: WorkItem, place: int, unique: bool, words: Sequence[str] | None) -> str:
    messages = item.messages
    if unique:
        prefix = unique_prefix("counted", "", 0, place, words=words)
        messages = with_prefix(messages, prefix, after=item.shared_characters)
    return messages[0].content
