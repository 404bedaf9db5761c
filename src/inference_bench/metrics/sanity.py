"""Does an answer look like an answer? Rules that find garbled and wildly short ones, so that no engine wins by them.

The rules look at form only; whether an answer is right is not judged. They are set so that they rather miss a broken
engine's odd answer than suspect a whole one's: CJK, emoji, code, tables and the word salad of tiny random-weight
models pass. Where they err they err for all services alike, and what is compared is the services' shares.

**Garbled**, by the first `SAMPLE_CHARS` characters of the generated text, reasoning included (`text_check`):

- *broken characters*: more than 5 % of U+FFFD, control characters, lone surrogates or unassigned code points, and at
  least three of them. This is what wrong detokenising and wrong weights look like. Up to three U+FFFD at the very end
  do not count: there max_tokens cut a character of several bytes. Private-use characters are no fault (icon fonts).
- *few characters*: at most three different visible characters in 20 or more of them, one alone in 8 or more, or 20
  blanks and nothing else. "!!!!!!!!" is token 0 of many vocabularies: what a model says whose activations overflowed
  or whose quantisation is broken. The shortest real answers ("4", "yes", a rule of dashes) stay below the counts.
- *repeated*: from its beginning one unit of at most 12 characters, eight times or more, with 95 % of all characters in
  step. Sound models do repeat themselves after they were made to ignore their end of sequence, but in whole phrases
  and after an answer; a loop of a few characters from the first one on is a broken cache or sampler.

**Wildly short**, by the tokens of a good answer that ended before max_tokens: fewer than a quarter of those that the
other services gave to the same prompt (their lower median, so that one odd service among several settles nothing),
where these are at least 16 tokens. Lengths of sampled answers scatter, about log-normally with a sigma near 0.5, so a
quarter happens now and then to every engine: such answers count only where they are more than a fifth of at least
five that could be paired. Where the others were held to an exact length, that length is what they answered; prompts
that want one word are then better asked with a small max_tokens.

**Flagged**: more than 1 % of the requests that ended in the window are garbled, short, empty or truncated. It is the
same point by which a lower success rate keeps a service from winning.
"""

import unicodedata
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from operator import eq
from typing import Final, Literal

import numpy as np

from inference_bench.metrics.columns import Bools, Floats, Ints, Records, RequestColumns, Words
from inference_bench.metrics.windows import Windows, in_window

TextCheck = Literal["sound", "broken_characters", "few_characters", "repeated"]
SOUND: Final = "sound"

SAMPLE_CHARS: Final = 2000
BROKEN_SHARE: Final = 0.05
BROKEN_LEAST: Final = 3
CUT_CHARACTERS: Final = 3
FEW_DIFFERENT: Final = 3
FEW_LEAST: Final = 20
SINGLE_LEAST: Final = 8
UNIT_LONGEST: Final = 12
UNIT_TIMES: Final = 8
REPEATED_LEAST: Final = 40
REPEATED_SHARE: Final = 0.95
SHORT_SHARE: Final = 0.25
SHORT_REFERENCE_TOKENS: Final = 16
SHORT_PATTERN: Final = 0.2
SHORT_PAIRED: Final = 5
FLAG_SHARE: Final = 0.01

TEXT_CHECK_COLUMN: Final = "text_check"
_REPLACEMENT: Final = "\ufffd"
_BROKEN: Final = frozenset({"Cc", "Cs", "Cn"})
_UNKNOWN: Final = "unknown"
_INDEX_BITS: Final = 40
_NOT_GARBLED: Final = frozenset({SOUND, _UNKNOWN, ""})


def text_check(text: str) -> TextCheck | None:
    """Judge the beginning of a generated text; None when there is no text. Rules and reasons stand above."""
    sample = text[:SAMPLE_CHARS]
    if not sample:
        return None
    different = set(sample)
    if _broken_characters(sample, different):
        return "broken_characters"
    if _few_characters(sample, different):
        return "few_characters"
    # A unit of a few characters cannot hold more different ones; the rest of a nearly repeated text adds some.
    if len(different) <= 2 * UNIT_LONGEST and _repeated(sample.strip()):
        return "repeated"
    return SOUND


def _broken_characters(sample: str, different: set[str]) -> bool:
    broken = [one for one in different if one == _REPLACEMENT or _is_broken(one)]
    if not broken:
        return False
    tail = len(sample) - len(sample.rstrip(_REPLACEMENT))
    cut = tail if tail <= CUT_CHARACTERS else 0
    count = sum(map(sample.count, broken)) - cut
    return count >= BROKEN_LEAST and count > BROKEN_SHARE * len(sample)


def _is_broken(character: str) -> bool:
    return character not in "\t\n\r" and unicodedata.category(character) in _BROKEN


def _few_characters(sample: str, different: set[str]) -> bool:
    visible = [one for one in different if not one.isspace()]
    if len(visible) > FEW_DIFFERENT:
        return False
    count = sum(map(sample.count, visible))
    if not visible:
        return len(sample) >= FEW_LEAST
    return count >= FEW_LEAST or (len(visible) == 1 and count >= SINGLE_LEAST)


