"""Reading a finished run's Parquet files: the records of one service in one test, never all of it at once."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from inference_bench.errors import RunFolderError
from inference_bench.metrics.chunks import COLUMNS as CHUNK_COLUMNS
from inference_bench.metrics.columns import Bools, Ints, Records, RequestColumns
from inference_bench.results.finalise import REQUESTS, WORKER_SAMPLES, chunks_file
from inference_bench.results.folder import RunFolder
from inference_bench.results.stored_requests import StoredRequests


def load_requests(folder: RunFolder, *, test: str, service: str) -> StoredRequests:
    """Return the request records of one service in one test, without their texts; columns are read when asked for.

    Raises:
        RunFolderError: the run has no requests.parquet that can be read.
    """
    return StoredRequests(folder.file(REQUESTS), test=test, service=service)


def load_chunks(folder: RunFolder, requests: Records) -> "StoredChunks | None":
    """Return the text chunks of these requests, to be read from the file when needed; None when none were kept."""
    path = chunks_file(folder)
    if path is None:
        return None
    return StoredChunks(path, np.sort(RequestColumns(requests).whole("seq").value))


class StoredChunks:
    """The chunks of some requests (sorted numbers) in a Parquet file: a `metrics.chunks.ChunkSource`.

    They are streamed a row group at a time; the file is never held as a whole.
    """

    def __init__(self, path: Path, wanted: Ints) -> None:
        self._path = path
        self._wanted = wanted

    def batches(self) -> Iterator["pa.RecordBatch"]:
        """Yield the chunks in stream order, columns seq, arrival_ns and tokens.

        Raises:
            RunFolderError: the file cannot be read.
        """
        try:
            with pq.ParquetFile(self._path) as file:
                for group in range(file.num_row_groups):
                    if _may_hold(file.metadata.row_group(group), self._wanted):
                        table = file.read_row_group(group, columns=list(CHUNK_COLUMNS), use_threads=False)
                        mine = _are_among(table.column("seq").to_numpy(), self._wanted)
                        yield from (table if mine.all() else table.filter(pa.array(mine))).to_batches()
        except (OSError, pa.ArrowInvalid) as error:
            raise RunFolderError(f"{self._path} is damaged") from error


def load_worker_samples(folder: RunFolder) -> pa.Table:
    """Return the workers' samples of themselves (columns of WORKER_SAMPLE_COLUMNS).

    Raises:
        RunFolderError: the file is missing or cannot be read.
    """
    path = folder.file(WORKER_SAMPLES)
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is missing or damaged") from error


def commonest_error(folder: RunFolder, service: str) -> str | None:
    """Return "class: message" of the error that a service's measured requests ended with most often; None without.

    Raises:
        RunFolderError: the run has no requests.parquet that can be read.
    """
    path = folder.file(REQUESTS)
    counts: Counter[str] = Counter()
    try:
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(columns=["service", "warmup", "error_class", "error_message"]):
                for name, warmup, kind, text in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    if name == service and kind is not None and not warmup:
                        counts[f"{kind}: {text}" if text else kind] += 1
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is missing or damaged") from error
    return max(counts, key=counts.__getitem__, default=None)


def outcome_counts(folder: RunFolder) -> dict[tuple[str, str], Counter[bool]]:
    """Return how many requests ended well (True) and failed (False), per (test, service), in order of occurrence.

    Warm-ups are not counted; a pair that has nothing else is there with an empty count.

    Raises:
        RunFolderError: the run has no requests.parquet that can be read.
    """
    path = folder.file(REQUESTS)
    try:
        with pq.ParquetFile(path) as file:
            counts: dict[tuple[str, str], Counter[bool]] = {}
            for batch in file.iter_batches(columns=["test", "service", "warmup", "ok"]):
                for test, service, warmup, ok in zip(*(column.to_pylist() for column in batch.columns), strict=True):
                    count = counts.setdefault((test, service), Counter())
                    count[ok] += not warmup
            return counts
    except (OSError, pa.ArrowInvalid) as error:
        raise RunFolderError(f"{path} is missing or damaged") from error


def _are_among(seq: Ints, wanted: Ints) -> Bools:
    """Return which rows belong to wanted requests (sorted, at least one). Chunks of a request stand together, so only
    the first of each stretch of equal numbers is looked up.
    """
    if not seq.size:  # no answer of the run held any text
        return np.zeros(0, dtype=np.bool_)
    starts = np.flatnonzero(np.concatenate(([True], seq[1:] != seq[:-1])))
    firsts = seq[starts]
    place = np.minimum(np.searchsorted(wanted, firsts), wanted.size - 1)
    return np.repeat(wanted[place] == firsts, np.diff(starts, append=seq.size))


def _may_hold(group: "pq.RowGroupMetaData", wanted: Ints) -> bool:
    """Return whether a row group can hold a wanted request: tests run one after the other, so most cannot."""
    statistics = group.column(0).statistics
    if statistics is None or not isinstance(statistics.min, int) or not isinstance(statistics.max, int):
        return True
    first = int(np.searchsorted(wanted, statistics.min))
    return first < wanted.size and bool(wanted[first] <= statistics.max)
