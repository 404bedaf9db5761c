"""The journal: what goes in comes out, whatever was cut off; bounded buffers; no dictionaries across batches."""

import os
import signal
import subprocess
import sys
from array import array
from pathlib import Path
from tempfile import TemporaryDirectory

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.errors import RunFolderError
from inference_bench.metrics.records import CHUNK_COLUMNS, REQUEST_COLUMNS, WORKER_SAMPLE_COLUMNS
from inference_bench.results import journal as module
from inference_bench.results.journal import JournalWriter, ServerJournal, count_requests, read_journal
from inference_bench.results.schema import PART_COLUMNS, Part
from run_records import add_stream, request, row_values

SAMPLE = (0, 10, 20, None, None, 0, 0, 3, 4, 7, None, 0)


def rows_of(directory: Path, part: Part) -> list[dict[str, object]]:
    return [row for batch in read_journal(directory, part) for row in batch.to_pylist()]


def test_what_goes_in_comes_out(tmp_path: Path) -> None:
    first, second = request(1, sent_at=1.5, error_message="ü\n"), request(2, service="ollama", ok=False)
    with JournalWriter(tmp_path / "journal") as journal:
        journal.add_chunks(
            1, array("q", [5, 9]), array("q", [6, 9]), array("i", [3, 70000]), array("h", [-1, 2]), b"\x00\x01"
        )
        journal.add_request(row_values(first))
        journal.flush()
        journal.add_request(row_values(second))
        journal.add_worker_sample(SAMPLE)
        journal.flush(sync=True)
    assert rows_of(tmp_path / "journal", "requests") == [first, second]
    assert rows_of(tmp_path / "journal", "chunks") == [
        {"seq": 1, "arrival_ns": 5, "read_ns": 6, "size": 3, "tokens": None, "merged": False},
        {"seq": 1, "arrival_ns": 9, "read_ns": 9, "size": 70000, "tokens": 2, "merged": True},
    ]
    names = [column.name for column in WORKER_SAMPLE_COLUMNS]
    assert rows_of(tmp_path / "journal", "workers") == [dict(zip(names, SAMPLE, strict=True))]
    assert count_requests(tmp_path / "journal") == 2


def test_columns_follow_the_records(tmp_path: Path) -> None:
    JournalWriter(tmp_path).close()
    ServerJournal(tmp_path).close()
    for part, columns in PART_COLUMNS.items():
        schema = pa.ipc.open_stream((tmp_path / f"{part}.arrow").read_bytes()).schema
        assert schema.names == [column.name for column in columns]
        assert [field.nullable for field in schema] == [column.nullable for column in columns]
        assert not any(pa.types.is_dictionary(field.type) for field in schema)
    assert PART_COLUMNS["requests"] is REQUEST_COLUMNS
    assert PART_COLUMNS["chunks"] is CHUNK_COLUMNS


