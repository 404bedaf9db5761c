"""A run in two parts: how far the first had come, and the merging of both, which no kill can spoil."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from inference_bench.errors import RunFolderError
from inference_bench.metrics.records import SERVER_SAMPLE_COLUMNS, WORKER_SAMPLE_COLUMNS
from inference_bench.results.finalise import finalise, recover
from inference_bench.results.folder import RunFolder
from inference_bench.results.journal import JournalWriter, ServerJournal
from inference_bench.results.manifest import LoadShape, PlannedTest, Resumption, Window
from inference_bench.results.progress import kept_windows, progress_of, removed_by
from run_records import DEAD_PROCESS, WHEN, ZERO_NS, add_stream, at, manifest, request, row_values

BOTH = ("vllm", "ollama")
SHIFT_MS = 1_000_000.0  # the new part's clock is that much behind
BEGAN_MS = 5_000.0
PLAN = (
    PlannedTest(name="ttft", kind="ttft", rounds=1, load=LoadShape(iterations=3)),
    PlannedTest(name="load", kind="load", rounds=2, load=LoadShape(concurrent_users=1)),
    PlannedTest(name="later", kind="load", rounds=1, load=LoadShape(concurrent_users=1)),
)
DYING = """
import os, signal, sys
from pathlib import Path
from inference_bench.results.finalise import finalise
from inference_bench.results.folder import RunFolder

left = int(sys.argv[2])

def dying(inner):
    def step(*args):
        global left
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        return inner(*args)
    return step

