"""The shortcut for chunks that repeat: whatever a server sends, it changes no event; and it is taken."""

import json
from collections.abc import Iterable
from unittest import mock

import pytest
from api_recordings import STREAMS, Decoded, cut, decode
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.api.clients import client_names, get_client
from inference_bench.api.dialects import template
from inference_bench.api.dialects.chunks import ChunkReader
from inference_bench.api.dialects.template import TextTemplate
from inference_bench.api.protocols import StreamEvent, event_of

ID = b'{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1795464715,"model":"m 100%d",'
CHAT = ID + b'"choices":[{"index":0,"delta":{"content":TEXT},"logprobs":null,"finish_reason":null}],"by":"%d%"'
COMPLETION = ID + b'"choices":[{"index":0,"text":TEXT,"logprobs":null,"finish_reason":null}],"by":"%d%"'
USAGE = b',"usage":{"prompt_tokens":24,"total_tokens":TOTAL,"completion_tokens":COUNT}'
# The chunks of each dialect, with names where a chunk differs from the one before it.
CHUNKS = {
    "vllm": CHAT + USAGE + b"}",
    "vllm-completions": COMPLETION + USAGE + b"}",
    "openai": CHAT + b"}",
    "openai-completions": COMPLETION + b"}",
    "tgi-chat": CHAT + b',"usage":null}',
    "tgi": b'{"index":COUNT,"token":{"id":5,"text":TEXT,"logprob":-0.5,"special":false},"generated_text":null}',
    "ollama": b'{"model":"m","created_at":"2026-11-23T10:00:0COUNTZ","message":{"content":TEXT},"done":false}',
    "ollama-generate": b'{"model":"m","created_at":"2026-11-23T10:00:0COUNTZ","response":TEXT,"done":false}',
}
SHORT = [name for name, chunk in CHUNKS.items() if chunk.startswith(ID)]
FORMS = sorted({*CHUNKS.values(), CHAT + b',"usage":null}', COMPLETION + b"}", CHAT + b"}"})

NASTY_TEXTS = [
    b'""', b'"', b'"""', b'"a"b"', b'"\\"', b'"\\\\"', b'"\\u00e9\\ud83e\\udd99"', b'"\\ud83e"', b'"\\ud800\\u0041"',
    b'"\\x"', b'"\\u12"', b'"a\\"},\\"b\\":{\\""', b'"}]}"', b'"{{[["', b'"\x00"', b'"\x1f"', b'"\x7f"', b'"\t"',
    b'"\n"', b'"\r"', b'"a\r\n\r\nb"', b'"a\n\ndata: {}\n\n"', b'"\xff"', b'"\xc3"', b'"\xc3\xa9"', b'"\xed\xa0\x80"',
    b'"\xf0\x9f\xa6\x99"', b'"\xc0\x80"', b'"\xef\xbb\xbf"', b'"\xe2\x80\xa8"', b"null", b"5", b"true", b"[]", b"{}",
    b'{"a":"b"}', b' "a"', b'"a" ', b'\n"a"', b"", b"'a'", b'"a","content":"b"', b'"a","content":null',
    b'"a","text":"b"', b'"a","reasoning":"b"', b'"a","reasoning_content":"b"', b'"a","role":"assistant"',
    b'"a"},"delta":{"content":"b"', b'"a"}],"choices":[{"delta":{"content":"b"}', b'"a","x":"b"', b'"a"/**/', b'"a"}',
    b'"a",', b'"another text"', b'"id"', b'"content"', b'"m 100%d"', b'"%d"', b'"%s%"', b'"delta"', b'"TEXT"',
]  # fmt: skip
NASTY_NUMBERS = [
    b"0", b"00", b"01", b"-0", b"-1", b"+1", b" 7", b"7 ", b"7\n", b"1_0", b"1e1", b"7.0", b"7.", b".7", b"0x7", b"",
    b"null", b"true", b'"7"', b"9", b"10", b"999999999999999", b"1000000000000000", b"9223372036854775808",
    b"18446744073709551616", b"1" * 400, b"\xd9\xa7", b"7,7", b'7,"completion_tokens":8', b'7},"x":{"y":7', b"[7]",
    b"{}", b"NaN", b"7}", b"7}}",
]  # fmt: skip
EDITS = [
    (b'"finish_reason":null', b'"finish_reason":"length"'), (b'"finish_reason":null', b'"finish_reason":7'),
    (b'"finish_reason":null', b'"finish_reason":""'), (b'"index":0', b'"index":1'), (b"TOTAL", b"COUNT"),
    (USAGE, b""), (USAGE, b',"usage":null'), (USAGE, b',"usage":[]'), (USAGE, b',"usage":{}'),
    (USAGE, USAGE + b',"usage":null'), (USAGE, USAGE + USAGE), (USAGE, b',"x":{"a":1' + USAGE + b"}"),
    (USAGE, b',"x":"' + USAGE + b'"'), (USAGE, b',"x":"\\"' + USAGE), (b",", b" ,\t"), (b":", b": "), (b"}", b" }"),
    (b"{", b"\r{"), (b'"usage"', b'"Usage"'), (b'"usage"', b'"\\u0075sage"'), (b'"content"', b'"reasoning"'),
    (b'"content"', b'"reasoning_content"'), (b'"content":', b'"content":"b","content":'),
    (b'"logprobs":null', b'"error":{"message":"a"}'), (b'"logprobs":null', b'"text":"b"'),
    (b'"logprobs":null', b'"delta":{"content":"b"}'), (b'"choices":[', b'"choices":[{},'),
    (b'"choices":[', b'"error":"b","choices":['), (b'"prompt_tokens":24', b'"prompt_tokens":25'),
    (b"chatcmpl-1", b"chatcmpl-2"), (b'"created":1795464715', b'"created":TEXT'), (b'"done":false', b'"done":true'),
    (b'"id"', b'\xef\xbb\xbf"id"'), (b'"m 100%d"', b"TEXT"), (b"TEXT", b'TEXT,"tool_calls":[]'), (b"}", b"}\n"),
    (b"{", b"data: {"), (b'"special":false', b'"special":true'),
]  # fmt: skip

