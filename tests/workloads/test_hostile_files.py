"""Files that nobody should write and somebody does: each is refused in one line that names the place."""

import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from inference_bench.config.models import LoadTestSettings
from inference_bench.errors import ConfigError
from inference_bench.testing.traces import slices_of
from inference_bench.workloads.conversations import read_conversations
from inference_bench.workloads.prompt_file import read_prompt_file
from inference_bench.workloads.traces import read_trace

AZURE = "TIMESTAMP,ContextTokens,GeneratedTokens\n"
BURST = "Timestamp,Request tokens,Response tokens\n"
MOMENT = "2023-11-16 18:15:46.6"


def message_of(read: object, path: Path, content: str | bytes) -> str:
    """Return what is said of the file, without its path. It is one line."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    assert callable(read)
    with pytest.raises(ConfigError) as caught:
        read(path)
    said = caught.value.message
    assert said.isprintable()
    return said.removeprefix(f"{path}:").strip()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (AZURE + ",3,4\n", "2:1: TIMESTAMP must be a time such as"),  # in the first row too
        (AZURE + "2023-11-16 18:15+05,3,4\n", "2:1: TIMESTAMP must be a time such as"),
        (AZURE + f"{MOMENT},3_0,4\n", "2:23: ContextTokens must be a whole number of tokens, not '3_0'"),
        (AZURE + f"{MOMENT},٣,4\n", "2:23: ContextTokens must be a whole number of tokens, not '٣'"),
        (AZURE + f"{MOMENT},²,4\n", "2:23: ContextTokens must be a whole number of tokens, not '²'"),
        (AZURE + f"{MOMENT},--5,4\n", "2:23: ContextTokens must be a whole number of tokens, not '--5'"),
        (AZURE + f"{MOMENT},{'9' * 5000},4\n", "2:23: ContextTokens must be a whole number of tokens, not '999"),
        (BURST + "1_0,3,4\n", "2:1: Timestamp must be a number of seconds, not '1_0'"),
        ("TIMESTAMP,ContextTokens,ContextTokens,GeneratedTokens\n", "1:25: the header names the column ContextTokens"),
    ],
)
def test_what_only_looks_like_a_number_or_a_time_is_refused_in_a_trace(tmp_path: Path, content: str, said: str) -> None:
    assert message_of(read_trace, tmp_path / "t.csv", content).startswith(said)


def test_numbers_as_spreadsheets_write_them_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text(BURST + " 1.5e0 , 3.00,4.\n.5e1,+7, 8\n")
    trace = read_trace(path)
    assert trace.times_s.tolist() == [0.0, 3.5]
    assert (trace.prompt_tokens.tolist(), trace.output_tokens.tolist()) == ([3, 7], [4, 8])


@pytest.mark.parametrize("read", [read_trace, read_prompt_file, read_conversations])
def test_a_compressed_file_is_called_one(tmp_path: Path, read: object) -> None:
    said = message_of(read, tmp_path / "f.jsonl", gzip.compress(b'{"prompt": "a"}\n'))
    assert said.endswith("is compressed (gzip); unpack it first")


def test_a_name_that_is_too_long_is_no_surprise() -> None:
    with pytest.raises(ConfigError, match="File name too long"):
        read_trace(Path("x" * 5000))
    with pytest.raises(ConfigError, match="File name too long"):
        read_trace(Path("x" * 5000 + "#load/vllm"))


def test_a_run_folder_that_cannot_be_looked_into(tmp_path: Path) -> None:
    (tmp_path / "requests.parquet").symlink_to("requests.parquet")
    with pytest.raises(ConfigError, match="cannot look into this folder: Too many levels of symbolic links"):
        read_trace(tmp_path)


def test_blocks_of_another_size_are_noted(tmp_path: Path) -> None:
    row = '{"timestamp": 1, "input_length": 600, "output_length": 5, "hash_ids": [%s]}\n'
    path = tmp_path / "t.jsonl"
    path.write_text(row % "1, 2" + row % "1, 2, 3")
    said = "1 row names more blocks of 512 tokens than fit into the prompt: are this trace's blocks of another size?"
    assert said in read_trace(path).notes
    path.write_text(row % "1, 2" * 2)
    assert not any("another size" in note for note in read_trace(path).notes)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('{"prompt": "a", "max_tokens": 0}', '2:17: "max_tokens" must be a whole number'),
        ('{"category": 5, "prompt": "a"}', '2:2: "category" must be text of one line'),
        ('{"max_tokens": 1, "prompt": " "}', '2:19: "prompt" is empty'),
        ('{"prompt": "a", "promt": 1}', "2:17: unknown key 'promt'"),
        ('{"max_tokens": 1, "messages": [{"role": "x", "content": "b"}]}', "2:19: the role of a message"),
        ('{"max_tokens": 1, "messages": [{"role": "user", "content": 5}]}', '2:49: "content" must be text'),
        ("{}", "2:1: this line needs exactly one of"),
    ],
)
def test_the_key_that_is_wrong_gives_the_column_of_a_prompt(tmp_path: Path, line: str, said: str) -> None:
    assert message_of(read_prompt_file, tmp_path / "p.jsonl", f'{{"prompt": "a"}}\n{line}\n').startswith(said)


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ("a,0,\n", "2:3: the output length must be"),
        ('"a,""b""",x,\n', "2:11: the output length must be"),
        ('"a\nb",1,c\n"d\n\ne",5.0,c\n', "6:4: the output length must be"),
        (f"a,1,{'c' * 65}\n", '2:5: "category" must be text'),
        (",1,c\n", "2:1: the prompt is empty"),
        ("a,1\n", "2:1: this record has 2 columns and the header 3"),
    ],
)
def test_the_cell_that_is_wrong_gives_the_place_in_a_csv_file(tmp_path: Path, records: str, said: str) -> None:
    content = "prompt,max_tokens,category\n" + records
    assert message_of(read_prompt_file, tmp_path / "p.csv", content).startswith(said)


