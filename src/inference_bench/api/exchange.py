"""One measured exchange: what is handed to the transport, and what comes back of it, undecoded."""

from array import array
from dataclasses import dataclass

from inference_bench.api.protocols import ErrorClass


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Bounds of one exchange in seconds: connection set-up, longest silence, and the whole."""

    connect_seconds: float = 10.0
    idle_seconds: float = 60.0
    total_seconds: float = 300.0


class Job:
    """One request ready to be sent. `meta` is carried through unread; `intended_ns` is 0 in a closed loop."""

    __slots__ = ("intended_ns", "meta", "payload", "seq", "target", "user")

    def __init__(
        self, seq: int, target: int, payload: bytes, *, intended_ns: int = 0, user: int = -1, meta: bytes = b""
    ) -> None:
        self.seq = seq
        self.target = target
        self.payload = payload
        self.intended_ns = intended_ns
        self.user = user
        self.meta = meta


class RawExchange:
    """Everything that was seen of one request. Marks are monotonic ns, 0 when the mark was not reached.

    `pieces[i]` is the body content of read i; `arrivals[i]` is its kernel stamp (the clock at the read where there is
    none) and `reads[i]` the clock at the read. Reads that brought only head or framing bytes are not listed.
    """

    __slots__ = (
        "arrivals",
        "bytes_received",
        "connect_start_ns",
        "connected_ns",
        "end_ns",
        "failure",
        "headers",
        "job",
        "message",
        "pieces",
        "reads",
        "reconnected",
        "reused",
        "sent_ns",
        "status",
    )

    def __init__(self, job: Job) -> None:
        self.job = job
        self.connect_start_ns = 0
        self.connected_ns = 0
        self.sent_ns = 0
        self.end_ns = 0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.pieces: list[bytes] = []
        self.arrivals = array("q")
        self.reads = array("q")
        self.bytes_received = 0
        self.reused = False
        self.reconnected = False
        self.failure: ErrorClass | None = None
        self.message = ""

    @property
    def first_byte_ns(self) -> int:
        """Arrival of the first byte of the body."""
        return self.arrivals[0] if self.arrivals else 0
