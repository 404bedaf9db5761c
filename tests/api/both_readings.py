"""Reads an answer twice, with every shortcut and with none, for tests that the shortcuts change nothing."""

from collections.abc import Sequence
from unittest import mock

from inference_bench.api.clients import get_client
from inference_bench.api.dialects import template
from inference_bench.api.dialects.answers import StreamedAnswer
from inference_bench.api.exchange import Job, RawExchange
from inference_bench.api.protocols import TextRun
from inference_bench.api.reading import Reading, read_exchange


def exchange(pieces: Sequence[bytes]) -> RawExchange:
    """Piece k arrives at 1000 + 100 k + k², so that every gap is another one, and is read 7 ns later."""
    raw = RawExchange(Job(0, 0, b""))
    raw.status = 200
    raw.sent_ns = 500
    for number, piece in enumerate(pieces):
        raw.pieces.append(piece)
        raw.arrivals.append(1000 + 100 * number + number**2)
        raw.reads.append(1007 + 100 * number + number**2)
    return raw


def read_both_ways(dialect: str, pieces: Sequence[bytes], *, keep_text: bool = True, sample_chars: int = 50) -> Reading:
    """Read with runs and without any shortcut; the same must come of it."""
    client = get_client(dialect)
    with mock.patch.object(template, "MAX_LESSONS", 0):
        expected = read_exchange(exchange(pieces), client, keep_text=keep_text, sample_chars=sample_chars)
    reading = read_exchange(exchange(pieces), client, keep_text=keep_text, sample_chars=sample_chars)
    assert reading == expected
    return reading


def lengths_of_runs(dialect: str, pieces: Sequence[bytes]) -> list[int]:
    """Read with runs; return how many texts each of them told."""
    told: list[int] = []
    feed_texts = StreamedAnswer.feed_texts

    def noted(decoder: StreamedAnswer, trial: Sequence[bytes]) -> TextRun | None:
        run = feed_texts(decoder, trial)
        if run is not None:
            told.append(len(run.texts))
        return run

    with mock.patch.object(StreamedAnswer, "feed_texts", noted):
        read_exchange(exchange(pieces), get_client(dialect))
    return told
