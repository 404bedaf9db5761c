"""What a simulated engine says: seeded, plausible text, cut into tokens, with its natural end.

The text of all answers is slices of one pool made at start-up, so that planning an answer of any length costs almost
nothing while other streams are being written. When tokens are written is decided elsewhere.
"""

import random
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from inference_bench.simulator import tokenizer, vocabulary

Ending = Literal["eos", "length", "stop_sequence"]
POOL_TOKENS = 16_384
MIN_NATURAL_TOKENS = 4
NATURAL_SIGMA = 0.45
NO_LIMIT = 1 << 30


@dataclass(frozen=True, slots=True)
class Sampling:
    """What of a request decides its answer.

    `seed` of None with `greedy` False gives a different answer each time; `natural` False is ignore_eos. `min_tokens`
    and `max_tokens` count generated tokens, the end-of-sequence token included.
    """

    max_tokens: int
    min_tokens: int = 0
    natural: bool = True
    seed: int | None = None
    greedy: bool = False
    stop: tuple[str, ...] = ()
    keep_stop: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, planned: its token texts in order and how it ends.

    `tokens` counts generated tokens: the texts, and one more for the end-of-sequence token when it ends by itself.
    `stop` is the stop sequence that ended it, when one did.
    """

    pieces: Sequence[str]
    ending: Ending
    stop: str | None = None

    @property
    def tokens(self) -> int:
        """Number of generated tokens, the end-of-sequence token included."""
        return len(self.pieces) + (self.ending == "eos")

    @property
    def text(self) -> str:
        """The whole answer."""
        return "".join(self.pieces)


class AnswerPool:
    """Plans answers, deterministically in (seed of the server, prompt, request).

    `median_tokens` is the median of the natural answer length; lengths are lognormal around it.
    """

    def __init__(self, seed: int, median_tokens: int) -> None:
        self._seed = seed
        self._median = median_tokens
        self._serial = 0
        self._pieces, self._starts = _make_pool(random.Random(f"pool/{seed}"))

    def plan(self, prompt: str, sampling: Sampling) -> Answer:
        """Plan the answer to a prompt."""
        rng = random.Random(f"{self._seed}/{zlib.crc32(prompt.encode())}/{self._variation(sampling)}")
        start = rng.choice(self._starts)
        length = max(MIN_NATURAL_TOKENS, round(self._median * rng.lognormvariate(0.0, NATURAL_SIGMA)))
        length = max(length, sampling.min_tokens + 1) if sampling.natural else NO_LIMIT
        if length <= sampling.max_tokens:
            answer = Answer(self._slice(start, length - 1), "eos")
        else:
            answer = Answer(self._slice(start, sampling.max_tokens), "length")
        return _apply_stop(answer, sampling) if sampling.stop else answer

    def _variation(self, sampling: Sampling) -> str:
        if sampling.seed is not None:
            return f"seed {sampling.seed}"
        if sampling.greedy:
            return "greedy"
        self._serial += 1
        return f"serial {self._serial}"

    def _slice(self, start: int, length: int) -> list[str]:
        pieces = self._pieces[start : start + length]
        while len(pieces) < length:
            pieces += self._pieces[: length - len(pieces)]
        return pieces


def _make_pool(rng: random.Random) -> tuple[list[str], list[int]]:
    """Return the token texts of the pool, and where its paragraphs begin."""
    pieces: list[str] = []
    starts: list[int] = []
    while len(pieces) < POOL_TOKENS:
        starts.append(len(pieces))
        paragraph = " ".join(_sentence(rng) for _ in range(rng.randint(3, 6)))
        pieces += tokenizer.split(paragraph)
        pieces += tokenizer.split("\n\n")
    return pieces, starts


def _sentence(rng: random.Random) -> str:
    clause = f"{rng.choice(vocabulary.SUBJECTS)} {rng.choice(vocabulary.VERBS)} {rng.choice(vocabulary.OBJECTS)}"
    if rng.random() < 0.5:
        clause = f"{rng.choice(vocabulary.OPENERS)}, {clause}"
    if rng.random() < 0.4:
        second = f"{rng.choice(vocabulary.SUBJECTS)} {rng.choice(vocabulary.VERBS)} {rng.choice(vocabulary.OBJECTS)}"
        clause = f"{clause} {rng.choice(vocabulary.LINKS)} {second}"
    return clause[0].upper() + clause[1:] + rng.choice(vocabulary.CLOSERS)


def _apply_stop(answer: Answer, sampling: Sampling) -> Answer:
    """End the answer at its first stop sequence; its text stays only when the engine keeps it (TGI)."""
    text = answer.text
    found = [(text.find(stop), stop) for stop in sampling.stop if stop and stop in text]
    if not found:
        return answer
    at, stop = min(found)
    end = at + len(stop)
    pieces: list[str] = []
    length = 0
    for piece in answer.pieces:
        kept = piece if sampling.keep_stop else piece[: max(0, at - length)]
        pieces.append(kept)
        length += len(piece)
        if length >= end:
            break
    if len(pieces) < sampling.min_tokens:
        return answer
    return Answer(pieces, "stop_sequence", stop)