def test_buffers_are_bounded_without_any_flush(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK_ROWS", 10)
    monkeypatch.setattr(module, "REQUEST_ROWS", 4)
    monkeypatch.setattr(module, "TEXT_CHARS", 100)
    journal = JournalWriter(tmp_path)
    for seq in range(5):
        add_stream(journal, seq, [1, 2, 3], [1, 1, 1])
        journal.add_request(row_values(request(seq)))
    assert count_requests(tmp_path) == 4
    assert len(rows_of(tmp_path, "chunks")) == 12
    journal.add_request(row_values(request(9, response_text="x" * 101)))
    assert count_requests(tmp_path) == 6
    journal.close()


def test_a_request_in_the_journal_has_its_chunks_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REQUEST_ROWS", 3)
    journal = JournalWriter(tmp_path)
    for seq in range(20):
        add_stream(journal, seq, [1, 2], [1, 1])
        journal.add_request(row_values(request(seq)))
        held = {row["seq"] for row in rows_of(tmp_path, "chunks")}
        assert {row["seq"] for row in rows_of(tmp_path, "requests")} <= held
    journal.close()


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    JournalWriter(tmp_path).close()
    with pytest.raises(RunFolderError, match="journal"):
        JournalWriter(tmp_path)


def test_arrays_of_different_length_are_refused(tmp_path: Path) -> None:
    with JournalWriter(tmp_path) as journal, pytest.raises(ValueError, match="length"):
        journal.add_chunks(1, array("q", [1]), array("q"), array("i"), array("h"), b"")


def test_a_journal_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert list(read_journal(tmp_path / "nowhere")) == []


def test_a_stream_of_other_columns_is_refused(tmp_path: Path) -> None:
    other = pa.schema([("seq", pa.int64())])
    (tmp_path / "requests.arrow").write_bytes(other.serialize().to_pybytes())
    with pytest.raises(RunFolderError, match="version"):
        list(read_journal(tmp_path))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A journal of several batches."""
    directory = tmp_path_factory.mktemp("whole")
    journal = JournalWriter(directory)
    for seq in range(12):
        add_stream(journal, seq, list(range(seq, seq + 5)), [1, -1, 2, 1, 1])
        journal.add_request(row_values(request(seq, error_message=None if seq % 2 else "é" * seq)))
        journal.add_worker_sample(SAMPLE)
        if seq % 3 == 2:
            journal.flush()
    journal.close()
    return directory


def batch_ends(path: Path, part: Part) -> list[int]:
    """Return where each batch of a stream ends, by its own lengths."""
    data = path.read_bytes()
    position = len(pa.ipc.open_stream(data).schema.serialize())
    ends = []
    for batch in read_journal(path.parent, part):
        position += len(batch.serialize())
        ends.append(position)
    assert position <= len(data)
    return ends


PARTS: tuple[Part, ...] = ("requests", "chunks", "workers")


@settings(max_examples=300, deadline=None)
@given(part=st.sampled_from(PARTS), share=st.floats(0, 1))
def test_cut_at_any_byte_every_whole_batch_is_read(written: Path, part: Part, share: float) -> None:
    whole = written / f"{part}.arrow"
    data = whole.read_bytes()
    cut = round(share * len(data))
    ends = batch_ends(whole, part)
    every = rows_of(written, part)
    with TemporaryDirectory() as directory:
        (Path(directory) / f"{part}.arrow").write_bytes(data[:cut])
        found = list(read_journal(Path(directory), part))
    assert len(found) == sum(end <= cut for end in ends)
    rows = [row for batch in found for row in batch.to_pylist()]
    assert rows == every[: len(rows)]


@pytest.mark.parametrize("part", PARTS)
def test_cut_around_every_edge(written: Path, tmp_path: Path, part: Part) -> None:
    whole = written / f"{part}.arrow"
    data = whole.read_bytes()
    for number, end in enumerate(batch_ends(whole, part)):
        for cut, expected in ((end - 1, number), (end, number + 1), (end + 1, number + 1), (end + 7, number + 1)):
            (tmp_path / f"{part}.arrow").write_bytes(data[:cut])
            assert len(list(read_journal(tmp_path, part))) == expected


def test_a_tail_of_zeros_is_an_end(written: Path, tmp_path: Path) -> None:
    # What a file system may leave after the power went.
    data = (written / "requests.arrow").read_bytes()
    ends = batch_ends(written / "requests.arrow", "requests")
    (tmp_path / "requests.arrow").write_bytes(data[: ends[1]] + bytes(5000))
    assert len(list(read_journal(tmp_path))) == 2


_WRITER = """
import sys
from pathlib import Path
from run_records import add_stream, request, row_values
from inference_bench.results.journal import JournalWriter
journal = JournalWriter(Path(sys.argv[1]))
seq = 0
while True:
    add_stream(journal, seq, list(range(50)), [1] * 50)
    journal.add_request(row_values(request(seq)))
    seq += 1
    if seq % 100 == 0:
        journal.flush()
        print(seq, flush=True)
"""


def test_what_was_flushed_survives_kill_9(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert writer.stdout is not None
    flushed = 0
    for _ in range(8):
        flushed = int(writer.stdout.readline())
    writer.send_signal(signal.SIGKILL)
    writer.wait(timeout=60)
    writer.stdout.close()
    held = [row["seq"] for row in rows_of(tmp_path, "requests")]
    assert len(held) >= flushed
    assert held == list(range(len(held)))
    chunks = rows_of(tmp_path, "chunks")
    assert [row["seq"] for row in chunks] == [seq for seq in range(len(chunks) // 50) for _ in range(50)]
    assert len(chunks) // 50 >= len(held)
