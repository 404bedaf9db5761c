"""The measured exchange over real sockets: marks, reuse, resets, time-outs, TLS, framing."""

import select
import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from engine_servers import closed_port
from inference_bench.api.clients import get_client
from inference_bench.api.clock import kernel_stamps_work
from inference_bench.api.exchange import Job, RawExchange, Timeouts
from inference_bench.api.protocols import Endpoint, ErrorClass
from inference_bench.api.reading import read_exchange
from inference_bench.api.targets import resolve
from inference_bench.api.transport import Transport
from servers import DONE, END, HEAD, USAGE, ScriptedServer, chunk, event, good_answer, read_request, serving

BODY = b'{"messages":[]}'


def payload(extra: bytes = b"") -> bytes:
    return (
        b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\n" + extra + b"content-length: %d\r\n\r\n" % len(BODY) + BODY
    )


def endpoint(server: ScriptedServer, scheme: str = "http", **more: object) -> Endpoint:
    return Endpoint("svc", "openai", f"{scheme}://127.0.0.1:{server.port}", **more)  # type: ignore[arg-type]


def exchange(
    server: ScriptedServer,
    count: int = 1,
    *,
    timeouts: Timeouts | None = None,
    pause: float = 0.0,
    target: Endpoint | None = None,
    stamps: bool = True,
) -> list[RawExchange]:
    """Send `count` requests one after another and return what was seen of them."""
    transport = Transport([resolve(target or endpoint(server))], timeouts or Timeouts(5, 5, 10), stamps=stamps)
    done: list[RawExchange] = []
    try:
        for seq in range(count):
            transport.submit(Job(seq, 0, payload()))
            deadline = time.monotonic() + 20
            while transport.in_flight:
                assert time.monotonic() < deadline
                transport.poll(time.monotonic_ns() + 20_000_000)
            done += transport.finished
            transport.finished = []
            pause_end = time.monotonic_ns() + int(pause * 1e9)
            while pause and time.monotonic_ns() < pause_end:
                transport.poll(pause_end)
    finally:
        transport.close()
    return done


def test_marks_are_in_order_and_the_connection_is_reused() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            good_answer(sock, gap=0.005)

    with serving(script) as server:
        first, second = exchange(server, 2)
        assert server.accepted == 1
    assert not first.reused
    assert second.reused
    assert 0 < first.connect_start_ns <= first.connected_ns <= first.sent_ns
    assert (second.connect_start_ns, second.connected_ns) == (0, 0)
    for raw in (first, second):
        reading = read_exchange(raw, get_client("openai"), keep_text=True)
        assert reading.ok, reading.error
        assert reading.text == "one two three"
        assert reading.usage.output_tokens == 3
        assert len(raw.arrivals) == len(raw.reads) == len(raw.pieces)
        assert reading.first_token_ns is not None
        assert reading.last_token_ns is not None
        assert raw.sent_ns <= raw.first_byte_ns <= reading.first_token_ns < reading.last_token_ns <= raw.end_ns


def test_kernel_stamps_belong_to_the_arrival_and_not_to_the_read() -> None:
    """The reader sleeps while a chunk lies in the kernel: the stamp is early, the read late, both kept."""
    assert kernel_stamps_work()
    written, was_read = threading.Event(), threading.Event()

    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(HEAD + chunk(event("x", "stop")))
        written.set()
        assert was_read.wait(20)
        sock.sendall(chunk(DONE) + END)

    with serving(script) as server:
        transport = Transport(
            [resolve(endpoint(server))], Timeouts(5, 20, 30), stamps=True, tap=lambda *_: was_read.set()
        )
        transport.submit(Job(0, 0, payload()))
        while not transport.open_sockets or transport.opening:
            transport.poll(time.monotonic_ns() + 10_000_000)
        assert written.wait(20)
        time.sleep(0.2)
        while transport.in_flight:
            transport.poll(time.monotonic_ns() + 20_000_000)
        raw = transport.finished[0]
        transport.close()
    assert raw.reads[0] - raw.arrivals[0] > 100_000_000
    assert raw.sent_ns < raw.arrivals[0]
    assert transport.unstamped == 0


