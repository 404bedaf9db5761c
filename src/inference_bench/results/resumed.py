"""An interrupted run that went on: its earlier tables and its new journal, read as one and in one frame of time.

What is yielded here does not depend on how far a merging had come before it was cut off: of a table only the rows of
the parts before are taken, whether or not it holds those of the journal already. So the tables may be replaced one by
one, the requests last, and a kill between any two of them leaves a folder on which the same call does it all again.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import Bools, Ints
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import read_journal
from inference_bench.results.manifest import CutTurn, Manifest, PlannedTest, Resumption
from inference_bench.results.schema import Part, journal_schema, not_written, with_nulls

TABLES: Final[Mapping[Part, str]] = {
    "requests": "requests.parquet",
    "chunks": "chunks.parquet",
    "workers": "worker_samples.parquet",
    "server": "server_metrics.parquet",
}
_BATCH_ROWS: Final = 65_536
# What ends in _ns and is a length of time or a difference of clocks, not a mark on the monotonic clock.
_LENGTHS: Final = frozenset({"stall_ns", "run_ns", "wait_ns", "late_ns", "longest_stall_ns"})
_WALL_OFFSET: Final = "wall_offset_ns"


def records(folder: RunFolder, manifest: Manifest, part: Part) -> Iterator["pa.RecordBatch"]:
    """Yield what a run holds of one part, in the columns of the journal: the journal, and before it, where the run was
    resumed, what is kept of the tables. A run without a journal has its tables alone.

    Raises:
        RunFolderError: a table is damaged or of another version.
    """
    if not folder.journal.is_dir():
        yield from _table(folder, part)
        return
    if not manifest.resumed:
        yield from read_journal(folder.journal, part)
        return
    resumption = manifest.resumed[-1]
    yield from _earlier(folder, manifest.plan, resumption, part)
    for batch in read_journal(folder.journal, part):
        yield _continued(batch, resumption)


def cut_rows(
    batch: "pa.RecordBatch", plan: Iterable[PlannedTest], cut: Mapping[str, int], turns: Collection[CutTurn] = ()
) -> Bools:
    """Return which requests belong to a round or block that was cut, or to a later one, or to one of these `turns`;
    warm-ups go with their round.

    The warm-ups of a TTFT test belong to no block: they go when no block is kept.
    """
    found = np.zeros(batch.num_rows, dtype=np.bool_)
    kinds = {test.name: test.kind for test in plan}
    for test, first in cut.items():
        of_test = _truth(pc.equal(batch.column("test"), pa.scalar(test)))
        number = batch.column("block" if kinds.get(test) == "ttft" else "round")
        unnumbered = first if first == 0 else -1
        found |= of_test & (number.fill_null(pa.scalar(unnumbered, number.type)).to_numpy() >= first)
    for turn in turns:
        of_turn = _truth(pc.equal(batch.column("test"), pa.scalar(turn.test)))
        of_turn &= _truth(pc.equal(batch.column("service"), pa.scalar(turn.service)))
        found |= of_turn & (batch.column("round").to_numpy() == turn.round)
    return found


def _cut_rows(batch: "pa.RecordBatch", plan: Iterable[PlannedTest], resumption: Resumption) -> Bools:
    return cut_rows(batch, plan, resumption.cut, resumption.cut_turns)


def _earlier(
    folder: RunFolder, plan: Iterable[PlannedTest], resumption: Resumption, part: Part
) -> Iterator["pa.RecordBatch"]:
    """Yield what a resumed run keeps of the tables of its earlier parts."""
    gone = _cut_requests(folder, plan, resumption) if part in {"chunks", "server"} else None
    for batch in _table(folder, part):
        if part == "requests":
            kept = _before(batch, "seq", resumption.first_seq) & ~_cut_rows(batch, plan, resumption)
        elif part == "chunks" and gone is not None:
            kept = _before(batch, "seq", resumption.first_seq) & ~np.isin(batch.column("seq").to_numpy(), gone.numbers)
        else:
            kept = _before(batch, "at_ns", resumption.began_ns)
            if gone is not None:
                kept &= ~_closes_a_cut_turn(batch, gone)
        yield batch if kept.all() else batch.filter(pa.array(kept))


class _Cut(NamedTuple):
    """The requests that gave way: their numbers, and when the first counted one was sent, by test and service."""

    numbers: Ints
    begun_ns: Mapping[tuple[str, str], int]


def _cut_requests(folder: RunFolder, plan: Iterable[PlannedTest], resumption: Resumption) -> _Cut:
    numbers = [np.empty(0, dtype=np.int64)]
    begun: dict[tuple[str, str], int] = {}
    for batch in _table(folder, "requests"):
        cut = batch.filter(pa.array(_cut_rows(batch, plan, resumption)))
        numbers.append(cut.column("seq").to_numpy())
        for row in cut.select(["test", "service", "sent_ns", "warmup"]).to_pylist():
            if row["sent_ns"] is not None and not row["warmup"]:
                key = (row["test"], row["service"])
                begun[key] = min(begun.get(key, row["sent_ns"]), row["sent_ns"])
    return _Cut(np.concatenate(numbers), begun)


def _closes_a_cut_turn(batch: "pa.RecordBatch", cut: _Cut) -> Bools:
    """Return which samples of servers were taken at the end of a turn whose requests gave way: what the server counted
    in it has nothing to stand beside any more. A sample of its beginning alone says nothing.
    """
    found = np.zeros(batch.num_rows, dtype=np.bool_)
    at_ns = batch.column("at_ns").to_numpy()
    for (test, service), begun_ns in cut.begun_ns.items():
        of_turn = _truth(pc.equal(batch.column("test"), pa.scalar(test)).fill_null(False))
        found |= of_turn & _truth(pc.equal(batch.column("service"), pa.scalar(service))) & (at_ns > begun_ns)
    return found


def _continued(batch: "pa.RecordBatch", resumption: Resumption) -> "pa.RecordBatch":
    """Return a batch of the new part's journal in the run's own frame: its clock, and workers numbered onwards."""
    columns: list[pa.Array[Any]] = []
    for field, column in zip(batch.schema, batch.columns, strict=True):
        changed: pa.Array[Any] = column
        if field.name == "worker":
            changed = pc.add(column, pa.scalar(resumption.first_worker, field.type))
        elif resumption.shifted_ns and field.name == _WALL_OFFSET:
            changed = pc.subtract(column, resumption.shifted_ns)
        elif resumption.shifted_ns and field.name.endswith("_ns") and field.name not in _LENGTHS:
            changed = pc.add(column, resumption.shifted_ns)
        columns.append(changed)
    return pa.RecordBatch.from_arrays(columns, schema=batch.schema)


def _table(folder: RunFolder, part: Part) -> Iterator["pa.RecordBatch"]:
    """Yield a table's rows in the columns of the journal, null where an older version did not write them; a table that
    is not there has none.
    """
    path = folder.file(TABLES[part])
    if not path.is_file():
        return
    schema = journal_schema(part)
    try:
        with pq.ParquetFile(path) as file:
            missing = not_written(file.schema_arrow.names, part)
            if missing is None:
                hint = "Go on with the version that began the run."
                raise RunFolderError(f"{path} was written by another version", hint=hint)
            there = [name for name in schema.names if name not in missing]
            written = pa.schema([schema.field(name) for name in there])
            for batch in file.iter_batches(batch_size=_BATCH_ROWS, columns=there):
                table = pa.Table.from_batches([batch]).select(there).cast(written).combine_chunks()
                yield from (with_nulls(one, schema) if missing else one for one in table.to_batches())
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is damaged") from error


def _before(batch: "pa.RecordBatch", name: str, limit: int) -> Bools:
    return np.asarray(batch.column(name).to_numpy() < limit, dtype=np.bool_)


def _truth(values: "pa.Array[Any]") -> Bools:
    return np.asarray(values.to_numpy(zero_copy_only=False), dtype=np.bool_)
