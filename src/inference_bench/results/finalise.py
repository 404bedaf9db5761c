"""From journal to Parquet: a run's end, and the rescue of one that was killed.

Everything streams batch by batch, so memory does not grow with the run. The journal goes only after every file that
replaces it is whole and in place; a kill at any moment leaves a folder on which the same call does all of it again.
"""

import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import RequestColumns
from inference_bench.metrics.windows import in_window
from inference_bench.results.atomic import replacing
from inference_bench.results.cut_windows import with_cut_windows
from inference_bench.results.folder import MANIFEST, RunFolder, shown_status
from inference_bench.results.journal import read_journal, wait_for_writer
from inference_bench.results.manifest import FileFacts, Manifest
from inference_bench.results.resumed import TABLES, records
from inference_bench.results.rounds import of_round, only_round
from inference_bench.results.schema import Part, parquet_schema

REQUESTS: Final = TABLES["requests"]
CHUNKS: Final = TABLES["chunks"]
WORKER_SAMPLES: Final = TABLES["workers"]
SERVER_METRICS: Final = TABLES["server"]  # only where a server told something
WRITER_SECONDS: Final = 10.0  # a decoder whose coordinator was killed writes out its rest in far less
_REMOVING: Final = "journal.removing"
_INTERIM: Final = "look"
_GROUP_ROWS: Final = 131_072
_GROUP_BYTES: Final = 4_000_000
_MARKS: Final = {"chunks": ["seq", "arrival_ns", "read_ns"]}

Summarise = Callable[[RunFolder], object]  # what it returns is the caller's business
FinalStatus = Literal["complete", "partial", "failed"]


def finalise(
    folder: RunFolder,
    *,
    status: FinalStatus,
    save_raw_data: bool,
    summarise: Summarise | None = None,
) -> Manifest:
    """Turn the journal into Parquet files, let `summarise` read them, close the manifest, remove the journal.

    `in_window` is filled from the manifest's windows (null where a test's windows are not known); those of turns that
    were cut short are told by their records (see `cut_windows`). Without `save_raw_data` the chunks of a complete run
    are there for `summarise` (see `tables`), and gone afterwards; one that ended early keeps them, for it may go on.
    Where it went on, its earlier tables are merged with the journal (see `resumed`). A run in which any answer came
    from a simulated engine is marked simulated.

    Raises:
        RunFolderError: there is no journal to read.
    """
    keep = save_raw_data or status != "complete"
    resumed = bool(folder.read_manifest().resumed)
    chunks = (folder.path if keep or resumed else folder.journal) / CHUNKS
    _write_tables(folder, folder, chunks=chunks, cut_short=status != "complete")
    if summarise is not None:
        summarise(folder)
    return _close(folder, status, without=() if keep else (CHUNKS,))


def recover(folder: RunFolder, *, summarise: Summarise | None = None) -> Manifest:
    """Rescue what the journal of a run that ended early holds; its status becomes, and stays, partial (or failed).

    A run that was closed is left as it is; a journal that a kill left beside a complete one's files is removed.

    Raises:
        RunFolderError: the run is still going on, there is nothing to recover, or its folder cannot be written to.
    """
    manifest = folder.read_manifest()
    if shown_status(manifest) == "running":
        raise RunFolderError(f"{folder.test_id} is still running", hint="Wait for its end, or stop it first.")
    ended = manifest.status != "running"
    if manifest.status == "complete" or (ended and not folder.journal.is_dir()):
        remove_journal(folder)
        return manifest
    if not os.access(folder.path, os.W_OK | os.X_OK):
        raise RunFolderError(f"cannot write to {folder.path}: permission denied", hint="It must be yours to write.")
    if not wait_for_writer(folder.journal, seconds=WRITER_SECONDS):
        raise RunFolderError(f"{folder.test_id} is still being written to", hint="Try again in a moment.")
    status: FinalStatus = "failed" if manifest.status == "failed" else "partial"
    if folder.journal.is_dir():
        return finalise(folder, status=status, save_raw_data=True, summarise=summarise)
    if not folder.file(REQUESTS).is_file():
        raise RunFolderError(f"{folder.test_id} holds neither a journal nor {REQUESTS}: nothing was measured")
    if summarise is not None:
        summarise(folder)
    return _close(folder, status)


