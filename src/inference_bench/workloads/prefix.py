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
_SEPARATOR = "\n\n"
_NONCE_BYTES = 5

PREFIX_LENGTH = WORDS_PER_PREFIX * 5 - 1 + len(_SEPARATOR)
"""Characters in every prefix: four-letter words with spaces between them, and the separator."""


def new_nonce() -> str:
    """Return a fresh random nonce for one run: eight letters and digits (40 bits)."""
    return base64.b32encode(secrets.token_bytes(_NONCE_BYTES)).decode("ascii").lower()


def unique_prefix(nonce: str, test: str, round_no: int, index: int) -> str:
    """Return the prefix of one piece of work: eight plain words and a blank line, `PREFIX_LENGTH` characters.

    About nine tokens in today's vocabularies. The words are nine bits each of a BLAKE2b digest (RFC 7693) of the
    four parts; the lengths of the texts are hashed too, so that no two different quadruples read the same.
    """
    identity = f"{len(nonce)}:{nonce}:{len(test)}:{test}:{round_no}:{index}"
    digest = blake2b(identity.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()
    bits = int.from_bytes(digest, "big")
    words = _prefix_words()
    chosen = [words[bits >> (place * _BITS_PER_WORD) & (len(words) - 1)] for place in range(WORDS_PER_PREFIX)]
    return " ".join(chosen) + _SEPARATOR


def with_prefix(messages: Sequence[Message], prefix: str) -> tuple[Message, ...]:
    """Put `prefix` at the very start of the first message, whatever its role; the rest stays as it is."""
    if not messages:
        raise ValueError("a prefix needs a message to stand in")
    first = messages[0]
    return (Message(first.role, prefix + first.content), *messages[1:])


@lru_cache(maxsize=1)
def _prefix_words() -> tuple[str, ...]:
    text = packaged_text("prefix_words.txt")
    return tuple(word for line in text.splitlines() if not line.startswith("#") for word in line.split())
