"""Small scripted servers on loopback for tests of the measured transport."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

Script = Callable[[socket.socket, int], None]


def read_request(sock: socket.socket) -> bytes:
    """Read one request, head and body; empty when the peer closed."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        if not piece:
            return b""
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            length = int(line.split(b":")[1])
    while len(body) < length:
        body += sock.recv(65536)
    return head + b"\r\n\r\n" + body


def chunk(data: bytes) -> bytes:
    """Frame one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def event(text: str, finish: str | None = None) -> bytes:
    """Return one OpenAI-style chat event."""
    reason = "null" if finish is None else f'"{finish}"'
    return (f'data: {{"choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":{reason}}}]}}\n\n').encode()


USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3,"total_tokens":8}}\n\n'
DONE = b"data: [DONE]\n\n"


def good_answer(sock: socket.socket, gap: float = 0.0) -> None:
    """Answer with three one-token chunks, usage and the end mark."""
    sock.sendall(HEAD)
    for text in ("one", " two", " three"):
        sock.sendall(chunk(event(text)))
        time.sleep(gap)
    sock.sendall(chunk(event("", "length")) + chunk(USAGE) + chunk(DONE) + END)


class ScriptedServer:
    """Runs `script(connection, number)` for every accepted connection, in a thread each."""

    def __init__(self, script: Script, context: ssl.SSLContext | None = None) -> None:
        self._script = script
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self.port = self._listener.getsockname()[1]
        self.accepted = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._open.append(sock)
            threading.Thread(target=self._serve, args=(sock, self.accepted), daemon=True).start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        try:
            if self._context is not None:
                sock = self._context.wrap_socket(sock, server_side=True)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._script(sock, number)
        except OSError:
            pass
        finally:
            sock.close()

    def close(self) -> None:
        """Close the listener and every connection."""
        self._listener.close()
        for sock in self._open:
            sock.close()


@contextmanager
def serving(script: Script, context: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a scripted server for the length of a test."""
    server = ScriptedServer(script, context)
    try:
        yield server
    finally:
        server.close()
