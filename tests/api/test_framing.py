"""HTTP framing: any split of the same bytes yields the same content and the same end."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.framing import Body, FramingError, ResponseHead, one_chunk

CHUNKED = ResponseHead(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked")
contents = st.lists(st.binary(min_size=1, max_size=80), max_size=8)


def framed(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


def splits(data: bytes, cuts: list[int]) -> list[bytes]:
    points = sorted({cut % (len(data) + 1) for cut in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(points) if a < b]


@given(pieces=contents, cuts=st.lists(st.integers(0, 2000), max_size=20), trailer=st.sampled_from([b"", b"x-t: 1\r\n"]))
def test_any_split_of_a_chunked_body_reads_the_same(pieces: list[bytes], cuts: list[int], trailer: bytes) -> None:
    body = Body(CHUNKED)
    got = b""
    parts = splits(framed(pieces, trailer), cuts)
    for number, part in enumerate(parts):
        got += body.feed(part)
        assert body.complete == (number == len(parts) - 1)
    assert got == b"".join(pieces)


@given(piece=st.binary(min_size=1, max_size=300), junk=st.binary(max_size=40), capital=st.booleans())
def test_the_shortcut_for_one_whole_chunk_agrees_with_the_slow_way(piece: bytes, junk: bytes, capital: bool) -> None:
    framing = b"%X\r\n%s\r\n" if capital else b"%x\r\n%s\r\n"
    data = framing % (len(piece), piece)
    body = Body(CHUNKED)
    assert body.between_chunks
    assert one_chunk(bytearray(data + junk), len(data)) == body.feed(data) == piece
    assert body.between_chunks
    body.feed(data[:-1])
    assert not body.between_chunks


@given(data=st.binary(min_size=1, max_size=60) | st.from_regex(rb"[0-9a-f+_ -]{1,4}\r\n.{0,20}\r\n", fullmatch=True))
def test_the_shortcut_never_takes_what_the_slow_way_would_not(data: bytes) -> None:
    piece = one_chunk(bytearray(data) + bytearray(20), len(data))
    if piece:
        assert Body(CHUNKED).feed(data) == piece


@given(data=st.binary(max_size=300), cuts=st.lists(st.integers(0, 400), max_size=10))
def test_garbage_is_refused_or_read_but_never_crashes(data: bytes, cuts: list[int]) -> None:
    body = Body(CHUNKED)
    try:
        for part in splits(data, cuts):
            if body.complete:
                break
            body.feed(part)
    except FramingError:
        return


@pytest.mark.parametrize(
    "bad", [b"xyz\r\n", b"-5\r\nhello\r\n", b"+5\r\nhello\r\n", b"5\r\nhelloXX", b"0\r\n\r\nmore", b" \r\n", b"1_0\r\n"]
)
def test_malformed_chunks_are_refused(bad: bytes) -> None:
    with pytest.raises(FramingError):
        Body(CHUNKED).feed(bad)


def test_chunk_extensions_and_capital_digits_are_read() -> None:
    body = Body(CHUNKED)
    assert body.feed(b"A;name=value\r\n0123456789\r\n0\r\n\r\n") == b"0123456789"
    assert body.complete


def test_content_length_and_close_delimited_bodies() -> None:
    body = Body(ResponseHead(b"HTTP/1.1 200 OK\r\nContent-Length: 5"))
    assert body.feed(b"he") + body.feed(b"llo") == b"hello"
    assert body.complete
    with pytest.raises(FramingError):
        Body(ResponseHead(b"HTTP/1.1 200 OK\r\nContent-Length: 2")).feed(b"hello")
    body = Body(ResponseHead(b"HTTP/1.0 200 OK"))
    assert not body.self_delimiting
    assert body.feed(b"hello") == b"hello"
    assert not body.complete
    assert body.end_of_connection()
    assert Body(ResponseHead(b"HTTP/1.1 204 No Content")).complete


@pytest.mark.parametrize("head", [b"HTTP/2 200", b"200 OK", b"HTTP/1.1 2x0 OK", b"HTTP/1.1 200 OK\r\nno colon"])
def test_what_is_no_http_head_is_refused(head: bytes) -> None:
    with pytest.raises(FramingError):
        ResponseHead(head)


def test_keep_alive_by_version_and_header() -> None:
    assert ResponseHead(b"HTTP/1.1 200 OK").keep_alive
    assert not ResponseHead(b"HTTP/1.1 200 OK\r\nConnection: Close").keep_alive
    assert not ResponseHead(b"HTTP/1.0 200 OK").keep_alive
    assert ResponseHead(b"HTTP/1.0 200 OK\r\nconnection: keep-alive").keep_alive
