"""How our processes talk: length-prefixed pickles of plain tuples over pipes, and what each tuple means.

The pipes join processes that one command started on one machine and nothing else; pickle is fast and needs no schema
there. Standard library only: workers import this.

coordinator -> worker   ("setup", worker, targets, timeouts, stamps, tapped)   once, first; tapped: pieces too
                        ("stage", Stage)                               a stage begins; jobs for it follow
                        ("jobs", stage, [job tuples])                  see `Job`: (seq, target, intended, payload, meta)
                        ("turns", stage, [(user, due, job tuple)])     turns of sessions, each made after the last
                        ("last", stage)                                no more jobs will come for this stage
                        ("abort", message)                             give up what is in flight
                        ("mark", number)                               pass this on behind what was handed on so far
                        ("quit",)                                      close and end
worker -> coordinator   ("ready", pid)  ("progress", Progress)  ("done", stage, first_sent_ns, last_sent_ns)
worker -> decoder       ("exchange", worker, exchange tuple)  ("sample", WORKER_SAMPLE_COLUMNS values)
                        ("mark", worker, number)
                        ("sessions", worker, begun)                    somebody waits for answers; or no longer
worker -> onlooker      ("exchange", …)  ("sample", …)  and, before the exchange it belongs to, while it goes on:
                        ("piece", seq, sent_ns, body bytes, arrival_ns)
decoder -> coordinator  ("ready", pid)  ("counts", {(test, service): Tally})
                        ("answer", Answer)                             of a turn of a session, at once
                        ("written", number)                            all that came before every worker's mark is
                                                                       in the journal
"""

import pickle
import struct
from array import array
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from inference_bench.api.exchange import Job, RawExchange
from inference_bench.api.protocols import ErrorClass

_LENGTH: Final = struct.Struct("!I")


@dataclass(frozen=True, slots=True)
class Stage:
    """One stretch of sending by one worker.

    Closed loop: `user_starts` holds, per user of this worker, (user number, when it sends first); a user sends its
    next request `think_ns` after its last answer ended. Open loop: `user_starts` is empty and each job carries its
    intended time. Nothing is sent from `stop_ns` on (0: until the jobs run out); what is in flight then runs to its
    end. `targets` lists the targets in use and how many connections each will want at most from this worker.
    With `sessions` jobs come as turns, one for a user at a time (see `session_schedule`). In an open loop at most
    `max_in_flight` are under way at once (0: no matter how many).
    """

    number: int
    user_starts: tuple[tuple[int, int], ...]
    think_ns: int
    stop_ns: int
    targets: tuple[tuple[int, int], ...]
    sessions: bool = False
    max_in_flight: int = 0


class Progress(NamedTuple):
    """What a worker says of itself several times a second."""

    worker: int
    stage: int
    taken: int  # jobs of this stage taken from the queue so far


class Tally(NamedTuple):
    """What the decoder has seen of one test and service: for the screen only, never for the result."""

    ok: int
    failed: int
    output_tokens: int
    last_ttft_ms: float | None
    last_error: str


class Answer(NamedTuple):
    """What came of a turn of a session: `ok` with the answer's text, without its reasoning; and when it was over."""

    seq: int
    ok: bool
    text: str
    end_ns: int


class RequestMeta(NamedTuple):
    """What a request is, carried through the worker unread."""

    service: str
    engine: str
    dialect: str
    test: str
    kind: str
    round_no: int
    block: int | None
    plan_index: int
    warmup: bool
    request_id: str
    max_tokens: int
    session: int | None = None
    turn: int | None = None


def encode(message: tuple[Any, ...]) -> bytes:
    """Return one message as a frame."""
    body = pickle.dumps(message, 5)
    return _LENGTH.pack(len(body)) + body


class FrameReader:
    """Collects bytes and gives back whole messages."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[tuple[Any, ...]]:
        """Return the messages completed by these bytes."""
        buffer = self._buffer
        buffer += data
        messages: list[tuple[Any, ...]] = []
        at = 0
        while len(buffer) - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(buffer, at)
            end = at + _LENGTH.size + length
            if len(buffer) < end:
                break
            messages.append(pickle.loads(memoryview(buffer)[at + _LENGTH.size : end]))
            at = end
        if at:
            del buffer[:at]
        return messages


def pack_exchange(raw: RawExchange) -> tuple[Any, ...]:
    """Flatten an exchange for the pipe to the decoder."""
    job = raw.job
    return (
        (job.seq, job.target, job.intended_ns, job.user, job.meta),
        (raw.connect_start_ns, raw.connected_ns, raw.sent_ns, raw.end_ns),
        (raw.status, raw.headers, raw.bytes_received, raw.reused, raw.reconnected),
        (None if raw.failure is None else raw.failure.value, raw.message),
        raw.pieces,
        raw.arrivals.tobytes(),
        raw.reads.tobytes(),
    )


def unpack_exchange(packed: tuple[Any, ...]) -> RawExchange:
    """Undo `pack_exchange`; the payload is not carried."""
    (seq, target, intended, user, meta), marks, facts, (failure, message), pieces, arrivals, reads = packed
    raw = RawExchange(Job(seq, target, b"", intended_ns=intended, user=user, meta=meta))
    raw.connect_start_ns, raw.connected_ns, raw.sent_ns, raw.end_ns = marks
    raw.status, raw.headers, raw.bytes_received, raw.reused, raw.reconnected = facts
    raw.failure = None if failure is None else ErrorClass(failure)
    raw.message = message
    raw.pieces = pieces
    raw.arrivals = array("q", arrivals)
    raw.reads = array("q", reads)
    return raw
