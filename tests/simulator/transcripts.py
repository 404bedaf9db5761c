"""Recorded and written-down exchanges as structures: what must be equal between a real server and the simulator.

Identifiers, times, numbers and texts differ from answer to answer; which keys come in which order, what is null, and
in which order the kinds of events follow each other do not.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[1] / "data"
LITERAL_KEYS = frozenset({"object", "role", "type", "param", "code", "done_reason", "http_status_code", "error_type"})


@dataclass(frozen=True)
class Transcript:
    """One exchange: what was asked, and the answer's status, headers (lower-case) and body."""

    path: str
    body: dict[str, Any]
    status: int
    headers: dict[str, str]
    text: str


def load(folder: str, name: str) -> Transcript:
    """Read a transcript: comment lines with the request, then the raw answer, unchunked."""
    path = DATA / folder / name
    lines = path.read_text("utf-8").split("\n")
    comments = [line for line in lines if line.startswith("# ")]
    target = comments[0].split()[2]
    asked = next(line for line in comments if line.startswith("# body: ")).removeprefix("# body: ")
    head, _, text = "\n".join(lines[len(comments) :]).partition("\n\n")
    status, *headers = head.split("\n")
    named = dict(line.split(": ", 1) for line in headers if ": " in line)
    return Transcript(
        path="/" + target.split("/", 3)[3] if "://" in target else target,
        body=json.loads(asked),
        status=int(status.split()[1]),
        headers={key.lower(): value for key, value in named.items()},
        text=text,
    )


def skeleton(value: object, key: str = "") -> object:
    """Return a JSON value with its keys in order and its kinds of values, without what differs each time.

    A finish reason is "ended", however it ended; an empty text stays apart from one with content.
    """
    if isinstance(value, dict):
        return [[name, skeleton(item, name)] for name, item in value.items()]
    if isinstance(value, list):
        return [skeleton(value[0])] if value else []
    if value is None or isinstance(value, bool) or key in LITERAL_KEYS:
        return value
    if isinstance(value, int | float):
        return "number"
    if key == "finish_reason":
        return "ended" if value else ""
    return "text" if value else ""


def stream_shape(text: str) -> list[object]:
    """Return the sequence of event skeletons of an SSE or NDJSON body; equal neighbours count once."""
    if text.lstrip().startswith("data:"):
        events = [event.strip().removeprefix("data: ") for event in text.split("\n\n") if event.strip()]
    else:
        events = [line for line in text.splitlines() if line.strip()]
    shapes: list[object] = []
    for event in events:
        shape = event if event == "[DONE]" else skeleton(json.loads(event))
        if not shapes or shapes[-1] != shape:
            shapes.append(shape)
    return shapes
