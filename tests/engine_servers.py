"""Small HTTP servers on loopback that answer as real engines do, for tests of finding and recognising them.

Shapes are those of real servers (vLLM 0.32.0, llama-server, transformers serve 5.23.0, recorded) and of the engines'
own sources (TGI, Ollama, SGLang).
"""

import json
import socket
import socketserver
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Page:
    """One canned answer. `delay` seconds pass before it."""

    body: object = b""
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay: float = 0.0

    @property
    def raw(self) -> bytes:
        """The body's bytes; anything but bytes is sent as JSON."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


Answers = Mapping[str, Page]
HTML = Page(b"<!DOCTYPE html><html><body>Welcome to \x1b[31mnginx</body></html>", content_type="text/html")
MISSING = Page({"detail": "Not Found"}, status=404)


@dataclass
class EngineServer:
    """A running server: its URL, every path and key it has seen, its pages (change them), and whether it was asked."""

    url: str
    port: int
    seen: list[tuple[str, str | None]]
    pages: dict[str, Page]
    asked: threading.Event


@contextmanager
def serving(
    pages: Answers,
    *,
    otherwise: Page = MISSING,
    key: str | None = None,
    guarded: tuple[str, ...] = ("/v1",),
    refusal: Page | None = None,
    context: ssl.SSLContext | None = None,
    server_header: str = "uvicorn",
    headers: tuple[tuple[str, str], ...] = (),
    port: int = 0,
) -> Iterator[EngineServer]:
    """Serve pages by path. With `key`, paths that start with one of `guarded` answer 401 without it."""
    seen: list[tuple[str, str | None]] = []
    routes, asked = dict(pages), threading.Event()
    no_entry = refusal or Page({"error": "Unauthorized"}, status=401)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True
        timeout = 20

        def do_GET(self) -> None:
            presented = self.headers.get("authorization")
            seen.append((self.path, presented))
            asked.set()
            page = routes.get(self.path, otherwise)
            if key is not None and self.path.startswith(guarded) and presented != f"Bearer {key}":
                page = no_entry
            time.sleep(page.delay)
            self.send_response(page.status)
            self.send_header("content-type", page.content_type)
            self.send_header("content-length", str(len(page.raw)))
            for name, value in (*headers, *page.headers):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(page.raw)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.do_GET()

        def version_string(self) -> str:
            return server_header

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up early is what some tests are about."""

    server = Server(("127.0.0.1", port), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    with _running(server):
        number = server.server_address[1]
        scheme = "https" if context is not None else "http"
        yield EngineServer(f"{scheme}://127.0.0.1:{number}", number, seen, routes, asked)


@contextmanager
def raw_server(script: Callable[[socket.socket], None]) -> Iterator[str]:
    """Run `script(connection)` for every connection, after the request's head has come; yields the URL."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.settimeout(20)
            try:
                if self.request.recv(65536):
                    script(self.request)
            except OSError:
                pass  # the client gave up, as it should

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    server = Server(("127.0.0.1", 0), Handler)
    with _running(server):
        yield f"http://127.0.0.1:{server.server_address[1]}"


@contextmanager
def _running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


_KEPT: list[socket.socket] = []


def closed_port() -> int:
    """Return a port where nothing listens, nor will while this process lives: one given back is anybody's next one."""
    kept = socket.socket()
    kept.bind(("127.0.0.1", 0))
    _KEPT.append(kept)
    return int(kept.getsockname()[1])


def self_signed(folder: Path) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for 127.0.0.1; return the server's context and the certificate's file."""
    pem, private = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(private), "-out", str(pem)]
    subprocess.run(command, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, private)
    return context, pem


def vllm_pages(model: str = "tiny-llama", version: str = "0.32.0", adapters: tuple[str, ...] = ()) -> dict[str, Page]:
    """Answer as vLLM 0.32.0 does."""
    base = {"object": "model", "created": 1795474369, "owned_by": "vllm", "max_model_len": 1024, "permission": []}
    cards = [{"id": model, "root": f"models/{model}", "parent": None, **base}]
    cards += [{"id": name, "root": f"adapters/{name}", "parent": model, **base} for name in adapters]
    return {
        "/health": Page(b""),
        "/version": Page({"version": version}),
        "/v1/models": Page({"object": "list", "data": cards}),
    }


def tgi_pages(model: str = "HuggingFaceH4/zephyr-7b-beta") -> dict[str, Page]:
    """Answer as TGI 3.3.7 does."""
    info = {
        "model_id": model,
        "model_sha": None,
        "model_pipeline_tag": "text-generation",
        "max_concurrent_requests": 128,
        "max_best_of": 2,
        "max_stop_sequences": 4,
        "max_input_tokens": 1024,
        "max_total_tokens": 2048,
        "validation_workers": 2,
        "max_client_batch_size": 4,
        "router": "text-generation-router",
        "version": "3.3.7",
        "sha": None,
        "docker_label": None,
    }
    card = {"id": model, "object": "model", "created": 0, "owned_by": model}
    return {
        "/health": Page(b""),
        "/info": Page(info),
        "/v1/models": Page({"object": "list", "data": [card]}),
    }


def ollama_pages(*models: str, loaded: str | None = None) -> dict[str, Page]:
    """Answer as Ollama 0.32 does, with these models pulled and one of them in memory."""
    details = {"format": "gguf", "family": "llama", "parameter_size": "8.0B", "quantization_level": "Q4_K_M"}
    tags = [{"name": name, "model": name, "size": 1, "digest": "0" * 12, "details": details} for name in models]
    running = [{"name": loaded, "model": loaded, "size_vram": 1, "context_length": 4096}] if loaded else []
    listing = [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in models]
    return {
        "/": Page(b"Ollama is running", content_type="text/plain"),
        "/api/version": Page({"version": "0.32.15"}),
        "/api/tags": Page({"models": tags}),
        "/api/ps": Page({"models": running}),
        "/v1/models": Page({"object": "list", "data": listing}),
    }


def llama_server_pages(model: str = "tiny-llama") -> dict[str, Page]:
    """Answer as llama-server does (recorded from a real one, shortened)."""
    meta = {"vocab_type": 2, "n_ctx": 1024, "n_ctx_train": 2048, "n_params": 819840, "ftype": "all F32"}
    card = {"id": model, "aliases": [model], "object": "model", "created": 1, "owned_by": "llamacpp", "meta": meta}
    props = {
        "default_generation_settings": {"params": {"temperature": 0.8}, "n_ctx": 1024},
        "total_slots": 4,
        "model_alias": model,
        "model_ftype": "all F32",
        "build_info": "b1-unknown",
        "is_sleeping": False,
    }
    listing = {"models": [{"name": model, "model": model}], "object": "list", "data": [card]}
    return {"/health": Page({"status": "ok"}), "/props": Page(props), "/v1/models": Page(listing)}


def sglang_pages(model: str = "qwen2.5") -> dict[str, Page]:
    """Answer as SGLang 0.5 does."""
    info = {"model_path": "qwen/qwen2.5-0.5b-instruct", "tokenizer_path": "x", "is_generation": True}
    card = {"id": model, "object": "model", "created": 1, "owned_by": "sglang", "root": model, "max_model_len": 32768}
    server = {
        "version": "0.5.23",
        "dtype": "auto",
        "quantization": "fp8",
        "max_running_requests": 48,
        "api_key": "hush",
    }
    return {
        "/health": Page(b""),
        "/get_model_info": Page(info),
        "/get_server_info": Page(server),
        "/v1/models": Page({"object": "list", "data": [card]}),
    }


def transformers_pages() -> dict[str, Page]:
    """Answer as transformers serve does where there is no download cache (recorded)."""
    broken = Page(b"Internal Server Error", status=500, content_type="text/plain")
    return {"/health": Page({"status": "ok"}), "/v1/models": broken}


LOADING = Page(
    {"error": {"message": "Loading model", "type": "unavailable_error", "code": 503}},
    status=503,
)
