"""The process that carries port-forwards: one for all, started late, ended with all it holds, silent about nothing."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from cluster_kubeconfig import TOKEN
from forwarded_ports import (
    PATIENCE,
    POD,
    around,
    asked,
    carrying,
    children,
    comes,
    dial,
    echo,
    engine,
    forwarded,
    received,
    through,
)
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.forwarder import Forwarder
from kubernetes_api import KubernetesApi


def test_the_end_of_the_block_ends_what_is_open(tmp_path: Path) -> None:
    def hanging(connection: socket.socket) -> None:
        connection.sendall(b"x")
        connection.recv(1)

    def act(url: str) -> socket.socket:
        connection = dial(url)
        assert received(connection, 1) == b"x"
        return connection

    with engine(hanging) as port, KubernetesApi(token=TOKEN, forwards={POD: port}) as api:
        with through(tmp_path, api, act) as connection, pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert comes(lambda: api.forwarding == 0)


def test_one_process_carries_all_ports_and_the_same_port_once(tmp_path: Path) -> None:
    async def story(forwarder: Forwarder) -> list[str]:
        before = children()
        urls = await asyncio.gather(*(forwarder.open("team", f"chat-{number % 3}", 8000) for number in range(6)))
        urls += [await forwarder.open("team", "chat-0", 8000)]
        assert len(children() - before) == 1
        return urls

    with engine(echo) as port:
        forwards = {("team", f"chat-{number}", 8000): port for number in range(3)}
        with KubernetesApi(token=TOKEN, forwards=forwards) as api:
            urls = forwarded(tmp_path, api.url, story)
    assert urls[6] == urls[0]
    assert len(set(urls[:3])) == 3


def test_nothing_is_started_before_a_port_is_asked_for(tmp_path: Path) -> None:
    async def story(forwarder: Forwarder) -> set[int]:
        return children()

    before = children()
    assert forwarded(tmp_path, "http://127.0.0.1:9", story) == before


REFUSALS = [
    (403, "no right to forward ports (verbs get and create on pods/portforward)"),
    (404, "the API server answers 404"),
    (500, "the API server answers 500"),
]


def test_an_api_server_that_opens_no_way_says_why_and_may_change_its_mind(tmp_path: Path) -> None:
    async def story(forwarder: Forwarder) -> None:
        for status, problem in REFUSALS:
            api.faults.status["portforward"] = status
            with pytest.raises(ClusterUnavailableError) as caught:
                await forwarder.open(*POD)
            assert caught.value.message == f"the port-forward does not start: {problem}"
        api.faults.status.clear()
        assert await forwarder.open(*POD)

    with KubernetesApi(token=TOKEN) as api:
        forwarded(tmp_path, api.url, story)


def test_a_process_that_has_no_credentials_or_dies_says_so(tmp_path: Path) -> None:
    with pytest.raises(ClusterUnavailableError) as caught:
        forwarded(tmp_path, "http://127.0.0.1:9", lambda forwarder: forwarder.open(*POD), context="gone")
    assert caught.value.message.endswith("it has no context gone")
    assert caught.value.hint == "contexts: here"

    async def story(forwarder: Forwarder) -> None:
        before = children()
        await forwarder.open(*POD)
        with dial(await forwarder.open("team", "chat-2", 8000)) as connection:
            connection.sendall(b"x")
            assert await asyncio.to_thread(received, connection, 1) == b"x"
            (child,) = children() - before
            os.kill(child, signal.SIGKILL)
            with pytest.raises(ConnectionResetError):
                await asyncio.to_thread(connection.recv, 1)
        with pytest.raises(ClusterUnavailableError, match="its process has ended"):
            await forwarder.open("team", "chat-1", 8000)

    with engine(echo) as port, KubernetesApi(token=TOKEN, forwards={("team", "chat-2", 8000): port}) as api:
        forwarded(tmp_path, api.url, story)


def test_the_process_ends_with_its_standard_input_and_all_it_carries(tmp_path: Path) -> None:
    with engine(echo) as port, KubernetesApi(token=TOKEN, forwards={POD: port}) as api:
        with carrying(around(tmp_path, api.url)) as process:
            connection = dial(asked(process, "chat-0", 8000))
            connection.sendall(b"x")
            assert received(connection, 1) == b"x"
        with connection, pytest.raises(ConnectionResetError):
            connection.recv(1)
        assert comes(lambda: api.forwarding == 0)


PARENT = """
import asyncio, os, sys
from inference_bench.discovery.cluster.forwarder import Forwarder
async def story():
    async with Forwarder(None, os.environ) as forwarder:
        url = await forwarder.open("team", "chat-0", 8000)
        print(url, forwarder._process.pid, flush=True)
        await asyncio.sleep(600)
asyncio.run(story())
"""


def test_the_process_ends_when_its_parent_is_killed(tmp_path: Path) -> None:
    with engine(echo) as port, KubernetesApi(token=TOKEN, forwards={POD: port}) as api:
        parent = subprocess.Popen([sys.executable, "-c", PARENT], env=around(tmp_path, api.url), stdout=subprocess.PIPE)
        assert parent.stdout is not None
        url, pid = parent.stdout.readline().decode().split()
        with dial(url) as connection:
            connection.sendall(b"x")
            assert received(connection, 1) == b"x"
            parent.kill()
            parent.communicate(timeout=PATIENCE)
            assert comes(lambda: not psutil.pid_exists(int(pid)) or psutil.Process(int(pid)).status() == "zombie")
        assert comes(lambda: api.forwarding == 0)
