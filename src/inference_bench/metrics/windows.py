"""The steady window of a test: which requests belong to it, how long it is, and what of a stretch lies in it.

A window is a half-open interval [start, end) of the monotonic clock in ns; a test has one per round. How a window is
found (after ramp and warm-up, before the drain) is the runners' business.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from inference_bench.metrics.columns import NS_PER_S, Bools, Floats, Ints, RequestColumns, Whole

Windows = Sequence[tuple[int, int]]

# A request that never got a connection was never sent; it still happened, and counts where it was tried.
_MARKS_OF_ORIGIN = ("intended_ns", "sent_ns", "connect_start_ns", "end_ns")


def checked(windows: Windows) -> tuple[tuple[int, int], ...]:
    """Return the windows in order of time.

    Raises:
        ValueError: a window is empty or reversed, or two overlap: a rate over them would count twice.
    """
    ordered = tuple(sorted((int(start), int(end)) for start, end in windows))
    for start, end in ordered:
        if end <= start:
            raise ValueError(f"the window [{start}, {end}) is empty")
    for (_, end), (start, _) in pairwise(ordered):
        if start < end:
            raise ValueError(f"two windows overlap at {start}")
    return ordered


def total_seconds(windows: Windows) -> float:
    """Return the summed length of the windows in seconds."""
    return sum(end - start for start, end in windows) / NS_PER_S


def contains(windows: Windows, times: Ints) -> Bools:
    """Return, for each time, whether it lies in a window."""
    inside = np.zeros(times.shape, dtype=np.bool_)
    for start, end in windows:
        inside |= (times >= start) & (times < end)
    return inside


def known_in(windows: Windows, times: Whole) -> Bools:
    """Return, for each time, whether it is known and lies in a window."""
    return contains(windows, times.value) & times.known


def origin(columns: RequestColumns) -> Whole:
    """Return the mark that places a request in time: intended in an open loop, else sent, else when it was tried."""
    value, known = columns.whole(_MARKS_OF_ORIGIN[0])
    for name in _MARKS_OF_ORIGIN[1:]:
        other = columns.whole(name)
        take = ~known & other.known
        value[take] = other.value[take]
        known |= other.known
    return Whole(value, known)


def in_window(columns: RequestColumns, windows: Windows) -> Bools:
    """Return which requests count: sent (open loop: intended) in a window, and no warm-up."""
    return known_in(windows, origin(columns)) & ~columns.flag("warmup")


def overlap_ns(windows: Windows, starts: Ints, ends: Ints) -> Floats:
    """Return how much of each stretch [start, end] lies in the windows, in ns."""
    shared = np.zeros(starts.shape)
    for low, high in windows:
        part = np.minimum(ends, high)
        part -= np.maximum(starts, low)
        shared += np.maximum(part, 0, out=part)
    return shared


def rated(columns: RequestColumns, windows: Windows) -> Windows:
    """Return the windows that a rate can be made of.

    A closed loop that ends by its requests closes its window with the last send. Where no answer had come back until
    then, every request was a user's first: the window is as long as the sending took, and says nothing of how fast
    answers follow each other.
    """
    if columns.whole("intended_ns").known.any():
        return windows
    counted = ~columns.flag("warmup")
    sent, end = (columns.whole(name) for name in ("sent_ns", "end_ns"))
    sent = Whole(sent.value, sent.known & counted)

    def answered(window: tuple[int, int]) -> bool:
        last = (window[1] - 1, window[1])
        return not known_in((last,), sent).any() or bool(known_in((window,), end)[sent.known].any())

    return tuple(window for window in windows if answered(window))
