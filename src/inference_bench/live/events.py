"""What happens while services answer, as values in the order in which it happened.

One heat is one question to all lanes at the same instant. Its events come from the measuring process or from a
recording, and everything that shows a heat (a terminal, a browser, a file) lives on them alone: nobody who looks on
can disturb what is measured. Times are integer nanoseconds of one monotonic clock; a recording's begin at its heat.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

Kind = Literal["race", "conversation", "chat"]
_MS = 1e6


@dataclass(frozen=True, slots=True)
class LaneFacts:
    """Who is in a lane. `told` are (label, value) pairs in display order: only what the service said of itself.

    `down` says why it takes no part; None for one that does.
    """

    name: str
    engine: str
    told: tuple[tuple[str, str], ...] = ()
    simulated: bool = False
    down: str | None = None


@dataclass(frozen=True, slots=True)
class Heat:
    """A heat begins. `start_ns` is the instant at which all requests were to be sent.

    `number` counts from 1 to `of`; `title` names it among its like (a round of short prompts, a turn of a script).
    `crowd` is how many background users load each service meanwhile.
    """

    lanes: tuple[LaneFacts, ...]
    prompt: str
    max_tokens: int
    start_ns: int
    kind: Kind = "race"
    number: int = 1
    of: int = 1
    title: str = ""
    crowd: int = 0

    @property
    def simulated(self) -> bool:
        """Whether any lane is a simulated engine."""
        return any(lane.simulated for lane in self.lanes)


class Chunk(NamedTuple):
    """One chunk of generated text. `tokens` is how many it carries, None when the protocol does not tell.

    `sent_ns` is when its request was sent, so that the first chunk alone says what TTFT is.
    """

    lane: int
    at_ns: int
    sent_ns: int
    text: str
    reasoning: str
    tokens: int | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one lane's exchange ended. Marks in ns, None when not reached; the definitions are those of the metrics.

    `request_id` went out with it (X-Request-Id), for the server's own log. `doubt_ns` is by how much its last marks may
    be late: chunks that shared a read came somewhere between the read before and the stamp. `token_source` is None when
    nobody told the number of tokens.
    """

    ok: bool
    error_class: str | None = None
    error_message: str | None = None
    http_status: int | None = None
    finish_reason: str | None = None
    prompt_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    token_source: str | None = None
    first_chunk_tokens: int | None = None
    text_chunks: int = 0
    sent_ns: int | None = None
    first_token_ns: int | None = None
    last_token_ns: int | None = None
    end_ns: int | None = None
    connect_ms: float | None = None
    doubt_ns: int = 0
    simulated: bool = False
    request_id: str | None = None

    @property
    def ttft_ms(self) -> float | None:
        """first_token - sent; missing when no text arrived."""
        return _between(self.sent_ns, self.first_token_ns)

    @property
    def e2e_ms(self) -> float | None:
        """last_token - sent; missing when the stream did not end properly."""
        return _between(self.sent_ns, self.last_token_ns) if self.ok else None

    @property
    def tpot_ms(self) -> float | None:
        """(last_token - first_token) / (output_tokens - tokens in the first chunk); missing below 2 tokens."""
        spent = _between(self.first_token_ns, self.last_token_ns)
        later = (self.output_tokens or 0) - (1 if self.first_chunk_tokens is None else self.first_chunk_tokens)
        usable = self.ok and self.text_chunks >= 2 and later > 0
        return spent / later if usable and spent is not None else None


@dataclass(frozen=True, slots=True)
class Finished:
    """A lane's exchange is over, well or badly."""

    lane: int
    at_ns: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class HeatEnded:
    """All lanes are over. `late_ms` is how long the measuring process could not run when it wanted to, at the most."""

    at_ns: int
    late_ms: float = 0.0


LiveEvent = Heat | Chunk | Finished | HeatEnded


def names_of(lanes: Sequence[LaneFacts]) -> tuple[str, ...]:
    """Return the lanes' names, in their order."""
    return tuple(lane.name for lane in lanes)


def _between(start_ns: int | None, end_ns: int | None) -> float | None:
    return None if start_ns is None or end_ns is None else (end_ns - start_ns) / _MS
