"""Connections of the measured transport: opened ahead, kept, lost and replaced; what a server may do to them."""

import socket
import ssl
import struct
import subprocess
import threading
import time
from pathlib import Path

import pytest

from engine_servers import closed_port
from inference_bench.api.exchange import Job, Timeouts
from inference_bench.api.framing import FramingError, ResponseHead
from inference_bench.api.protocols import Endpoint, ErrorClass
from inference_bench.api.targets import resolve
from inference_bench.api.transport import Transport
from servers import ScriptedServer, good_answer, read_request, serving

REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"


def transport_to(server: ScriptedServer, scheme: str = "http", timeouts: Timeouts | None = None) -> Transport:
    endpoint = Endpoint("svc", "openai", f"{scheme}://127.0.0.1:{server.port}", insecure_skip_verify=True)
    return Transport([resolve(endpoint)], timeouts or Timeouts(5, 5, 10), stamps=True)


def run_for(transport: Transport, seconds: float) -> None:
    until = time.monotonic_ns() + int(seconds * 1e9)
    while time.monotonic_ns() < until:
        transport.poll(until)


def finish(transport: Transport) -> None:
    deadline = time.monotonic() + 20
    while transport.in_flight:
        assert time.monotonic() < deadline
        transport.poll(time.monotonic_ns() + 20_000_000)


@pytest.fixture(scope="module")
def server_context(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    pem: Path = tmp_path_factory.mktemp("tls") / "both.pem"
    new = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    subprocess.run([*new, "-keyout", str(pem), "-out", str(pem) + ".crt"], check=True, capture_output=True)
    pem.write_text(pem.read_text() + Path(str(pem) + ".crt").read_text())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context


def test_connections_opened_ahead_over_tls_are_kept_when_the_server_sends_tickets(
    server_context: ssl.SSLContext,
) -> None:
    def script(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            good_answer(sock)

    with serving(script, server_context) as server:
        transport = transport_to(server, "https")
        deadline = time.monotonic() + 20
        while transport.at_hand(0) < 4:
            assert time.monotonic() < deadline
            transport.prepare(0, 4)
            run_for(transport, 0.05)
        for _ in range(5):  # the tickets come behind the handshake
            transport.prepare(0, 4)
            run_for(transport, 0.05)
        assert transport.at_hand(0) == 4
        assert server.accepted == 4
        transport.submit(Job(0, 0, REQUEST))
        finish(transport)
        assert transport.finished[0].failure is None
        transport.close()


def test_a_graceful_tls_close_that_races_a_send_is_sent_again(server_context: ssl.SSLContext) -> None:
    def script(sock: socket.socket, number: int) -> None:
        assert isinstance(sock, ssl.SSLSocket)
        read_request(sock)
        good_answer(sock)
        if number == 1:
            sock.recv(1)  # the second request is on its way
            sock.unwrap()

    with serving(script, server_context) as server:
        transport = transport_to(server, "https")
        for seq in range(2):
            transport.submit(Job(seq, 0, REQUEST))
            finish(transport)
        first, second = transport.finished
        transport.close()
    assert first.failure is None
    assert second.failure is None
    assert second.reconnected


def test_a_large_request_on_a_connection_that_was_lost_is_sent_again_too() -> None:
    big = b"x" * 8_000_000
    large = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(big) + big

    def script(sock: socket.socket, number: int) -> None:
        read_request(sock)
        good_answer(sock)
        if number == 1:
            sock.recv(1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with serving(script) as server:
        transport = transport_to(server)
        for seq, payload in enumerate((REQUEST, large)):
            transport.submit(Job(seq, 0, payload))
            finish(transport)
        transport.close()
    assert transport.finished[1].failure is None
    assert transport.finished[1].reconnected


def test_an_answer_before_the_request_was_read_is_taken() -> None:
    big = b"x" * 8_000_000
    large = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(big) + big

    taken = threading.Event()

    def script(sock: socket.socket, _number: int) -> None:
        sock.recv(1000)
        sock.sendall(b"HTTP/1.1 413 Too Large\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno")
        taken.wait(20)  # closing with a request unread would reset the connection

    with serving(script) as server:
        transport = transport_to(server)
        transport.submit(Job(0, 0, large))
        finish(transport)
        taken.set()
        transport.close()
    assert transport.finished[0].status == 413


def test_a_failed_set_up_takes_no_request_that_has_another_connection_coming() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        while read_request(sock):
            good_answer(sock)

    with serving(script) as server:
        transport = transport_to(server)
        transport.prepare(0, 3)
        pool = transport._pool
        doomed = next(iter(pool.by_fd.values()))
        transport.submit(Job(0, 0, REQUEST))
        transport._broken(doomed, ErrorClass.CONNECT, "reset by the test", time.monotonic_ns())
        finish(transport)
        assert [raw.failure for raw in transport.finished] == [None]
        transport.close()


def test_a_server_that_refuses_is_not_flooded_with_connections_opened_ahead() -> None:
    url = f"http://127.0.0.1:{closed_port()}"
    transport = Transport([resolve(Endpoint("svc", "openai", url))], Timeouts(1, 1, 2), stamps=True)
    attempts = 0
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        before = transport.open_sockets
        transport.prepare(0, 8)
        attempts += max(0, transport.open_sockets - before)
        run_for(transport, 0.005)
    assert attempts <= 8 * 6
    transport.close()


@pytest.mark.parametrize("head", ["HTTP/1.1 20\u00b2 OK", "HTTP/1.1 2000 OK"])
def test_odd_digits_in_a_status_are_malformed_not_a_crash(head: str) -> None:
    with pytest.raises(FramingError):
        ResponseHead(head.encode("latin-1"))


def test_odd_digits_in_a_length_are_malformed_not_a_crash() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall("HTTP/1.1 200 OK\r\ncontent-length: \u00b2\r\n\r\nxx".encode("latin-1"))
        read_request(sock)

    with serving(script) as server:
        transport = transport_to(server)
        transport.submit(Job(0, 0, REQUEST))
        finish(transport)
        transport.close()
    assert transport.finished[0].failure is ErrorClass.MALFORMED


def test_silence_before_the_head_ends_by_the_idle_bound() -> None:
    def script(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        read_request(sock)

    with serving(script) as server:
        transport = transport_to(server, timeouts=Timeouts(20, 0.3, 30))
        transport.submit(Job(0, 0, REQUEST))
        finish(transport)
        transport.close()
    assert transport.finished[0].failure is ErrorClass.TIMEOUT
