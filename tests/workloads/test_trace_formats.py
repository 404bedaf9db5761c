"""Traces of other people: what is read of each format, and a sentence with line and column for everything else."""

from pathlib import Path

import numpy as np
import pytest
from counting import Simulated, as_sent
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.trace_columns import Trace
from inference_bench.workloads.traces import TraceWorkload, read_trace

MOONCAKE = (
    '{"timestamp": 27482, "input_length": 1200, "output_length": 52, "hash_ids": [46, 47, 2353]}\n'
    '{"timestamp": 30535, "input_length": 1500, "output_length": 26, "hash_ids": [46, 47, 2366]}\n'
    '{"timestamp": 30535, "input_length": 300, "output_length": 9, "hash_ids": [99]}\n'
)
AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:50.9951690,396,109\n"
)
AZURE_2024 = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2024-05-10 00:00:00.009930+00:00,2162,5\r\n"
    "2024-05-10 02:00:01+02:00,2399,6\r\n"
)
BURST = (
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "5,ChatGPT,472,18,490,Conversation log\n"
    "45,ChatGPT,1087,0,1087,Conversation log\n"
    '118.5,GPT-4,417.0,276,693,"API log, new"\n'
)
BURST_SESSIONS = (
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type\n"
    "0,s1,1.5,ChatGPT,10,20,30,Conversation log\n"
)


def trace_of(folder: Path, content: str, name: str = "trace.csv") -> Trace:
    path = folder / name
    path.write_text(content, encoding="utf-8")
    return read_trace(path)


def columns(trace: Trace) -> list[tuple[float, int, int]]:
    rows = zip(trace.times_s, trace.prompt_tokens, trace.output_tokens, strict=True)
    return [(round(float(time), 7), int(prompt), int(output)) for time, prompt, output in rows]


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (MOONCAKE, [(0.0, 1200, 52), (3.053, 1500, 26), (3.053, 300, 9)]),
        (AZURE, [(0.0, 374, 44), (4.314579, 396, 109)]),
        (AZURE_2024, [(0.0, 2162, 5), (0.99007, 2399, 6)]),
        (BURST, [(0.0, 472, 18), (113.5, 417, 276)]),
        (BURST_SESSIONS, [(0.0, 10, 20)]),
        ("\ufeff" + AZURE, [(0.0, 374, 44), (4.314579, 396, 109)]),
    ],
)
def test_each_format_is_told_by_its_content(tmp_path: Path, content: str, rows: list[tuple[float, int, int]]) -> None:
    assert columns(trace_of(tmp_path, content)) == rows


def test_what_was_left_out_is_said(tmp_path: Path) -> None:
    trace = trace_of(tmp_path, BURST)
    assert trace.notes == ("BurstGPT trace of 2 requests", "1 row without a prompt or an answer left out")
    assert (trace.rows, trace.span_s, trace.rate) == (2, 113.5, 1 / 113.5)
    assert trace_of(tmp_path, BURST_SESSIONS).rate is None


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        ("hello\n", "1:1", "no trace of a known format"),
        ("TIMESTAMP,ContextTokens\n", "1:23", "the Azure LLM inference format needs the column GeneratedTokens"),
        (AZURE + "2023-11-16 18:15:51,396\n", "4:23", "this line has 2 columns and the header 3"),
        (AZURE + "2023-11-16 18:15:51,39x,5\n", "4:21", "ContextTokens must be a whole number of tokens, not '39x'"),
        (AZURE + "2023-11-16 25:15:51,39,5\n", "4:1", "TIMESTAMP must be a time such as 2023"),
        (AZURE + "2023-11-16 18:15:51.+1,39,5\n", "4:1", "TIMESTAMP must be a time such as 2023"),
        (AZURE + "2023-11-16 18:15:50.5,39,5\n", "4:1", "the time is 0.495169 s before that of the row above"),
        (AZURE + "2023-11-16 18:15:51,39,-5\n", "4:24", "the output length is negative: -5"),
        (AZURE + "2023-11-16 18:15:51,3999999999,5\n", "4:21", "the prompt length is more than 2,147,483,647"),
        (BURST + "-3,GPT-4,1,2,3,API log\n", "5:1", "Timestamp must not be negative, not '-3'"),
        (BURST + "nan,GPT-4,1,2,3,API log\n", "5:1", "the time is not a finite number"),
        (BURST + "inf,GPT-4,1,2,3,API log\n", "5:1", "the time is not a finite number"),
        (BURST + "x,GPT-4,1,2,3,API log\n", "5:1", "Timestamp must be a number of seconds"),
        (BURST + "200,GPT-4,1.5,2,3,API log\n", "5:11", "Request tokens must be a whole number"),
        (BURST + '200,"GPT-4,1,2,3,API log\n', "5:1", "this line is no CSV"),
        (MOONCAKE + "{\n", "4:2", "this line is not JSON"),
        (MOONCAKE + "[1]\n", "4:1", "not an object"),
        (MOONCAKE + '{"timestamp": -1, "input_length": 1, "output_length": 1}\n', "4:2", "the time is negative: -1 ms"),
        (MOONCAKE + '{"timestamp": 1, "input_length": 1, "output_length": 1}\n', "4:2", "s before that of the row"),
        (MOONCAKE + '{"timestamp": 40000, "output_length": 1}\n', "4:40", '"input_length" is missing'),
        (MOONCAKE + '{"timestamp": 40000, "input_length": 1.5}\n', "4:22", '"input_length" must be a whole number'),
        (MOONCAKE + '{"timestamp": "1", "input_length": 1}\n', "4:2", '"timestamp" must be a number'),
        (
            MOONCAKE + '{"timestamp": 40000, "input_length": 1, "output_length": 1, "hash_ids": [true]}\n',
            "4:61",
            '"hash_ids" must be a list of whole numbers',
        ),
    ],
)
def test_a_wrong_row_is_named_by_line_and_column(tmp_path: Path, content: str, place: str, problem: str) -> None:
    with pytest.raises(ConfigError) as caught:
        trace_of(tmp_path, content)
    error = caught.value
    assert error.message.startswith(f"{tmp_path / 'trace.csv'}:{place}: ")
    assert problem in error.message
    assert error.key == "workload.path"
    assert error.message.isprintable()


