"""Rates and load inside the steady window: requests, tokens by their arrival, requests in flight.

Rates use the summed length of all windows (rounds) of the test. What a window is stands in `windows`; token counts
are those of good requests, each token counted once and where it arrived.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inference_bench.metrics.chunks import UNKNOWN, ChunkTable
from inference_bench.metrics.columns import Bools, Floats, Ints, RequestColumns
from inference_bench.metrics.windows import Windows, contains, known_in, overlap_ns, rated, total_seconds


@dataclass(frozen=True, slots=True)
class Throughput:
    """Per second of the window; None where it cannot be known.

    `tokens_unknown` counts the good requests with text in the window whose output tokens nobody told; a token rate
    without them would be too low, so it is None. `rate_asked` is None in a closed loop.
    """

    requests_per_s: float | None
    output_tokens_per_s: float | None
    total_tokens_per_s: float | None
    tokens_unknown: int
    rate_asked: float | None
    rate_sent: float | None
    concurrency_mean: float | None
    concurrency_max: int | None


def throughput(columns: RequestColumns, chunks: ChunkTable | None, windows: Windows) -> Throughput:
    """Return the rates of one service in one test."""
    windows = rated(columns, windows)
    seconds = total_seconds(windows)
    if not seconds:
        return Throughput(None, None, None, 0, None, None, None, None)
    counted = ~columns.flag("warmup")
    good = columns.flag("ok") & counted
    ended = int((known_in(windows, columns.whole("end_ns")) & good).sum())
    asked, sent = _asked_and_sent(columns, windows, counted)
    unknown = _unknown_tokens(columns, windows, good)
    output = prompts = None
    if not np.any(unknown["output"]):
        output = output_tokens_in(columns, chunks, windows, good) / seconds
        if not np.any(unknown["prompt"]):
            prompts = _prompt_tokens_in(columns, windows, good) / seconds
    mean, most = concurrency(columns, windows)
    return Throughput(
        requests_per_s=ended / seconds,
        output_tokens_per_s=output,
        total_tokens_per_s=None if output is None or prompts is None else output + prompts,
        tokens_unknown=int(unknown["output"].sum()),
        rate_asked=None if asked is None else asked / seconds,
        rate_sent=sent / seconds,
        concurrency_mean=mean,
        concurrency_max=most,
    )


def cost_per_million_tokens(price_per_hour: float, tokens_per_s: float | None) -> float | None:
    """Return the price of a million tokens at this rate; None without a rate."""
    return price_per_hour / 3600 / tokens_per_s * 1e6 if tokens_per_s else None


def _asked_and_sent(columns: RequestColumns, windows: Windows, counted: Bools) -> tuple[int | None, int]:
    """Return how many requests were due in the windows (None in a closed loop), and how many of those sent there count.

    Later turns of sessions have no intended time: they follow their answers, and no rate was asked of them.
    """
    intended = columns.whole("intended_ns")
    sent = known_in(windows, columns.whole("sent_ns")) & counted
    if not intended.known.any():
        return None, int(sent.sum())
    return int((known_in(windows, intended) & counted).sum()), int((sent & intended.known).sum())


def _unknown_tokens(columns: RequestColumns, windows: Windows, good: Bools) -> dict[str, Bools]:
    """Return the good requests with text in the window that miss their output or prompt token count."""
    first, last = columns.whole("first_token_ns"), columns.whole("last_token_ns")
    touches = np.zeros(len(columns), dtype=np.bool_)
    for start, end in windows:
        touches |= (first.value < end) & (last.value >= start)
    touches &= good & first.known & last.known
    return {kind: touches & ~columns.whole(f"{kind}_tokens").known for kind in ("output", "prompt")}


def output_tokens_in(columns: RequestColumns, chunks: ChunkTable | None, windows: Windows, good: Bools) -> float:
    """Return how many output tokens of good requests arrived in the windows.

    Where each chunk's tokens are known they count at the chunk's arrival, and what the server counted beyond them (an
    end token without text) at the last one's. Else the split is unknown: the first chunk's tokens count at the first
    token, the others are spread evenly from there to the last.
    """
    seq = columns.whole("seq").value
    told = _told_by_chunks(chunks, np.sort(seq[good]), windows)
    carried, inside = told.of(seq), told.inside
    del seq, told
    split_known = good & (carried != UNKNOWN)
    last_inside = split_known & contains(windows, columns.whole("last_token_ns").value)
    beyond = int((columns.whole("output_tokens").value[last_inside] - carried[last_inside]).sum())
    del carried
    return inside + float(beyond) + float(_prorated(columns, windows, good & ~split_known).sum())


class _Told(NamedTuple):
    """Requests (sorted numbers), the tokens that the chunks of each told (UNKNOWN: not all of them told theirs), and
    how many of these came in the windows.
    """

    numbers: Ints
    tokens: Ints
    inside: int

    def of(self, seq: Ints) -> Ints:
        """Return the tokens of these requests; UNKNOWN also for one that is not among them."""
        if not self.numbers.size:
            return np.full(seq.shape, UNKNOWN, dtype=np.int64)
        place = np.searchsorted(self.numbers, seq)
        np.minimum(place, self.numbers.size - 1, out=place)
        return np.where(self.numbers[place] == seq, self.tokens[place], UNKNOWN)


def _told_by_chunks(chunks: ChunkTable | None, wanted: Ints, windows: Windows) -> _Told:
    """Return what the chunks of the wanted requests (sorted) tell."""
    tokens = np.full(wanted.shape, UNKNOWN, dtype=np.int64)
    inside = 0
    for whole in chunks.pieces(wanted) if chunks is not None else ():
        piece = whole.of(whole.tokens_known())
        if piece.numbers.size:
            tokens[np.searchsorted(wanted, piece.numbers)] = piece.token_sums()
            inside += int(piece.tokens[contains(windows, piece.arrival_ns)].sum(dtype=np.int64))
    return _Told(wanted, tokens, inside)


def _prorated(columns: RequestColumns, windows: Windows, which: Bools) -> Floats:
    if not which.any():
        return np.empty(0)
    first, last = columns.whole("first_token_ns"), columns.whole("last_token_ns")
    tokens = columns.whole("output_tokens")
    which = which & first.known & last.known & tokens.known
    start, end, count = first.value[which], last.value[which], tokens.value[which].astype(np.float64)
    told = columns.number("first_chunk_tokens")[which]
    at_first = np.minimum(np.where(np.isnan(told), 1.0, told), count)
    span = (end - start).astype(np.float64)
    # An answer that came at one moment has no span: all of it counts there.
    share = np.where(
        span > 0, overlap_ns(windows, start, end) / np.where(span > 0, span, 1.0), contains(windows, start)
    )
    result: Floats = at_first * contains(windows, start) + (count - at_first) * share
    return result


def _prompt_tokens_in(columns: RequestColumns, windows: Windows, good: Bools) -> float:
    """Return the prompt tokens of good requests whose first token (the end of their prefill) lies in the windows."""
    inside = known_in(windows, columns.whole("first_token_ns")) & good
    return float(columns.whole("prompt_tokens").value[inside].sum())


def concurrency(columns: RequestColumns, windows: Windows) -> tuple[float | None, int | None]:
    """Return the mean and the largest number of requests in flight (from sent to end) in the windows.

    Failed requests and warm-ups that reach into a window are counted: the server had them to serve. A request that
    ends when another is sent does not overlap it.
    """
    seconds = total_seconds(windows)
    if not seconds:
        return None, None
    starts, ends = _flights(columns)
    mean = float(overlap_ns(windows, starts, ends).sum()) / (seconds * 1e9)
    return mean, max(_most_at_once(np.maximum(starts, low), np.minimum(ends, high)) for low, high in windows)


def _flights(columns: RequestColumns) -> tuple[Ints, Ints]:
    """Return when each request was sent and when it ended, of those that have both marks."""
    sent, end = columns.whole("sent_ns"), columns.whole("end_ns")
    both = sent.known & end.known
    return (sent.value, end.value) if both.all() else (sent.value[both], end.value[both])


def _most_at_once(starts: Ints, ends: Ints) -> int:
    real = ends > starts
    starts, ends = starts[real], ends[real]
    if not starts.size:
        return 0
    starts.sort()
    ends.sort()
    in_flight = np.searchsorted(ends, starts, side="right")
    np.subtract(np.arange(1, starts.size + 1), in_flight, out=in_flight)
    return int(in_flight.max())
