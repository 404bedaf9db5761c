"""Runs of texts, read many pieces at once: the reading is the same to the last bit; and they are taken."""

from unittest import mock

import pytest
from api_recordings import STREAMS, cut
from both_readings import exchange, lengths_of_runs, read_both_ways
from hypothesis import given, settings
from hypothesis import strategies as st
from odd_chunks import BETWEEN, CHUNKS, EDITS, NASTY_NUMBERS, NASTY_TEXTS, SHORT, USAGE, framed, payloads, regular

from inference_bench.api.clients import get_client
from inference_bench.api.dialects.answers import StreamedAnswer
from inference_bench.api.protocols import TextRun
from inference_bench.api.reading import read_exchange

ENDINGS = {"ollama": b"\n", "ollama-generate": b"\n"}


def streams(dialect: str) -> st.SearchStrategy[list[bytes]]:
    """Streams of one form, long enough for several runs, with odd pieces, other forms and empty texts among them."""

    @st.composite
    def stream(draw: st.DrawFn) -> list[bytes]:
        pieces = regular(dialect, draw(st.integers(14, 140)), step=draw(st.sampled_from([1, 1, 1, 2])))
        texts = regular(dialect, len(pieces), draw(st.sampled_from([b'""', b'"\\u00e9"', b'"%d"', *NASTY_TEXTS])))
        for _ in range(draw(st.integers(0, 4))):
            at = draw(st.integers(0, len(pieces) - 1))
            kind = draw(st.integers(0, 5))
            if kind == 0:
                pieces[at : at + 2] = [b"".join(pieces[at : at + 2])]
            elif kind == 1:
                pieces[at] = framed(dialect, draw(payloads(CHUNKS[dialect])))
            elif kind == 2:
                pieces.insert(at, draw(st.sampled_from(BETWEEN)))
            elif kind == 3:
                middle = draw(st.integers(0, len(pieces[at])))
                pieces[at : at + 1] = [pieces[at][:middle], pieces[at][middle:]]
            elif kind == 4:
                pieces[at] = pieces[at].replace(*draw(st.sampled_from(EDITS)))
            else:
                pieces[at : at + 3] = texts[at : at + 3]
        return [piece for piece in pieces if piece]

    return stream()


@settings(deadline=None, max_examples=250)
@given(data=st.data(), dialect=st.sampled_from(sorted(CHUNKS)), keep=st.booleans())
def test_runs_change_nothing(data: st.DataObject, dialect: str, keep: bool) -> None:
    sample_chars = data.draw(st.sampled_from([0, 9, 2000]))
    read_both_ways(dialect, data.draw(streams(dialect)), keep_text=keep, sample_chars=sample_chars)


@settings(deadline=None, max_examples=60)
@given(data=st.data(), dialect=st.sampled_from(SHORT), places=st.lists(st.integers(0, 30_000), max_size=12))
def test_runs_change_nothing_however_the_reads_fall(data: st.DataObject, dialect: str, places: list[int]) -> None:
    """Most reads end where an event ends; some fall anywhere."""
    pieces = data.draw(streams(dialect))
    body = b"".join(pieces)
    ends = [sum(map(len, pieces[:number])) for number in range(1, len(pieces))]
    read_both_ways(dialect, cut(body, [*ends, *places]))


@pytest.mark.parametrize(("dialect", "name", "body"), STREAMS)
def test_recordings_read_the_same_at_any_split(dialect: str, name: str, body: bytes) -> None:
    """Event by event, and with every event that is cut or joined to its next."""
    ending = ENDINGS.get(dialect, b"\n\n")
    pieces = [block + ending for block in body.split(ending) if block]
    read_both_ways(dialect, pieces)
    for at in range(len(pieces)):
        read_both_ways(dialect, [*pieces[:at], pieces[at][:9], pieces[at][9:], *pieces[at + 1 :]])
        read_both_ways(dialect, [*pieces[:at], b"".join(pieces[at : at + 2]), *pieces[at + 2 :]])


@pytest.mark.parametrize("dialect", SHORT)
@pytest.mark.parametrize("text", NASTY_TEXTS)
def test_odd_texts_in_a_run(dialect: str, text: bytes) -> None:
    """One alone, two side by side (what one opens the other may close), and two far from each other."""
    good, odd = regular(dialect, 40), regular(dialect, 40, text)
    read_both_ways(dialect, [*good[:9], odd[9], *good[10:]])
    read_both_ways(dialect, [*good[:9], *odd[9:11], *good[11:]])
    read_both_ways(dialect, [*good[:9], odd[9], *good[10:20], odd[20], *good[21:]])
    read_both_ways(dialect, odd)


@pytest.mark.parametrize("dialect", SHORT)
@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'"a","b"', b'"a\\"'),
        (b'"a\\"', b'"a","b"'),
        (b'"a\\"', b'","b"'),
        (b'"a",["b"', b'"c"],"d"'),
        (b'"a",{"b":"c"', b'"d":"e"},"f"'),
        (b'"a"],["b"', b'"a\\"'),
        (b'"a\x00', b'b"'),
        (b'"a\\', b'"b"'),
    ],
)
def test_texts_that_are_whole_only_together_are_odd_texts(dialect: str, one: bytes, other: bytes) -> None:
    good, odd, also = regular(dialect, 40), regular(dialect, 40, one), regular(dialect, 40, other)
    for gap in (1, 2, 12):
        pieces = [*good[:9], odd[9], *good[10 : 9 + gap], also[9 + gap], *good[10 + gap :]]
        reading = read_both_ways(dialect, pieces)
        assert not reading.ok


