"""One lane of a heat: what it has shown so far, and the figures that follow. Fed by events, asked by screens."""

from array import array
from dataclasses import dataclass, field
from enum import StrEnum

from inference_bench.live.events import Chunk, Finished, LaneFacts, Outcome
from inference_bench.live.plain import PlainText

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
    """A lane and its columns: when each chunk of text came and how many tokens it carried (-1: not told).

    `tokens` counts what the chunks told, and one for a chunk that told nothing. `thinking` is whether the last chunk
    was reasoning; `thought_chunks` and `thought_tokens` count all that were, and `answer_ns` is when the first came
    that was not. `cut` says that the text's beginning is no longer kept.
    """

    facts: LaneFacts
    start_ns: int
    arrivals: "array[int]" = field(default_factory=lambda: array("q"))
    counts: "array[int]" = field(default_factory=lambda: array("i"))
    sent_ns: int | None = None
    outcome: Outcome | None = None
    tokens: int = 0
    thinking: bool = False
    thought_chunks: int = 0
    thought_tokens: int = 0
    answer_ns: int | None = None
    cut: bool = False
    written: int = 0  # characters of text in all, with those that `text` no longer holds
    _untold: int = 0
    _pieces: list[str] = field(default_factory=list)
    _length: int = 0
    _cleaner: PlainText = field(default_factory=PlainText)

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
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    @property
    def tokens_told(self) -> bool:
        """Whether every chunk so far said how many tokens it carries; else `tokens` counts chunks."""
        return not self._untold

    def take(self, event: Chunk | Finished) -> None:
        """Take what happened in this lane; what comes after its end is not part of it."""
        if self.outcome is not None:
            return
        if isinstance(event, Finished):
            self.outcome = event.outcome
            return
        carried = 1 if event.tokens is None else min(event.tokens, _MOST_TOKENS)
        self.sent_ns = event.sent_ns
        self.arrivals.append(event.at_ns)
        self.counts.append(UNKNOWN if event.tokens is None else carried)
        self._untold += event.tokens is None
        self.tokens += carried
        self._show(event)
        self.thinking = bool(event.reasoning) and not event.text
        if self.thinking:
            self.thought_chunks += 1
            self.thought_tokens += carried
        elif self.answer_ns is None:
            self.answer_ns = event.at_ns

    def _show(self, event: Chunk) -> None:
        text = event.reasoning + event.text
        if self.thinking and event.text and not event.reasoning:
            text = "\n\n" + text  # where the thinking ends and the answer begins
        if len(text) > SHOWN_CHARACTERS:
            text = text[-SHOWN_CHARACTERS:]
            self.cut = True
        shown = self._cleaner.feed(text)
        self._pieces.append(shown)
        self._length += len(shown)
        self.written += len(shown)
        # Joined now and then only: a long answer comes in very many pieces.
        if self._length > _TRIM_AT:
            self._pieces = [self.text[-SHOWN_CHARACTERS:]]
            self._length = len(self._pieces[0])
            self.cut = True

    @property
    def answer_ms(self) -> float | None:
        """Time from sending to the first chunk of the answer itself, whatever thinking came before it."""
        return _ms(self.sent_ns, self.answer_ns)

    @property
    def ttft_ms(self) -> float | None:
        """Time to first token: the stored exchange's own once it is over, the same mark before that."""
        if self.outcome is not None:
            return self.outcome.ttft_ms
        return _ms(self.sent_ns, self.arrivals[0] if self.arrivals else None)

    def elapsed_ms(self, now_ns: int) -> float:
        """How long it has been at it, or was when it ended: from sending, or from the start before that is known."""
        outcome = self.outcome
        began = _first_of(None if outcome is None else outcome.sent_ns, self.sent_ns, self.start_ns)
        ended = now_ns if outcome is None else _first_of(outcome.last_token_ns, outcome.end_ns, began)
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


def _first_of(*marks: int | None) -> int:
    """Return the first mark that is known; 0 is a time like any other, in a recording the start."""
    return next(mark for mark in marks if mark is not None)


def _ms(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / _MS
