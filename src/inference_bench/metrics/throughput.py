"""Rates and load inside the steady window: requests, tokens by their arrival, requests in flight.

Rates use the summed length of all windows (rounds) of the test. What a window is stands in `windows`; token counts
are those of good requests, each token counted once and where it arrived.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from inference_bench.metrics.chunks import ChunkTable
from inference_bench.metrics.columns import Bools, Floats, Ints, RequestColumns
from inference_bench.metrics.windows import Windows, contains, known_in, overlap_ns, total_seconds


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
    seconds = total_seconds(windows)
    if not seconds:
        return Throughput(None, None, None, 0, None, None, None, None)
    counted = ~columns.flag("warmup")
    good = columns.flag("ok") & counted
    intended, sent = columns.whole("intended_ns"), columns.whole("sent_ns")
    # Later turns of sessions have no intended time: they follow their answers, and no rate was asked of them.
    of_plan = intended.known if intended.known.any() else np.ones(len(columns), dtype=np.bool_)
    ended = known_in(windows, columns.whole("end_ns")) & good
    unknown = _unknown_tokens(columns, windows, good)
    output = prompts = None
    if not np.any(unknown["output"]):
        output = output_tokens_in(columns, chunks, windows, good) / seconds
        if not np.any(unknown["prompt"]):
            prompts = _prompt_tokens_in(columns, windows, good) / seconds
    mean, most = concurrency(columns, windows)
    return Throughput(
        requests_per_s=int(ended.sum()) / seconds,
        output_tokens_per_s=output,
        total_tokens_per_s=None if output is None or prompts is None else output + prompts,
        tokens_unknown=int(unknown["output"].sum()),
        rate_asked=int((known_in(windows, intended) & counted).sum()) / seconds if intended.known.any() else None,
        rate_sent=int((known_in(windows, sent) & counted & of_plan).sum()) / seconds,
        concurrency_mean=mean,
        concurrency_max=most,
    )


def cost_per_million_tokens(price_per_hour: float, tokens_per_s: float | None) -> float | None:
    """Return the price of a million tokens at this rate; None without a rate."""
    return price_per_hour / 3600 / tokens_per_s * 1e6 if tokens_per_s else None


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
    told = _told_by_chunks(chunks, seq[good], windows)
    split_known = good & np.isin(seq, told.numbers)
    carried = told.tokens[np.searchsorted(told.numbers, seq[split_known])]
    beyond = columns.whole("output_tokens").value[split_known] - carried
    last_inside = contains(windows, columns.whole("last_token_ns").value[split_known])
    spread = _prorated(columns, windows, good & ~split_known)
    return told.inside + float(beyond[last_inside].sum()) + float(spread.sum())


class _Told(NamedTuple):
    """Requests (sorted numbers) whose chunks tell all their tokens, the sums, and how many came in the windows."""

    numbers: Ints
    tokens: Ints
    inside: int


def _told_by_chunks(chunks: ChunkTable | None, wanted: Ints, windows: Windows) -> _Told:
    numbers: list[Ints] = [np.empty(0, dtype=np.int64)]
    tokens: list[Ints] = [np.empty(0, dtype=np.int64)]
    inside = 0
    for whole in chunks.pieces(wanted) if chunks is not None else ():
        piece = whole.of(whole.tokens_known())
        if piece.numbers.size:
            numbers.append(piece.numbers)
            tokens.append(piece.token_sums())
            inside += int(piece.tokens[contains(windows, piece.arrival_ns)].sum(dtype=np.int64))
    every = np.concatenate(numbers)
    order = np.argsort(every)
    return _Told(every[order], np.concatenate(tokens)[order], inside)


def _prorated(columns: RequestColumns, windows: Windows, which: Bools) -> Floats:
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
    sent, end = columns.whole("sent_ns"), columns.whole("end_ns")
    both = sent.known & end.known
    starts, ends = sent.value[both], end.value[both]
    mean = float(overlap_ns(windows, starts, ends).sum()) / (seconds * 1e9)
    return mean, max(_most_at_once(np.maximum(starts, low), np.minimum(ends, high)) for low, high in windows)


def _most_at_once(starts: Ints, ends: Ints) -> int:
    real = ends > starts
    starts, ends = np.sort(starts[real]), np.sort(ends[real])
    if not starts.size:
        return 0
    in_flight = np.arange(1, starts.size + 1) - np.searchsorted(ends, starts, side="right")
    return int(in_flight.max())
