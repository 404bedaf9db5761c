"""Every way a server can fail to answer is told apart, in bounded time."""

import asyncio
import socket
import threading
import time
from pathlib import Path

import pytest

from engine_servers import Page, closed_port, raw_server, self_signed, serving, vllm_pages
from inference_bench.api.probe_http import ProbeLimits, ProbeOutcome, Prober, ProbeTarget, Reply, clean_text
from inference_bench.errors import ConfigError

QUICK = ProbeLimits(connect_seconds=1.0, total_seconds=0.5, body_bytes=10_000)


def get(target: ProbeTarget, path: str = "/v1/models", limits: ProbeLimits | None = None) -> Reply:
    async def story() -> Reply:
        async with Prober(target, limits) as prober:
            return await prober.get(path)

    return asyncio.run(story())


def test_a_closed_port_is_refused() -> None:
    reply = get(ProbeTarget(f"http://127.0.0.1:{closed_port()}"))
    assert (reply.outcome, reply.answered, reply.elapsed_ms) == (ProbeOutcome.REFUSED, False, None)
    assert "connection refused" in reply.detail


def test_a_name_with_several_addresses_is_refused_too() -> None:
    assert get(ProbeTarget(f"http://localhost:{closed_port()}")).outcome is ProbeOutcome.REFUSED


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid"])
def test_an_unknown_name_is_a_dns_failure(host: str) -> None:
    # A name server that never answers is cut off by the connect limit: the outcome is the same.
    reply = get(ProbeTarget(f"http://{host}:8000"), limits=ProbeLimits(connect_seconds=3.0))
    assert reply.outcome is ProbeOutcome.DNS
    assert reply.detail.startswith(f"cannot resolve {host}")


def test_a_name_server_that_never_answers_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer.wait())
    reply = get(ProbeTarget("http://slow.invalid:8000"), limits=ProbeLimits(connect_seconds=0.1))
    answer.set()
    assert reply.outcome is ProbeOutcome.DNS
    assert "no answer from the name server within 0.1 s" in reply.detail


def test_a_silent_server_and_a_dripping_one_both_time_out() -> None:
    def silent(sock: socket.socket) -> None:
        sock.recv(1)

    def dripping(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9999\r\n\r\n")
        while True:
            sock.sendall(b" ")
            time.sleep(0.05)

    for script in (silent, dripping):
        with raw_server(script) as url:
            assert get(ProbeTarget(url), limits=QUICK).outcome is ProbeOutcome.TIMEOUT


def test_an_endless_body_is_cut() -> None:
    def endless(sock: socket.socket) -> None:
        sock.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n")
        while True:
            sock.sendall(b"x" * 65536)

    with raw_server(endless) as url:
        reply = get(ProbeTarget(url))
    assert (reply.outcome, len(reply.body)) == (ProbeOutcome.TOO_LARGE, 1 << 20)
    assert reply.json_object() is None


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", ProbeOutcome.MALFORMED),
        (b"\x00\xff\x1b[2J" * 50 + b"\r\n\r\n", ProbeOutcome.MALFORMED),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 200_000 + b"\r\n\r\n", ProbeOutcome.MALFORMED),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nshort", ProbeOutcome.RESET),
        (b"", ProbeOutcome.RESET),
    ],
)
def test_what_is_not_http_is_told_from_what_broke_off(answer: bytes, outcome: ProbeOutcome) -> None:
    with raw_server(lambda sock: sock.sendall(answer)) as url:
        reply = get(ProbeTarget(url))
    assert reply.outcome is outcome
    assert reply.detail.isprintable()


def test_redirects_are_not_followed_and_the_key_stays_here() -> None:
    with serving({}) as other:
        away = Page(b"", status=307, headers=(("location", f"{other.url}/v1/models"),))
        with serving({"/v1/models": away}) as server:
            reply = get(ProbeTarget(server.url, api_key="sekret"))
            assert server.seen == [("/v1/models", "Bearer sekret")]
        assert other.seen == []
    assert reply.outcome is ProbeOutcome.REDIRECT
    assert other.url in reply.detail


def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(variable, f"http://127.0.0.1:{closed_port()}")
    with serving(vllm_pages()) as server:
        assert get(ProbeTarget(server.url)).outcome is ProbeOutcome.OK


def test_certificates_are_checked_unless_told_otherwise(tmp_path: Path) -> None:
    context, pem = self_signed(tmp_path)
    with serving(vllm_pages(), context=context) as server:
        unknown = get(ProbeTarget(server.url))
        trusted = get(ProbeTarget(server.url, ca_file=str(pem)))
        unchecked = get(ProbeTarget(server.url, insecure_skip_verify=True))
        plain = get(ProbeTarget(server.url.replace("https", "http")))
    assert unknown.outcome is ProbeOutcome.TLS
    assert "not trusted" in unknown.detail
    assert trusted.outcome is unchecked.outcome is ProbeOutcome.OK
    assert not plain.answered


def test_tls_towards_a_plain_port_says_so() -> None:
    with serving(vllm_pages()) as server:
        reply = get(ProbeTarget(server.url.replace("http", "https")))
    assert reply.outcome is ProbeOutcome.TLS
    assert "does not speak TLS" in reply.detail


def test_an_unreadable_certificate_file_is_a_configuration_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    for file in (empty, tmp_path / "absent.pem"):
        with pytest.raises(ConfigError, match="cannot read the certificate file"):
            Prober(ProbeTarget("https://127.0.0.1", ca_file=str(file)))


def test_a_key_that_no_header_can_carry_is_never_shown() -> None:
    with serving(vllm_pages()) as server:
        reply = get(ProbeTarget(server.url, api_key="sek\nret"))
    assert not reply.answered
    assert "sek" not in reply.detail


def test_text_for_a_screen_is_one_bounded_printable_line() -> None:
    assert clean_text("a\x1b[31m\tb\u202e\r\nc") == "a [31m b c"
    assert clean_text("x" * 1000, 10) == "x" * 9 + "…"
