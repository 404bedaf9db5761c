"""MetricsCalculator: the records of one service in one test, seen as metrics.

It decides which requests count (good, in the window, no warm-up) and leaves each formula to its own module. It reads
no file and knows no verdict; comparing services is done elsewhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from inference_bench.metrics.chunks import ChunkSource, ChunkTable
from inference_bench.metrics.columns import Floats, Ints, Records, RequestColumns
from inference_bench.metrics.definitions import METRICS, Metric
from inference_bench.metrics.distribution import Distribution, describe
from inference_bench.metrics.gaps import Gaps, chunk_gaps, gathered_gaps, grouped_gaps, token_gaps, zero_gaps
from inference_bench.metrics.gathering import Gathering
from inference_bench.metrics.goodput import Goodput, PerRequestLimits, goodput
from inference_bench.metrics.throughput import Throughput, throughput
from inference_bench.metrics.windows import Windows, checked, in_window, total_seconds

INTERRUPTED = "interrupted"


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """Requests of the window. sent = ok + failed + interrupted; `errors` counts the failed by class."""

    sent: int
    ok: int
    failed: int
    interrupted: int
    errors: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ColdStart:
    """The first request of the test, warm-ups included: its TTFT, and the model load time the server told."""

    ttft_ms: float | None
    server_load_ms: float | None


@dataclass(frozen=True, slots=True)
class StampFacts:
    """How sharp the stamps are: first tokens that shared their read with other chunks, and all such reads."""

    first_tokens: int
    first_tokens_merged: int
    merged_share: float | None
    merged_reads: int


class MetricsCalculator:
    """Metrics of one service in one test.

    Args:
        requests: request records (columns of `records.REQUEST_COLUMNS`), warm-ups and failures included.
        chunks: their text chunks (columns of `records.CHUNK_COLUMNS`), in a table or to be read from where they are
            stored; None when they were not kept. The chunks of a request stand in stream order; requests may stand in
            any order in both tables.
        windows: the steady windows [start, end) in ns of the monotonic clock, one per round.
        slo: limits per request for goodput, None when nothing was promised.
        sharing: how many calculators are used side by side: they share what is held of their chunks.

    Raises:
        ValueError: the records are of several services or tests, or the windows are empty or overlap.
    """

    def __init__(
        self,
        requests: Records,
        chunks: pa.Table | ChunkSource | None,
        *,
        windows: Windows,
        slo: PerRequestLimits | None = None,
        sharing: int = 1,
    ) -> None:
        self._columns = RequestColumns(requests)
        for name in ("service", "test"):
            if len(self._columns.distinct(name)) > 1:
                raise ValueError(f"the records belong to more than one {name}")
        self._chunk_source = chunks
        self._sharing = sharing
        self.windows = checked(windows)
        self._slo = slo
        self._counted = in_window(self._columns, self.windows)
        self._good = self._columns.flag("ok") & self._counted

    @cached_property
    def _chunks(self) -> ChunkTable | None:
        """The chunks, read when a figure first needs them: many are made of the requests alone."""
        return None if self._chunk_source is None else ChunkTable(self._chunk_source, sharing=self._sharing)

    @property
    def window_seconds(self) -> float:
        """The summed length of the windows."""
        return total_seconds(self.windows)

    def values(self, metric_id: str) -> Floats:
        """Return the values of a metric: good requests of the window (or their gaps), missing ones left out.

        Raises:
            KeyError: there is no such metric.
        """
        metric = METRICS[metric_id]
        if metric.compute is None:
            return self._gaps(metric).values
        every = metric.compute(self._columns)[self._good]
        return every[np.isfinite(every)]

    def grouped(self, metric_id: str, groups: Ints, count: int) -> list[Floats]:
        """Return `values` split into `count` groups; `groups` tells the group of each request record, -1 of none.

        Raises:
            KeyError: there is no such metric.
        """
        metric = METRICS[metric_id]
        wanted = self._good & (groups >= 0)
        if metric.compute is None:
            if self._chunks is None:
                return [np.empty(0) for _ in range(count)]
            numbers = self._columns.whole("seq").value[wanted]
            order = np.argsort(numbers)
            return grouped_gaps(metric_id, self._chunks, numbers[order], groups[wanted][order], count)
        every = metric.compute(self._columns)
        wanted &= np.isfinite(every)
        group = groups[wanted]
        ends = np.cumsum(np.bincount(group, minlength=count))
        return np.split(every[wanted][np.argsort(group, kind="stable")], ends[:-1])

    def distribution(self, metric_id: str) -> Distribution:
        """Return the figures of a metric; `missing` counts the good requests of the window that gave no value.

        Raises:
            KeyError: there is no such metric.
        """
        metric = METRICS[metric_id]
        good = int(np.count_nonzero(self._good))
        if metric.compute is None:
            gathering, requests = self._gathered(metric_id)
            return gathering.describe(missing=good - requests, better=metric.better)
        values = self.values(metric_id)
        return describe(values, missing=good - int(values.size), better=metric.better)

    def distributions(self) -> dict[str, Distribution]:
        """Return the figures of every metric, one at a time."""
        return {metric_id: self.distribution(metric_id) for metric_id in METRICS}

    def _gaps(self, metric: Metric) -> Gaps:
        if self._chunks is None:
            return Gaps(np.empty(0), 0)
        wanted = np.sort(self._columns.whole("seq").value[self._good])
        return {"icl_ms": chunk_gaps, "itl_ms": token_gaps}[metric.id](self._chunks, wanted)

    def _gathered(self, metric_id: str) -> tuple[Gathering, int]:
        if self._chunks is None:
            return Gathering(), 0
        return gathered_gaps(metric_id, self._chunks, np.sort(self._columns.whole("seq").value[self._good]))

    def gap_percentile(self, metric_id: str, percent: int) -> float | None:
        """Return a percentile of icl_ms or itl_ms, whatever the number of gaps; None without any."""
        return self._gathered(metric_id)[0].percentile(percent)

    def zero_gap_share(self) -> float | None:
        """Return the share of icl gaps that are 0 (chunks with one stamp); None without gaps."""
        if self._chunks is None:
            return None
        zeros, every = zero_gaps(self._chunks, np.sort(self._columns.whole("seq").value[self._good]))
        return zeros / every if every else None

    def counts(self) -> RequestCounts:
        """Return how many requests of the window ended how."""
        found = self._columns.coded("error_class").counts(self._counted & ~self._good)
        errors: dict[str, int] = {}
        for name, count in found.items():
            errors[name or "unknown"] = errors.get(name or "unknown", 0) + count
        interrupted = errors.pop(INTERRUPTED, 0)
        sent, ok = int(np.count_nonzero(self._counted)), int(np.count_nonzero(self._good))
        return RequestCounts(sent, ok, sent - ok - interrupted, interrupted, dict(sorted(errors.items())))

    def success_rate(self) -> float | None:
        """Return ok / (ok + failed); interrupted requests are neither. None when nothing ended."""
        counts = self.counts()
        ended = counts.ok + counts.failed
        return counts.ok / ended if ended else None

    def throughput(self, windows: Windows | None = None) -> Throughput:
        """Return the rates inside the windows, or inside some of them."""
        return throughput(self._columns, self._chunks, self.windows if windows is None else checked(windows))

    def goodput(self) -> Goodput | None:
        """Return the rate of requests that met every limit; None when nothing was promised."""
        if self._slo is None:
            return None
        interrupted = self._columns.coded("error_class").among([INTERRUPTED])
        return goodput(self._columns, self._counted & ~interrupted, self.windows, self._slo)

    def cold_start(self) -> ColdStart | None:
        """Return what the very first request saw; None when none was sent."""
        sent = self._columns.whole("sent_ns")
        if not sent.known.any():
            return None
        first = int(np.argmin(np.where(sent.known, sent.value, np.iinfo(np.int64).max)))
        good = bool(self._columns.flag("ok")[first])
        ttft = self._columns.elapsed_ms("first_token_ns", "sent_ns")[first] if good else np.nan
        load = self._columns.number("server_load_ms")[first]
        return ColdStart(_known(ttft), _known(load))

    def stamps(self) -> StampFacts:
        """Return how many first tokens of the window's good requests came in a merged read."""
        known = self._good & self._columns.whole("first_token_ns").known
        merged = known & self._columns.flag("first_token_merged")
        total, shared = int(np.count_nonzero(known)), int(np.count_nonzero(merged))
        reads = int(self._columns.whole("merged_reads").value[self._good].sum())
        return StampFacts(total, shared, shared / total if total else None, reads)


def _known(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
