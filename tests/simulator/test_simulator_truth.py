"""The truth log: one line per request however it ends, counts equal to usage, times in order."""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import httpx
import pytest
from simulator_talk import Talk, connected, native_body, read_until, request_bytes, sse_values

from inference_bench.errors import UsageError
from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.simulator.truth import TruthRecord, TruthWriter, lateness_percentile_ms, read_truth

ENGINES = ("vllm", "tgi", "ollama", "openai")
FLUSHED_WITHIN_S = 20.0


def record_of(path: Path, request_id: str) -> TruthRecord:
    """Wait for the record of a request and return it."""
    deadline = time.monotonic() + FLUSHED_WITHIN_S
    while time.monotonic() < deadline:
        found = [record for record in read_truth(path) if record.request_id == request_id]
        if found:
            (record,) = found
            return record
        time.sleep(0.05)
    raise AssertionError(f"no record of {request_id}")


@pytest.fixture
def traced(talk: Talk, truth_path: Path) -> Callable[..., tuple[httpx.Response, TruthRecord]]:
    """Give a way to ask an engine something under a request id and get the truth about it."""
    serial = iter(range(1000))

    def ask(engine: str, path: str, body: object, fault: str | None = None) -> tuple[httpx.Response, TruthRecord]:
        request_id = f"truth-{time.monotonic_ns()}-{next(serial)}"
        headers = {"x-request-id": request_id} | ({"x-simulator-fault": fault} if fault else {})
        answer = talk.post(engine, path, body, headers=headers)
        return answer, record_of(truth_path, request_id)

    return ask


Traced = Callable[..., tuple[httpx.Response, TruthRecord]]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stream", [True, False])
def test_a_record_tells_when_each_token_was_due_and_written(traced: Traced, engine: str, stream: bool) -> None:
    sent_ns = time.monotonic_ns()
    _, record = traced(engine, *native_body(engine, tokens=3, stream=stream))
    read_ns = time.monotonic_ns()
    assert (record.engine, record.service, record.streamed, record.finish) == (engine, engine, stream, "length")
    assert (record.tokens, record.text_tokens, len(record.due_ns)) == (3, 3, 3)
    assert sent_ns < record.received_ns < record.due_ns[0]
    assert record.due_ns[0] - record.received_ns >= 8_000_000, "the exact TTFT"
    gaps = {after - before for before, after in pairwise(record.due_ns)}
    assert gaps == {2_000_000}, "the exact gap"
    assert record.written_ns == sorted(record.written_ns)
    assert all(late >= 0 for late in record.lateness_ns)
    assert record.written_ns[-1] < read_ns
    assert not record.held_back


def test_a_client_cannot_have_a_token_before_the_truth_says_it_was_written(talk: Talk, truth_path: Path) -> None:
    path, body = native_body("ollama", tokens=5)
    request_id = f"arrival-{time.monotonic_ns()}"
    with connected(talk.port("ollama")) as connection:
        connection.sendall(request_bytes(path, body, headers=f"x-request-id: {request_id}\r\n"))
        read_until(connection, b'"done":false}')
        first_ns = time.monotonic_ns()
        read_until(connection, b'"done":true')
    assert record_of(truth_path, request_id).written_ns[0] <= first_ns


def test_tokens_are_those_of_usage_the_end_token_included(traced: Traced) -> None:
    body = {"prompt": "hello", "max_tokens": 500, "seed": 5, "stream": True, "stream_options": {"include_usage": True}}
    answer, record = traced("vllm", "/v1/completions", body)
    usage = sse_values(answer.text)[-2]["usage"]
    assert (record.tokens, record.prompt_tokens) == (usage["completion_tokens"], usage["prompt_tokens"])
    assert (record.finish, record.text_tokens) == ("eos", record.tokens - 1)


