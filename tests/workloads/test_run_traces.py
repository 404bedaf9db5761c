"""One of our own runs as a trace: which test and service, which times, and what is left out."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from inference_bench.errors import ConfigError
from inference_bench.results.finalise import finalise
from inference_bench.workloads.traces import read_trace
from run_records import request, run_with_journal


@pytest.fixture
def run(tmp_path: Path) -> Path:
    rows = [
        request(0, test="ttft", kind="ttft", sent_at=0, prompt_tokens=5, output_tokens=5),
        request(1, sent_at=10, prompt_tokens=7, output_tokens=1, warmup=True),
        request(2, sent_at=1000, intended_at=990, prompt_tokens=100, output_tokens=10),
        request(3, sent_at=1500, intended_at=1490, prompt_tokens=None, output_tokens=11),
        request(4, sent_at=2000, intended_at=1740, prompt_tokens=120, output_tokens=12),
        request(5, service="ollama", engine="ollama", sent_at=3000, prompt_tokens=130, output_tokens=13),
        request(6, service="ollama", engine="ollama", sent_at=3400, prompt_tokens=140, output_tokens=14),
    ]
    folder = run_with_journal(tmp_path, rows)
    finalise(folder, status="complete", save_raw_data=True)
    return Path(folder.path)


def test_the_first_load_test_of_the_first_service(run: Path) -> None:
    trace = read_trace(run)
    assert trace.times_s.tolist() == pytest.approx([0.0, 0.75])
    assert trace.prompt_tokens.tolist() == [100, 120]
    assert trace.output_tokens.tolist() == [10, 12]
    assert trace.name == f"{run.name}#load/vllm"
    assert "1 of its requests left out: a length was not told" in trace.notes
    assert read_trace(run / "requests.parquet").times_s.tolist() == trace.times_s.tolist()


def test_another_service_and_test_can_be_chosen(run: Path) -> None:
    trace = read_trace(Path(f"{run}#load/ollama"))
    assert trace.times_s.tolist() == pytest.approx([0.0, 0.4])
    assert trace.output_tokens.tolist() == [13, 14]
    assert read_trace(Path(f"{run}#ttft")).prompt_tokens.tolist() == [5]


@pytest.mark.parametrize("choice", ["none", "load/tgi", "\x1b[31m"])
def test_a_choice_that_is_not_there(run: Path, choice: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_trace(Path(f"{run}#{choice}"))
    assert f"there is no {choice!r} in this run" in caught.value.message
    assert caught.value.hint == "there are: ttft/vllm, load/vllm, load/ollama"


def test_parquet_that_is_no_run(tmp_path: Path) -> None:
    path = tmp_path / "other.parquet"
    pq.write_table(pa.table({"test": ["a"]}), path)
    with pytest.raises(ConfigError, match="these are no requests of a run: there is no column service"):
        read_trace(path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(ConfigError, match="this Parquet file cannot be read"):
        read_trace(path)


def test_a_test_without_lengths(tmp_path: Path) -> None:
    folder = run_with_journal(tmp_path, [request(0, sent_at=0, prompt_tokens=None)])
    finalise(folder, status="complete", save_raw_data=True)
    with pytest.raises(ConfigError, match="no request of load to vllm has a time and both lengths"):
        read_trace(Path(folder.path))


def test_what_lies_between_the_rounds_of_a_service_is_not_replayed(tmp_path: Path) -> None:
    sent = [(0, 0), (0, 200), (0, 400), (3, 20_000), (3, 20_200), (5, 20_250)]
    rows = [request(seq, round=r, sent_at=at, prompt_tokens=9, output_tokens=9) for seq, (r, at) in enumerate(sent)]
    folder = run_with_journal(tmp_path, rows)
    finalise(folder, status="complete", save_raw_data=True)
    trace = read_trace(Path(folder.path))
    assert trace.times_s.tolist() == pytest.approx([0.0, 0.2, 0.4, 0.6, 0.8, 0.85])
    assert "its rounds are put end to end: 19.4 s between them left out" in trace.notes
