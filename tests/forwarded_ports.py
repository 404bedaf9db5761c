"""Port-forwards for tests: small engines in pods, the cable to the API server, and acts upon a forwarded port."""

import asyncio
import json
import socket
import socketserver
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import psutil

from cluster_kubeconfig import config, environ, written
from inference_bench.discovery.cluster.forwarder import Forwarder
from kubernetes_api import KubernetesApi

T = TypeVar("T")
Script = Callable[[socket.socket], None]
POD = ("team", "chat-0", 8000)
PATIENCE = 20.0
NOW = struct.pack("ii", 1, 0)  # SO_LINGER: what is closed is reset


@contextmanager
def engine(script: Script) -> Iterator[int]:
    """Run a script for every connection; yields the port."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(PATIENCE)
            with suppress(OSError):  # the other side has gone
                script(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        request_queue_size = 64

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


class Cable:
    """Stands between this machine and the API server, and can be cut."""

    def __init__(self, port: int) -> None:
        self._onward = port
        self._ends: list[socket.socket] = []

    def __call__(self, near: socket.socket) -> None:
        """Carry one connection."""
        with socket.create_connection(("127.0.0.1", self._onward)) as far:
            self._ends += [near, far]
            back = threading.Thread(target=self._carry, args=(far, near), daemon=True)
            back.start()
            self._carry(near, far)
            back.join(PATIENCE)

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def cut(self, *, reset: bool) -> None:
        """End every connection without a word: by an end or by a reset."""
        for end in self._ends:
            with suppress(OSError):  # one that has ended before
                if reset:
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NOW)
                end.shutdown(socket.SHUT_RDWR)
                end.close()
        self._ends.clear()


def echo(connection: socket.socket) -> None:
    """Send back what comes."""
    while data := connection.recv(65536):
        connection.sendall(data)


def received(connection: socket.socket, size: int) -> bytes:
    """Read exactly so many bytes."""
    parts = b""
    while len(parts) < size:
        part = connection.recv(min(size - len(parts), 1 << 20))
        assert part, f"it ended after {len(parts)} of {size} bytes"
        parts += part
    return parts


def dial(url: str) -> socket.socket:
    """Connect to the host and port of a URL."""
    address = urlsplit(url)
    return socket.create_connection((str(address.hostname), address.port or 0), timeout=PATIENCE)


def around(folder: Path, url: str) -> dict[str, str]:
    """Return an environment whose kubeconfig leads to a URL."""
    return environ(written(folder / "config", config(url)), HOME=str(folder))


def forwarded(folder: Path, url: str, story: Callable[[Forwarder], Awaitable[T]], context: str | None = None) -> T:
    """Return what a story makes of a forwarder to the API server at a URL."""

    async def told() -> T:
        async with Forwarder(context, around(folder, url)) as forwarder:
            return await story(forwarder)

    return asyncio.run(told())


def through(folder: Path, api: KubernetesApi, act: Callable[[str], T], *, url: str | None = None) -> T:
    """Open the pod's port, act upon its URL in a thread, and see that nothing is left afterwards."""

    async def story(forwarder: Forwarder) -> T:
        return await asyncio.to_thread(act, await forwarder.open(*POD))

    before = children()
    result = forwarded(folder, url or api.url, story)
    assert children() == before
    assert comes(lambda: api.forwarding == 0), "connections through the API server are still open"
    return result


def children() -> set[int]:
    """Return the processes that this one has started, and theirs."""
    return {one.pid for one in psutil.Process().children(recursive=True)}


def comes(condition: Callable[[], bool]) -> bool:
    """Whether something comes true within a while."""
    deadline = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


@contextmanager
def carrying(environ: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Start the process that carries, as the program does; it ends by itself when its standard input is closed."""
    command = [sys.executable, "-m", "inference_bench.discovery.cluster.forwarding"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, env=environ, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(PATIENCE) == 0


def asked(process: subprocess.Popen[bytes], pod: str, port: int) -> str:
    """Ask a process that carries for the way to a port of a pod; return its URL."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps({"id": port, "namespace": "team", "pod": pod, "port": port}).encode() + b"\n")
    process.stdin.flush()
    answer = json.loads(process.stdout.readline())
    assert answer["id"] == port
    return f"http://127.0.0.1:{answer['local_port']}"
