"""One exchange under glass, as values: what was asked, what came back piece by piece, and what it says.

Nothing here can hold a secret: fields that carry one are masked before they become a `Field`, and so is what a server
repeated of one. Times are nanoseconds since the request was sent, None for a mark that was not reached.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from inference_bench.api.protocols import ServerTimes, StreamEvent, Usage
from inference_bench.live.events import Outcome

MASK: Final = "***"
PURPOSES: Final = {
    "answer": "answer",
    "unknown_model": "unknown model",
    "over_long_prompt": "over-long prompt",
}
_MS = 1e6


class Field(NamedTuple):
    """One header field as it was sent. A secret part of the value reads `***`; `variable` names where it came from."""

    name: str
    value: str
    variable: str | None = None

    @property
    def masked(self) -> bool:
        """Whether a part of the value is hidden."""
        return MASK in self.value


@dataclass(frozen=True, slots=True)
class Asked:
    """The request: `fields` in the order in which they were sent, `body` byte by byte.

    `ca_file` and `insecure` say how the server's certificate was checked.
    """

    method: str
    url: str
    fields: tuple[Field, ...]
    body: bytes
    ca_file: str | None = None
    insecure: bool = False


class Piece(NamedTuple):
    """What one read brought: when it arrived, when it was read, the body's bytes, and the events these completed."""

    number: int
    at_ns: int
    read_ns: int
    data: bytes
    events: tuple[StreamEvent, ...]

    @property
    def at_ms(self) -> float:
        """Milliseconds from sending to arrival."""
        return self.at_ns / _MS


@dataclass(frozen=True, slots=True)
class Marks:
    """The marks of the exchange, ns since sending. A connection made for it was begun and made before (negative)."""

    connect_start: int | None = None
    connected: int | None = None
    first_byte: int | None = None
    first_event: int | None = None
    first_token: int | None = None
    first_answer_token: int | None = None
    last_token: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Specimen:
    """One exchange. `purpose` is what it was sent for: answer, unknown_model or over_long_prompt.

    `headers` are the answer's. `sent_ns` is its place on the host's monotonic clock, 0 when nothing could be sent.
    `hidden` counts the places in which the server repeated a secret. `notes` say in plain words what the protocol
    cannot do of what was asked, and `remark` what must be known of this request.
    """

    service: str
    engine: str
    dialect: str
    model: str | None
    product: str | None
    simulated: bool
    purpose: str
    asked: Asked
    status: int | None
    headers: tuple[Field, ...]
    pieces: tuple[Piece, ...]
    marks: Marks
    outcome: Outcome
    usage: Usage
    server_times: ServerTimes
    sent_ns: int
    bytes_received: int
    reused: bool
    merged_reads: int
    hidden: int = 0
    remark: str = ""
    notes: tuple[str, ...] = ()

    @property
    def body(self) -> bytes:
        """The answer's whole body, without HTTP's framing."""
        return b"".join(piece.data for piece in self.pieces)

    @property
    def purpose_words(self) -> str:
        """What it was sent for, in words."""
        return PURPOSES[self.purpose]

    @property
    def title(self) -> str:
        """The service's name, what it is, and that it is simulated where it is."""
        parts = [self.service, self.product or self.engine, *(["SIMULATED"] if self.simulated else [])]
        return " · ".join(parts)

    def events(self) -> Iterator[tuple[Piece, StreamEvent]]:
        """Yield every event with the piece that completed it."""
        for piece in self.pieces:
            for event in piece.events:
                yield piece, event


class Aspect(NamedTuple):
    """One thing that is asked of engines: the words each one takes for it, by service. `same`: they ask it alike."""

    name: str
    words: dict[str, str]
    same: bool
    lacking: frozenset[str] = frozenset()


def kinds(event: StreamEvent) -> tuple[str, ...]:
    """Say what an event carries, in words; a chunk that carries nothing of the answer is `no text`."""
    found = [
        word
        for word, carried in (
            ("error", event.error is not None),
            ("thinking", bool(event.reasoning)),
            ("text", bool(event.text)),
            ("finish", event.finish_reason is not None),
            ("usage", event.usage is not None),
            ("times", event.server_times is not None),
            ("end", event.done),
        )
        if carried
    ]
    return tuple(found) or ("no text",)