def _repeated(sample: str) -> bool:
    size = len(sample)
    if size < REPEATED_LEAST:
        return False
    longest = min(UNIT_LONGEST, size // UNIT_TIMES)
    return any(sum(map(eq, sample, sample[unit:])) >= REPEATED_SHARE * (size - unit) for unit in range(1, longest + 1))


@dataclass(frozen=True, slots=True)
class Answers:
    """What the judgement needs of one service's requests in one test's windows.

    The arrays hold its good answers: `work` says which prompt was asked (equal among services), `tokens` how long the
    answer is (NaN when nobody told), `natural` whether it ended before max_tokens, `garbled` what its text looks like.
    `ended` counts good and failed requests, interrupted ones left out. `looked` is False for records of a version
    that did not look at texts.
    """

    looked: bool
    ended: int
    empty: int
    truncated: int
    work: Ints
    tokens: Floats
    natural: Bools
    garbled: Bools
    kinds: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Sanity:
    """How many of a service's answers in a test look sound.

    Of `checked` good answers, `garbled` and `short` do not; `sound` do. `kinds` says how the garbled look, `paired` how
    many answers could be held against other services' lengths. `sound_rate` is the share of all that ended; None when
    nothing did.
    """

    checked: int
    sound: int
    garbled: int
    short: int
    empty: int
    truncated: int
    paired: int
    sound_rate: float | None
    flagged: bool
    reason: str | None
    kinds: Mapping[str, int] = field(default_factory=dict)


def answers_of(requests: Records, windows: Windows) -> Answers:
    """Return what the judgement needs of the request records of one service in one test."""
    columns = RequestColumns(requests)
    counted = in_window(columns, windows)
    good = counted & columns.flag("ok")
    errors = _counts(columns.coded("error_class"), counted & ~good)
    stored = TEXT_CHECK_COLUMN in requests.column_names
    unlooked = Words(np.full(len(columns), -1, dtype=np.int32), ())
    looks = columns.coded(TEXT_CHECK_COLUMN) if stored else unlooked
    kinds = _counts(looks, good)
    tokens = columns.number("output_tokens")[good]
    return Answers(
        looked=_UNKNOWN not in kinds and stored,
        ended=int(np.count_nonzero(good)) + errors.total() - errors["interrupted"],
        empty=errors["empty"],
        truncated=errors["truncated"],
        work=((columns.whole("round").value << _INDEX_BITS) + columns.whole("index").value)[good],
        tokens=tokens,
        natural=tokens < columns.number("max_tokens")[good],
        garbled=((looks.code >= 0) & ~looks.among(_NOT_GARBLED))[good],
        kinds={look: count for look, count in kinds.items() if look not in _NOT_GARBLED},
    )


def _counts(words: Words, wanted: Bools) -> Counter[str]:
    """Return how often each word stands in the wanted rows; a missing one is `_UNKNOWN`."""
    found: Counter[str] = Counter()
    for word, count in words.counts(wanted).items():
        found[word or _UNKNOWN] += count
    return found


def judge_answers(services: Mapping[str, Answers]) -> dict[str, Sanity | None]:
    """Return the judgement of every service of a test; None for records that do not say what their texts look like."""
    return {
        name: _judged(mine, [other for key, other in services.items() if key != name]) if mine.looked else None
        for name, mine in services.items()
    }


def _judged(mine: Answers, others: list[Answers]) -> Sanity:
    reference = _reference(mine.work, others)
    paired = (reference >= SHORT_REFERENCE_TOKENS) & np.isfinite(mine.tokens)  # NaN is never >= anything
    short = paired & mine.natural & ~mine.garbled & (mine.tokens < SHORT_SHARE * reference)
    pairs = int(np.count_nonzero(paired))
    if pairs < SHORT_PAIRED or np.count_nonzero(short) <= SHORT_PATTERN * pairs:
        short = np.zeros_like(short)
    garbled, shorts, checked = (int(np.count_nonzero(one)) for one in (mine.garbled, short, np.ones_like(short)))
    unsound = garbled + shorts + mine.empty + mine.truncated
    flagged = unsound > FLAG_SHARE * mine.ended
    sound = checked - garbled - shorts
    return Sanity(
        checked=checked,
        sound=sound,
        garbled=garbled,
        short=shorts,
        empty=mine.empty,
        truncated=mine.truncated,
        paired=pairs,
        sound_rate=sound / mine.ended if mine.ended else None,
        flagged=flagged,
        reason=_reason(mine, garbled, shorts) if flagged else None,
        kinds=mine.kinds,
    )


def _reference(work: Ints, others: list[Answers]) -> Floats:
    """Return, for each prompt, the lower median of the other services' lengths; NaN where none answered it."""
    if not others or not work.size:
        return np.full(work.shape, np.nan)
    found = np.sort(np.stack([_lengths(other, work) for other in others]), axis=0)  # NaN goes last
    known = np.count_nonzero(np.isfinite(found), axis=0)
    middle = np.maximum((known - 1) // 2, 0)
    result: Floats = found[middle, np.arange(work.size)]
    return result


def _lengths(other: Answers, work: Ints) -> Floats:
    """Return the length of another service's answer to each of these prompts; NaN where there is none."""
    if not other.work.size:
        return np.full(work.shape, np.nan)
    order = np.argsort(other.work, kind="stable")
    at = np.minimum(np.searchsorted(other.work[order], work), order.size - 1)
    return np.where(other.work[order][at] == work, other.tokens[order][at], np.nan)


def _reason(mine: Answers, garbled: int, short: int) -> str:
    """Say what is wrong with how many answers."""
    kinds = ", ".join(kind.replace("_", " ") for kind in sorted(mine.kinds, key=lambda kind: -mine.kinds[kind]))
    told = {
        f"garbled ({kinds})": garbled,
        "wildly short beside the other services'": short,
        "empty": mine.empty,
        "truncated": mine.truncated,
    }
    unsound = sum(told.values())
    parts = ", ".join(f"{count:,} {what}" for what, count in told.items() if count)
    return f"{unsound:,} of {mine.ended:,} answers do not look sound: {parts}"