def test_a_file_without_requests_or_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no request in this Azure LLM inference trace"):
        trace_of(tmp_path, AZURE.partition("\n")[0] + "\n")
    with pytest.raises(ConfigError, match="the trace is empty"):
        trace_of(tmp_path, "")
    with pytest.raises(ConfigError, match="cannot read the trace: No such file"):
        read_trace(tmp_path / "none.csv")
    with pytest.raises(ConfigError, match="this folder is no run"):
        read_trace(tmp_path)
    with pytest.raises(ConfigError, match="of a run only"):
        trace_of(tmp_path, AZURE)
        read_trace(tmp_path / "trace.csv#load/vllm")
    (tmp_path / "bytes.csv").write_bytes(AZURE.encode() + b"2023-11-16 18:15:51,3\xff,5\n")
    with pytest.raises(ConfigError, match=r":4:22: byte 0xff is no UTF-8"):
        read_trace(tmp_path / "bytes.csv")


@given(
    gaps=st.lists(st.integers(0, 10**7), min_size=1, max_size=50),
    lengths=st.lists(st.integers(1, 10**6), min_size=50, max_size=50),
)
def test_any_mooncake_trace_comes_back(
    tmp_path_factory: pytest.TempPathFactory, gaps: list[int], lengths: list[int]
) -> None:
    times = np.cumsum(gaps)
    lines = [
        f'{{"timestamp": {time}, "input_length": {length}, "output_length": {51 - row}}}\n'
        for row, (time, length) in enumerate(zip(times, lengths, strict=False))
    ]
    trace = trace_of(tmp_path_factory.mktemp("any"), "".join(lines), "m.jsonl")
    assert np.allclose(trace.times_s, (times - times[0]) / 1000)
    assert trace.prompt_tokens.tolist() == lengths[: len(gaps)]
    assert [column.dtype.name for column in (trace.times_s, trace.prompt_tokens)] == ["float64", "int32"]


def workload_of(folder: Path, content: str, cache: str = "unique") -> TraceWorkload:
    path = folder / "t.jsonl"
    path.write_text(content)
    settings = WorkloadSettings.model_validate({"kind": "trace", "path": str(path), "cache": cache})
    workload = build_workload(settings, seed=3, counter=Simulated())
    assert isinstance(workload, TraceWorkload)
    return workload


@pytest.mark.parametrize("cache", ["unique", "shared"])
def test_work_has_the_lengths_and_the_shared_blocks_of_its_row(tmp_path: Path, cache: str) -> None:
    workload = workload_of(tmp_path, MOONCAKE, cache)
    sent = [as_sent(workload, row, unique=cache == "unique")[0].content for row in range(3)]
    assert Simulated().count(sent) == [1200, 1500, 300]
    assert [workload.item(row).max_tokens for row in range(4)] == [52, 26, 9, 52]
    shared = workload.item(0).shared_characters
    assert sent[0][:shared] == sent[1][:shared]
    assert Simulated().count([sent[0][:shared].rstrip()]) == [1024]
    assert sent[0][shared:] != sent[1][shared:]
    assert workload.item(2).shared_characters == 0
    assert "3 prompts counted by the simulator: all exactly as long as asked" in workload.notes
    assert "prompts share their beginnings as the trace says, in blocks of 512 tokens" in workload.notes


def test_a_prompt_that_others_repeat_keeps_room_for_its_prefix(tmp_path: Path) -> None:
    line = '{"timestamp": 1, "input_length": 1024, "output_length": 5, "hash_ids": [1, 2]}\n'
    workload = workload_of(tmp_path, line * 2)
    sent = [as_sent(workload, row)[0].content for row in (0, 1)]
    assert Simulated().count(sent) == [1024, 1024]
    assert sent[0] != sent[1]


def test_prompts_too_short_for_a_prefix_are_counted_in_a_note(tmp_path: Path) -> None:
    workload = workload_of(tmp_path, '{"timestamp": 1, "input_length": 4, "output_length": 5}\n' * 2)
    assert "2 prompts are shorter than a unique prefix and sent with 26 tokens" in workload.notes
    assert Simulated().count([as_sent(workload, 0)[0].content]) == [26]
    assert Simulated().count([as_sent(workload_of(tmp_path, MOONCAKE, "shared"), 2, unique=False)[0].content]) == [300]
    with pytest.raises(IndexError):
        workload.item(-1)
