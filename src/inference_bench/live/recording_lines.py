"""One line of a recording, written from an event and read back into one. The format: docs/recordings.md.

A recording is somebody else's file: every value is checked before it becomes an event, for whoever shows events trusts
them. What is wrong is raised as a ValueError in words that can be printed.
"""

import json
from dataclasses import asdict, replace
from typing import Final, TypeVar

from pydantic import TypeAdapter, ValidationError

from inference_bench.live.events import Chunk, Finished, Heat, HeatEnded, LiveEvent, Outcome

T = TypeVar("T")

LAST_NS: Final = 10**15  # eleven days: beyond it lies no show, and soon a column's end
MOST_LANES: Final = 16
MOST_FACTS: Final = 32
_MOST_TOKENS: Final = 2**31 - 1
_HEAT = TypeAdapter(Heat)
_OUTCOME = TypeAdapter(Outcome)
_COUNTS: Final = (
    "http_status", "prompt_tokens", "output_tokens", "cached_tokens", "first_chunk_tokens", "text_chunks",
)  # fmt: skip
_MARKS: Final = ("sent_ns", "first_token_ns", "last_token_ns", "end_ns", "doubt_ns")


def line_of(event: LiveEvent, base_ns: int) -> list[object]:
    """Return what stands on an event's line, its times counted from `base_ns`."""
    if isinstance(event, Heat):
        at = event.start_ns - base_ns
        return [at, "heat", {**asdict(event), "start_ns": at}]
    if isinstance(event, Chunk):
        at, sent = event.at_ns - base_ns, event.sent_ns - base_ns
        return [at, "chunk", event.lane, sent, event.text, event.reasoning, event.tokens]
    if isinstance(event, Finished):
        return [event.at_ns - base_ns, "finished", event.lane, asdict(moved(event.outcome, -base_ns))]
    return [event.at_ns - base_ns, "ended", {"late_ms": event.late_ms}]


def value_of(line: str) -> object:
    """Return a line's JSON. Raises ValueError for what is none."""
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        raise ValueError("it is not JSON") from None


def event_of(value: object, by_ns: int) -> LiveEvent:
    """Return the event of a line's value, its times moved by `by_ns`. Raises ValueError."""
    match value:
        case [at, "heat", dict(told)]:
            return _heat(_time(at), told, by_ns)
        case [at, "chunk", lane, sent, str(text), str(reasoning), tokens]:
            carried = None if tokens is None else _whole(tokens, "tokens", 0, _MOST_TOKENS)
            return Chunk(_lane(lane), _time(at) + by_ns, _time(sent) + by_ns, text, reasoning, carried)
        case [at, "finished", lane, dict(told)]:
            return Finished(_lane(lane), _time(at) + by_ns, moved(_outcome(told), by_ns))
        case [at, "ended", {"late_ms": int() | float() as late}]:
            if isinstance(late, bool) or not 0 <= late <= LAST_NS:
                raise ValueError("late_ms is no time")
            return HeatEnded(_time(at) + by_ns, float(late))
    raise ValueError("there is no such event")


def moved(outcome: Outcome, by_ns: int) -> Outcome:
    """Return an outcome with all its marks moved by so much."""

    def move(mark: int | None) -> int | None:
        return None if mark is None else mark + by_ns

    return replace(
        outcome,
        sent_ns=move(outcome.sent_ns),
        first_token_ns=move(outcome.first_token_ns),
        last_token_ns=move(outcome.last_token_ns),
        end_ns=move(outcome.end_ns),
    )


def validated(adapter: TypeAdapter[T], told: dict[str, object]) -> T:
    """Return what a JSON object describes: no type is bent to fit, keys of later programs are passed over.

    Raises ValueError, with the place.
    """
    try:
        # As JSON again, because only there a list may stand for a tuple while a text may not stand for a number.
        text = json.dumps(told, allow_nan=False, ensure_ascii=False).encode(errors="replace")
        return adapter.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ValueError(f"{where}: {first['msg']}" if where else first["msg"]) from None


def _heat(at: int, told: dict[str, object], by_ns: int) -> Heat:
    heat = validated(_HEAT, told)
    if heat.start_ns != at:
        raise ValueError("start_ns is not the time of its line")
    if not 1 <= len(heat.lanes) <= MOST_LANES:
        raise ValueError(f"a heat has 1 to {MOST_LANES} lanes, not {len(heat.lanes)}")
    if any(len(lane.told) > MOST_FACTS for lane in heat.lanes):
        raise ValueError(f"a lane tells {MOST_FACTS} facts at the most")
    for name in ("max_tokens", "number", "of", "crowd"):
        _whole(getattr(heat, name), name, 0, _MOST_TOKENS)
    return replace(heat, start_ns=at + by_ns)


def _outcome(told: dict[str, object]) -> Outcome:
    outcome = validated(_OUTCOME, told)
    for name in _COUNTS:
        if getattr(outcome, name) is not None:
            _whole(getattr(outcome, name), name, 0, _MOST_TOKENS)
    for name in _MARKS:
        if getattr(outcome, name) is not None:
            _whole(getattr(outcome, name), name, -LAST_NS, LAST_NS)
    if outcome.doubt_ns < 0:
        raise ValueError("doubt_ns is below 0")
    return outcome


def _time(value: object) -> int:
    return _whole(value, "a time", -LAST_NS, LAST_NS)


def _lane(value: object) -> int:
    return _whole(value, "a lane", 0, MOST_LANES - 1)


def _whole(value: object, what: str, least: int, most: int) -> int:
    """Return a whole number within bounds; true and false are none. Raises ValueError."""
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{what} is no whole number between {least:,} and {most:,}")
    return value
