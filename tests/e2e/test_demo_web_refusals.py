"""What the server of `demo --web` refuses: foreign names and pages, starts without the token, too much."""

import http.client
import json
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from front_door import PATIENCE
from web_race import Served, serving_page

from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.visualization.web.shown import LONGEST_PROMPT
from inference_bench.visualization.web.stage import MOST_VIEWERS

START = {"canned": 1}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A page whose services take their time, so that a race goes on while another is asked for."""
    cwd = tmp_path_factory.mktemp("web")
    with SimulatorProcess(["vllm,name=a,ttft-ms=1500,itl-ms=5", "tgi,name=b,ttft-ms=1500,itl-ms=5"]) as simulator:
        urls = ["--url", f"vllm/a={simulator.urls['a']}", "--url", f"tgi/b={simulator.urls['b']}"]
        with serving_page(*urls, "--max-tokens", "4", cwd=cwd) as page:
            yield page
            page.running.signal(signal.SIGINT)
            done = page.running.finish()
            assert done.code == 130, done.said()
            assert page.running.left_behind() == []
            assert "Traceback" not in done.err


def races(served: Served) -> int:
    """Return how many races were begun so far."""
    return served.running.stderr.read_text().count("Race ")


def test_a_foreign_host_is_refused_everywhere(served: Served) -> None:
    before = races(served)
    for host in (
        "evil.example",
        f"evil.example:{served.port}",
        "127.0.0.1",
        "localhost:1",
        f"127.0.0.1.:{served.port}",
    ):
        for method, path in (("GET", "/"), ("GET", "/page.js"), ("GET", "/events"), ("POST", "/start")):
            assert served.ask(method, path, headers={"host": host})[0] == 421
        assert served.start(START, host=host) == 421
    assert served.ask("GET", "/", headers={"host": f"localhost:{served.port}"})[0] == 200
    assert races(served) == before


def test_a_start_needs_the_pages_token_and_its_origin(served: Served) -> None:
    before = races(served)
    assert served.start(START, **{"x-race-token": ""}) == 403
    assert served.start(START, **{"x-race-token": "x" * len(served.token)}) == 403
    assert served.start(START, **{"x-race-token": "\u00e9"}) == 403
    for origin in (
        "http://evil.example",
        "null",
        f"https://127.0.0.1:{served.port}",
        f"http://localhost:{served.port}",
    ):
        assert served.start(START, origin=origin) == 403
    assert served.start(START, **{"sec-fetch-site": "cross-site"}) == 403
    assert served.ask("GET", "/events", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"})[0] == 403
    assert served.ask("GET", f"/start?token={served.token}")[0] == 405
    assert races(served) == before


def test_a_start_that_says_too_much_or_nothing_is_refused(served: Served) -> None:
    before = races(served)
    longest = "x" * LONGEST_PROMPT
    for body in (b"", b"{", b"[]", b'"x"', {}, {"canned": 0}, {"canned": 99}, {"canned": True}, {"canned": "1"},
                 {"prompt": " \n"}, {"prompt": 1}, {"prompt": longest + "x"}, {"prompt": "\ud800"}, {"play": True},
                 {"canned": 1, "prompt": "x"}, b"[" * 90_000):  # fmt: skip
        assert served.start(body) == 400, body
    assert served.start({"prompt": "x" * 200_000}) == 413
    assert served.start(START, content_type="text/plain") == 415
    assert served.start(START, content_type="") == 415
    assert races(served) == before


def test_nothing_else_is_served(served: Served) -> None:
    for path in (
        "/page.html",
        "/server.py",
        "/../server.py",
        "/%2e%2e/server.py",
        "/docs",
        "/page.js/",
        "/favicon.ico",
    ):
        assert served.ask("GET", path)[0] == 404
    for method, path in (("POST", "/"), ("PUT", "/start"), ("DELETE", "/events"), ("OPTIONS", "/start")):
        assert served.ask(method, path)[0] == 405
    for path in ("/", "/page.css", "/page.js", "/drawing.js", "/icon.svg"):
        status, headers, body = served.ask("GET", path)
        assert status == 200
        assert b"http://" not in body.replace(b"http://www.w3.org/2000/svg", b"")  # nothing foreign is asked for
        assert served.token.encode() not in body
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; ")
        assert "unsafe" not in policy
        assert "http" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_one_race_at_a_time(served: Served) -> None:
    before = races(served)
    with closing(events(served)) as stream:
        assert served.start(START) == 202
        assert served.start(START) == 409
        until(stream, lambda now: bool(now["running"]))
        assert served.start(START) == 409
        until(stream, lambda now: bool(now["rule"]) and now["busy"] is None)
        assert races(served) == before + 2  # the beginning of one race and its result
        assert served.start(START) == 202
        until(stream, lambda now: bool(now["running"]))
        until(stream, lambda now: now["busy"] is None)


def test_a_start_that_is_left_unfinished_harms_nobody(served: Served) -> None:
    head = f"POST /start HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nX-Race-Token: {served.token}\r\n"
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as raw:
        raw.sendall(f"{head}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{{".encode())
    with socket.create_connection(("127.0.0.1", served.port), PATIENCE) as raw:
        raw.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
        assert raw.recv(100).startswith(b"HTTP/1.1 400")
    assert served.ask("GET", "/")[0] == 200
    assert served.running.process.poll() is None


def test_so_many_viewers_and_no_more(served: Served) -> None:
    seats = [events(served) for _ in range(MOST_VIEWERS)]
    try:
        for seat in seats:
            until(seat, lambda _: True)
        status, _, body = served.ask("GET", "/events")
        assert (status, json.loads(body)) == (503, {"error": "16 viewers are the most, and all are here"})
        seats.pop().close()
        # The seat is free once the server has seen that its viewer is gone.
        served.running.until(lambda: _seated(served), "a free seat")
    finally:
        for seat in seats:
            seat.close()
    served.running.until(lambda: _seated(served), "a free seat")


def _seated(served: Served) -> bool:
    with closing(events(served)) as stream:
        return stream.status == 200


def events(served: Served) -> http.client.HTTPResponse:
    """Look on by hand: the stream of events."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
    connection.request("GET", "/events", headers={"connection": "close"})
    return connection.getresponse()


def until(stream: http.client.HTTPResponse, look: Callable[[dict[str, object]], bool]) -> dict[str, object]:
    """Read on until the state is as wished; return it."""
    while line := stream.readline():
        if line.startswith(b"data: {"):
            now = json.loads(line[6:]).get("now")
            if now is not None and look(now):
                return dict(now)
    raise AssertionError("the stream ended")
