"""SSE and NDJSON framing: every rule of the specification, every bound, and any split of the bytes."""

import sys

import pytest
from api_recordings import cut
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.api.streaming import NdjsonDecoder, NdjsonLine, SseDecoder, SseEvent


def sse_events(pieces: list[bytes], **options: int) -> list[SseEvent]:
    decoder = SseDecoder(**options)
    return [event for piece in pieces for event in decoder.feed(piece)] + decoder.finish()


def ndjson_lines(pieces: list[bytes], **options: int) -> list[NdjsonLine]:
    decoder = NdjsonDecoder(**options)
    return [line for piece in pieces for line in decoder.feed(piece)] + decoder.finish()


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"data: a\n\n", [SseEvent(b"a")]),
        (b"data:a\n\n", [SseEvent(b"a")]),
        (b"data:  a\n\n", [SseEvent(b" a")]),
        (b"data: a\r\n\r\n", [SseEvent(b"a")]),
        (b"data: a\r\rdata: b\r\r", [SseEvent(b"a"), SseEvent(b"b")]),
        (b"data: a\ndata: b\n\n", [SseEvent(b"a\nb")]),
        (b"data\n\n", [SseEvent(b"")]),
        (b"data:\ndata:\n\n", [SseEvent(b"\n")]),
        (b": keep-alive\n\ndata: a\n\n:\n\n", [SseEvent(b"a")]),
        (b"event: error\ndata: a\n\ndata: b\n\n", [SseEvent(b"a", "error"), SseEvent(b"b")]),
        (b"event: x\n\ndata: b\n\n", [SseEvent(b"b")]),
        (b"event: x\nevent\ndata: b\n\n", [SseEvent(b"b")]),
        (b"id: 7\nretry: 10\nid\nretry\ndata: a\n\n", [SseEvent(b"a")]),
        (b"data: a\nunknown: x\nnocolon\n\n", [SseEvent(b"a")]),
        (
            b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbf: x",
            [SseEvent(b"a"), SseEvent(b"\xef\xbb\xbf: x", "", "not an event stream")],
        ),
        (b"data: a", [SseEvent(b"a")]),
        (b"data: a\n", [SseEvent(b"a")]),
        (b"data: a\n\nda", [SseEvent(b"a")]),
        (b"d", []),
        (b"data: a\n\ndata: b\r", [SseEvent(b"a"), SseEvent(b"b")]),
        (b"\n\n\r\n\r\r", []),
        (b"", []),
    ],
)
def test_sse_follows_the_specification(body: bytes, expected: list[SseEvent]) -> None:
    assert sse_events([body]) == expected
    assert sse_events([bytes([byte]) for byte in body]) == expected


def test_an_ignored_field_alone_is_no_event_stream() -> None:
    assert sse_events([b"error\n"]) == [SseEvent(b"error", "", "not an event stream")]
    assert sse_events([b"error"]) == [SseEvent(b"error", "", "not an event stream")]


def test_what_cannot_be_sse_is_told_once() -> None:
    events = sse_events([b"<html>\n<body>\n", b"data: a\n\n", b'{"x": 1}\n'])
    assert events == [SseEvent(b"<html>", "", "not an event stream"), SseEvent(b"a")]


def test_a_character_cut_in_the_middle_is_whole_again() -> None:
    body = "data: naïve 🦙\n\n".encode()
    for place in range(len(body)):
        assert sse_events([body[:place], body[place:]]) == [SseEvent("naïve 🦙".encode())]


def test_pending_says_what_is_held() -> None:
    decoder = SseDecoder()
    for piece, pending in ((b"da", True), (b"ta: a", True), (b"\n", True), (b"\n", False), (b": x\n", False)):
        decoder.feed(piece)
        assert decoder.pending is pending
    lines = NdjsonDecoder()
    assert not lines.pending
    lines.feed(b"{")
    assert lines.pending


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_an_oversized_event_is_told_once_and_the_next_one_is_read(size: int) -> None:
    body = b"data: ok\n\ndata: " + b"x" * 200 + b"\ndata: more\n\ndata: fine\n\n"
    pieces = [body[at : at + size] for at in range(0, len(body), size)]
    assert sse_events(pieces, limit=100) == [
        SseEvent(b"ok"),
        SseEvent(b"", "", "an event longer than 100 bytes"),
        SseEvent(b"fine"),
    ]


