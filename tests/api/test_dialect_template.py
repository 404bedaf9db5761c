"""The shortcut for chunks that repeat: whatever a server sends, it changes no event; and it is taken."""

import json
from collections.abc import Iterable
from unittest import mock

import pytest
from api_recordings import STREAMS, Decoded, cut, decode
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_chunks import (
    BETWEEN,
    CHAT,
    CHUNKS,
    EDITS,
    FORMS,
    NASTY_NUMBERS,
    NASTY_TEXTS,
    SHORT,
    USAGE,
    framed,
    payloads,
    regular,
)

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.dialects import template
from inference_bench.api.dialects.chunks import ChunkReader
from inference_bench.api.dialects.template import TextTemplate
from inference_bench.api.protocols import StreamEvent, event_of


def with_and_without(dialect: str, pieces: Iterable[bytes]) -> Decoded:
    """Decode with the shortcut and without it; the same must come of it."""
    pieces = list(pieces)
    with mock.patch.object(template, "MAX_LESSONS", 0):
        expected = decode(get_client(dialect).decoder(), pieces)
    decoded = decode(get_client(dialect).decoder(), pieces)
    assert decoded == expected
    assert [type(event) for event in decoded.events] == [StreamEvent] * len(decoded.events)
    return decoded


@settings(deadline=None, max_examples=400)
@given(data=st.data(), dialect=st.sampled_from(sorted(CHUNKS)), form=st.sampled_from([None, *FORMS]))
def test_the_shortcut_changes_nothing(data: st.DataObject, dialect: str, form: bytes | None) -> None:
    """Streams of every form to every dialect, each event in its own read, some of them not what they look like."""
    chunks = data.draw(st.lists(payloads(form or CHUNKS[dialect]), min_size=2, max_size=10))
    pieces = [framed(dialect, chunk) for chunk in chunks]
    if data.draw(st.booleans()):
        pieces.insert(data.draw(st.integers(0, len(pieces))), data.draw(st.sampled_from(BETWEEN)))
    with_and_without(dialect, pieces)


@settings(deadline=None)
@given(data=st.data(), dialect=st.sampled_from(sorted(CHUNKS)), places=st.lists(st.integers(0, 9000), max_size=12))
def test_the_shortcut_changes_nothing_however_the_reads_fall(
    data: st.DataObject, dialect: str, places: list[int]
) -> None:
    chunks = data.draw(st.lists(payloads(CHUNKS[dialect]), min_size=2, max_size=8))
    body = b"".join(framed(dialect, chunk) for chunk in chunks)
    decoded = with_and_without(dialect, cut(body, places))
    assert decoded == with_and_without(dialect, [bytes([byte]) for byte in body])


@pytest.mark.parametrize("dialect", sorted(CHUNKS))
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_odd_texts_in_a_learned_form(dialect: str, text: bytes) -> None:
    odd = regular(dialect, 5, text)
    good = regular(dialect, 7)
    with_and_without(dialect, [*good[:4], odd[4], *good[5:]])
    with_and_without(dialect, odd)


@pytest.mark.parametrize("dialect", ["vllm", "vllm-completions"])
@pytest.mark.parametrize("number", NASTY_NUMBERS)
def test_odd_counts_in_a_learned_form(dialect: str, number: bytes) -> None:
    good = regular(dialect, 12)
    for name, place in ((b"TOTAL", 7), (b"COUNT", 7), (b"TOTAL", 9), (b"COUNT", 9)):
        form = CHUNKS[dialect].replace(b"TEXT", b'"a"').replace(name, number)
        odd = form.replace(b"TOTAL", b"%d" % (25 + place)).replace(b"COUNT", b"%d" % (place + 1))
        with_and_without(dialect, [*good[:place], framed(dialect, odd), *good[place + 1 :]])


@pytest.mark.parametrize("dialect", sorted(CHUNKS))
@pytest.mark.parametrize("edit", EDITS)
def test_odd_chunks_after_a_learned_form_and_as_the_form(dialect: str, edit: tuple[bytes, bytes]) -> None:
    good = regular(dialect, 12)
    odd = regular(dialect, 12, edit=edit)
    with_and_without(dialect, odd)
    with_and_without(dialect, [*good[:5], odd[5], *good[6:8], *odd[8:]])


@pytest.mark.parametrize("dialect", sorted(CHUNKS))
@pytest.mark.parametrize("between", BETWEEN)
def test_odd_bytes_between_two_chunks_of_a_learned_form(dialect: str, between: bytes) -> None:
    good = regular(dialect, 8)
    with_and_without(dialect, [*good[:5], between, *good[5:]])


def test_no_other_place_is_taken_for_the_text_even_when_the_probe_stands_there() -> None:
    probe = json.dumps(template._PROBE).encode()
    form = CHUNKS["openai"].replace(b'"chatcmpl-1"', b"NAME").replace(b"TEXT", probe)
    with_and_without("openai", [framed("openai", form.replace(b"NAME", name)) for name in [probe] * 3 + [b'"id"'] * 2])


