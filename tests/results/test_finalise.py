"""From journal to Parquet: whole, in place, repeatable after a kill at any moment, journal last."""

import os
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inference_bench.errors import RunFolderError
from inference_bench.metrics import MetricsCalculator
from inference_bench.results import finalise as module
from inference_bench.results.finalise import CHUNKS, REQUESTS, WORKER_SAMPLES, chunks_file, finalise, recover
from inference_bench.results.folder import RunFolder, shown_status
from inference_bench.results.journal import JournalWriter
from inference_bench.results.liveness import this_process
from inference_bench.results.schema import parquet_schema
from inference_bench.results.tables import StoredChunks, load_chunks, load_requests, load_worker_samples, outcome_counts
from run_records import WHEN, ZERO_NS, add_stream, at, manifest, request, row_values, run_with_journal

ROWS = [
    request(1, sent_at=10, first_token_at=20, last_token_at=30, end_at=31),
    request(2, sent_at=5000, end_at=5001),
    request(3, service="ollama", sent_at=10, ok=False, error_class="reset"),
    request(4, sent_at=10, warmup=True),
    request(5, test="other", sent_at=10),
]
STREAMS = {1: [ZERO_NS + 20_000_000, ZERO_NS + 30_000_000], 2: [ZERO_NS, ZERO_NS + 7], 5: [1, 2, 3]}


def make(directory: Path, **fields: object) -> RunFolder:
    return run_with_journal(directory, ROWS, STREAMS, **fields)


def test_a_finished_run_has_its_files_and_no_journal(tmp_path: Path) -> None:
    folder = make(tmp_path)
    closed = finalise(folder, status="complete", save_raw_data=True)
    assert sorted(path.name for path in folder.path.iterdir()) == sorted(
        [REQUESTS, CHUNKS, WORKER_SAMPLES, "test_manifest.json"]
    )
    assert closed == folder.read_manifest()
    assert closed.status == "complete"
    assert {name: facts.rows for name, facts in closed.files.items()} == {REQUESTS: 5, CHUNKS: 7, WORKER_SAMPLES: 1}
    assert closed.files[REQUESTS].bytes == folder.file(REQUESTS).stat().st_size
    table = pq.read_table(folder.file(REQUESTS))
    assert table.schema.equals(parquet_schema("requests", simulated=False), check_metadata=False)
    assert table.schema.field("service").type == pa.dictionary(pa.int32(), pa.string())
    assert table.column("in_window").to_pylist() == [True, False, True, False, None]
    expected = [
        {**row, "in_window": inside} for row, inside in zip(ROWS, [True, False, True, False, None], strict=True)
    ]
    assert table.to_pylist() == expected


def test_the_metadata_says_what_it_is(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, [*ROWS, request(9, simulated=True)], STREAMS)
    closed = finalise(folder, status="complete", save_raw_data=True)
    assert closed.simulated  # one answer came from a simulated engine: the run is marked
    for name in (REQUESTS, CHUNKS, WORKER_SAMPLES):
        metadata = pq.read_schema(folder.file(name)).metadata
        assert metadata[b"simulated"] == b"true"
        assert metadata[b"schema_version"] == b"1"
        assert metadata[b"tool"].startswith(b"vllm-benchmark ")
    other = make(tmp_path)
    finalise(other, status="complete", save_raw_data=True)
    assert pq.read_schema(other.file(REQUESTS)).metadata[b"simulated"] == b"false"


def test_without_raw_data_the_chunks_serve_the_summary_and_go(tmp_path: Path) -> None:
    folder = make(tmp_path)
    seen: list[int] = []

    def summarise(run: RunFolder) -> None:
        requests = load_requests(run, test="load", service="vllm")
        chunks = load_chunks(run, requests)
        assert chunks is not None
        calculator = MetricsCalculator(requests, chunks, windows=run.read_manifest().window_bounds("load", "vllm"))
        seen.extend(calculator.values("icl_ms").tolist())
        run.file("summary.json").write_text("{}")

    closed = finalise(folder, status="complete", save_raw_data=False, summarise=summarise)
    assert seen == [10.0]
    assert CHUNKS not in closed.files
    assert "summary.json" in closed.files
    assert chunks_file(folder) is None
    assert load_chunks(folder, load_requests(folder, test="load", service="vllm")) is None


def numbers(chunks: StoredChunks) -> list[int]:
    return [int(seq) for batch in chunks.batches() for seq in batch.column("seq").to_numpy()]


def test_reading_back_gives_one_service_of_one_test(tmp_path: Path) -> None:
    folder = make(tmp_path)
    finalise(folder, status="complete", save_raw_data=True)
    requests = load_requests(folder, test="load", service="vllm")
    assert requests.column("seq").to_pylist() == [1, 2, 4]
    assert "response_text" not in requests.column_names
    chunks = load_chunks(folder, requests)
    assert chunks is not None
    assert numbers(chunks) == [1, 1, 2, 2]
    other = load_chunks(folder, load_requests(folder, test="load", service="ollama"))
    assert other is not None
    assert numbers(other) == []
    assert load_worker_samples(folder).num_rows == 1
    counts = {pair: dict(found) for pair, found in outcome_counts(folder).items()}
    assert counts == {
        ("load", "vllm"): {True: 2},
        ("load", "ollama"): {False: 1},
        ("other", "vllm"): {True: 1},
    }


