"""One lane of a heat: what it has shown so far, and the figures that follow. Fed by events, asked by screens."""

from array import array
from dataclasses import dataclass, field
from enum import StrEnum

from inference_bench.live.events import Chunk, Finished, LaneFacts, Outcome
from inference_bench.live.plain import plain

SHOWN_CHARACTERS = 24_000  # of an answer's end: more than any screen holds, less than an endless answer needs
_TRIM_AT = 2 * SHOWN_CHARACTERS
UNKNOWN = -1
_MS = 1e6
_MOST_TOKENS = 2**31 - 1


class Phase(StrEnum):
    """Where a lane is."""

    READY = "ready"
    WAITING = "waiting"
    STREAMING = "streaming"
    DONE = "done"
    FAILED = "failed"
    DOWN = "down"


@dataclass(slots=True)
class Lane:
    """A lane and its columns: when each chunk of text came and how many tokens it carried (-1: not told)."""

    facts: LaneFacts
    start_ns: int
    arrivals: "array[int]" = field(default_factory=lambda: array("q"))
    counts: "array[int]" = field(default_factory=lambda: array("i"))
    sent_ns: int | None = None
    outcome: Outcome | None = None
    tokens: int = 0
    thinking: bool = False
    cut: bool = False
    _text: str = ""

    @property
    def phase(self) -> Phase:
        """Where it is now."""
        if self.facts.down is not None:
            return Phase.DOWN
        if self.outcome is not None:
            return Phase.DONE if self.outcome.ok else Phase.FAILED
        return Phase.STREAMING if self.arrivals else Phase.WAITING

    @property
    def text(self) -> str:
        """The end of what has come so far, without anything that a terminal could obey."""
        return self._text

    @property
    def tokens_told(self) -> bool:
        """Whether every chunk so far said how many tokens it carries; else `tokens` counts chunks."""
        return UNKNOWN not in self.counts

    def take(self, event: Chunk | Finished) -> None:
        """Take what happened in this lane."""
        if isinstance(event, Finished):
            self.outcome = event.outcome
            return
        self.sent_ns = event.sent_ns
        self.arrivals.append(event.at_ns)
        self.counts.append(UNKNOWN if event.tokens is None else min(event.tokens, _MOST_TOKENS))
        self.tokens += 1 if event.tokens is None else event.tokens
        self.thinking = bool(event.reasoning) and not event.text
        self._text += plain(event.reasoning + event.text)
        if len(self._text) > _TRIM_AT:
            self._text = self._text[-SHOWN_CHARACTERS:]
            self.cut = True

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token: the stored exchange's own once it is over, the same mark before that."""
        if self.outcome is not None:
            return self.outcome.ttft_ms
        return None if self.sent_ns is None or not self.arrivals else (self.arrivals[0] - self.sent_ns) / _MS

    def elapsed_ms(self, now_ns: int) -> float:
        """How long it has been at it, or was when it ended."""
        began = self.sent_ns or self.start_ns
        ended = now_ns
        if self.outcome is not None:
            began = self.outcome.sent_ns or began
            ended = self.outcome.last_token_ns or self.outcome.end_ns or began
        return max(0.0, (ended - began) / _MS)

    def tokens_per_second(self) -> float | None:
        """Tokens per second after the first: 1000 / TPOT at the end; so far, by the tokens told until now."""
        if self.outcome is not None:
            tpot = self.outcome.tpot_ms
            return 1000 / tpot if tpot else None
        if len(self.arrivals) < 2 or not self.tokens_told:
            return None
        later = self.tokens - self.counts[0]
        spent_ns = self.arrivals[-1] - self.arrivals[0]
        return later * 1e9 / spent_ns if later > 0 and spent_ns > 0 else None
