"""Ports of pods through the API server: every byte, as it comes, and a cut that is no clean end.

The engine in the pod is a small server of the test's own; the process that carries, and what it speaks, are real.
"""

import asyncio
import hashlib
import random
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from cluster_kubeconfig import TOKEN, Authority, config, environ, written
from forwarded_ports import (
    PATIENCE,
    POD,
    Cable,
    around,
    asked,
    carrying,
    comes,
    dial,
    echo,
    engine,
    received,
    through,
)
from inference_bench.discovery.cluster.forwarder import Forwarder
from kubernetes_api import KubernetesApi


def slowly(connection: socket.socket) -> None:
    for number in range(50):
        connection.sendall(b"piece %02d" % number)
        assert received(connection, 1) == b"."  # it goes on only when that has been read


TOGETHER = threading.Barrier(12, timeout=PATIENCE)


def meeting(connection: socket.socket) -> None:
    name = received(connection, 2)
    TOGETHER.wait()  # nobody is answered before all are here
    connection.sendall(name)


BODY = random.Random(0).randbytes(1 << 20) * 10


def digesting(connection: socket.socket) -> None:
    connection.sendall(hashlib.sha256(received(connection, len(BODY))).digest())
    connection.sendall(BODY)


ENDED: list[str] = []


def watching(connection: socket.socket) -> None:
    while data := connection.recv(1):
        connection.sendall(data)
    ENDED.append("end")


SCRIPTS = {8001: echo, 8002: slowly, 8003: meeting, 8004: digesting, 8005: watching, 8006: lambda _: None}
REFUSING = 8007


@pytest.fixture(scope="module")
def api() -> Iterator[KubernetesApi]:
    with ExitStack() as stack:
        ports = {number: stack.enter_context(engine(script)) for number, script in SCRIPTS.items()}
        forwards = {("team", "chat-0", number): port for number, port in ports.items()}
        yield stack.enter_context(KubernetesApi(token=TOKEN, forwards=forwards))


@pytest.fixture(scope="module")
def ways(api: KubernetesApi, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[int, str]]:
    """Yield the URL of each of the pod's ports; one process carries them all."""
    with carrying(around(tmp_path_factory.mktemp("forwarding"), api.url)) as process:
        yield {number: asked(process, "chat-0", number) for number in (*SCRIPTS, REFUSING)}


@pytest.fixture(autouse=True)
def nothing_left(api: KubernetesApi) -> Iterator[None]:
    yield
    assert comes(lambda: api.forwarding == 0), "connections through the API server are still open"


def test_every_byte_comes_through_both_ways(ways: dict[int, str], api: KubernetesApi) -> None:
    sent = bytes(range(256)) * 3
    with dial(ways[8001]) as connection:
        connection.sendall(sent)
        assert received(connection, len(sent)) == sent
        assert api.requests[-1] == "/api/v1/namespaces/team/pods/chat-0/portforward?ports=8001"


def test_a_piece_comes_before_the_next_is_written(ways: dict[int, str]) -> None:
    with dial(ways[8002]) as connection:
        for number in range(50):
            assert received(connection, 8) == b"piece %02d" % number
            connection.sendall(b".")
        assert connection.recv(1) == b""


def test_connections_at_the_same_time_do_not_wait_for_one_another(ways: dict[int, str]) -> None:
    names = [b"%02d" % number for number in range(12)]
    with ExitStack() as stack:
        connections = [stack.enter_context(dial(ways[8003])) for _ in names]
        for connection, name in zip(connections, names, strict=True):
            connection.sendall(name)
        assert [received(connection, 2) for connection in connections] == names


def test_large_bodies_come_through_whole_in_both_directions(ways: dict[int, str]) -> None:
    with dial(ways[8004]) as connection:
        connection.sendall(BODY)
        digest = received(connection, 32)
        assert digest == hashlib.sha256(BODY).digest()
        assert hashlib.sha256(received(connection, len(BODY))).digest() == digest
        assert connection.recv(1) == b""


def test_a_clean_end_is_one_and_a_refusing_pod_is_a_reset(ways: dict[int, str]) -> None:
    with dial(ways[8006]) as connection:
        assert connection.recv(1) == b""
    with dial(ways[REFUSING]) as connection, pytest.raises(ConnectionResetError):
        connection.recv(1)


def test_a_client_that_goes_away_ends_its_connection_in_the_pod(ways: dict[int, str], api: KubernetesApi) -> None:
    ENDED.clear()
    for number in range(3):
        with dial(ways[8005]) as connection:
            connection.sendall(b"x")
            assert received(connection, 1) == b"x"
            assert api.forwarding == 1
        assert comes(lambda number=number: len(ENDED) == number + 1)  # type: ignore[misc]
        assert comes(lambda: api.forwarding == 0)


@pytest.mark.parametrize("reset", [True, False])
def test_an_api_server_that_goes_away_in_the_middle_is_a_reset(reset: bool, tmp_path: Path) -> None:
    def act(url: str) -> None:
        with dial(url) as connection:
            connection.sendall(b"half")
            assert received(connection, 4) == b"half"
            cable.cut(reset=reset)
            with pytest.raises(ConnectionResetError):
                connection.recv(1)
        with dial(url) as connection:  # the process goes on, for when the server is back
            connection.sendall(b"again")
            assert received(connection, 5) == b"again"

    with engine(echo) as port, KubernetesApi(token=TOKEN, forwards={POD: port}) as api:
        cable = Cable(api.port)
        with engine(cable) as near:
            through(tmp_path, api, act, url=f"http://127.0.0.1:{near}")


def test_a_server_that_is_trusted_by_another_name_forwards_as_well(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    pair = authority.sign("named", "DNS:api.example.test")
    cluster = {"certificate-authority": str(authority.file), "tls-server-name": "api.example.test"}

    async def story(url: str) -> bytes:
        around = environ(written(tmp_path / "config", config(url, cluster=cluster)))

        def act(local: str) -> bytes:
            with dial(local) as connection:
                connection.sendall(b"hello")
                return received(connection, 5)

        async with Forwarder(None, around) as forwarder:
            return await asyncio.to_thread(act, await forwarder.open(*POD))

    with (
        engine(echo) as port,
        KubernetesApi(token=TOKEN, certificate=(pair.certificate, pair.key), forwards={POD: port}) as api,
    ):
        assert asyncio.run(story(api.url)) == b"hello"
