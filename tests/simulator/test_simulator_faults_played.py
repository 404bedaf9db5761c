"""Every fault, as a client sees it, on every engine it concerns."""

import json
import re
import time

import httpx
import pytest
from simulator_talk import Talk, connected, native_body, ndjson_values, read_to_end, request_bytes, sse_values

from inference_bench.simulator.launcher import SimulatorProcess

ENGINES = ("vllm", "tgi", "ollama", "openai")
TOKENS = 8


def faulted(talk: Talk, engine: str, fault: str, *, stream: bool = True) -> httpx.Response:
    """Ask an engine for some tokens, with a fault."""
    path, body = native_body(engine, tokens=TOKENS, stream=stream)
    return talk.post(engine, path, body, headers={"x-simulator-fault": fault})


def raw_answer(talk: Talk, engine: str, fault: str, *, stream: bool = True) -> bytes:
    """Return all bytes of a faulted answer up to the end of the connection."""
    path, body = native_body(engine, tokens=TOKENS, stream=stream)
    with connected(talk.port(engine)) as connection:
        connection.sendall(request_bytes(path, body, headers=f"x-simulator-fault: {fault}\r\n"))
        return read_to_end(connection)


def text_marks(answer: bytes, engine: str) -> int:
    """Count the events with text in raw bytes: those that carry the field with something in it."""
    field = {"tgi": b'"special":false', "ollama": b'"done":false'}.get(engine, b'"content":"')
    empty = answer.count(b'"content":""') if engine not in ("tgi", "ollama") else 0
    return answer.count(field) - empty


def text_of(answer: str, engine: str) -> str:
    """Return the generated text of a streamed answer."""
    if engine == "ollama":
        return "".join(event["message"]["content"] for event in ndjson_values(answer))
    if engine == "tgi":
        tokens = [event["token"] for event in sse_values(answer)]
        return "".join(token["text"] for token in tokens if not token["special"])
    choices = [choice for event in sse_values(answer) if event != "[DONE]" for choice in event["choices"]]
    return "".join(choice["delta"].get("content") or "" for choice in choices)


def end_marks(answer: bytes, engine: str) -> int:
    """Count the engine's own end marks in raw bytes."""
    mark = {"tgi": b'"details":{"finish_reason"', "ollama": b'"done":true'}.get(engine, b"data: [DONE]")
    return answer.count(mark)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_http_errors_have_the_engine_s_shape(talk: Talk, engine: str, status: int) -> None:
    answer = faulted(talk, engine, f"http-{status}")
    assert answer.status_code == status
    assert "error" in answer.json()


@pytest.mark.parametrize("engine", ENGINES)
def test_refuse_closes_without_a_byte(talk: Talk, engine: str) -> None:
    assert raw_answer(talk, engine, "refuse") == b""
    with pytest.raises(ConnectionResetError):
        raw_answer(talk, engine, "refuse:reset")


@pytest.mark.parametrize("engine", ENGINES)
def test_html_is_a_200_that_is_no_engine(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "html")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html")
    assert talk.get(engine, "/v1/models", headers={"x-simulator-fault": "html"}).text.startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("engine", ENGINES)
def test_cut_ends_without_the_last_chunk(talk: Talk, engine: str) -> None:
    answer = raw_answer(talk, engine, "cut:3")
    assert text_marks(answer, engine) == 3
    assert not answer.endswith(b"\r\n0\r\n\r\n")
    assert end_marks(answer, engine) == 0
    with pytest.raises(httpx.RemoteProtocolError, match="incomplete"):
        faulted(talk, engine, "cut:3")


@pytest.mark.parametrize("engine", ENGINES)
def test_cut_by_reset(talk: Talk, engine: str) -> None:
    with pytest.raises(ConnectionResetError):
        raw_answer(talk, engine, "cut:3:reset")


