"""Composes texts of a wanted number of tokens out of plain words, so that lengths add up.

Every text is words with a blank before each. No known vocabulary joins words over a blank, so a text has as many
tokens as its words have one by one. What a word costs is asked of a counter once (`calibrated`): of the words of
`data/prefix_words.txt` those are taken that cost the same, at the start of a text and inside it, and a filler of one
token makes up what is left. Without a counter each word is taken for one token, which holds for the vocabularies of
Llama 2, Llama 3, Qwen 2, GPT-2 and Gemma.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import shake_256

from inference_bench.errors import ConfigError
from inference_bench.workloads.prefix import prefix_words, unique_prefix
from inference_bench.workloads.tokens import TokenCounter

_EVERY = 4  # of the 512 words: 128 candidates, of all initials
_LEAST_WORDS = 16
_FILLERS = ("a", "I", "to", "of", "x", "1")
_BLOCKS_KEPT = 4096


@dataclass(frozen=True, slots=True)
class Costs:
    """What the pieces of a composed text cost, in tokens.

    `word` and `filler`: with a blank before. `lead`: the first word of a text. `prefix`: a unique prefix and the lead
    behind it, at the start of a text; `later_prefix`: the same after other words, with a blank between.
    """

    word: int = 1
    lead: int = 1
    prefix: int = 10
    later_prefix: int = 10


@dataclass(frozen=True, slots=True)
class Composer:
    """Composes texts of a wanted length. Equal arguments give equal texts, on any machine.

    `words` are a power of two, 128 at most. `filler` is a word of one token, None where none is needed or known.
    `source` names who counted, None when nobody did.
    """

    words: tuple[str, ...]
    costs: Costs
    filler: str | None
    source: str | None

    @property
    def prefix_words(self) -> tuple[str, ...] | None:
        """The words of unique prefixes, all of the same cost; None, which is all words, when nobody counted."""
        return None if self.source is None else self.words

    @property
    def lead(self) -> str:
        """The word every text starts with."""
        return self.words[0]

    def run(self, key: str, tokens: int) -> str:
        """Return words with a blank before each, of `tokens` tokens, chosen by `key`; nothing for less than one."""
        return _run(self.words, self.costs.word, self.filler, key, max(tokens, 0))

    def beginning(self, key: str, tokens: int) -> str:
        """Return a text of `tokens` tokens; it has a word at least."""
        return self.lead + self.run(key, tokens - self.costs.lead)

    def room_for_prefix(self, *, later: bool) -> int:
        """Return the tokens that a unique prefix and the word behind it take; `later`: after a shared beginning."""
        return self.costs.later_prefix if later else self.costs.prefix


@lru_cache(maxsize=_BLOCKS_KEPT)
def _run(words: tuple[str, ...], cost: int, filler: str | None, key: str, tokens: int) -> str:
    """Return a run of words; kept, because blocks that prompts share are asked for again and again."""
    count, left = divmod(tokens, cost)
    mask = len(words) - 1
    chosen = [words[byte & mask] for byte in shake_256(key.encode()).digest(count)]
    if filler is not None:
        chosen += [filler] * left
    return "".join([f" {word}" for word in chosen])


def uncounted() -> Composer:
    """Return the composer for when nobody counts: each word is taken for one token."""
    return Composer(prefix_words()[::_EVERY], Costs(), None, None)


def calibrated(counter: TokenCounter) -> Composer:
    """Return a composer of the words that cost the same under this counter.

    Raises ConfigError when hardly any two words cost the same, so that no length could be kept.
    """
    candidates = prefix_words()[::_EVERY]
    anchor = candidates[0]
    texts = [*candidates, *(f"{anchor} {word}" for word in candidates)]
    counts = counter.count(texts)
    alone, after = counts[: len(candidates)], counts[len(candidates) :]
    # What the second of two words adds; the anchor itself is the first candidate.
    pairs = [(first, both - alone[0]) for first, both in zip(alone, after, strict=True)]
    (lead, word), _ = Counter(pairs).most_common(1)[0]
    alike = [one for one, pair in zip(candidates, pairs, strict=True) if pair == (lead, word) and min(pair) > 0]
    if len(alike) < _LEAST_WORDS:
        raise ConfigError(
            f"{counter.source} counts nearly every word differently: prompts of a given length cannot be composed",
            key="workload.prompt_tokens",
            hint="give a tokenizer.json of the model as workload.tokenizer",
        )
    words = tuple(alike[: 1 << (len(alike).bit_length() - 1)])
    return Composer(words, _costs(counter, words, word, lead), _filler(counter, words[0], lead, word), counter.source)


def _costs(counter: TokenCounter, words: Sequence[str], word: int, lead: int) -> Costs:
    prefix = unique_prefix("calibration", "", 0, 0, words=words)
    first, later = counter.count([prefix + words[0], f"{words[0]} {prefix}{words[0]}"])
    return Costs(word, lead, first, later - lead)


def _filler(counter: TokenCounter, anchor: str, lead: int, word: int) -> str | None:
    if word == 1:
        return None
    # Twice and followed by a word, as it stands in a text.
    counts = counter.count([f"{anchor} {filler} {filler} {anchor}" for filler in _FILLERS])
    return next((one for one, count in zip(_FILLERS, counts, strict=True) if count == lead + 2 + word), None)