def test_the_first_answer_of_all_brings_a_stamp() -> None:
    """The kernel stamps only while somebody asks: without a socket that stays, every other first answer had none."""

    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        good_answer(sock)

    for _ in range(20):
        with serving(script) as server:
            transport = Transport([resolve(endpoint(server))], Timeouts(5, 20, 30), stamps=True)
            transport.submit(Job(0, 0, payload()))
            while transport.in_flight:
                transport.poll(time.monotonic_ns() + 20_000_000)
            transport.close()
        assert (transport.reads > 0, transport.unstamped) == (True, 0)


def test_without_kernel_stamps_the_clock_at_the_read_stands_in() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        good_answer(sock)

    with serving(script) as server:
        (raw,) = exchange(server, stamps=False)
    assert raw.arrivals == raw.reads


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_any_split_of_the_answer_reads_the_same(size: int) -> None:
    answer = HEAD + chunk(event("one")) + chunk(event(" two", "length")) + chunk(USAGE) + chunk(DONE) + END

    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        for at in range(0, len(answer), size):
            sock.sendall(answer[at : at + size])
        read_request(sock)

    with serving(script) as server:
        (raw,) = exchange(server)
    reading = read_exchange(raw, get_client("openai"), keep_text=True)
    assert reading.ok
    assert reading.text == "one two"
    assert b"".join(raw.pieces) == event("one") + event(" two", "length") + USAGE + DONE


def test_reset_of_an_idle_reused_connection_is_sent_again_once() -> None:
    """The server closes exactly when the second request arrives: no byte of an answer, so it is re-sent afresh."""

    def script(sock: socket.socket, number: int) -> None:
        read_request(sock)
        good_answer(sock)
        if number == 1:
            select.select([sock], [], [])
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(script) as server:
        first, second = exchange(server, 2)
        assert server.accepted == 2
    assert not first.reconnected
    assert second.reconnected
    assert second.failure is None
    assert second.connect_start_ns > second.sent_ns  # e2e counts from the first send


def test_idle_connection_closed_by_the_server_is_simply_not_used_again() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        good_answer(sock)

    with serving(script) as server:
        first, second = exchange(server, 2, pause=0.2)
    assert not first.reconnected
    assert not second.reconnected
    assert not second.reused
    assert second.failure is None


def test_reset_of_a_fresh_connection_fails_and_is_not_retried() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(script) as server:
        (raw,) = exchange(server)
        assert server.accepted == 1
    assert raw.failure is ErrorClass.RESET


def outcome(answer: bytes, **options: object) -> ErrorClass | None:
    """Return the error class a raw answer followed by a close leads to."""

    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(answer)
        sock.shutdown(socket.SHUT_WR)
        read_request(sock)

    with serving(script) as server:
        (raw,) = exchange(server, **options)  # type: ignore[arg-type]
    reading = read_exchange(raw, get_client("openai"))
    return None if reading.error is None else reading.error.error_class


def test_outcomes_by_class() -> None:
    text = chunk(event("hi", "stop"))
    assert outcome(HEAD + text + chunk(DONE) + END) is None
    assert outcome(HEAD + text) is ErrorClass.TRUNCATED
    assert outcome(HEAD + chunk(event("hi")) + END) is ErrorClass.TRUNCATED
    assert outcome(HEAD + text + END) is None  # a finish reason and then the end of the body
    assert outcome(HEAD + text + chunk(DONE)) is None  # the end mark came; only the terminating chunk is missing
    assert outcome(HEAD + chunk(event("", "stop")) + chunk(DONE) + END) is ErrorClass.EMPTY
    assert outcome(b"SSH-2.0-OpenSSH_9\r\n\r\n") is ErrorClass.MALFORMED
    assert outcome(HEAD + b"zz\r\n") is ErrorClass.MALFORMED
    assert outcome(HEAD.replace(b"200 OK", b"429 Too Many") + END) is ErrorClass.OVERLOADED
    assert outcome(HEAD.replace(b"200 OK", b"401 Unauthorized") + END) is ErrorClass.HTTP_4XX
    assert outcome(HEAD.replace(b"200 OK", b"500 Oops") + END) is ErrorClass.HTTP_5XX
    assert outcome(b"HTTP/1.1 100 Continue\r\n\r\n" + HEAD + text + chunk(DONE) + END) is None
    closed = HEAD.replace(b"transfer-encoding: chunked\r\n", b"connection: close\r\n")
    assert outcome(closed + event("hi", "stop") + DONE) is None


