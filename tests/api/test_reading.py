"""Marks and counts of one exchange, by metrics.md, from stamps that the test chooses."""

from collections.abc import Sequence

from inference_bench.api.clients import get_client
from inference_bench.api.exchange import Job, RawExchange
from inference_bench.api.protocols import ErrorClass
from inference_bench.api.reading import Reading, read_exchange

ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'
DONE = b"data: [DONE]\n\n"


def text(words: str, *, field: str = "content", tokens: int | None = None, finish: str | None = None) -> bytes:
    usage = "" if tokens is None else f',"usage":{{"prompt_tokens":4,"completion_tokens":{tokens},"total_tokens":9}}'
    reason = "null" if finish is None else f'"{finish}"'
    return (
        f'data: {{"choices":[{{"index":0,"delta":{{"{field}":"{words}"}},"finish_reason":{reason}}}]{usage}}}\n\n'
    ).encode()


def exchange(pieces: Sequence[bytes], failure: ErrorClass | None = None) -> RawExchange:
    """Piece k arrives at 1000 + 100 k and is read 7 ns later; the request was sent at 500."""
    raw = RawExchange(Job(0, 0, b""))
    raw.status = 200
    raw.sent_ns = 500
    raw.failure = failure
    for number, piece in enumerate(pieces):
        raw.pieces.append(piece)
        raw.arrivals.append(1000 + 100 * number)
        raw.reads.append(1007 + 100 * number)
    return raw


def read(*pieces: bytes, dialect: str = "vllm", failure: ErrorClass | None = None) -> Reading:
    return read_exchange(exchange(pieces, failure), get_client(dialect), keep_text=True)


def test_a_role_chunk_is_an_event_but_no_token() -> None:
    reading = read(ROLE, text("a"), text("b", finish="length"), DONE)
    assert reading.ok
    assert reading.first_event_ns == 1000
    assert reading.first_token_ns == 1100
    assert reading.first_token_read_ns == 1107
    assert reading.first_token_after_ns == 1007
    assert reading.last_token_ns == 1200
    assert reading.stall_ns == 100
    assert reading.first_answer_token_ns is None
    assert reading.first_token_merged is False


def test_reasoning_counts_as_the_first_token_and_the_answer_has_its_own_mark() -> None:
    reading = read(ROLE, text("hm", field="reasoning"), text("yes"), text("", finish="stop"), DONE)
    assert reading.first_token_ns == 1100
    assert reading.first_answer_token_ns == 1200
    assert (reading.text, reading.reasoning) == ("yes", ["hm", ""])


def test_tokens_per_chunk_come_from_the_running_count_and_textless_ones_are_carried() -> None:
    reading = read(
        text("", tokens=1), text("ab", tokens=4), text("c", tokens=5), text("", tokens=6, finish="stop"), DONE
    )
    assert list(reading.chunks.tokens) == [4, 1]
    assert reading.first_chunk_tokens == 4


def test_several_chunks_in_one_read_are_merged_and_share_its_stamp() -> None:
    reading = read(ROLE + text("a") + text("b"), text("c", finish="stop") + DONE)
    assert reading.first_token_merged is True
    assert reading.merged_reads == 1
    assert list(reading.chunks.merged) == [1, 1, 0]
    assert list(reading.chunks.arrivals) == [1000, 1000, 1100]
    assert reading.first_token_after_ns == 500  # nothing was read before it: it came after the request was sent


def test_what_the_decoder_held_back_has_the_stamps_of_the_last_read() -> None:
    reading = read(ROLE, text("a") + text("b", finish="stop").rstrip(b"\n"), dialect="openai")
    assert reading.ok
    assert list(reading.chunks.arrivals) == [1100, 1100]
    assert list(reading.chunks.reads) == [1107, 1107]
    assert list(reading.chunks.merged) == [0, 0]
    assert (reading.merged_reads, reading.first_token_after_ns, reading.stall_ns) == (0, 1007, 0)


def test_textless_events_beside_one_text_make_no_merged_read() -> None:
    reading = read(ROLE, ROLE + text("a") + ROLE, text("b") + text("c") + ROLE, text("d", finish="stop"), DONE)
    assert list(reading.chunks.merged) == [0, 1, 1, 0]
    assert reading.merged_reads == 1
    assert reading.first_token_merged is False
    assert reading.text_chars == 4


def test_a_count_beyond_any_chunk_is_unknown_and_not_an_error() -> None:
    reading = read(text("a", tokens=40_000), text("b", tokens=40_001, finish="stop"), DONE)
    assert reading.ok
    assert list(reading.chunks.tokens) == [-1, 1]
    assert reading.first_chunk_tokens is None


def test_failures_keep_their_marks_and_say_why() -> None:
    cut = read(text("a"), text("b"), failure=ErrorClass.TIMEOUT)
    assert not cut.ok
    assert cut.first_token_ns == 1000
    assert cut.error is not None
    assert cut.error.error_class is ErrorClass.TIMEOUT
    told = read(text("a"), b'data: {"error":{"message":"out of memory","code":500}}\n\n', DONE)
    assert told.error is not None
    assert told.error.error_class is ErrorClass.STREAM_ERROR
    assert "out of memory" in told.error.message
    empty = read(ROLE, DONE, dialect="openai")
    assert empty.error is not None
    assert empty.error.error_class is ErrorClass.EMPTY


def test_a_simulated_engine_is_known_by_its_header() -> None:
    raw = exchange([text("a", finish="stop"), DONE])
    raw.headers = {"x-simulated-engine": "inference-bench-simulator/0"}
    assert read_exchange(raw, get_client("vllm")).simulated


def test_a_sample_is_the_beginning_of_all_generated_text() -> None:
    pieces = [text("ab"), text("cde"), text("fg"), text("h", finish="stop"), DONE]
    for most, kept in ((0, ""), (2, "ab"), (3, "abc"), (6, "abcdef"), (100, "abcdefgh")):
        reading = read_exchange(exchange(pieces), get_client("vllm"), sample_chars=most)
        assert (reading.sample, reading.text, reading.text_chars) == (kept, "", 8)