def test_counts_told_in_another_order_are_read_the_long_way() -> None:
    other = CHAT.replace(b"TEXT", b'"a"') + b',"usage":{"completion_tokens":COUNT,"prompt_tokens":4}}'
    counts = [1, 2, 2, 2, 2, 5]
    decoded = with_and_without("vllm", [framed("vllm", other.replace(b"COUNT", b"%d" % n)) for n in counts])
    assert decoded.tokens == [1, 1, 0, 0, 0, 3]


def test_an_empty_text_without_a_count_leaves_the_running_count_as_it_was() -> None:
    plain, empty = (CHAT.replace(b"TEXT", text) + b',"usage":null}' for text in (b'"a"', b'""'))
    told = [json.dumps({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": n}}).encode() for n in (5, 7)]
    chunks = [plain, plain, plain, told[0], empty, told[1], plain, told[1]]
    decoded = with_and_without("vllm", [framed("vllm", chunk) for chunk in chunks])
    assert decoded.tokens == [None, None, None, None, None, 2, None, None]


def test_a_usage_that_does_not_end_the_chunk_is_no_end_of_a_chunk() -> None:
    counts = USAGE.replace(b"TOTAL", b"29").replace(b"COUNT", b"5")
    inner = CHAT.replace(b"TEXT", b'"a"') + b',"x":{"a":1' + counts + b"}"
    with_and_without("vllm", [framed("vllm", chunk) for chunk in [inner + b',"usage":null}'] * 4 + [inner] * 2])
    twice = inner + counts + b"}"
    with_and_without("vllm", [framed("vllm", chunk) for chunk in [twice] * 4 + [inner] * 2 + [twice]])


@pytest.mark.parametrize(("dialect", "name", "body"), STREAMS)
def test_recordings_read_the_same(dialect: str, name: str, body: bytes) -> None:
    ending = b"\n" if dialect.startswith("ollama") else b"\n\n"
    with_and_without(dialect, [block + ending for block in body.split(ending) if block])


@pytest.mark.parametrize("dialect", SHORT)
@pytest.mark.parametrize("reads", [1, 3])
@pytest.mark.parametrize("step", [1, 3])
def test_a_regular_stream_is_parsed_in_full_only_until_its_form_is_known(dialect: str, reads: int, step: int) -> None:
    pieces = regular(dialect, 120, '" naïve\\n🦙"'.encode(), step=step)
    joined = [b"".join(pieces[at : at + reads]) for at in range(0, len(pieces), reads)]
    with mock.patch.object(ChunkReader, "read", autospec=True, side_effect=ChunkReader.read) as read:
        decoded = decode(get_client(dialect).decoder(), joined)
    assert read.call_count <= reads + 1
    assert decoded.text == " naïve\n🦙" * 120
    if dialect.startswith("vllm"):
        assert decoded.tokens == [step] * 120


def test_a_stream_that_never_repeats_is_not_studied_for_ever() -> None:
    pieces = [piece.replace(b"chatcmpl-1", b"chatcmpl-%d" % n) for n, piece in enumerate(regular("openai", 60))]
    with mock.patch.object(ChunkReader, "text_of", autospec=True, side_effect=ChunkReader.text_of) as text_of:
        with_and_without("openai", pieces)
    assert 0 < text_of.call_count <= template.MAX_LESSONS


def test_a_text_that_also_stands_elsewhere_is_found_in_its_own_place() -> None:
    for text in (b'"id"', b'"model"', b'"m 100%d"', b'"content"'):
        pieces = regular("openai", 20, text)
        with mock.patch.object(ChunkReader, "read", autospec=True, side_effect=ChunkReader.read) as read:
            decode(get_client("openai").decoder(), pieces)
        assert read.call_count == 2
        with_and_without("openai", pieces)


def test_a_piece_beyond_the_limit_is_left_to_the_framing() -> None:
    reader = ChunkReader("delta")
    shortcut = TextTemplate(reader, b"data: ", b"\n\n", 200)
    payload = CHUNKS["openai"].replace(b"TEXT", b'"a"')
    shortcut.learn(payload, reader.read(json.loads(payload)))
    assert shortcut.read(framed("openai", payload)) == StreamEvent("a")
    assert shortcut.read(framed("openai", payload.replace(b'"a"', b'"' + b"a" * 200 + b'"'))) is None


def test_an_event_made_of_its_fields_is_the_same_event() -> None:
    fields = ("a", "b", 3, "stop", None, True, None, None)
    assert event_of(fields) == StreamEvent(*fields)
    assert type(event_of(fields)) is StreamEvent
    assert len(fields) == len(StreamEvent._fields)


def test_every_dialect_has_its_chunk_here() -> None:
    assert set(CHUNKS) == set(client_names())