def remove_journal(folder: RunFolder) -> None:
    """Remove the journal; a kill in between leaves no half of it under its name."""
    removing = folder.file(_REMOVING)
    if folder.journal.is_dir():
        if removing.is_dir():
            shutil.rmtree(removing)
        folder.journal.rename(removing)
    if removing.is_dir():
        shutil.rmtree(removing)


def chunks_file(folder: RunFolder) -> Path | None:
    """Return where the run's chunks are: kept, or for the time of finalising beside the journal; None when not kept."""
    return next((path for path in (folder.file(CHUNKS), folder.journal / CHUNKS) if path.is_file()), None)


def interim_run(folder: RunFolder) -> RunFolder:
    """Write what the journal of a run holds so far as a run of its own, to be looked at while the run goes on.

    It stands inside the journal, with which it goes at the latest; the journal itself stays as it is. One that was
    left from an earlier look is replaced.

    Raises:
        RunFolderError: there is no journal to read.
    """
    remove_interim(folder)
    interim = RunFolder(folder.journal / _INTERIM)
    interim.path.mkdir()
    _write_tables(folder, interim, chunks=interim.file(CHUNKS), cut_short=False)
    return interim


def probe_run(folder: RunFolder, test: str, round_no: int) -> RunFolder:
    """Write what a run holds of one round of one test as a run of its own: as `interim_run`, but small. Of a run that
    was resumed the parts before count too.
    """
    remove_interim(folder)
    interim = RunFolder(folder.journal / _INTERIM)
    interim.path.mkdir()
    whole = folder.read_manifest()
    manifest = only_round(whole, test, round_no)
    held = records(folder, whole, "requests")
    rows = [found for batch in held if (found := of_round(batch, test, round_no)).num_rows]
    wanted = pa.concat_arrays([batch.column("seq") for batch in rows]) if rows else pa.array([], pa.int64())
    chunks = (batch.filter(pc.is_in(batch.column("seq"), wanted)) for batch in records(folder, whole, "chunks"))
    simulated = manifest.simulated
    _write(interim.file(CHUNKS), "chunks", chunks, simulated=simulated)
    _write(interim.file(WORKER_SAMPLES), "workers", records(folder, whole, "workers"), simulated=simulated)
    _write(interim.file(REQUESTS), "requests", _placed(rows, manifest), simulated=simulated)
    interim.write_manifest(manifest)
    return interim


def remove_interim(folder: RunFolder) -> None:
    """Remove what `interim_run` made; nothing happens where there is none."""
    path = folder.journal / _INTERIM
    if path.is_dir():
        shutil.rmtree(path)


def _write_tables(folder: RunFolder, into: RunFolder, *, chunks: Path, cut_short: bool) -> None:
    """Write the tables of what `folder`'s journal holds, and the manifest they belong to, into a run folder."""
    if not folder.journal.is_dir():
        raise RunFolderError(f"{folder.test_id} has no journal")
    manifest = folder.read_manifest()
    simulated = manifest.simulated or _saw_simulation(folder)
    manifest = manifest.model_copy(update={"simulated": simulated})
    if cut_short:
        manifest = with_cut_windows(manifest, records(folder, manifest, "requests"))
    _write(chunks, "chunks", records(folder, manifest, "chunks"), simulated=simulated)
    _write(into.file(WORKER_SAMPLES), "workers", records(folder, manifest, "workers"), simulated=simulated)
    if next(records(folder, manifest, "server"), None) is not None:
        _write(into.file(SERVER_METRICS), "server", records(folder, manifest, "server"), simulated=simulated)
    # Last: which chunks and samples of a resumed run's earlier part stay is told by its requests.
    placed = _placed(records(folder, manifest, "requests"), manifest)
    _write(into.file(REQUESTS), "requests", placed, simulated=simulated)
    into.write_manifest(manifest)
    # Arrow keeps freed memory for itself; what comes next needs it for NumPy.
    pa.default_memory_pool().release_unused()


