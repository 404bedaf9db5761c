"""The unique start of each request, so that no prefix cache answers for an engine; and the nonce of a run.

A prefix is a function of (nonce, test, round, index) alone: every service gets the same one for the same work, and no
two pieces of work share one, in a run or across runs. It stands at the very start of the first message, before any
system prompt, and its first word already differs, so that cached blocks of tokens (16 in vLLM) part at the first
block the chat template leaves to us.
"""

import base64
import secrets
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from inference_bench.api.protocols import Message
from inference_bench.workloads.packaged import packaged_text

WORDS_PER_PREFIX = 8
_BITS_PER_WORD = 9  # 512 words
_DIGEST_BYTES = WORDS_PER_PREFIX * _BITS_PER_WORD // 8  # 72 bits: a repeat among a million requests: 1 in 10 billion
SEPARATOR = "\n\n"
_NONCE_BYTES = 5

PREFIX_LENGTH = WORDS_PER_PREFIX * 5 - 1 + len(SEPARATOR)
"""Characters in every prefix: four-letter words with spaces between them, and the separator."""


def new_nonce() -> str:
    """Return a fresh random nonce for one run: eight letters and digits (40 bits)."""
    return base64.b32encode(secrets.token_bytes(_NONCE_BYTES)).decode("ascii").lower()


def unique_prefix(nonce: str, test: str, round_no: int, index: int, *, words: Sequence[str] | None = None) -> str:
    """Return the prefix of one piece of work: eight plain words and a blank line, `PREFIX_LENGTH` characters.

    About nine tokens in today's vocabularies. The words are nine bits each of a BLAKE2b digest (RFC 7693) of the
    four parts; the lengths of the texts are hashed too, so that no two different quadruples read the same.
    `words` are others to choose from, a power of two of them; a prefix then has as many words as carry 72 bits. With
    all 512 of them it is the same prefix as without.
    """
    identity = f"{len(nonce)}:{nonce}:{len(test)}:{test}:{round_no}:{index}"
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
    bits = int.from_bytes(digest, "big")
    words = words or prefix_words()
    per_word = len(words).bit_length() - 1
    chosen = [words[bits >> (place * per_word) & (len(words) - 1)] for place in range(words_in_prefix(len(words)))]
    return " ".join(chosen) + SEPARATOR


def words_in_prefix(choices: int) -> int:
    """Return how many words carry 72 bits when each is one of `choices`, which is a power of two and at least 2."""
    if choices < 2 or choices & (choices - 1):
        raise ValueError(f"a prefix needs a power of two of words to choose from, not {choices}")
    return -(-_DIGEST_BYTES * 8 // (choices.bit_length() - 1))


def with_prefix(messages: Sequence[Message], prefix: str, *, after: int = 0) -> tuple[Message, ...]:
    """Put `prefix` into the first message, whatever its role: at its start, or behind its first `after` characters."""
    if not messages:
        raise ValueError("a prefix needs a message to stand in")
    first = messages[0]
    return (Message(first.role, first.content[:after] + prefix + first.content[after:]), *messages[1:])


@lru_cache(maxsize=1)
def prefix_words() -> tuple[str, ...]:
    """Return the 512 words that prefixes are made of, in the order of their numbers."""
    text = packaged_text("prefix_words.txt")
    return tuple(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
