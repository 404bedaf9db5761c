"""The journal: what a running benchmark has seen so far, in append-only files that survive kill -9 at any byte.

Three Arrow IPC streams, requests.arrow, chunks.arrow and workers.arrow, are the decoder's; a fourth, server.arrow, is
written by the coordinator. Each is a schema, then record batches, each handed to the operating system in one write.
A batch that was cut off is dropped on reading, and every batch before it is whole. Categories are plain strings here,
so that no batch needs a dictionary from another. Turning a journal into Parquet is the business of `finalise`.
"""

import fcntl
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from inference_bench.errors import RunFolderError
from inference_bench.results.schema import Part, journal_schema, not_written, with_nulls

REQUEST_ROWS: Final = 4096
CHUNK_ROWS: Final = 65536
SAMPLE_ROWS: Final = 4096
TEXT_CHARS: Final = 8_000_000
_Numbers = tuple["array[int]", "array[int]", "array[int]", "array[int]"]
LOCK: Final = "writer.lock"
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"


class JournalWriter:
    """Writes a new journal into `directory`. Not for use by several threads.

    Rows are buffered and written as one batch per `flush`, or earlier when a buffer is full, so memory stays bounded.
    Chunks are written before the requests they belong to: a request that is in the journal has its chunks there too.

    Raises:
        RunFolderError: there is a journal already.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = (directory / LOCK).open("wb")
        fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._requests = _RowStream(directory, "requests", REQUEST_ROWS)
        self._chunks = _ChunkStream(directory)
        self._samples = _RowStream(directory, "workers", SAMPLE_ROWS)
        text_column = self._requests.schema.get_field_index("response_text")
        self._text_column = text_column
        self._text_chars = 0

    def add_request(self, row: Sequence[object]) -> None:
        """Add one request: values in the order of REQUEST_COLUMNS, None for null. Add its chunks before or after."""
        text = row[self._text_column]
        if isinstance(text, str):
            self._text_chars += len(text)
        if self._requests.add(row) or self._text_chars > TEXT_CHARS:
            self.flush()

    def add_chunks(  # noqa: PLR0917 - called once per request by the decoder; the columns in their order
        self,
        seq: int,
        arrivals: "array[int]",
        reads: "array[int]",
        sizes: "array[int]",
        tokens: "array[int]",
        merged: bytes | bytearray,
    ) -> None:
        """Add the text chunks of request `seq`, in stream order; parallel arrays of equal length.

        `arrivals` and `reads` are array('q') in ns, `sizes` array('i'), `tokens` array('h') with -1 for unknown,
        `merged` one byte per chunk, 0 or 1.
        """
        rows = len(arrivals)
        if not rows == len(reads) == len(sizes) == len(tokens) == len(merged):
            raise ValueError("the chunk arrays differ in length")
        self._chunks.add(seq, (arrivals, reads, sizes, tokens), merged)

    def add_worker_sample(self, row: Sequence[object]) -> None:
        """Add one sample: values in the order of WORKER_SAMPLE_COLUMNS, None for null."""
        if self._samples.add(row):
            self.flush()

    def flush(self, *, sync: bool = False) -> None:
        """Hand everything buffered to the operating system; with `sync` also to the disk."""
        self._chunks.flush(sync=sync)
        self._requests.flush(sync=sync)
        self._samples.flush(sync=sync)
        self._text_chars = 0

    def close(self) -> None:
        """Write out the rest, mark the streams as ended, and bring them to the disk."""
        self.flush()
        for stream in (self._chunks, self._requests, self._samples):
            stream.close()
        self._lock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ServerJournal:
    """Writes the part of a journal that holds what the servers told of themselves. Not for use by several threads.

    Raises:
        RunFolderError: there is such a part already.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._stream = _RowStream(directory, "server", SAMPLE_ROWS)

    def add(self, row: Sequence[object]) -> None:
        """Add one sample: values in the order of SERVER_SAMPLE_COLUMNS, None for null."""
        if self._stream.add(row):
            self.flush()

    def flush(self) -> None:
        """Hand everything buffered to the operating system."""
        self._stream.flush()

    def close(self) -> None:
        """Write out the rest, mark the stream as ended, and bring it to the disk."""
        self.flush()
        self._stream.close()


def wait_for_writer(directory: Path, *, seconds: float) -> bool:
    """Wait until no process writes this journal any more; False when one still does after this time.

    A run's main process can be killed and leave the decoder a moment to write out what it has; the kernel releases
    the writer's lock when it is gone, however it ended.
    """
    path = directory / LOCK
    if not path.is_file():
        return True
    deadline = time.monotonic() + seconds
    with path.open("rb") as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.05)
            else:
                return True