@pytest.mark.parametrize("dialect", ["vllm", "vllm-completions"])
@pytest.mark.parametrize("number", NASTY_NUMBERS)
def test_odd_counts_in_a_run(dialect: str, number: bytes) -> None:
    good = regular(dialect, 40)
    for name in (b"TOTAL", b"COUNT"):
        form = CHUNKS[dialect].replace(b"TEXT", b'" word"').replace(name, number)
        odd = framed(dialect, form.replace(b"TOTAL", b"44").replace(b"COUNT", b"20"))
        read_both_ways(dialect, [*good[:19], odd, *good[20:]])


@pytest.mark.parametrize("dialect", SHORT)
@pytest.mark.parametrize("edit", EDITS)
def test_odd_chunks_in_a_run(dialect: str, edit: tuple[bytes, bytes]) -> None:
    good, odd = regular(dialect, 40), regular(dialect, 40, edit=edit)
    read_both_ways(dialect, [*good[:19], odd[19], *good[20:]])
    read_both_ways(dialect, odd)


@pytest.mark.parametrize("dialect", SHORT)
def test_a_regular_stream_is_read_in_runs(dialect: str) -> None:
    pieces = regular(dialect, 1200, '" naïve\\n🦙 %d"'.encode())
    told = lengths_of_runs(dialect, pieces)
    assert sum(told) > 1150
    assert len(told) < 12
    reading = read_both_ways(dialect, pieces, sample_chars=2000)
    assert reading.text == " naïve\n🦙 %d" * 1200
    if dialect.startswith("vllm"):
        assert list(reading.chunks.tokens) == [1] * 1200


def test_a_run_ends_where_two_chunks_share_a_read_and_goes_on_behind_it() -> None:
    pieces = regular("vllm", 90)
    joined = [*pieces[:30], b"".join(pieces[30:32]), *pieces[32:]]
    assert lengths_of_runs("vllm", joined)[0] == 28
    assert sum(lengths_of_runs("vllm", joined)) > 75
    reading = read_both_ways("vllm", joined)
    assert [number for number, merged in enumerate(reading.chunks.merged) if merged] == [30, 31]


def test_tokens_of_an_empty_text_are_carried_through_a_run() -> None:
    pieces, empty = regular("vllm", 60), regular("vllm", 60, b'""')
    for at in (0, 1, 2, 7, 30, 58):
        reading = read_both_ways("vllm", [*pieces[:at], empty[at], *pieces[at + 1 :]])
        assert list(reading.chunks.tokens) == [1] * at + [2] + [1] * (58 - at)


def test_tokens_of_a_textless_chunk_are_carried_into_a_run() -> None:
    for dialect in ("vllm", "tgi-chat"):
        pieces, textless = regular(dialect, 60), regular(dialect, 60, edit=(b'"content":TEXT', b""))
        reading = read_both_ways(dialect, [*pieces[:30], textless[30], *pieces[31:]])
        assert list(reading.chunks.tokens) == [1] * 30 + [2] + [1] * 28


def test_a_run_of_empty_texts_tells_no_text() -> None:
    """Without counts an empty text leaves the running count as it was, and any other ends it."""
    edit = (USAGE, b',"usage":null')
    plain, empty = regular("vllm", 60, edit=edit), regular("vllm", 60, b'""', edit=edit)
    told = regular("vllm", 60, b'""')
    read_both_ways("vllm", [*plain[:2], told[2], *empty[3:40], *told[40:42], *plain[42:58], *told[58:]])


def test_a_stream_of_several_tokens_a_chunk_is_tried_seldom() -> None:
    pieces = regular("vllm", 600, step=3)
    with mock.patch.object(StreamedAnswer, "feed_texts", return_value=None) as feed_texts:
        read_exchange(exchange(pieces), get_client("vllm"))
    assert 0 < feed_texts.call_count < 16
    assert lengths_of_runs("vllm", pieces) == []


def test_pieces_beyond_the_limit_make_no_run() -> None:
    decoder = get_client("openai").decoder()
    assert isinstance(decoder, StreamedAnswer)
    pieces = regular("openai", 30)
    for piece in pieces[:2]:
        decoder.feed(piece)
    assert decoder._quick is not None
    decoder._quick._limit = len(pieces[0]) - 1
    assert decoder.feed_texts(pieces[2:4]) is None
    decoder._quick._limit = len(b"".join(pieces))
    assert decoder.feed_texts(pieces[2:]) == TextRun([" word"] * 28, None, None)
    assert decoder.feed_texts([]) is None


def test_a_decoder_of_others_needs_no_runs() -> None:
    """A dialect from outside has `feed`, `finish` and `ended`; that is enough."""

    class Plain:
        def __init__(self) -> None:
            self._inner = get_client("vllm").decoder()
            self.feed, self.finish = self._inner.feed, self._inner.finish

        @property
        def ended(self) -> bool:
            return self._inner.ended

    client = mock.Mock()
    client.decoder.return_value = Plain()
    pieces = [*regular("vllm", 40), b"data: [DONE]\n\n"]
    reading = read_exchange(exchange(pieces), client)
    assert reading == read_exchange(exchange(pieces), get_client("vllm"))
    assert reading.ok