def test_many_data_lines_are_bounded_together() -> None:
    body = b"data: 123456789\n" * 11 + b"\ndata: a\n\n"
    assert sse_events([body], limit=108) == [SseEvent(b"", "", "an event longer than 108 bytes"), SseEvent(b"a")]
    fitting = b"data: 123456789\n" * 11 + b"\n"
    assert len(sse_events([fitting], limit=109)[0].data) == 109


@pytest.mark.parametrize("decoder", [SseDecoder(limit=1000), NdjsonDecoder(limit=1000)])
def test_an_endless_line_does_not_grow_memory(decoder: SseDecoder | NdjsonDecoder) -> None:
    told = [frame for _ in range(2000) for frame in decoder.feed(b"x" * 500)]
    assert [bool(frame.malformed) for frame in told] == [True]
    held = decoder._lines._held
    assert sys.getsizeof(held) < 2000
    assert decoder.finish() == []


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n\r\n \n\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'\xef\xbb\xbf{"a":1}\n\xef\xbb\xbf{}\n', [b'{"a":1}', b"\xef\xbb\xbf{}"]),
        (b'\xef\xbb\xbf{"a":1}', [b'{"a":1}']),
        (b'{"a":\r1}\n', [b'{"a":\r1}']),
        (b"\n \n", []),
        (b"   ", []),
        (b"", []),
    ],
)
def test_ndjson_lines(body: bytes, expected: list[bytes]) -> None:
    assert [line.data for line in ndjson_lines([body])] == expected
    assert [line.data for line in ndjson_lines([bytes([byte]) for byte in body])] == expected


def test_an_oversized_line_is_told_once_and_the_next_one_is_read() -> None:
    body = b"{}\n" + b"x" * 300 + b"\n{}\n"
    expected = [NdjsonLine(b"{}"), NdjsonLine(b"", "a line longer than 100 bytes"), NdjsonLine(b"{}")]
    assert ndjson_lines([body], limit=100) == expected
    assert ndjson_lines([bytes([byte]) for byte in body], limit=100) == expected


def reference_sse(body: bytes) -> list[SseEvent]:
    """The specification, read word for word over a whole body of known fields (and a last event without its end)."""
    events = []
    data: list[bytes] = []
    kind = ""
    for line in [*body.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n"), b""]:
        if not line:
            if data:
                events.append(SseEvent(b"\n".join(data), kind))
            data, kind = [], ""
            continue
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            kind = value.decode()
    return events


FIELDS = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data: \xc3\xa9",
        b'data: {"a":1}',
        b"data:  y",
        b"event: error",
        b"id: 1",
        b":",
        b": data: c",
    ]
)
ENDS = st.sampled_from([b"\n", b"\n", b"\r\n", b"\r", b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r", b""])
BODIES = st.lists(st.tuples(FIELDS, ENDS), max_size=12).map(lambda parts: b"".join(b"".join(part) for part in parts))
PLACES = st.lists(st.integers(0, 10_000), max_size=12)


@settings(deadline=None)
@given(body=BODIES, places=PLACES, bom=st.booleans())
def test_any_split_reads_as_the_specification_does(body: bytes, places: list[int], bom: bool) -> None:
    body = b"\xef\xbb\xbf" + body if bom else body
    assert sse_events(cut(body, places)) == reference_sse(body)


@settings(deadline=None)
@given(body=st.one_of(st.binary(max_size=300), BODIES), places=PLACES, limit=st.integers(1, 40))
def test_any_split_of_anything_gives_the_same_frames(body: bytes, places: list[int], limit: int) -> None:
    bytewise = [bytes([byte]) for byte in body]
    assert sse_events(cut(body, places)) == sse_events(bytewise)
    assert ndjson_lines(cut(body, places)) == ndjson_lines(bytewise)
    assert sse_events(cut(body, places), limit=limit) == sse_events(bytewise, limit=limit)
    assert ndjson_lines(cut(body, places), limit=limit) == ndjson_lines(bytewise, limit=limit)


@settings(deadline=None)
@given(body=st.binary(max_size=300), places=PLACES)
def test_nothing_held_is_longer_than_the_limit(body: bytes, places: list[int]) -> None:
    for event in sse_events(cut(body, places), limit=20):
        assert event.malformed or len(event.data) <= 20
    for line in ndjson_lines(cut(body, places), limit=20):
        assert len(line.data) <= 20