def test_many_row_groups_are_read_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_GROUP_ROWS", 3)
    folder = RunFolder.create(tmp_path, "groups", WHEN)
    folder.write_manifest(manifest(folder.test_id))
    with JournalWriter(folder.journal) as journal:
        for seq in range(40):
            add_stream(journal, seq, [seq, seq + 1], [1, 1])
            journal.add_request(row_values(request(seq, test="a" if seq < 20 else "b", service=f"s{seq % 2}")))
            journal.flush()
    finalise(folder, status="complete", save_raw_data=True)
    assert pq.read_metadata(folder.file(CHUNKS)).num_row_groups > 10
    chunks = load_chunks(folder, load_requests(folder, test="b", service="s1"))
    assert chunks is not None
    assert numbers(chunks) == [seq for seq in range(21, 40, 2) for _ in range(2)]


def test_recovery_leaves_the_run_partial(tmp_path: Path) -> None:
    folder = make(tmp_path)
    assert shown_status(folder.read_manifest()) == "partial"
    closed = recover(folder)
    assert closed.status == "partial"
    assert closed.files[REQUESTS].rows == 5
    assert not folder.journal.exists()
    assert recover(folder) == closed  # and again changes nothing


def test_recovery_takes_what_a_torn_journal_holds(tmp_path: Path) -> None:
    folder = make(tmp_path)
    for name in ("requests.arrow", "chunks.arrow"):
        path = folder.journal / name
        path.write_bytes(path.read_bytes()[:-20])
    closed = recover(folder)
    assert closed.files[REQUESTS].rows == 0
    assert load_requests(folder, test="load", service="vllm").num_rows == 0


def test_a_running_run_is_not_recovered(tmp_path: Path) -> None:
    folder = make(tmp_path, process=this_process())
    with pytest.raises(RunFolderError, match="still running"):
        recover(folder)


def test_a_folder_of_somebody_else_is_not_recovered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
    with pytest.raises(RunFolderError, match="permission denied"):
        recover(folder)
    assert folder.journal.is_dir()


def test_an_empty_folder_has_nothing_to_recover(tmp_path: Path) -> None:
    folder = make(tmp_path)
    module.remove_journal(folder)
    with pytest.raises(RunFolderError, match="nothing was measured"):
        recover(folder)
    with pytest.raises(RunFolderError, match="no journal"):
        finalise(folder, status="complete", save_raw_data=True)


def _kill_at(number: int, action: Callable[[], object]) -> bool:
    """Run `action` in a child that dies without a word at its number-th file operation; whether it got to the end."""
    child = os.fork()
    if not child:
        count = 0

        def counted(event: str, _arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in ("open", "os.rename", "os.remove", "os.rmdir", "shutil.rmtree"):
                count += 1
                if count == number:
                    os._exit(9)

        sys.addaudithook(counted)
        action()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status) == 0


def test_a_kill_at_any_moment_of_finalising_loses_nothing(tmp_path: Path) -> None:
    done = False
    number = 0
    while not done:
        number += 1
        assert number < 300
        folder = make(tmp_path / str(number))
        done = _kill_at(number, partial(finalise, folder, status="complete", save_raw_data=True))
        seen = folder.read_manifest()
        closed = recover(folder)
        assert closed.status == ("complete" if seen.status == "complete" else "partial")
        assert not folder.journal.exists()
        assert pq.read_table(folder.file(REQUESTS)).num_rows == 5, f"killed at {number}"
        assert pq.read_table(folder.file(CHUNKS)).num_rows == 7
        assert not list(folder.path.glob("journal*"))
    assert number > 10


def test_marks_of_months_keep_every_nanosecond(tmp_path: Path) -> None:
    folder = make(tmp_path)
    finalise(folder, status="complete", save_raw_data=True)
    assert pq.read_table(folder.file(REQUESTS)).column("sent_ns").to_pylist()[0] == at(10)
    assert pq.read_table(folder.file(CHUNKS)).column("arrival_ns").to_pylist()[3] == ZERO_NS + 7


def test_damaged_tables_are_one_clear_error(tmp_path: Path) -> None:
    folder = make(tmp_path)
    finalise(folder, status="complete", save_raw_data=True)
    requests = load_requests(folder, test="load", service="vllm")
    for name in (REQUESTS, CHUNKS, WORKER_SAMPLES):
        folder.file(name).write_bytes(folder.file(name).read_bytes()[:-9])
    chunks = load_chunks(folder, requests)
    assert chunks is not None
    with pytest.raises(RunFolderError, match="damaged"):
        numbers(chunks)
    for read in (load_worker_samples, outcome_counts, lambda run: load_requests(run, test="load", service="vllm")):
        with pytest.raises(RunFolderError, match="missing or damaged"):
            read(folder)
