"""A tiny OpenAI-like server on loopback that answers quickly and keeps every request it was sent."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = 8  # pieces of every answer
TTFT_SECONDS = 0.03
GAP_SECONDS = 0.03  # so that the first piece has a read of its own
_PIECES = [
    f"data: {json.dumps({'choices': [{'index': 0, 'delta': {'content': f'word{number} '}}]})}\n\n"
    for number in range(WORDS)
]
_END = (
    'data: {"choices":[{"index":0,"delta":{},"finish_reason":"length"}]}\n\n'
    f'data: {{"choices":[],"usage":{{"prompt_tokens":30,"completion_tokens":{WORDS}}}}}\n\ndata: [DONE]\n\n'
)
ANSWER = (_PIECES[0].encode(), ("".join(_PIECES[1:]) + _END).encode())
MODELS = json.dumps({"object": "list", "data": [{"id": "m", "object": "model", "owned_by": "nobody"}]}).encode()


class Recorder:
    """What a server was sent: request bodies by X-Request-Id."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.bodies: dict[str, dict[str, Any]] = {}
        self.sent: list[dict[str, Any]] = []  # the same, in their order, with or without an id


@contextmanager
def recording_server() -> Iterator[Recorder]:
    """Serve until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 30

        def do_GET(self) -> None:
            self._answer((MODELS,), "application/json", 200 if self.path == "/v1/models" else 404)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("content-length", "0"))))
            recorder.bodies[self.headers.get("x-request-id", "")] = body
            recorder.sent.append(body)
            time.sleep(TTFT_SECONDS)
            self._answer(ANSWER, "text/event-stream", 200)

        def _answer(self, parts: tuple[bytes, ...], kind: str, status: int) -> None:
            self.send_response(status)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(sum(map(len, parts))))
            self.end_headers()
            for part in parts:
                self.wfile.write(part)
                time.sleep(GAP_SECONDS)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 64

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is the end of a run."""

    server = Server(("127.0.0.1", 0), Handler)
    recorder = Recorder(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
