"""Requests are read from their file a column at a time: only what is asked for, and never the whole table."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.errors import RunFolderError
from inference_bench.metrics.columns import RequestColumns
from inference_bench.metrics.records import REQUEST_COLUMNS
from inference_bench.results import stored_requests
from inference_bench.results.finalise import REQUESTS, finalise
from inference_bench.results.folder import RunFolder
from inference_bench.results.stored_requests import StoredRequests
from inference_bench.results.tables import load_requests
from inference_bench.testing.analyzers import write_summaries
from run_records import ZERO_NS, request, run_with_journal

TEXTS = {"request_id", "error_message", "response_text"}


def rows(count: int) -> list[dict[str, object]]:
    """Return requests of two services and two tests by turns, some failed, some without marks."""
    return [
        request(
            number,
            service="vllm" if number % 2 else "ollama",
            test="load" if number % 3 else "other",
            sent_at=number * 0.01 if number % 7 else None,
            first_token_at=number * 0.01 + 2,
            last_token_at=number * 0.01 + 5,
            end_at=number * 0.01 + 6,
            ok=number % 5 != 0,
            error_class=None if number % 5 else ("reset", "timeout")[number % 2],
            error_message="gone" if number % 5 == 0 else None,
            text_check="sound" if number % 5 else None,
            output_tokens=2,
        )
        for number in range(count)
    ]


def closed(directory: Path, count: int) -> RunFolder:
    streams = {number: [ZERO_NS + 2_000_000, ZERO_NS + 5_000_000] for number in range(count) if number % 5}
    folder = run_with_journal(directory, rows(count), streams)
    finalise(folder, status="complete", save_raw_data=True)
    return folder


def in_groups(folder: RunFolder, size: int) -> Path:
    """Write the table again in row groups of this size; return its path."""
    path = folder.file(REQUESTS)
    table = pq.read_table(path)
    pq.write_table(table, path, row_group_size=size)
    return path


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_every_column_is_that_of_the_rows(tmp_path: Path, size: int) -> None:
    path = in_groups(closed(tmp_path, 70), size)
    table = pq.read_table(path)
    for test, service in (("load", "vllm"), ("other", "ollama"), ("load", "nobody")):
        mine = [row for row in table.to_pylist() if row["test"] == test and row["service"] == service]
        stored = StoredRequests(path, test=test, service=service)
        assert stored.num_rows == len(mine)
        assert stored.column_names == [column.name for column in REQUEST_COLUMNS if column.name not in TEXTS]
        for name in stored.column_names:
            column = stored.column(name)
            assert column.to_pylist() == [row[name] for row in mine]
            assert column.type == table.schema.field(name).type


def test_a_text_or_an_unknown_column_is_not_there(tmp_path: Path) -> None:
    stored = load_requests(closed(tmp_path, 10), test="load", service="vllm")
    for name in (*TEXTS, "nothing"):
        with pytest.raises(KeyError, match=name):
            stored.column(name)


def test_no_more_is_held_than_the_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = closed(tmp_path, 500).file(REQUESTS)
    stored = StoredRequests(path, test="load", service="vllm")
    size = stored.column("sent_ns").nbytes
    monkeypatch.setattr(stored_requests, "HELD_BYTES", 3 * size)
    asked = Counter[str]()
    read = StoredRequests._read

    def counted(self: StoredRequests, name: str) -> object:
        asked[name] += 1
        return read(self, name)

    monkeypatch.setattr(StoredRequests, "_read", counted)
    for name in ("end_ns", "end_ns", "first_token_ns", "last_token_ns", "end_ns", "sent_ns", "sent_ns"):
        stored.column(name)
    # The columns asked for last stay; those that had to make room are read again.
    assert asked == {"end_ns": 1, "first_token_ns": 1, "last_token_ns": 1, "sent_ns": 1}
    stored.column("first_token_ns")
    assert asked["first_token_ns"] == 2
    monkeypatch.setattr(stored_requests, "HELD_BYTES", 0)
    for _ in range(2):  # one column is always held: it has been read anyway
        stored.column("stall_ns")
    assert asked["stall_ns"] == 1


def test_a_summary_asks_the_file_for_few_columns_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = closed(tmp_path, 300)
    asked: list[tuple[str, ...] | None] = []
    read = pq.ParquetFile.read_row_group

    def seen(self: pq.ParquetFile, group: int, columns: list[str] | None = None, **options: bool) -> object:
        if "sent_ns" in self.schema_arrow.names:
            asked.append(None if columns is None else tuple(columns))
        return read(self, group, columns=columns, **options)

    def never(*given: object, **options: object) -> None:
        raise AssertionError(f"a table is read whole: {given}")

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", seen)
    monkeypatch.setattr(pq.ParquetFile, "read", never)
    write_summaries(folder)
    assert asked
    assert all(columns is not None and (len(columns) == 1 or columns == ("test", "service")) for columns in asked)
    names = {name for columns in asked if columns for name in columns}
    assert "sent_ns" in names
    assert not names & TEXTS


def test_a_file_that_is_replaced_meanwhile_is_read_as_it_was(tmp_path: Path) -> None:
    folder = closed(tmp_path, 60)
    stored = load_requests(folder, test="load", service="vllm")
    before = stored.column("seq").to_pylist()
    other = closed(tmp_path / "other", 10).file(REQUESTS)
    other.replace(folder.file(REQUESTS))
    assert len(stored.column("sent_ns")) == len(before) == stored.num_rows


def test_damage_behind_the_footer_is_an_error_of_ours(tmp_path: Path) -> None:
    path = closed(tmp_path, 500).file(REQUESTS)
    whole = pq.ParquetFile(path)
    place = whole.schema_arrow.names.index("sent_ns")
    begin = whole.metadata.row_group(0).column(place).data_page_offset
    data = bytearray(path.read_bytes())
    data[begin : begin + 24] = b"\xff" * 24
    path.write_bytes(data)
    stored = StoredRequests(path, test="load", service="vllm")
    with pytest.raises(RunFolderError, match="missing or damaged"):
        stored.column("sent_ns")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from([None, "reset", "timeout", "http", "empty"]), max_size=40), st.data())
def test_coded_words_are_the_words(words: list[str | None], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(words)))
    parts = [pa.array(words[:cut], pa.string()), pa.array(words[cut:], pa.string())]
    plain = pa.table({"error_class": pa.chunked_array(parts)})
    coded = pa.table({"error_class": pa.chunked_array([part.dictionary_encode() for part in parts])})
    which = data.draw(st.lists(st.booleans(), min_size=len(words), max_size=len(words)))
    for table in (plain, coded):
        columns = RequestColumns(table)
        found = columns.coded("error_class")
        assert columns.words("error_class") == words
        assert columns.distinct("error_class") == list(dict.fromkeys(word for word in words if word is not None))
        chosen = Counter(word for word, wanted in zip(words, which, strict=True) if wanted)
        mask = np.array(which, dtype=np.bool_)
        assert list(found.counts(mask).items()) == list(chosen.items())
        assert found.among(["reset", "nothing"]).tolist() == [word == "reset" for word in words]
