"""The windows of turns that were cut short. A run that was killed could not write them down; its records tell them.

A turn that was completed, or interrupted in good order, has its window in the manifest; nothing here changes that.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from inference_bench.metrics.columns import NS_PER_S, RequestColumns
from inference_bench.results.manifest import Manifest, PlannedTest, Window

_Turn = tuple[str, str, int]  # test, service, round


@dataclass(slots=True)
class _Seen:
    """The first send (open loop: intended send) and the last end of a turn's counted requests."""

    first_ns: int
    last_ns: int


def with_cut_windows(manifest: Manifest, batches: Iterable["pa.RecordBatch"]) -> Manifest:
    """Return the manifest with a window for each turn that has records and no window: from the end of its ramp to the
    last end of a request, at most as long as was planned. Turns that did not outlive their ramp get none.
    """
    seen: dict[_Turn, _Seen] = {}
    for batch in batches:
        for turn, first_ns, last_ns in _turns(batch):
            found = seen.setdefault(turn, _Seen(first_ns, last_ns))
            found.first_ns, found.last_ns = min(found.first_ns, first_ns), max(found.last_ns, last_ns)
    windows = {test: dict(of_test) for test, of_test in manifest.windows.items()}
    for planned in manifest.plan:
        for (test, service, round_no), found in seen.items():
            known = windows.get(test, {}).get(service, ())
            if test != planned.name or round_no in (window.round for window in known):
                continue
            window = _window(planned, round_no, found)
            if window is not None:
                windows.setdefault(test, {})[service] = (*known, window)
    return manifest.model_copy(update={"windows": windows})


def _turns(batch: "pa.RecordBatch") -> Iterator[tuple[_Turn, int, int]]:
    """Yield (turn, first send, last end) of a batch's counted requests that were sent and ended."""
    columns = RequestColumns(pa.Table.from_batches([batch]))
    intended, sent, end = (columns.whole(name) for name in ("intended_ns", "sent_ns", "end_ns"))
    begun = np.where(intended.known, intended.value, sent.value)
    counted = ~columns.flag("warmup") & (intended.known | sent.known) & end.known
    rounds = columns.whole("round").value.tolist()
    turns = list(zip(columns.words("test"), columns.words("service"), rounds, strict=True))
    for turn in dict.fromkeys(turns):
        rows = counted & np.array([one == turn for one in turns], dtype=np.bool_)
        if rows.any():
            test, service, round_no = turn
            yield (str(test), str(service), round_no), int(begun[rows].min()), int(end.value[rows].max())


def _window(planned: PlannedTest, round_no: int, seen: _Seen) -> Window | None:
    opens = seen.first_ns + round((planned.load.ramp_up_seconds or 0.0) * NS_PER_S)
    closes = seen.last_ns + 1
    if planned.load.duration_seconds is not None:
        turns = 1 if planned.probe else planned.rounds  # a probe's load says what each of its turns lasts
        closes = min(closes, opens + round(planned.load.duration_seconds / turns * NS_PER_S))
    return Window(round=round_no, start_ns=opens, end_ns=closes, cut=True) if closes > opens else None
