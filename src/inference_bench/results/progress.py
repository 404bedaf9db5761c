"""How far an interrupted run had come: which rounds and blocks are whole, told by its windows and its records.

A round is whole when every service has had its turn to the end and all that was sent in it is kept; a block of the
TTFT test is whole when every service has answered, well or badly. Only what is whole counts when a run goes on.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from inference_bench.results.folder import RunFolder
from inference_bench.results.manifest import CutTurn, Manifest, PlannedTest, Window
from inference_bench.results.resumed import cut_rows, records

INTERRUPTED = "interrupted"
Turn = tuple[str, str, int]  # test, service, round


@dataclass(slots=True)
class Progress:
    """What a run holds. `completed` maps each planned test to its whole rounds or blocks, counted from the first.

    `begun` maps a test to one more than the highest round (ttft: stretch) that has records. `last_ns` is the last
    mark of all on the run's clock. `turns` maps each turn of a load test that has records or a window to whether it is
    whole.
    """

    completed: dict[str, int] = field(default_factory=dict)
    begun: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    next_seq: int = 0
    next_worker: int = 0
    last_ns: int = 0
    turns: dict[Turn, bool] = field(default_factory=dict)


@dataclass(slots=True)
class _Seen:
    """Counted requests of each turn (0 where it has warm-ups only), and who has answered in each block of each TTFT
    test.
    """

    turns: Counter[Turn] = field(default_factory=Counter)
    blocks: dict[tuple[str, int], set[str]] = field(default_factory=lambda: defaultdict(set))


def progress_of(folder: RunFolder, manifest: Manifest) -> Progress:
    """Return how far a run had come. Raises RunFolderError when its tables are damaged."""
    found, seen = Progress(), _Seen()
    for batch in records(folder, manifest, "requests"):
        if batch.num_rows:
            _count(batch, found, seen)
    for batch in records(folder, manifest, "workers"):
        if batch.num_rows:
            found.next_worker = max(found.next_worker, _highest(batch, "worker") + 1)
            found.last_ns = max(found.last_ns, _highest(batch, "at_ns"))
    for test in manifest.plan:
        services = test.services or tuple(service.name for service in manifest.services)
        if test.kind == "ttft":
            found.completed[test.name] = _leading(
                set(services) <= seen.blocks.get((test.name, block), set()) for block in range(_blocks(test))
            )
        else:
            windows = manifest.windows.get(test.name, {})
            found.completed[test.name] = _leading(
                all(_is_whole(windows.get(name, ()), test.name, name, number, seen) for name in services)
                for number in range(test.rounds)
            )
    found.turns = {turn: _is_whole(_windows(manifest, turn), *turn, seen) for turn in _turns(manifest, seen)}
    return found


def planned_units(test: PlannedTest) -> int:
    """Return how many rounds or blocks a test was planned with."""
    return _blocks(test) if test.kind == "ttft" else test.rounds


def removed_by(
    folder: RunFolder, manifest: Manifest, cut: Mapping[str, int], turns: Collection[CutTurn] = ()
) -> tuple[int, dict[tuple[str, int], int]]:
    """Return how many requests give way to a new beginning of the cut rounds, blocks and turns, warm-ups included, and
    the last end in ns of the counted ones that stay, by test and round (ttft: stretch).
    """
    removed = 0
    ends: dict[tuple[str, int], int] = {}
    for batch in records(folder, manifest, "requests"):
        gone = cut_rows(batch, manifest.plan, cut, turns)
        removed += int(gone.sum())
        stay = batch.filter(pa.array(~gone)).select(["test", "round", "warmup", "end_ns"])
        table = pa.Table.from_batches([stay])
        counted = table.filter(pc.invert(table.column("warmup")))
        grouped = counted.group_by(["test", "round"]).aggregate([("end_ns", "max")])
        for row in grouped.to_pylist():
            key = (row["test"], row["round"])
            ends[key] = max(ends.get(key, 0), row["end_ns_max"] or 0)
    return removed, ends


def kept_windows(
    manifest: Manifest,
    cut: Mapping[str, int],
    ends: Mapping[tuple[str, int], int],
    turns: Collection[CutTurn] = (),
) -> dict[str, dict[str, tuple[Window, ...]]]:
    """Return the windows that stay. A TTFT stretch that was cut ends with the last answer that is kept of it."""
    kinds = {test.name: test.kind for test in manifest.plan}
    gone = {(turn.test, turn.service, turn.round) for turn in turns}
    kept: dict[str, dict[str, tuple[Window, ...]]] = {}
    for test, of_test in manifest.windows.items():
        for service, windows in of_test.items():
            if test not in cut:
                stay = tuple(window for window in windows if (test, service, window.round) not in gone)
            elif kinds.get(test) == "ttft":
                stay = tuple(_trimmed(windows, test, ends))
            else:
                stay = tuple(window for window in windows if window.round < cut[test])
            if stay:
                kept.setdefault(test, {})[service] = stay
    return kept


def _trimmed(windows: Sequence[Window], test: str, ends: Mapping[tuple[str, int], int]) -> Iterator[Window]:
    for window in windows:
        if not window.cut:
            yield window
            continue
        end_ns = min(window.end_ns, ends.get((test, window.round), 0) + 1)
        if end_ns > window.start_ns:
            yield window.model_copy(update={"end_ns": end_ns})


def _count(batch: "pa.RecordBatch", found: Progress, seen: _Seen) -> None:
    found.requests += batch.num_rows
    found.next_seq = max(found.next_seq, _highest(batch, "seq") + 1)
    found.next_worker = max(found.next_worker, _highest(batch, "worker") + 1)
    found.last_ns = max([found.last_ns, *(_highest(batch, name) for name in ("end_ns", "sent_ns", "connect_start_ns"))])
    table = pa.Table.from_batches([batch])
    turns = table.group_by(["test", "service", "round", "warmup"]).aggregate([([], "count_all")])
    for row in turns.to_pylist():
        found.begun[row["test"]] = max(found.begun.get(row["test"], 0), row["round"] + 1)
        turn = row["test"], row["service"], row["round"]
        seen.turns[turn] += 0 if row["warmup"] else row["count_all"]
    blocks = table.filter(pc.is_valid(table.column("block"))).select(["test", "service", "block", "error_class"])
    for row in blocks.to_pylist():
        if row["error_class"] != INTERRUPTED:
            seen.blocks[row["test"], row["block"]].add(row["service"])


def _turns(manifest: Manifest, seen: _Seen) -> set[Turn]:
    """Return the turns of load tests that have records or a window, whether or not their test is still planned."""
    single = {test.name for test in manifest.plan if test.kind == "ttft"}
    windows = {
        (test, service, window.round)
        for test, of_test in manifest.windows.items()
        for service, of_service in of_test.items()
        for window in of_service
    }
    return {turn for turn in {*windows, *seen.turns} if turn[0] not in single}


def _windows(manifest: Manifest, turn: Turn) -> Sequence[Window]:
    return manifest.windows.get(turn[0], {}).get(turn[1], ())


def _is_whole(windows: Sequence[Window], test: str, service: str, number: int, seen: _Seen) -> bool:
    """Return whether a turn was run to its end and everything that it sent is kept."""
    window = next((one for one in windows if one.round == number), None)
    if window is None or window.cut:
        return False
    return window.requests is None or seen.turns[test, service, number] >= window.requests


def _leading(whole: Iterable[bool]) -> int:
    """Return how many are true before the first that is not."""
    count = 0
    for one in whole:
        if not one:
            break
        count += 1
    return count


def _blocks(test: PlannedTest) -> int:
    return test.load.iterations or 0


def _highest(batch: "pa.RecordBatch", name: str) -> int:
    found = pc.max(batch.column(name)).as_py()
    return -1 if found is None else int(found)