def test_a_csv_file_of_another_shape(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    assert (
        message_of(read_prompt_file, path, "a,prompt,prompt\n1,2,3\n")
        == "1:1: the header names the column 'prompt' twice"
    )
    said = message_of(read_prompt_file, path, "prompt,max_tokens\ra,5\r")
    assert said == "1:1: this record is no CSV: a line ends with a bare carriage return"
    path.write_text("prompt\n")
    with pytest.raises(ConfigError) as caught:
        read_prompt_file(path)
    assert caught.value.hint == "a record on each line below the header"


def test_the_byte_that_is_no_text_is_named_in_a_conversation(tmp_path: Path) -> None:
    record = b'{"conversations": [{"from": "human",\n "value": "a\xff"}]}'
    assert message_of(read_conversations, tmp_path / "c.json", b"[\n" + record + b"]").startswith(
        "3:13: byte 0xff is no"
    )
    record = b'{"conversations": [{"from": "human", "value": "a\xff"}]}'
    assert message_of(read_conversations, tmp_path / "c.jsonl", b"\n" + record).startswith(
        "2:49: byte 0xff is no UTF-8"
    )


@pytest.mark.parametrize("case", [{"speed": 1e-300}, {"speed": 1e-5}, {}])
def test_a_replay_ends_within_a_month(case: dict[str, float]) -> None:
    test = LoadTestSettings.model_validate({"name": "replay", "arrivals": "trace", **case})
    times = np.array([0.0, 1e300 if not case else 60.0])
    with pytest.raises(
        ConfigError, match="the trace of load test replay takes longer than 30 days to replay"
    ) as caught:
        slices_of(times, test, 1)
    assert caught.value.hint == "cut it with duration_seconds or requests, or raise speed"
    cut = test.model_copy(update={"requests": 1})
    assert [part.count for part in slices_of(times, cut, 1)] == [1]


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for read in (read_trace, read_prompt_file, read_conversations):
        with pytest.raises(ConfigError, match="no regular file"):
            read(tmp_path / "pipe")
