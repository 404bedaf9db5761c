"""Where a measured request goes: a resolved address, and the bytes that go there.

Names are resolved and tried before the run, so that no look-up and no dead address family sits inside a measurement.
"""

import socket
import ssl
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from inference_bench import __version__
from inference_bench.api.protocols import Endpoint, ErrorClass, StreamError, WireRequest
from inference_bench.api.tls import client_context

USER_AGENT = f"vllm-benchmark/{__version__}"


class TargetError(Exception):
    """A service's address cannot be used; `failure` says why, in the vocabulary of request errors."""

    def __init__(self, failure: StreamError) -> None:
        super().__init__(failure.message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Target:
    """One resolved service: address, TLS settings and the head fields that every request to it carries.

    `sockaddr` is what socket.connect takes. `fixed_head` holds Host, User-Agent, Authorization and extra headers as
    bytes; it may contain a secret, so repr hides it.
    """

    name: str
    family: int
    sockaddr: tuple[str | int, ...]
    tls: bool
    server_name: str
    base_path: str
    ca_file: str | None
    insecure_skip_verify: bool
    fixed_head: bytes = field(repr=False)

    def tls_context(self) -> ssl.SSLContext | None:
        """Build the TLS context, None for plain HTTP. Raises TargetError when the CA file cannot be read."""
        if not self.tls:
            return None
        try:
            context = client_context(self.ca_file, insecure_skip_verify=self.insecure_skip_verify)
        except OSError as error:
            raise TargetError(StreamError(ErrorClass.TLS, f"cannot read CA file {self.ca_file}: {error}")) from error
        context.set_alpn_protocols(["http/1.1"])
        return context

    def head_fields(self) -> tuple[tuple[str, str], ...]:
        """Return the fixed head as (name, value) pairs in the order in which they are sent; may hold a secret."""
        lines = self.fixed_head.decode("latin-1").split("\r\n")
        return tuple((name, value) for name, colon, value in (line.partition(": ") for line in lines) if colon)

    def wire_bytes(self, request: WireRequest) -> bytes:
        """Return the whole request, head and body, as it goes to the socket."""
        lines = [f"{request.method} {self.base_path}{request.path} HTTP/1.1\r\n".encode("latin-1"), self.fixed_head]
        lines.extend(f"{name}: {value}\r\n".encode("latin-1") for name, value in request.headers)
        lines.append(b"content-length: %d\r\n\r\n" % len(request.body))
        lines.append(request.body)
        return b"".join(lines)


def resolve(endpoint: Endpoint, *, timeout_seconds: float = 5.0) -> Target:
    """Resolve an endpoint and find an address that accepts a connection.

    A name may stand for several addresses (localhost is ::1 and 127.0.0.1); the first that accepts is taken, and
    when none does the first is kept, so that the run shows the failure. Raises TargetError for an unknown name.
    """
    parts = urlsplit(endpoint.url)
    host = parts.hostname or ""
    tls = parts.scheme == "https"
    port = parts.port or (443 if tls else 80)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise TargetError(StreamError(ErrorClass.DNS, f"cannot resolve {host}: {error.strerror or error}")) from error
    chosen = found[0]
    if len(found) > 1:
        chosen = next((entry for entry in found if _accepts(entry[0], entry[4], timeout_seconds)), found[0])
    bracketed = f"[{host}]" if ":" in host else host
    default = port == (443 if tls else 80)
    head = [("host", bracketed if default else f"{bracketed}:{port}"), ("user-agent", USER_AGENT)]
    # Compression would batch chunks inside the server; the measured cadence must be the engine's.
    head.append(("accept-encoding", "identity"))
    if endpoint.api_key:
        head.append(("authorization", f"Bearer {endpoint.api_key}"))
    head.extend(endpoint.headers)
    return Target(
        name=endpoint.name,
        family=int(chosen[0]),
        sockaddr=(str(chosen[4][0]), *(int(part) for part in chosen[4][1:])),
        tls=tls,
        server_name=host,
        base_path=parts.path.rstrip("/"),
        ca_file=endpoint.ca_file,
        insecure_skip_verify=endpoint.insecure_skip_verify,
        fixed_head=b"".join(f"{name}: {value}\r\n".encode("latin-1") for name, value in head),
    )


def _accepts(family: int, sockaddr: object, timeout_seconds: float) -> bool:
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.settimeout(timeout_seconds)
        try:
            sock.connect(sockaddr)  # type: ignore[arg-type]
        except OSError:
            return False
        return True