class _Stream:
    """One IPC stream file. Each batch goes out as one buffer, so a kill can only cut off the last one."""

    def __init__(self, directory: Path, part: Part) -> None:
        self.schema = journal_schema(part)
        try:
            self._file = (directory / f"{part}.arrow").open("xb", buffering=0)
        except FileExistsError as error:
            raise RunFolderError(f"there is a journal in {directory} already") from error
        self._write(self.schema.serialize())

    def _write(self, data: "bytes | pa.Buffer") -> None:
        left = memoryview(data)
        while left:
            left = left[self._file.write(left) :]

    def write_batch(self, batch: "pa.RecordBatch", *, sync: bool) -> None:
        self._write(batch.serialize())
        if sync:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if not self._file.closed:
            self._write(_END_OF_STREAM)
            os.fsync(self._file.fileno())
            self._file.close()


class _RowStream(_Stream):
    """A stream fed by rows of Python values."""

    def __init__(self, directory: Path, part: Part, most: int) -> None:
        super().__init__(directory, part)
        self._most = most
        self._rows: list[Sequence[object]] = []

    def add(self, row: Sequence[object]) -> bool:
        """Take a row; return whether the buffer is full."""
        self._rows.append(row)
        return len(self._rows) >= self._most

    def flush(self, *, sync: bool = False) -> None:
        if not self._rows:
            return
        columns = [
            pa.array(values, type=field.type)
            for values, field in zip(zip(*self._rows, strict=True), self.schema, strict=True)
        ]
        self.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema), sync=sync)
        self._rows = []


class _ChunkStream(_Stream):
    """The chunk stream: typed arrays are taken over as they are, a request at a time, not value by value."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, "chunks")
        self._begin()

    def _begin(self) -> None:
        self._seq = array("q")
        self._arrivals = array("q")
        self._reads = array("q")
        self._sizes = array("i")
        self._tokens = array("h")
        self._merged = bytearray()

    def add(self, seq: int, numbers: _Numbers, merged: bytes | bytearray) -> None:
        arrivals, reads, sizes, tokens = numbers
        self._seq += array("q", (seq,)) * len(arrivals)
        self._arrivals += arrivals
        self._reads += reads
        self._sizes += sizes
        self._tokens += tokens
        self._merged += merged
        if len(self._seq) >= CHUNK_ROWS:
            self.flush()

    def flush(self, *, sync: bool = False) -> None:
        rows = len(self._seq)
        if not rows:
            return
        tokens = np.frombuffer(self._tokens, dtype=np.int16)
        buffers: list[list[pa.Buffer | None]] = [
            [None, pa.py_buffer(self._seq)],
            [None, pa.py_buffer(self._arrivals)],
            [None, pa.py_buffer(self._reads)],
            [None, pa.py_buffer(self._sizes)],
            [_bits(tokens >= 0), pa.py_buffer(self._tokens)],
            [None, _bits(np.frombuffer(self._merged, dtype=np.bool_))],
        ]
        columns = [
            pa.Array.from_buffers(field.type, rows, parts) for field, parts in zip(self.schema, buffers, strict=True)
        ]
        self.write_batch(pa.RecordBatch.from_arrays(columns, schema=self.schema), sync=sync)
        self._begin()


def _bits(flags: npt.NDArray[np.bool_]) -> "pa.Buffer":
    return pa.py_buffer(np.packbits(flags, bitorder="little").data)


def read_journal(directory: Path, part: Part = "requests") -> Iterator["pa.RecordBatch"]:
    """Yield the whole batches of one part of a journal, in order; a cut-off tail is left out.

    A journal that is being written may be read at any time. A part that is not there has no batches. Columns that an
    older version did not write are null.

    Raises:
        RunFolderError: the stream is whole but not one of ours (another version's columns).
    """
    path = directory / f"{part}.arrow"
    if not path.exists():
        return
    with pa.OSFile(str(path), "rb") as source:
        try:
            reader = pa.ipc.open_stream(source)
        except pa.ArrowInvalid:
            return
        missing = _missing_columns(reader.schema, part)
        if missing is None:
            raise RunFolderError(f"{path} was written by another version", hint="Read it with the version it names.")
        while True:
            try:
                batch = reader.read_next_batch()
            except (StopIteration, pa.ArrowInvalid):
                return
            except OSError as error:
                # Arrow says "expected to read more" as an OSError without a number; a sick disk has one.
                if error.errno:
                    raise
                return
            yield with_nulls(batch, journal_schema(part)) if missing else batch


def _missing_columns(found: pa.Schema, part: Part) -> frozenset[str] | None:
    """Return the columns that this stream was written without (see `not_written`); None when it differs in any other
    way.
    """
    missing = not_written(found.names, part)
    if missing is None:
        return None
    known = pa.schema([column for column in journal_schema(part) if column.name not in missing])
    return missing if found.equals(known) else None


def count_requests(directory: Path) -> int:
    """Return how many requests a journal holds."""
    return sum(batch.num_rows for batch in read_journal(directory, "requests"))
