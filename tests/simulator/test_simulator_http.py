"""The simulator as an HTTP/1.1 server: keep-alive, split and broken requests, limits, methods."""

import json

import pytest
from simulator_talk import Talk, chat_body, connected, native_body, read_to_end, read_until, request_bytes

from inference_bench import __version__
from inference_bench.simulator.launcher import SimulatorProcess

ENGINES = ("vllm", "tgi", "ollama", "openai")
PLAIN_PATHS = {"vllm": "/version", "tgi": "/info", "ollama": "/api/version", "openai": "/props"}
END = b"\r\n0\r\n\r\n"  # with the CRLF before it: a response head, too, may end in a 0


@pytest.mark.parametrize("engine", ENGINES)
def test_every_answer_says_that_it_is_simulated(talk: Talk, engine: str) -> None:
    path, body = native_body(engine)
    answers = [talk.get(engine, PLAIN_PATHS[engine]), talk.get(engine, "/nothing-here"), talk.post(engine, path, body)]
    answers.append(talk.post(engine, path, body, headers={"x-simulator-fault": "http-503"}))
    for answer in answers:
        assert answer.headers["x-simulated-engine"] == f"inference-bench-simulator/{__version__}"
    assert "+simulator" in answers[0].text


@pytest.mark.parametrize("engine", ENGINES)
def test_a_connection_carries_many_answers(talk: Talk, engine: str) -> None:
    path, body = native_body(engine, tokens=2)
    with connected(talk.port(engine)) as connection:
        for _ in range(3):
            connection.sendall(request_bytes(path, body))
            assert read_until(connection, END).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize("engine", ENGINES)
def test_a_request_may_arrive_byte_by_byte(talk: Talk, engine: str) -> None:
    path, body = native_body(engine, tokens=2)
    with connected(talk.port(engine)) as connection:
        for byte in request_bytes(path, body):
            connection.sendall(bytes([byte]))
        assert END in read_until(connection, END)


def test_a_chunked_request_body_is_read(talk: Talk) -> None:
    content = json.dumps(chat_body(max_tokens=2)).encode()
    answer = talk.client.post(
        talk.urls["vllm"] + "/v1/chat/completions",
        content=iter([content[:10], content[10:]]),
        headers={"content-type": "application/json"},
    )
    assert "[DONE]" in answer.text


def test_connection_close_is_obeyed(talk: Talk) -> None:
    with connected(talk.port("vllm")) as connection:
        connection.sendall(request_bytes("/version", method="GET", headers="connection: close\r\n"))
        answer = read_to_end(connection)
    assert b"connection: close\r\n" in answer
    assert answer.endswith(b'+simulator"}')


def test_http_1_0_gets_a_body_without_chunks_that_ends_with_the_connection(talk: Talk) -> None:
    request = request_bytes("/v1/chat/completions", chat_body(max_tokens=2)).replace(b"HTTP/1.1", b"HTTP/1.0")
    with connected(talk.port("vllm")) as connection:
        connection.sendall(request)
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in head
    assert body.startswith(b"data: {")
    assert body.endswith(b"data: [DONE]\n\n")


def test_head_has_no_body(talk: Talk) -> None:
    answer = talk.client.head(talk.urls["ollama"] + "/")
    assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "17")


def test_expect_100_continue_is_answered(talk: Talk) -> None:
    request = request_bytes("/v1/chat/completions", chat_body(max_tokens=2), headers="expect: 100-continue\r\n")
    head, _, body = request.partition(b"\r\n\r\n")
    with connected(talk.port("vllm")) as connection:
        connection.sendall(head + b"\r\n\r\n")
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert b"HTTP/1.1 200 OK" in read_until(connection, END)


def test_pipelining_is_refused_after_the_first_answer(talk: Talk) -> None:
    request = request_bytes("/v1/chat/completions", chat_body(max_tokens=3))
    with connected(talk.port("vllm")) as connection:
        connection.sendall(request + request)
        answer = read_to_end(connection)
    first, _, second = answer.partition(END)
    assert first.startswith(b"HTTP/1.1 200 OK")
    assert b"data: [DONE]" in first
    assert second.startswith(b"HTTP/1.1 400 Bad Request")
    assert second.endswith(b"pipelining is not supported")


