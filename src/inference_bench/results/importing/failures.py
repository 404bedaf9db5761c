"""Why a request failed, from the words that other tools keep of it: one of our error classes, and one bounded line."""

import re
from typing import Final

from inference_bench.api.protocols import ErrorClass
from inference_bench.results.importing.fields import one_line

_STATUS: Final = re.compile(
    r"\b(?:HTTP(?:[ /]?Error)?|status(?:[ _]?code)?|code|Client error|Server error)\D{0,4}([45]\d\d)\b", re.IGNORECASE
)
_OVERLOADED: Final = (429, 503)
_FIRST_SERVER_ERROR: Final = 500
# The first that fits: names of exceptions of aiohttp and httpx, and the phrases of HTTP.
_WORDS: Final[tuple[tuple[str, ErrorClass], ...]] = (
    (r"cancel", ErrorClass.INTERRUPTED),
    (r"time.?out|timed out", ErrorClass.TIMEOUT),
    (r"gaierror|name or service not known|getaddrinfo|DNSError", ErrorClass.DNS),
    (r"ssl|certificate", ErrorClass.TLS),
    (r"cannot connect|connect call failed|connection refused|ConnectError|all connection attempts", ErrorClass.CONNECT),
    (r"too many requests|service unavailable|overloaded", ErrorClass.OVERLOADED),
    (r"payload|incomplete|TransferEncoding|RemoteProtocolError|peer closed", ErrorClass.TRUNCATED),
    (r"reset|ServerDisconnected|broken pipe|ReadError", ErrorClass.RESET),
    (r"never received a valid chunk|no content|empty response", ErrorClass.EMPTY),
    (r"JSONDecode|invalid json|malformed", ErrorClass.MALFORMED),
    (r"internal server error|bad gateway|gateway time-out", ErrorClass.HTTP_5XX),
    (r"bad request|unauthorized|forbidden|not found|unprocessable|payment required", ErrorClass.HTTP_4XX),
)


def of_status(status: int | None) -> str | None:
    """Return the error class of an HTTP status; None for one that is no failure."""
    if status is None or not 400 <= status < 600:
        return None
    if status in _OVERLOADED:
        return ErrorClass.OVERLOADED.value
    return (ErrorClass.HTTP_5XX if status >= _FIRST_SERVER_ERROR else ErrorClass.HTTP_4XX).value


def of_text(text: str, status: int | None = None) -> str | None:
    """Return the error class that words (or a status) tell of; None where they tell none of ours."""
    known = of_status(status)
    if known is not None:
        return known
    told = text[:20_000]
    found = _STATUS.search(told)
    if found is not None and (known := of_status(int(found[1]))) is not None:
        return known
    return next((kind.value for pattern, kind in _WORDS if re.search(pattern, told, re.IGNORECASE)), None)


def message(text: str) -> str | None:
    """Return what was wrong as one line: of a traceback, the last line that says something."""
    lines = [line for line in text[-20_000:].splitlines() if line.strip()]
    return one_line(lines[-1]) or None if lines else None
