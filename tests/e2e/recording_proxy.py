"""A forwarder on loopback that keeps the request bodies that went through it, by X-Request-Id."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any


class Proxy:
    """Forwards every connection to one address, byte by byte, and keeps what clients sent."""

    def __init__(self, url: str) -> None:
        host, port = url.removeprefix("http://").rsplit(":", 1)
        self._to = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sent: list[bytearray] = []
        self._sockets: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._to)
            self._sockets += [client, server]
            kept = bytearray()
            self._sent.append(kept)
            for pair, keep in (((client, server), kept), ((server, client), None)):
                for one in pair:
                    one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._forward, args=(*pair, keep), daemon=True).start()

    @staticmethod
    def _forward(source: socket.socket, sink: socket.socket, kept: bytearray | None) -> None:
        try:
            while data := source.recv(1 << 16):
                if kept is not None:
                    kept += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return  # one side hung up: a run that ends does

    def close(self) -> None:
        """Stop."""
        self._listener.close()
        for one in self._sockets:
            one.close()

    def bodies(self) -> dict[str, dict[str, Any]]:
        """Return the JSON bodies of all requests that had an id."""
        found: dict[str, dict[str, Any]] = {}
        for sent in self._sent:
            rest = bytes(sent)
            while b"\r\n\r\n" in rest:
                head, rest = rest.split(b"\r\n\r\n", 1)
                fields = dict(line.lower().split(": ", 1) for line in head.decode().split("\r\n")[1:])
                length = int(fields.get("content-length", 0))
                if "x-request-id" in fields and length:
                    found[fields["x-request-id"]] = json.loads(rest[:length])
                rest = rest[length:]
        return found


@contextmanager
def proxied(urls: dict[str, str]) -> Iterator[dict[str, Proxy]]:
    """Forward to these addresses until the block ends."""
    with ExitStack() as stack:
        proxies = {name: Proxy(url) for name, url in urls.items()}
        for proxy in proxies.values():
            stack.callback(proxy.close)
        yield proxies