# What may stand between two chunks, so that the second is not what its bytes say.
BETWEEN = [
    b'data: {"a', b"event: error\n", b"event: x\n", b"data: x\n", b"data", b": ping\n\n", b": ping\n", b"\n", b"\r",
    b"\xef\xbb\xbf", b"data: [DONE]\n\n", b"<html>\n", b"<html>", b"{}\n", b'{"done":true}\n', b"{", b" ", b"",
]  # fmt: skip


@st.composite
def payloads(draw: st.DrawFn, form: bytes) -> bytes:
    """A chunk of this form, most often a good one."""
    kind = draw(st.integers(0, 9))
    text = json.dumps(draw(st.text(max_size=6)), ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    number = draw(st.integers(0, 120))
    total, count = b"%d" % (number + 24), b"%d" % number
    if kind == 0:
        text = draw(st.sampled_from(NASTY_TEXTS) | st.binary(max_size=8).map(lambda inner: b'"' + inner + b'"'))
    elif kind == 1:
        total = draw(st.sampled_from(NASTY_NUMBERS))
    elif kind == 2:
        count = draw(st.sampled_from(NASTY_NUMBERS))
    elif kind == 3:
        old, new = draw(st.sampled_from(EDITS))
        form = form.replace(old, new, draw(st.sampled_from([1, -1])))
    payload = form.replace(b"TEXT", text).replace(b"TOTAL", total).replace(b"COUNT", count)
    if kind == 4:
        start, end = sorted((draw(st.integers(0, len(payload))), draw(st.integers(0, len(payload)))))
        payload = payload[:start] + draw(st.binary(max_size=3) | st.just(payload[start:end] * 2)) + payload[end:]
    return payload


def framed(dialect: str, payload: bytes) -> bytes:
    return payload + b"\n" if dialect.startswith("ollama") else b"data: " + payload + b"\n\n"


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


def regular(
    dialect: str, count: int, text: bytes = b'" word"', *, step: int = 1, edit: tuple[bytes, bytes] = (b"", b"")
) -> list[bytes]:
    """A stream of `count` chunks of `step` tokens each, one per piece; good ones, unless their form is edited."""
    form = CHUNKS[dialect].replace(*edit) if edit[0] else CHUNKS[dialect]
    form = form.replace(b"TEXT", text)
    numbers = [step * number for number in range(1, count + 1)]
    return [framed(dialect, form.replace(b"TOTAL", b"%d" % (24 + n)).replace(b"COUNT", b"%d" % n)) for n in numbers]


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
