"""Exchanges of a foreign file into a journal of ours: rows as a run writes them, marks in ns from the file's first.

What other tools do not keep is null; what our tables must have and no tool tells (a worker, bytes) is written as 0
and read by nobody.
"""

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from inference_bench.metrics.columns import NS_PER_S
from inference_bench.metrics.records import REQUEST_COLUMNS
from inference_bench.results.importing.model import Exchange
from inference_bench.results.journal import JournalWriter

_LONGEST_SPAN_S: Final = 366 * 86_400.0  # a mark further off is no mark of this run
_FURTHEST_S: Final = 1e10  # from the zero of the file's clock; beyond it a float tells no microseconds apart
_NOTHING: Final[dict[str, object]] = {
    "bool": False,
    "string": "",
    "category": "",
}


@dataclass(slots=True)
class Span:
    """What the rows of one test cover, in seconds of the file's clock, and what had to be left out of them."""

    first: float | None = None
    last: float | None = None
    requests: int = 0
    unordered: int = 0
    unplaced: int = 0


class Journalist:
    """Writes the exchanges of one file, numbered through all its tests. Marks count from `origin`, the first seen."""

    def __init__(self, journal: JournalWriter, *, service: str, engine: str, simulated: bool) -> None:
        self._journal = journal
        self._fixed: dict[str, object] = {"service": service, "engine": engine, "simulated": simulated, "kind": "load"}
        self._next = 0
        self.origin: float | None = None

    def write(self, test: str, exchanges: Iterable[Exchange]) -> Span:
        """Write a test's exchanges; return what they cover. A request without any mark is counted, not written."""
        span = Span()
        for exchange in exchanges:
            begun = next((mark for mark in (exchange.intended, exchange.sent, exchange.end) if mark is not None), None)
            if self.origin is None and begun is not None and abs(begun) <= _FURTHEST_S:
                self.origin = begun
            if begun is None or self.origin is None or not self._is_near(begun):
                span.unplaced += 1
                continue
            orderly = exchange.orderly
            span.unordered += not orderly
            self._add(test, span.requests, exchange, begun, orderly=orderly)
            span.requests += 1
            if not exchange.warmup:
                ended = begun if exchange.end is None else max(begun, exchange.end)
                span.first = begun if span.first is None else min(span.first, begun)
                span.last = ended if span.last is None else max(span.last, ended)
        return span

    def ns(self, mark: float | None) -> int | None:
        """Return a mark in ns from the origin."""
        if mark is None or self.origin is None or not self._is_near(mark):
            return None
        return round((mark - self.origin) * NS_PER_S)

    def _is_near(self, mark: float) -> bool:
        return self.origin is not None and abs(mark - self.origin) <= _LONGEST_SPAN_S

    def _add(self, test: str, index: int, exchange: Exchange, begun: float, *, orderly: bool) -> None:
        chunks = [mark for mark in map(self.ns, exchange.chunks) if mark is not None] if orderly else []
        row = {
            column.name: None if column.nullable else _NOTHING.get(column.kind, 0) for column in REQUEST_COLUMNS
        } | self._fixed
        row |= {"seq": self._next, "test": test, "round": 0, "index": index, "warmup": exchange.warmup}
        row |= {"intended_ns": self.ns(exchange.intended), "sent_ns": self.ns(exchange.sent)}
        if orderly:
            row |= {
                "first_token_ns": self.ns(exchange.first_token),
                "first_answer_token_ns": self.ns(exchange.first_answer_token),
                "last_token_ns": self.ns(exchange.last_token),
            }
        row |= {
            "end_ns": self.ns(exchange.end) if orderly else self.ns(begun),
            "ok": exchange.ok,
            "error_class": exchange.error_class,
            "error_message": exchange.error_message,
            "prompt_tokens": exchange.prompt_tokens,
            "output_tokens": exchange.output_tokens,
            "cached_tokens": exchange.cached_tokens,
            "token_source": exchange.token_source,
            "text_chunks": exchange.text_chunks or 0,
            "reused": exchange.reused,
            "stall_ns": max((later - earlier for earlier, later in pairwise(chunks)), default=None),
        }
        self._journal.add_request([row[column.name] for column in REQUEST_COLUMNS])
        if chunks:
            marks, zeros = array("q", chunks), array("i", bytes(4 * len(chunks)))
            unknown = array("h", [-1]) * len(chunks)
            self._journal.add_chunks(self._next, marks, marks, zeros, unknown, bytes(len(chunks)))
        self._next += 1