def test_cut_before_the_first_token_leaves_only_the_head(talk: Talk) -> None:
    assert raw_answer(talk, "ollama", "cut:0").endswith(b"\r\n\r\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_stall_is_silence_and_then_the_rest(talk: Talk, engine: str) -> None:
    started = time.monotonic()
    answer = faulted(talk, engine, "stall:0.3:2")
    assert time.monotonic() - started >= 0.3
    healthy = faulted(talk, engine, "keepalive-drop")
    assert text_marks(answer.content, engine) == text_marks(healthy.content, engine)
    assert end_marks(answer.content, engine) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_garbage_is_an_event_that_is_no_json(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "garbage").content
    assert b'{"broken": \xff\xfe\x00 ]' in answer
    assert end_marks(answer, engine) == 1
    with pytest.raises(httpx.RemoteProtocolError):
        faulted(talk, engine, "garbage:raw")


def test_an_error_inside_the_stream_is_told_in_each_engine_s_way(talk: Talk) -> None:
    vllm = sse_values(faulted(talk, "vllm", "stream-error:2").text)
    assert (vllm[-2]["error"]["code"], vllm[-1]) == (500, "[DONE]")
    tgi = sse_values(faulted(talk, "tgi", "stream-error:2").text)
    assert tgi[-1]["error_type"] == "generation"
    ollama = ndjson_values(faulted(talk, "ollama", "stream-error:2").text)
    assert list(ollama[-1]) == ["error"]
    llama = sse_values(faulted(talk, "openai", "stream-error:2").text)
    assert llama[-1]["error"]["type"] == "server_error"
    assert [len(vllm), len(tgi), len(ollama), len(llama)] == [5, 3, 3, 4]


def test_an_error_on_ollama_s_openai_layer_is_an_empty_chunk_and_the_end(talk: Talk) -> None:
    body = {"model": "tiny-llama", "messages": [{"role": "user", "content": "x"}], "stream": True, "max_tokens": 8}
    answer = talk.post("ollama", "/v1/chat/completions", body, headers={"x-simulator-fault": "stream-error:2"})
    last = sse_values(answer.text)[-1]
    assert (last["model"], last["choices"][0]["delta"]["content"], last["choices"][0]["finish_reason"]) == (
        "",
        "",
        None,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_empty_ends_well_without_text(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "empty")
    assert answer.status_code == 200
    assert text_marks(answer.content, engine) == 0
    assert end_marks(answer.content, engine) == 1


def test_an_empty_chat_is_what_the_interrupted_server_sent(talk: Talk) -> None:
    role, done = sse_values(faulted(talk, "vllm", "empty").text)
    assert role["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert done == "[DONE]"


@pytest.mark.parametrize("engine", ENGINES)
def test_no_done_leaves_only_the_end_mark_out(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "no-done")
    assert end_marks(answer.content, engine) == 0
    assert text_marks(answer.content, engine) == TOKENS
    if engine in ("vllm", "openai"):
        assert b'"finish_reason":"length"' in answer.content


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("fault", "text"), [("garbled", "\ufffd" * 8), ("garbled:bang", "!" * 8), ("repeat", " again again again again")]
)
def test_nonsense_comes_as_a_proper_stream_of_the_asked_length(talk: Talk, engine: str, fault: str, text: str) -> None:
    answer = faulted(talk, engine, fault)
    assert text_of(answer.text, engine) == text
    assert text_marks(answer.content, engine) == TOKENS
    assert end_marks(answer.content, engine) == 1


@pytest.mark.parametrize("engine", ENGINES)
def test_a_short_answer_ends_by_itself_after_a_few_tokens(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "short:2")
    assert (text_marks(answer.content, engine), end_marks(answer.content, engine)) == (2, 1)
    assert re.search(r'"(finish_reason|done_reason)": ?"(stop|eos_token)"', answer.text)
    assert text_marks(faulted(talk, engine, "short:500").content, engine) == TOKENS


@pytest.mark.parametrize("engine", ENGINES)
def test_an_oversized_line_has_the_asked_size(talk: Talk, engine: str) -> None:
    answer = faulted(talk, engine, "oversized-line:300000")
    assert max(len(line) for line in answer.content.split(b"\n")) > 300_000
    assert end_marks(answer.content, engine) == 1


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("stream", [True, False])
def test_keepalive_drop_closes_after_a_complete_answer(talk: Talk, engine: str, stream: bool) -> None:
    answer = raw_answer(talk, engine, "keepalive-drop", stream=stream)
    assert b"connection: close" not in answer.lower()
    if stream:
        assert answer.endswith(b"\r\n0\r\n\r\n")
    else:
        json.loads(answer.partition(b"\r\n\r\n")[2])


@pytest.mark.parametrize("engine", ENGINES)
def test_slow_first_byte_delays_everything(talk: Talk, engine: str) -> None:
    started = time.monotonic()
    assert faulted(talk, engine, "slow-first-byte:0.3").status_code == 200
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("engine", ENGINES)
def test_faults_of_an_answer_in_one_piece(talk: Talk, engine: str) -> None:
    head, _, half = raw_answer(talk, engine, "cut", stream=False).partition(b"\r\n\r\n")
    announced = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    assert len(half) == announced // 2
    assert faulted(talk, engine, "stream-error", stream=False).status_code == 500
    garbage = faulted(talk, engine, "garbage", stream=False)
    assert garbage.status_code == 200
    with pytest.raises(ValueError, match=r"utf-8|Expecting"):
        garbage.json()
    started = time.monotonic()
    assert faulted(talk, engine, "stall:0.2", stream=False).json()
    assert time.monotonic() - started >= 0.2
    assert len(faulted(talk, engine, "oversized-line:50000", stream=False).content) > 50_000
    assert len(faulted(talk, engine, "empty", stream=False).content) < announced


def test_an_unknown_fault_in_a_header_is_a_400(talk: Talk) -> None:
    answer = faulted(talk, "vllm", "explode")
    assert answer.status_code == 400
    assert "unknown fault" in answer.text


def test_faults_by_option_concern_generation_only_or_everything(talk: Talk) -> None:
    serve = ["vllm,fault=http-503/2", "tgi,fault=html", "ollama,fault=refuse:accept"]
    with SimulatorProcess(serve, options=["--ttft-ms", "1", "--itl-ms", "1"]) as simulator:
        faulty = Talk(talk.client, simulator.urls)
        body = {"prompt": "x", "max_tokens": 1}
        statuses = [faulty.post("vllm", "/v1/completions", body).status_code for _ in range(4)]
        assert statuses == [200, 503, 200, 503]
        assert faulty.get("vllm", "/version").status_code == 200
        assert faulty.post("tgi", "/generate", {"inputs": "x"}).headers["content-type"] == "text/html"
        assert "router" in faulty.get("tgi", "/info").json()
        with pytest.raises(httpx.TransportError):
            faulty.get("ollama", "/")
    with SimulatorProcess(["vllm"], options=["--fault", "html", "--faults-everywhere"]) as simulator:
        assert Talk(talk.client, simulator.urls).get("vllm", "/health").headers["content-type"] == "text/html"
