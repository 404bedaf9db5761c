"""Lists of an API server that is large, slow, busy, broken or hostile: bounded, tried again, and said in words."""

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from cluster_kubeconfig import Authority, config, environ, failure, first_answer, pods, with_reader, written
from engine_servers import Page, closed_port, raw_server, serving
from inference_bench.discovery.cluster import reader as reading
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.reader import ClusterReader, Listing, Resource
from kubernetes_api import Faults, KubernetesApi

PODS = Resource("pods")
HELLO = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait between tries as briefly as can be."""
    monkeypatch.setattr(reading, "_FIRST_WAIT_SECONDS", 0.001)


def name_of(source: Any) -> str | None:
    metadata = source.get("metadata")
    return metadata.get("name") if isinstance(metadata, dict) else None


def listed(url: str, folder: Path, namespace: str | None = "team", **more: Any) -> Listing[str]:
    return with_reader(url, folder, lambda reader: reader.list(PODS, "v1", namespace, name_of), **more)


def answered(body: object, folder: Path) -> Listing[str]:
    """List what a server gives as its only answer."""
    with serving({}, otherwise=Page(body)) as server:
        return listed(server.url, folder)


def test_all_pages_are_read_in_their_order(tmp_path: Path) -> None:
    with KubernetesApi(pods(1200)) as api:
        listing = listed(api.url, tmp_path)
        assert listing.items == [f"pod-{one:04}" for one in range(1200)]
        assert listing.problem is None
        assert listing.version == "1000"
        assert api.requests == [
            f"/api/v1/namespaces/team/pods?limit=500{more}" for more in ("", "&continue=500", "&continue=1000")
        ]


def test_a_list_that_the_server_has_forgotten_is_begun_once_more(tmp_path: Path) -> None:
    with KubernetesApi(pods(1200)) as api:
        api.faults.gone["pods"] = 1
        once = listed(api.url, tmp_path)
        assert once.items == [f"pod-{one:04}" for one in range(1200)]
        assert once.problem is None
        assert len(api.requests) == 5
        api.requests.clear()
        api.faults.gone["pods"] = 2
        twice = listed(api.url, tmp_path)
        assert twice.items == [f"pod-{one:04}" for one in range(500)]
        assert twice.problem == "410 The provided continue parameter is too old"
        assert len(api.requests) == 4


@pytest.mark.parametrize(
    ("status", "requests"), [(403, 1), (404, 1), (400, 1), (401, 1), (429, 3), (500, 3), (502, 3), (503, 3), (504, 3)]
)
def test_only_what_may_pass_is_asked_again(status: int, requests: int, tmp_path: Path) -> None:
    with KubernetesApi(pods(1), faults=Faults(status={"pods": status})) as api:
        listing = listed(api.url, tmp_path)
        assert (listing.items, listing.status) == ([], status)
        assert listing.problem is not None
        assert listing.problem.startswith(f"{status} pods is forbidden: ")
        assert listing.absent is (status == 404)
        assert len(api.requests) == requests


@pytest.mark.parametrize("first", [[500], [429], [503, 504], [429, 502]])
def test_a_server_that_recovers_gives_its_list(first: list[int], tmp_path: Path) -> None:
    with KubernetesApi(pods(3), faults=Faults(first={"pods": list(first)})) as api:
        listing = listed(api.url, tmp_path)
        assert (len(listing.items), listing.problem) == (3, None)
        assert len(api.requests) == len(first) + 1


def test_a_busy_server_is_left_alone_for_as_long_as_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    busy = [Page({"message": "busy"}, status=429, headers=(("Retry-After", told),)) for told in ("2", "600", "soon")]
    for page, least, most in zip(busy, (2.0, 5.0, 0.0), (3.0, 7.5, 1.0), strict=True):
        slept.clear()
        with serving({}, otherwise=page) as server, monkeypatch.context() as patched:

            async def sleep(seconds: float) -> None:
                slept.append(seconds)

            patched.setattr(asyncio, "sleep", sleep)
            listing = listed(server.url, tmp_path)
        assert listing.problem == "429 busy"
        assert len(slept) == 2
        assert all(least <= seconds <= most for seconds in slept)


def test_what_is_slow_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_PAGE_SECONDS", 0.1)
    with KubernetesApi(pods(3), faults=Faults(delay_seconds={"pods": 5.0})) as api:
        listing = listed(api.url, tmp_path)
        assert (listing.items, listing.problem) == ([], "no answer within 0.1 s")
        assert len(api.requests) == 3
        monkeypatch.setattr(reading, "_PAGE_SECONDS", 10.0)
        monkeypatch.setattr(reading, "_LIST_SECONDS", 0.2)
        assert listed(api.url, tmp_path).problem == "took longer than 0.2 s"


def test_the_pages_that_came_in_time_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_LIST_SECONDS", 0.6)
    later = Page({"metadata": {}, "items": []}, delay=30.0)
    first = Page({"metadata": {"continue": "x"}, "items": pods(2)})
    path = "/api/v1/namespaces/team/pods?limit=500"
    with serving({path: first, f"{path}&continue=x": later}) as server:
        listing = listed(server.url, tmp_path)
        assert listing.items == ["pod-0000", "pod-0001"]
        assert listing.problem == "took longer than 0.6 s"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'{"items": [{"metadata"', "answered with something that is not JSON"),
        (b"<html>log in</html>", "answered with something that is not JSON"),
        (b"[" * 100_000, "answered with something that is not JSON"),
        (b"\xff\xfe", "answered with something that is not JSON"),
        (b"", "answered with something that is not JSON"),
        ([{"items": []}], "answered with something that is not JSON"),
        ({"items": {"metadata": {"name": "a"}}}, "answered with something that is no list"),
        ({"items": "pods"}, "answered with something that is no list"),
    ],
)
def test_what_is_no_list_is_said(body: object, problem: str, tmp_path: Path) -> None:
    listing = answered(body, tmp_path)
    assert (listing.items, listing.problem) == ([], problem)


@pytest.mark.parametrize("metadata", [None, [], "x", {"continue": None}, {"continue": 7}, {"resourceVersion": None}])
def test_half_broken_items_are_left_out(metadata: object, tmp_path: Path) -> None:
    items: list[object] = [None, "pod", 7, [], {}, {"metadata": None}, {"metadata": []}, {"metadata": {"name": "good"}}]
    listing = answered({"metadata": metadata, "items": items}, tmp_path)
    assert (listing.items, listing.problem) == (["good"], None)
    assert answered({"items": None}, tmp_path) == Listing()


def test_an_answer_without_end_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_MOST_BYTES", 1 << 20)

    def endless(connection: socket.socket) -> None:
        connection.sendall(HELLO + b"\r\n")
        while True:
            connection.sendall(b" " * 65536)

    with raw_server(endless) as url:
        listing = listed(url, tmp_path)
        assert (listing.items, listing.problem) == ([], "answered with more than 1 MiB")


def test_a_list_that_leads_to_itself_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = Page({"metadata": {"continue": "again"}, "items": pods(2)})
    with serving({}, otherwise=page) as server:
        listing = listed(server.url, tmp_path)
        assert len(server.seen) == 2
        assert (len(listing.items), listing.problem) == (4, "only the first 4 were read")
    monkeypatch.setattr(reading, "_MOST_OBJECTS", 1000)
    with KubernetesApi(pods(1600)) as api:
        listing = listed(api.url, tmp_path)
        assert (len(listing.items), listing.problem) == (1000, "only the first 1,000 were read")
        assert len(api.requests) == 2


CUTS: dict[str, tuple[bytes, str]] = {
    "in the body": (HELLO + b'Content-Length: 1000\r\n\r\n{"items": [', "the answer broke off"),
    "in a chunk": (HELLO + b'Transfer-Encoding: chunked\r\n\r\n100\r\n{"items": [', "the answer broke off"),
    "in the head": (b"HTTP/1.1 200 OK\r\nContent-", "the connection was closed before an answer"),
    "before all": (b"", "the connection was closed before an answer"),
}


@pytest.mark.parametrize("case", CUTS)
def test_a_connection_that_is_cut_is_tried_again_and_said(case: str, tmp_path: Path) -> None:
    sent, problem = CUTS[case]
    tries: list[int] = []

    def cut(connection: socket.socket) -> None:
        tries.append(1)
        connection.sendall(sent)

    with raw_server(cut) as url:
        listing = listed(url, tmp_path)
    assert (listing.items, listing.status, listing.problem) == ([], 0, problem)
    assert len(tries) == 3 * (2 if "closed" in problem else 1)  # the HTTP library itself asks once more at such a cut


def test_a_list_is_whole_where_the_second_try_is(tmp_path: Path) -> None:
    whole = json.dumps({"metadata": {}, "items": pods(2)}).encode()
    answers = [HELLO + b"Content-Length: 1000\r\n\r\n{", HELLO + b"Content-Length: %d\r\n\r\n%s" % (len(whole), whole)]
    with raw_server(lambda connection: connection.sendall(answers.pop(0))) as url:
        listing = listed(url, tmp_path)
    assert (listing.items, listing.problem) == (["pod-0000", "pod-0001"], None)


def test_what_is_no_http_is_said(tmp_path: Path) -> None:
    with raw_server(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n\r\n")) as url:
        error = failure(ClusterUnavailableError, around(tmp_path, url))
    assert error.message.startswith(f"the cluster at {url} cannot be reached: ")


def around(folder: Path, url: str, **more: Any) -> dict[str, str]:
    return environ(written(folder / "config", config(url, **more)))


def test_nobody_who_answers_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    port = closed_port()
    for host in ("127.0.0.1", "localhost"):
        url = f"https://{host}:{port}"
        error = failure(ClusterUnavailableError, around(tmp_path, url))
        assert error.message == f"the cluster at {url} cannot be reached: nothing listens there (connection refused)"
        assert error.exit_code == 3
        assert error.hint == "is it up, and is the network (VPN, proxy) that leads to it? --context chooses another"
    error = failure(ClusterUnavailableError, around(tmp_path, "https://api.cluster.invalid:6443"))
    assert error.message.startswith("the cluster at https://api.cluster.invalid:6443 cannot be reached: ")
    assert "name" in error.message.lower()
    monkeypatch.setattr(reading, "_FIRST_SECONDS", 0.2)
    with KubernetesApi(faults=Faults(delay_seconds={"apis": 5.0})) as api:
        error = failure(ClusterUnavailableError, around(tmp_path, api.url))
        assert error.message.endswith("cannot be reached: no answer within 0.2 s")
        assert api.requests == ["/apis"]


def test_https_and_http_are_told_apart(tmp_path: Path, authority: tuple[Authority, Path, Path]) -> None:
    with KubernetesApi() as api:
        error = failure(ClusterUnavailableError, around(tmp_path, api.url.replace("http:", "https:")))
        assert "cannot be reached: no TLS connection: " in error.message
    with KubernetesApi(certificate=authority[1:]) as api:
        failure(ClusterUnavailableError, around(tmp_path, api.url.replace("https:", "http:")))
        error = failure(ClusterUnavailableError, around(tmp_path, api.url))
        assert "its certificate is not trusted: " in error.message


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Authority, Path, Path]:
    made_here = Authority(tmp_path_factory.mktemp("authority"))
    pair = made_here.sign("server", "IP:127.0.0.1")
    return made_here, pair.certificate, pair.key


def test_credentials_are_not_sent_on_to_another_address(tmp_path: Path) -> None:
    with serving({}) as elsewhere:
        page = Page(b"", status=302, headers=(("Location", f"{elsewhere.url}/apis"),))
        with serving({}, otherwise=page) as server:
            error = failure(ClusterUnavailableError, around(tmp_path, server.url))
            assert "sends on to another address (302 Found)" in error.message
            listing = listed(server.url, tmp_path)
            assert (listing.status, listing.problem) == (302, "302 Found")
        assert elsewhere.seen == []


@contextmanager
def proxy(heads: list[str]) -> Iterator[str]:
    """Carry plain requests as an HTTP proxy does; `heads` are the first lines of what it was asked."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            heads.append(self.requestline)
            with urlopen(Request(self.path, headers={"Authorization": self.headers["Authorization"]})) as answer:
                body = answer.read()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(5)


