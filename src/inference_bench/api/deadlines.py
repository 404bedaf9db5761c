"""When a connection has outlived its bounds: set-up, silence, the whole exchange, the size of the answer."""

from typing import Final

from inference_bench.api.connection import Connection, State
from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import ErrorClass

MAX_RESPONSE_BYTES: Final = 256 * 1024 * 1024
_NANOSECONDS: Final = 1_000_000_000


def expired(connection: Connection, bounds: Timeouts, now_ns: int) -> tuple[ErrorClass, str] | None:
    """Return why this connection must be given up now, None when it need not."""
    if connection.state is State.BUSY:
        exchange = connection.exchange
        assert exchange is not None
        if exchange.bytes_received > MAX_RESPONSE_BYTES:
            return ErrorClass.MALFORMED, f"the answer has more than {MAX_RESPONSE_BYTES >> 20} MiB"
        if now_ns - exchange.sent_ns > bounds.total_seconds * _NANOSECONDS:
            return ErrorClass.TIMEOUT, f"no end after {bounds.total_seconds:g} s"
        if now_ns - connection.last_activity_ns > bounds.idle_seconds * _NANOSECONDS:
            return ErrorClass.TIMEOUT, f"silent for {bounds.idle_seconds:g} s"
    elif connection.state is not State.IDLE and now_ns - connection.connect_start_ns > bounds.connect_seconds * 1e9:
        return ErrorClass.TIMEOUT, f"no connection within {bounds.connect_seconds:g} s"
    return None
