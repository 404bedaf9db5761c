"""What a wait is like for a person, in words, and what less waiting adds up to. Plain arithmetic, sources named.

Thresholds: R. B. Miller, "Response time in man-computer conversational transactions", AFIPS 1968; J. Nielsen,
Usability Engineering, 1993, chapter 5: 0.1 s feels instantaneous, 1 s keeps the flow of thought, 10 s keeps the
attention. Reading: M. Brysbaert, "How many words do we read per minute?", Journal of Memory and Language 109, 2019:
238 words of English a minute, silently.
"""

from dataclasses import dataclass
from typing import Final

INSTANT_MS: Final = 100.0
FLOW_MS: Final = 1_000.0
ATTENTION_MS: Final = 10_000.0
SOURCE: Final = "thresholds: Miller 1968, Nielsen 1993 (0.1 s instant, 1 s flow of thought, 10 s attention)"
WORDS_PER_MINUTE: Final = 238.0
WORDS_PER_TOKEN: Final = 0.75  # English text in today's vocabularies, roughly
READING_SOURCE: Final = "reading: Brysbaert 2019, 238 words a minute, taking a token as 0.75 words"
QUESTIONS: Final = 4  # as in the scripted conversations
CONVERSATIONS: Final = 1_000


def wait_words(milliseconds: float) -> str:
    """Return what a wait of so long feels like."""
    if milliseconds <= INSTANT_MS:
        return "feels instant"
    if milliseconds <= 2 * INSTANT_MS:
        return "just noticed, hardly a wait"
    if milliseconds < FLOW_MS / 2:
        return "noticed, a short breath"
    if milliseconds <= FLOW_MS:
        return "clearly noticed; the flow of thought holds"
    if milliseconds <= ATTENTION_MS:
        return "the flow of thought breaks; attention holds"
    return "attention wanders off"


def pace_words(tokens_per_second: float) -> str:
    """Return how a stream of so many tokens per second compares with reading."""
    reading = WORDS_PER_MINUTE / 60 / WORDS_PER_TOKEN
    factor = tokens_per_second / reading
    if factor >= 1.2:
        return f"{factor:.1f} times as fast as people read"
    if factor > 1 / 1.2:
        return "about as fast as people read"
    return f"slower than people read ({factor:.1f} times their pace)"


@dataclass(frozen=True, slots=True)
class Saving:
    """How much less people would wait for first words with one service than with another."""

    fast: str
    slow: str
    fast_ms: float
    slow_ms: float

    @property
    def seconds(self) -> float:
        """The whole of it, in seconds."""
        return _total(self.slow_ms - self.fast_ms)

    @property
    def words(self) -> str:
        """The arithmetic with its assumptions, in one sentence; whoever does the sum again finds the same."""
        shown = _total(round(self.slow_ms, 1) - round(self.fast_ms, 1))
        return (
            f"{CONVERSATIONS:,} conversations x {QUESTIONS} questions x ({self.slow_ms:,.1f} - {self.fast_ms:,.1f} ms) "
            f"= {_duration(shown)} less waiting for first words with {self.fast} than with {self.slow}"
        )


def _total(milliseconds: float) -> float:
    return CONVERSATIONS * QUESTIONS * milliseconds / 1_000


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} minutes" if seconds < 5_400 else f"{seconds / 3_600:.1f} hours"
