"""Shows for the tests of the live room: heats made by hand, and any heat at all (hypothesis)."""

from collections.abc import Sequence

from hypothesis import strategies as st

from inference_bench.live.board import Board
from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LaneFacts, LiveEvent, Outcome

MS = 1_000_000
START = 7_000_000_000_123
TEXTS = st.text(max_size=12) | st.text("ab \n\r\t\x1b[31m\u202e\u0300\u0301👩‍🚀🇩🇪中é", max_size=12)


def facts(name: str, **more: object) -> LaneFacts:
    """Return a lane's facts, with a few things told unless it says otherwise."""
    told = (("engine", "vLLM 0.9.1"), ("model", "some/model"), ("context", "8,192 tokens"))
    return LaneFacts(**{"name": name, "engine": "vllm", "told": told, **more})  # type: ignore[arg-type]


def heat(*names: str, start_ns: int = START, **more: object) -> Heat:
    """Return a heat of lanes with these names."""
    lanes = tuple(facts(name) for name in names)
    told = {"lanes": lanes, "prompt": "Why?", "max_tokens": 64, "start_ns": start_ns, **more}
    return Heat(**told)  # type: ignore[arg-type]


def answer(
    lane: int,
    at_ms: Sequence[float],
    *,
    tokens: Sequence[int | None] | None = None,
    told: int | None = None,
    words: Sequence[str] | None = None,
    start_ns: int = START,
    **more: object,
) -> list[LiveEvent]:
    """Return a good answer whose chunks arrive so many ms after sending; one token each unless told otherwise."""
    counts = [1] * len(at_ms) if tokens is None else list(tokens)
    shown = [f"w{number} " for number in range(len(at_ms))] if words is None else list(words)
    times = [start_ns + round(ms * MS) for ms in at_ms]
    chunks = [Chunk(lane, at, start_ns, text, "", count) for at, text, count in zip(times, shown, counts, strict=True)]
    known = [count for count in counts if count is not None]
    total = sum(known) if told is None and len(known) == len(counts) else told
    outcome = {
        "ok": True,
        "finish_reason": "length",
        "output_tokens": total,
        "first_chunk_tokens": counts[0],
        "text_chunks": len(times),
        "sent_ns": start_ns,
        "first_token_ns": times[0],
        "last_token_ns": times[-1],
        "end_ns": times[-1] + 5,
        **more,
    }
    return [*chunks, Finished(lane, times[-1] + 5, Outcome(**outcome))]  # type: ignore[arg-type]


def failure(lane: int, *, start_ns: int = START, **more: object) -> Finished:
    """Return the end of an exchange that went wrong."""
    told = {"error_class": "reset", "error_message": "Connection reset by peer", "sent_ns": start_ns, **more}
    told.setdefault("end_ns", start_ns + 50 * MS)
    return Finished(lane, start_ns + 50 * MS, Outcome(ok=False, **told))  # type: ignore[arg-type]


def board_of(events: Sequence[LiveEvent]) -> Board:
    """Return a board that has seen these events."""
    board = Board()
    for event in events:
        board.take(event)
    return board


@st.composite
def outcomes(draw: st.DrawFn, start_ns: int) -> Outcome:
    """Any end of an exchange, with marks in their order."""
    marks = sorted(draw(st.lists(st.integers(0, 10**10), min_size=4, max_size=4)))
    sent, first, last, end = (start_ns + mark if draw(st.integers(0, 9)) else None for mark in marks)
    count = st.none() | st.integers(0, 500)
    return Outcome(
        ok=draw(st.booleans()),
        error_class=draw(st.none() | st.sampled_from(["timeout", "reset", "http_5xx"])),
        error_message=draw(st.none() | TEXTS),
        http_status=draw(st.none() | st.sampled_from([200, 404, 503])),
        finish_reason=draw(st.none() | TEXTS),
        prompt_tokens=draw(count),
        output_tokens=draw(count),
        cached_tokens=draw(count),
        token_source=draw(st.sampled_from([None, "usage"])),
        first_chunk_tokens=draw(count),
        text_chunks=draw(st.integers(0, 9)),
        sent_ns=sent,
        first_token_ns=first,
        last_token_ns=last,
        end_ns=end,
        connect_ms=draw(st.none() | st.floats(0, 1e6)),
        doubt_ns=draw(st.integers(0, 10**9)),
        simulated=draw(st.booleans()),
    )


@st.composite
def heats(draw: st.DrawFn, start_ns: int = START, most_lanes: int = 5) -> list[LiveEvent]:
    """Any heat, whole: its chunks in any order among the lanes, each lane's end behind its own, the end behind all."""
    lanes = [
        facts(
            draw(TEXTS),
            told=tuple(draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=3))),
            simulated=draw(st.booleans()),
            down=draw(st.sampled_from([None, None, None, "refused: no answer"])),
        )
        for _ in range(draw(st.integers(1, most_lanes)))
    ]
    begun = Heat(
        tuple(lanes),
        draw(TEXTS),
        draw(st.integers(0, 4096)),
        start_ns,
        kind=draw(st.sampled_from(["race", "conversation", "chat"])),
        number=draw(st.integers(1, 20)),
        of=draw(st.integers(1, 20)),
        title=draw(TEXTS),
        crowd=draw(st.integers(0, 99)),
    )
    ends: list[LiveEvent] = []
    chunks: list[Chunk] = []
    for lane in (place for place, one in enumerate(lanes) if one.down is None):
        outcome = draw(outcomes(start_ns))
        sent = start_ns if outcome.sent_ns is None else outcome.sent_ns
        tokens = st.integers(0, 9) if draw(st.booleans()) else st.none() | st.integers(0, 9)
        for _ in range(draw(st.integers(0, 6))):
            at = start_ns + draw(st.integers(0, 10**10))
            chunks.append(Chunk(lane, at, sent, draw(TEXTS), draw(st.just("") | TEXTS), draw(tokens)))
        ends.append(Finished(lane, start_ns + draw(st.integers(0, 10**10)), outcome))
    chunks.sort(key=lambda chunk: chunk.at_ns)
    late = draw(st.floats(0, 1e5))
    return [begun, *chunks, *draw(st.permutations(ends)), HeatEnded(start_ns + 10**10, late)]


@st.composite
def shows(draw: st.DrawFn) -> list[LiveEvent]:
    """One to three heats, some time apart."""
    count = draw(st.integers(1, 3))
    return [event for number in range(count) for event in draw(heats(START + number * 20_000_000_000))]