def _close(folder: RunFolder, status: FinalStatus, *, without: tuple[str, ...] = ()) -> Manifest:
    """Say in the manifest what became of the run and what it left; the journal goes last, and `without` with it."""
    files = {name: facts for name, facts in files_of(folder).items() if name not in without}
    manifest = folder.update(lambda so_far: so_far.model_copy(update={"status": status, "files": files}))
    remove_journal(folder)
    for name in without:
        folder.file(name).unlink(missing_ok=True)
    return manifest


def list_files(folder: RunFolder) -> Manifest:
    """Bring the manifest's list of files up to date, after something was added to a run that is closed."""
    return folder.update(lambda manifest: manifest.model_copy(update={"files": files_of(folder)}))


def files_of(folder: RunFolder) -> dict[str, FileFacts]:
    """Return the files of a run, its manifest and journal left out, by their path within the folder."""
    found = {}
    for path in sorted(folder.path.rglob("*")):
        name = path.relative_to(folder.path).as_posix()
        if path.is_file() and name != MANIFEST and not name.startswith(("journal", ".")):
            rows = pq.read_metadata(path).num_rows if path.suffix == ".parquet" else None
            found[name] = FileFacts(bytes=path.stat().st_size, rows=rows)
    return found


def _saw_simulation(folder: RunFolder) -> bool:
    return any(RequestColumns(_table(batch)).flag("simulated").any() for batch in read_journal(folder.journal))


def _placed(batches: Iterable["pa.RecordBatch"], manifest: Manifest) -> Iterator["pa.RecordBatch"]:
    """Yield the batches with `in_window` filled, null for requests whose test has no known windows."""
    for batch in batches:
        columns = RequestColumns(_table(batch))
        tests, services = columns.words("test"), columns.words("service")
        pairs = np.array([f"{test}\0{service}" for test, service in zip(tests, services, strict=True)])
        inside = np.zeros(batch.num_rows, dtype=np.bool_)
        unknown = np.zeros(batch.num_rows, dtype=np.bool_)
        for pair in np.unique(pairs):
            test, _, service = str(pair).partition("\0")
            rows = pairs == pair
            windows = manifest.window_bounds(test, service)
            if windows:
                inside |= rows & in_window(columns, windows)
            else:
                unknown |= rows
        position = batch.schema.get_field_index("in_window")
        yield batch.set_column(position, batch.schema.field(position), pa.array(inside, mask=unknown))


def _write(path: Path, part: Part, batches: Iterable["pa.RecordBatch"], *, simulated: bool) -> None:
    """Write one Parquet file in row groups of bounded size."""
    schema = parquet_schema(part, simulated=simulated)
    words = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    # Marks of chunks rise steadily: differences pack them far better than a dictionary, and cost less.
    marks = _MARKS.get(part, [])
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(
            temporary,
            schema,
            compression="zstd",
            use_dictionary=words,  # type: ignore[arg-type] # a list of columns; the stubs know bool only
            column_encoding=dict.fromkeys(marks, "DELTA_BINARY_PACKED") or None,
        ) as writer,
    ):
        for group in _groups(batches):
            writer.write_table(group.cast(schema))


def _groups(batches: Iterable["pa.RecordBatch"]) -> Iterator[pa.Table]:
    """Yield the batches put together into tables large enough for a row group, bounded in rows and in bytes."""
    waiting: list[pa.RecordBatch] = []
    rows = size = 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        size += batch.nbytes
        if rows >= _GROUP_ROWS or size >= _GROUP_BYTES:
            yield pa.Table.from_batches(waiting).combine_chunks()
            waiting = []
            rows = size = 0
    if waiting:
        yield pa.Table.from_batches(waiting).combine_chunks()


def _table(batch: "pa.RecordBatch") -> pa.Table:
    return pa.Table.from_batches([batch])