@pytest.mark.parametrize(
    ("engine", "status", "words"),
    [("vllm", 413, "at most"), ("tgi", 413, "length limit exceeded"), ("ollama", 413, "at most"), ("openai", 413, "")],
)
def test_too_large_a_body_is_refused_before_it_is_sent(talk: Talk, engine: str, status: int, words: str) -> None:
    path, _ = native_body(engine)
    head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 99999999\r\n\r\n"
    with connected(talk.port(engine)) as connection:
        connection.sendall(head.encode())
        answer = read_to_end(connection)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert words.encode() in answer


def test_too_large_a_body_of_unknown_length_is_refused_and_the_refusal_arrives(talk: Talk) -> None:
    answer = talk.client.post(
        talk.urls["tgi"] + "/generate",
        content=(b"x" * 65_536 for _ in range(60)),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code == 413


def test_too_large_a_head_is_refused(talk: Talk) -> None:
    with connected(talk.port("vllm")) as connection:
        connection.sendall(request_bytes("/version", method="GET", headers=f"x-long: {'a' * 70_000}\r\n"))
        assert read_to_end(connection).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize("nonsense", [b"\x16\x03\x01\x02\x00\x01\x00", b"HELLO\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n"])
def test_what_is_no_http_gets_400_and_the_end(talk: Talk, nonsense: bytes) -> None:
    with connected(talk.port("vllm")) as connection:
        connection.sendall(nonsense)
        assert read_to_end(connection).startswith(b"HTTP/1.1 400 ")


@pytest.mark.parametrize(
    ("engine", "path", "status", "text"),
    [
        ("vllm", "/v1/chat/completions", 405, '{"detail":"Method Not Allowed"}'),
        ("tgi", "/generate", 405, ""),
        ("ollama", "/api/chat", 405, "405 method not allowed"),
        ("openai", "/v1/chat/completions", 404, "File Not Found"),
    ],
)
def test_a_wrong_method_is_told_in_each_engine_s_way(
    talk: Talk, engine: str, path: str, status: int, text: str
) -> None:
    answer = talk.get(engine, path)
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(
    ("engine", "status", "text"),
    [
        ("vllm", 404, '{"detail":"Not Found"}'),
        ("tgi", 404, ""),
        ("ollama", 404, "404 page not found"),
        ("openai", 404, "File Not Found"),
    ],
)
def test_an_unknown_path_is_told_in_each_engine_s_way(talk: Talk, engine: str, status: int, text: str) -> None:
    answer = talk.get(engine, "/no/such/path")
    assert answer.status_code == status
    assert text in answer.text


@pytest.mark.parametrize(
    "body", [b"{", b"", b"[1]", b'"text"', b"\xff\xfe", b'{"messages": 3, "inputs": 3, "model": 3}']
)
@pytest.mark.parametrize(
    ("engine", "statuses"), [("vllm", {400}), ("tgi", {400, 422}), ("ollama", {400}), ("openai", {400})]
)
def test_a_broken_body_is_refused_and_the_connection_lives_on(
    talk: Talk, engine: str, statuses: set[int], body: bytes
) -> None:
    path, _ = native_body(engine)
    with connected(talk.port(engine)) as connection:
        for _ in range(2):
            head = f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
            connection.sendall(head.encode() + b"\r\n\r\n" + body)
            answer = read_until(connection, b"\r\n\r\n")
            assert int(answer.split()[1]) in statuses
            length = int(answer.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            rest = length - len(answer.partition(b"\r\n\r\n")[2])
            while rest > 0:
                rest -= len(connection.recv(rest))


@pytest.mark.parametrize(("engine", "comment"), [("tgi", b":\n\n"), ("vllm", b": keep-alive\n\n")])
def test_a_silent_stream_gets_comments(talk: Talk, engine: str, comment: bytes) -> None:
    options = ["--ttft-ms", "350", "--itl-ms", "1", "--keep-alive-s", "0.1", "--model", "tiny-llama"]
    with SimulatorProcess([engine], options=options) as simulator:
        answer = Talk(talk.client, simulator.urls).post(engine, *native_body(engine, tokens=2))
    assert answer.content.startswith(comment)
    assert 1 <= answer.content.count(comment) <= 3
    assert b"keep-alive" not in talk.post("vllm", *native_body("vllm")).content


def test_only_loopback_is_listened_on(talk: Talk) -> None:
    assert all(url.startswith("http://127.0.0.1:") for url in talk.urls.values())