@pytest.mark.parametrize(
    ("fault", "finish", "tokens"),
    [
        ("http-503", "http-503", 0),
        ("html", "html", 0),
        ("cut:3", "cut", 3),
        ("stream-error:2", "stream-error", 2),
        ("empty", "empty", 0),
        ("no-done", "length", 6),
        ("garbage:raw", "garbage", 3),
    ],
)
def test_a_faulted_request_says_what_was_done_to_it(
    talk: Talk, truth_path: Path, fault: str, finish: str, tokens: int
) -> None:
    request_id = f"fault-{time.monotonic_ns()}"
    path, body = native_body("vllm")
    headers = {"x-request-id": request_id, "x-simulator-fault": fault}
    try:
        talk.post("vllm", path, body, headers=headers)
    except httpx.TransportError:
        assert finish in ("cut", "garbage")
    record = record_of(truth_path, request_id)
    assert (record.finish, record.tokens, record.fault) == (finish, tokens, fault.partition(":")[0])


def test_a_stall_is_meant_and_therefore_not_lateness(traced: Traced) -> None:
    _, record = traced("vllm", *native_body("vllm"), "stall:0.4:2")
    assert record.due_ns[2] - record.due_ns[1] >= 400_000_000
    assert record.due_ns == sorted(record.due_ns)
    assert all(late >= 0 for late in record.lateness_ns)  # and nothing was written before the stall was over


def test_refusals_by_the_rules_are_recorded_too(traced: Traced) -> None:
    _, record = traced("tgi", "/generate_stream", {"inputs": ""})
    assert (record.finish, record.tokens) == ("http-422", 0)
    _, record = traced("ollama", "/api/chat", {"model": "nope", "messages": []})
    assert (record.finish, record.tokens) == ("http-404", 0)


def test_a_client_that_leaves_ends_the_generation(talk: Talk, truth_path: Path) -> None:
    request_id = f"gone-{time.monotonic_ns()}"
    path, body = native_body("vllm", tokens=900)
    with connected(talk.port("vllm")) as connection:
        connection.sendall(request_bytes(path, body, headers=f"x-request-id: {request_id}\r\n"))
        read_until(connection, b'"content":"')
    record = record_of(truth_path, request_id)
    assert record.finish == "disconnect"
    assert 0 < record.tokens < 900


def test_what_runs_at_the_end_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    options = ["--ttft-ms", "1", "--itl-ms", "5", "--model", "tiny-llama"]
    with SimulatorProcess(["vllm,name=blue"], truth_log=log, options=options) as simulator:
        port = int(simulator.urls["blue"].rsplit(":", 1)[1])
        with connected(port) as connection:
            connection.sendall(request_bytes(*native_body("vllm", tokens=900), headers="x-request-id: last\r\n"))
            read_until(connection, b'"content":"')
            simulator.stop()
    (record,) = read_truth(log)
    assert (record.request_id, record.service, record.finish) == ("last", "blue", "shutdown")
    assert 0 < record.tokens < 900


def test_a_request_without_an_id_gets_one(talk: Talk, truth_path: Path) -> None:
    answer = talk.post("vllm", "/v1/completions", {"prompt": "x", "max_tokens": 1}).json()
    assert record_of(truth_path, answer["id"].removeprefix("cmpl-")).tokens == 1


def test_reading_leaves_a_torn_last_line_out_and_refuses_nonsense(tmp_path: Path) -> None:
    log = tmp_path / "truth.jsonl"
    record = TruthRecord("a", "vllm", "vllm", "/x", True, 1, due_ns=[5, 6], written_ns=[7, 9])
    log.write_bytes(record.to_json() + b"\n" + record.to_json()[:40])
    assert list(read_truth(log)) == [record]
    log.write_bytes(record.to_json().replace(b'"tokens":2', b'"tokens":3') + b"\n")
    with pytest.raises(ValueError, match="3 tokens"):
        list(read_truth(log))


def test_lateness_percentiles_are_over_streamed_tokens() -> None:
    late = TruthRecord(
        "a", "vllm", "vllm", "/x", True, 0, due_ns=[0] * 100, written_ns=[n * 1_000_000 for n in range(100)]
    )
    whole = TruthRecord("b", "vllm", "vllm", "/x", False, 0, due_ns=[0], written_ns=[10**12])
    assert lateness_percentile_ms([late, whole], 50) == 50
    assert lateness_percentile_ms([late, whole], 99) == 99
    assert lateness_percentile_ms([late, whole], 100) == 99
    assert lateness_percentile_ms([whole], 50) is None


def test_a_log_that_cannot_be_written_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot write the truth log"):
        TruthWriter(tmp_path / "nowhere" / "truth.jsonl")