Path.replace, Path.rename = dying(Path.replace), dying(Path.rename)
finalise(RunFolder(Path(sys.argv[1])), status="complete", save_raw_data=True)
"""
STEPS = 7  # chunks, samples of workers, of servers, requests, manifest, the closed manifest, the journal that goes


def rows(first: int, test: str, *turns: tuple[str, int], sent_ms: float, **fields: object) -> list[dict[str, object]]:
    """Return one request for each (service, round or block), numbered from `first` on, 10 ms apart."""
    number = "block" if test == "ttft" else "round"
    kind = "ttft" if test == "ttft" else "load"
    return [
        request(
            first + position,
            test=test,
            kind=kind,
            service=service,
            **{number: value},
            request_id=f"r{first + position}",
            sent_at=sent_ms + 10 * position,
            end_at=sent_ms + 10 * position + 5,
            stall_ns=7,
            **fields,
        )
        for position, (service, value) in enumerate(turns)
    ]


def write_part(folder: RunFolder, made: list[dict[str, object]], sample_ms: float) -> None:
    """Write a journal: the requests with two chunks each, and a sample of one worker."""
    with JournalWriter(folder.journal) as journal:
        for row in made:
            seq, sent = row["seq"], row["sent_ns"]
            assert isinstance(seq, int)
            assert isinstance(sent, int)
            add_stream(journal, seq, [sent + 1, sent + 2], [1, 1])
            journal.add_request(row_values(row))
        sample = {"worker": 0, "at_ns": at(sample_ms), "wall_offset_ns": 50, "late_ns": 3, "longest_stall_ns": 1}
        values = {column.name: 0 for column in WORKER_SAMPLE_COLUMNS} | sample
        journal.add_worker_sample([values[column.name] for column in WORKER_SAMPLE_COLUMNS])


def write_server_samples(folder: RunFolder, *edges: tuple[float, str | None]) -> None:
    """Write what one server told at these times, at the edges of its turns of the load test and in between."""
    journal = ServerJournal(folder.journal)
    for ms, edge in edges:
        test = None if edge is None else "load"
        values = {"service": "vllm", "at_ns": at(ms), "name": "running", "value": 1.0, "test": test, "edge": edge}
        journal.add([values[column.name] for column in SERVER_SAMPLE_COLUMNS])
    journal.close()


def window(number: int, start_ms: float, end_ms: float, **fields: object) -> Window:
    data = {"round": number, "start_ns": at(start_ms), "end_ns": at(end_ms), **fields}
    return Window.model_validate(data)


def first_part(path: Path) -> RunFolder:
    """Make a run that was stopped in the second round of its load test, in the turn of the second service."""
    made = rows(0, "ttft", *((name, block) for block in range(3) for name in BOTH), sent_ms=0)
    made += rows(6, "load", ("vllm", 0), ("ollama", 0), ("vllm", 1), sent_ms=1000)
    made += rows(9, "load", ("ollama", 1), sent_ms=1100, warmup=True)
    made += rows(10, "load", ("ollama", 1), sent_ms=1200, ok=False, error_class="interrupted")
    folder = RunFolder(path)
    path.mkdir()
    whole = {"ttft": dict.fromkeys(BOTH, (window(0, 0, 100),))}
    load = {
        "vllm": (window(0, 1000, 1005, requests=1), window(1, 1020, 1025, requests=1)),
        "ollama": (window(0, 1010, 1015, requests=1), window(1, 1200, 1300, cut=True, requests=1)),
    }
    folder.write_manifest(
        manifest(folder.test_id, status="running", plan=PLAN, windows={**whole, "load": load}, process=DEAD_PROCESS)
    )
    write_part(folder, made, sample_ms=900)
    write_server_samples(folder, (999, "start"), (1006, "end"), (1019, "start"), (1022, None), (1026, "end"))
    finalise(folder, status="partial", save_raw_data=False)
    return folder


@pytest.fixture
def two_parts(tmp_path: Path) -> RunFolder:
    """A run that went on, its second part still in its journal and on a clock of its own."""
    folder = first_part(tmp_path / "test_two")
    so_far = folder.read_manifest()
    cut = {"load": 1}
    removed, ends = removed_by(folder, so_far, cut)
    resumption = Resumption(
        at=WHEN,
        began_ns=at(BEGAN_MS) or 0,
        pause_seconds=3.8,
        after_requests=8,
        removed_requests=removed,
        first_seq=11,
        first_worker=1,
        shifted_ns=round(SHIFT_MS * 1e6),
        cut=cut,
    )
    windows = kept_windows(so_far, cut, ends)
    windows["load"] = {name: (*windows["load"][name], window(1, 5100, 5200)) for name in BOTH}
    windows["later"] = dict.fromkeys(BOTH, (window(0, 5300, 5400),))
    changes = {"status": "running", "resumed": (resumption,), "windows": windows}
    folder.write_manifest(so_far.model_copy(update=changes))
    made = rows(11, "load", ("vllm", 1), ("ollama", 1), sent_ms=5100 - SHIFT_MS)
    made += rows(13, "later", ("vllm", 0), ("ollama", 0), sent_ms=5300 - SHIFT_MS)
    write_part(folder, made, sample_ms=5050 - SHIFT_MS)
    write_server_samples(folder, (5099 - SHIFT_MS, "start"), (5150 - SHIFT_MS, "end"))
    return folder


def table(folder: RunFolder, name: str) -> list[dict[str, Any]]:
    return pq.read_table(folder.file(name)).to_pylist()


def check_merged(folder: RunFolder) -> None:
    requests = table(folder, "requests.parquet")
    assert [row["seq"] for row in requests] == [0, 1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 14]
    assert all(row["in_window"] for row in requests)
    assert [row["sent_ns"] for row in requests[-4:]] == [at(5100), at(5110), at(5300), at(5310)]
    assert [row["worker"] for row in requests] == [0] * 8 + [1] * 4
    assert {row["stall_ns"] for row in requests} == {7}
    chunks = table(folder, "chunks.parquet")
    assert [row["seq"] for row in chunks] == [row["seq"] for row in requests for _ in range(2)]
    sent = {row["seq"]: row["sent_ns"] for row in requests}
    assert all(row["arrival_ns"] - sent[row["seq"]] in {1, 2} for row in chunks)
    samples = table(folder, "worker_samples.parquet")
    assert [(row["worker"], row["at_ns"], row["late_ns"]) for row in samples] == [(0, at(900), 3), (1, at(5050), 3)]
    assert [row["wall_offset_ns"] for row in samples] == [50, 50 - round(SHIFT_MS * 1e6)]
    told = [(row["at_ns"], row["edge"]) for row in table(folder, "server_metrics.parquet")]
    turns = [(999, "start"), (1006, "end"), (1019, "start"), (1022, None), (5099, "start"), (5150, "end")]
    assert told == [(at(ms), edge) for ms, edge in turns]
    assert not folder.journal.exists()


def test_a_stopped_run_keeps_its_chunks_and_tells_how_far_it_came(tmp_path: Path) -> None:
    folder = first_part(tmp_path / "test_one")
    assert folder.file("chunks.parquet").is_file()
    found = progress_of(folder, folder.read_manifest())
    assert found.completed == {"ttft": 3, "load": 1, "later": 0}
    assert found.begun == {"ttft": 1, "load": 2}
    assert (found.requests, found.next_seq, found.next_worker, found.last_ns) == (11, 11, 1, at(1205))
    assert removed_by(folder, folder.read_manifest(), {"load": 1})[0] == 3


def test_a_round_whose_records_were_lost_is_not_whole(tmp_path: Path) -> None:
    folder = first_part(tmp_path / "test_lost")
    so_far = folder.read_manifest()
    lost = window(0, 1000, 1005, requests=2)  # two were sent, and one is kept
    windows = {**so_far.windows, "load": {**so_far.windows["load"], "vllm": (lost,)}}
    assert progress_of(folder, so_far.model_copy(update={"windows": windows})).completed["load"] == 0


def test_a_ttft_test_that_is_cut_keeps_its_whole_blocks(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "test_blocks")
    folder.path.mkdir()
    windows = {"ttft": dict.fromkeys(BOTH, (window(0, 0, 500, cut=True),))}
    folder.write_manifest(manifest(folder.test_id, status="running", plan=PLAN, windows=windows))
    warm = rows(0, "ttft", ("vllm", 0), sent_ms=-50, warmup=True)
    made = [{**warm[0], "block": None}, *rows(1, "ttft", ("vllm", 0), ("ollama", 0), ("ollama", 1), sent_ms=0)]
    made += rows(4, "ttft", ("vllm", 1), sent_ms=400, ok=False, error_class="interrupted")
    write_part(folder, made, sample_ms=0)
    so_far = folder.read_manifest()
    assert progress_of(folder, so_far).completed["ttft"] == 1
    removed, ends = removed_by(folder, so_far, {"ttft": 1})
    assert removed == 2
    (kept,) = kept_windows(so_far, {"ttft": 1}, ends)["ttft"]["vllm"]
    assert (kept.start_ns, kept.end_ns) == (ZERO_NS, (at(15) or 0) + 1)
    removed, ends = removed_by(folder, so_far, {"ttft": 0})
    assert removed == 5  # without a block to stay, the warm-up goes too
    assert kept_windows(so_far, {"ttft": 0}, ends) == {}


def test_two_parts_become_one(two_parts: RunFolder) -> None:
    found = finalise(two_parts, status="complete", save_raw_data=True)
    check_merged(two_parts)
    assert found.files["requests.parquet"].rows == 12


def test_a_part_that_an_older_version_wrote_lacks_what_it_did_not_know(two_parts: RunFolder) -> None:
    path = two_parts.file("worker_samples.parquet")
    samples = pq.read_table(path)
    pq.write_table(samples.drop_columns(["reads", "unstamped", "unsent_bytes"]), path)
    finalise(two_parts, status="complete", save_raw_data=True)
    check_merged(two_parts)
    found = table(two_parts, "worker_samples.parquet")
    assert [(row["worker"], row["reads"], row["unsent_bytes"]) for row in found] == [(0, None, None), (1, 0, 0)]


@pytest.mark.parametrize("change", ["lacks", "more"])
def test_a_part_with_other_columns_is_refused(two_parts: RunFolder, change: str) -> None:
    path = two_parts.file("worker_samples.parquet")
    samples = pq.read_table(path)
    other = samples.drop_columns(["late_ns"]) if change == "lacks" else samples.append_column("x", samples["at_ns"])
    pq.write_table(other, path)
    with pytest.raises(RunFolderError, match="written by another version"):
        finalise(two_parts, status="complete", save_raw_data=True)


def test_chunks_that_nobody_wants_go_with_the_end(two_parts: RunFolder) -> None:
    found = finalise(two_parts, status="complete", save_raw_data=False)
    assert "chunks.parquet" not in found.files
    assert not two_parts.file("chunks.parquet").exists()
    assert len(table(two_parts, "requests.parquet")) == 12


def test_a_merging_that_is_killed_anywhere_is_done_again(two_parts: RunFolder, tmp_path: Path) -> None:
    copies = [RunFolder(tmp_path / f"test_killed_{step}") for step in range(STEPS)]
    for copy in copies:
        shutil.copytree(two_parts.path, copy.path)
    dying = [
        subprocess.Popen([sys.executable, "-c", DYING, str(copy.path), str(step)]) for step, copy in enumerate(copies)
    ]
    assert [process.wait(60) for process in dying] == [-9] * STEPS
    for copy in copies:
        ended = recover(copy)
        assert ended.status == ("complete" if copy is copies[-1] else "partial")
        check_merged(copy)
