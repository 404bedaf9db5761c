"""Servers for tests of `inspect`: one that keeps the very bytes of each request, and what it answers them with."""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

PIECES = (
    b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"one "}}]}\n\n',
    b'data: {"choices":[{"index":0,"delta":{"content":"two"},"finish_reason":"length"}]}\n\n',
    b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":2}}\n\ndata: [DONE]\n\n',
)
_MODELS = json.dumps({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "nobody"}]}).encode()


@dataclass
class Kept:
    """A running server: its URL, and of every POST the head and the body as they came."""

    url: str = ""
    posts: list[tuple[bytes, bytes]] = field(default_factory=list)

    def fields(self, number: int) -> list[tuple[str, str]]:
        """Return the header fields of a POST in their order, without what differs from connection to connection."""
        lines = self.posts[number][0].decode("latin-1").split("\r\n")[1:]
        return [(name, value) for name, colon, value in (line.partition(": ") for line in lines) if colon]


Answer = Callable[[bytes, bytes], tuple[int, tuple[tuple[str, str], ...], bytes]]


def streamed(_head: bytes, _body: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Answer with a proper short stream."""
    return 200, (("content-type", "text/event-stream"),), b"".join(PIECES)


@contextmanager
def keeping_server(answer: Answer = streamed) -> Iterator[Kept]:
    """Serve as an OpenAI-like server until the block ends; `answer(head, body)` says what a POST gets."""
    kept = Kept()

    class Handler(socketserver.StreamRequestHandler):
        timeout = 30

        def handle(self) -> None:
            while head := self._head():
                length = next(
                    (
                        int(line.split(b":")[1])
                        for line in head.split(b"\r\n")
                        if line.lower().startswith(b"content-len")
                    ),
                    0,
                )
                body = self.rfile.read(length)
                if head.startswith(b"POST"):
                    kept.posts.append((head, body))
                    self._reply(*answer(head, body))
                elif head.startswith(b"GET /v1/models "):
                    self._reply(200, (("content-type", "application/json"),), _MODELS)
                else:
                    self._reply(404, (), b"")

        def _head(self) -> bytes:
            lines = []
            while (line := self.rfile.readline()).strip():
                lines.append(line)
            return b"".join(lines)

        def _reply(self, status: int, headers: tuple[tuple[str, str], ...], body: bytes) -> None:
            told = "".join(f"{name}: {value}\r\n" for name, value in headers)
            self.wfile.write(f"HTTP/1.1 {status} Said\r\n{told}content-length: {len(body)}\r\n\r\n".encode() + body)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is the end of a command."""

    server = Server(("127.0.0.1", 0), Handler)
    kept.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield kept
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
