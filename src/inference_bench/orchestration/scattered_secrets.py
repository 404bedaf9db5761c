"""A secret that a model repeats: streamed token by token, its characters lie in several events of the answer.

The events are decoded line by line, and the JSON string that each text came from is looked up in the bytes behind it;
so every character of the texts has its place in the body, whatever the engine's JSON is called and wherever it was cut.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from inference_bench.api.protocols import ResponseDecoder

_VALUE: Final = re.compile(rb':\s*"((?:[^"\\]|\\.)*)"')
_WRITTEN: Final = re.compile(r"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[0-9a-fA-F]{4}|\\u[0-9a-fA-F]{4}|\\.|.", re.DOTALL)


class _Placed(NamedTuple):
    """A character of a text and where in the body it is written; nowhere when that could not be found."""

    character: str
    spans: tuple[tuple[int, int], ...]


def without_scattered(body: bytes, decoder: ResponseDecoder, secrets: Sequence[str]) -> tuple[bytes, int]:
    """Return the body with asterisks for secrets in the texts that it decodes to, and in how many places they were."""
    made = bytearray(body)
    places = 0
    for stream in _streams(body, decoder):
        said = "".join(placed.character for placed in stream)
        for secret in secrets:
            for found in re.finditer(re.escape(secret), said):
                places += 1
                for start, end in (span for placed in stream[found.start() : found.end()] for span in placed.spans):
                    made[start:end] = b"*" * (end - start)
    return bytes(made), places


def _streams(body: bytes, decoder: ResponseDecoder) -> tuple[list[_Placed], list[_Placed]]:
    """Return the characters of the answer and of its reasoning."""
    answer: list[_Placed] = []
    thought: list[_Placed] = []
    begun = at = 0  # where the bytes of the next event begin, and how far the decoder has come
    for line in [*re.findall(rb"[^\n]*\n", body), None]:
        events = decoder.finish() if line is None else decoder.feed(line)
        at = len(body) if line is None else at + len(line)
        for event in events:
            answer += _placed(body, begun, at, event.text)
            thought += _placed(body, begun, at, event.reasoning)
        begun = at if events else begun
    return answer, thought


def _placed(body: bytes, begun: int, end: int, text: str) -> Iterator[_Placed]:
    """Yield a text's characters with the places of every JSON value between these bytes that is this text."""
    found = [spans for match in _VALUE.finditer(body, begun, end) if (spans := _spans(match, text)) is not None]
    for number, character in enumerate(text):
        yield _Placed(character, tuple(spans[number] for spans in found))


def _spans(match: "re.Match[bytes]", text: str) -> list[tuple[int, int]] | None:
    """Return where each character of a JSON string is written; None for one that is another text."""
    try:
        written = match[1].decode()
        if not text or json.loads(f'"{written}"', strict=False) != text:
            return None
    except ValueError:
        return None
    spans: list[tuple[int, int]] = []
    at = match.start(1)
    for form in _WRITTEN.findall(written):
        size = len(form.encode())
        spans.append((at, at + size))
        at += size
    return spans if len(spans) == len(text) else None