def test_timeouts_are_bounded_and_classified() -> None:
    def silent(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(HEAD + chunk(event("x")))
        read_request(sock)

    def endless(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(HEAD)
        while True:
            sock.sendall(chunk(event("x")))
            time.sleep(0.05)

    with serving(silent) as server:
        (raw,) = exchange(server, timeouts=Timeouts(1, 0.3, 10))
    assert raw.failure is ErrorClass.TIMEOUT
    assert "silent" in raw.message
    with serving(endless) as server:
        (raw,) = exchange(server, timeouts=Timeouts(1, 5, 0.5))
    assert raw.failure is ErrorClass.TIMEOUT
    assert "no end" in raw.message


def test_refused_connection_is_a_connect_failure() -> None:
    closed = Endpoint("svc", "openai", f"http://127.0.0.1:{closed_port()}")
    transport = Transport([resolve(closed)], Timeouts(5, 10, 20), stamps=True)
    transport.submit(Job(0, 0, payload()))
    while transport.in_flight:
        transport.poll(time.monotonic_ns() + 20_000_000)
    assert transport.finished[0].failure is ErrorClass.CONNECT
    assert transport.finished[0].sent_ns == 0
    transport.close()


def test_large_request_is_sent_whole_while_the_server_is_slow_to_read() -> None:
    sizes: list[int] = []

    def script(sock: socket.socket, _number: int) -> None:
        time.sleep(0.2)
        sizes.append(len(read_request(sock)))
        good_answer(sock)

    big = b"x" * 8_000_000
    request = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(big) + big
    with serving(script) as server:
        transport = Transport([resolve(endpoint(server))], Timeouts(5, 5, 10), stamps=True)
        transport.submit(Job(0, 0, request))
        while transport.in_flight:
            transport.poll(time.monotonic_ns() + 20_000_000)
        assert transport.finished[0].failure is None
        transport.close()
    assert sizes == [len(request)]


def test_abandon_reports_what_was_in_flight_as_interrupted() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(HEAD + chunk(event("x")))
        read_request(sock)

    with serving(script) as server:
        transport = Transport([resolve(endpoint(server))], Timeouts(5, 5, 10), stamps=True)
        for seq in range(3):
            transport.submit(Job(seq, 0, payload()))
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            transport.poll(time.monotonic_ns() + 20_000_000)
        transport.abandon("interrupted")
        assert transport.in_flight == 0
        assert [raw.failure for raw in transport.finished] == [ErrorClass.INTERRUPTED] * 3
        assert sorted(raw.job.seq for raw in transport.finished) == [0, 1, 2]
        transport.close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key, in one PEM file."""
    folder = tmp_path_factory.mktemp("tls")
    pem, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(pem)),
        ],
        check=True,
        capture_output=True,
    )
    pem.write_text(pem.read_text() + key.read_text())
    return pem


def test_tls_is_measured_like_plain_and_certificates_are_checked(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    def script(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            good_answer(sock, gap=0.005)

    with serving(script, context) as server:
        trusted = endpoint(server, "https", ca_file=str(certificate))
        first, second = exchange(server, 2, target=trusted)
        assert second.reused
        for raw in (first, second):
            assert read_exchange(raw, get_client("openai")).ok
            assert all(arrival <= read for arrival, read in zip(raw.arrivals, raw.reads, strict=True))
        assert first.connected_ns - first.connect_start_ns > 0
        (insecure,) = exchange(server, target=endpoint(server, "https", insecure_skip_verify=True))
        assert insecure.failure is None
        (refused,) = exchange(server, target=endpoint(server, "https"))
        assert refused.failure is ErrorClass.TLS
        assert "certificate" in refused.message