def test_a_proxy_of_the_kubeconfig_is_used(tmp_path: Path) -> None:
    heads: list[str] = []
    with KubernetesApi(pods(1)) as api, proxy(heads) as url:
        listing = listed(api.url, tmp_path, cluster={"proxy-url": url})
        assert (listing.items, listing.problem) == (["pod-0000"], None)
        assert heads == [f"GET {api.url}/api/v1/namespaces/team/pods?limit=500 HTTP/1.1"]
    error = failure(
        ClusterUnavailableError, around(tmp_path, api.url, cluster={"proxy-url": f"http://127.0.0.1:{closed_port()}"})
    )
    assert error.message.endswith("cannot be reached: nothing listens there (connection refused)")


@pytest.mark.parametrize("asked", [3, 8, 40])
def test_never_more_than_eight_requests_run_at_once(asked: int, tmp_path: Path) -> None:
    async def story(reader: ClusterReader) -> list[Listing[str]]:
        spaces = [f"team-{number}" for number in range(asked)]
        return await asyncio.gather(*(reader.list(PODS, "v1", space, name_of) for space in spaces))

    objects = [pod for number in range(asked) for pod in pods(2, f"team-{number}")]
    with KubernetesApi(objects, hold_seconds=0.1, page=1) as api:
        listings = with_reader(api.url, tmp_path, story)
        assert [len(listing.items) for listing in listings] == [2] * asked
        assert api.peak == min(asked, 8)
        assert len(api.requests) == 2 * asked


def test_the_first_answer_is_a_mapping_of_groups_or_unknown(tmp_path: Path) -> None:
    bodies = (b"", b"[]", b"null", b"<html>")
    for body in bodies:
        with KubernetesApi(faults=Faults(body={"apis": body})) as api:
            assert with_reader(api.url, tmp_path, lambda reader: reader.api_groups()) is None
    odd = {"groups": [None, 7, {"name": None}, {"name": "a", "versions": [None, {"version": 7}, {"version": "v1"}]}]}
    with KubernetesApi(faults=Faults(body={"apis": json.dumps(odd).encode()})) as api:
        assert with_reader(api.url, tmp_path, lambda reader: reader.api_groups()) == {"a": ("v1",)}
        assert first_answer(around(tmp_path, api.url)).server == api.url
