"""Prompts from CSV: which columns are read, cells with line ends, and the place of the first wrong record."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads import csv_file
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.prompt_file import read_prompt_file


def written(folder: Path, content: str | bytes) -> Path:
    path = folder / "mine.csv"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_columns_are_found_by_their_names(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        '\ufeffid,Question,max_tokens,category\r\n1,"Why, ""oh"" why?\r\nSay it.",12,short\r\n\r\n2,How,,\r\n',
    )
    assert list(read_prompt_file(path)) == [
        WorkItem((Message("user", 'Why, "oh" why?\r\nSay it.'),), 12, "short"),
        WorkItem((Message("user", "How"),), None, "file"),
    ]


@pytest.mark.parametrize("name", csv_file.PROMPT_COLUMNS)
def test_the_usual_names_of_a_prompt(tmp_path: Path, name: str) -> None:
    (item,) = read_prompt_file(written(tmp_path, f"{name},output_tokens\nHi,7\n"))
    assert (item.messages[0].content, item.max_tokens) == ("Hi", 7)


def test_a_column_can_be_named(tmp_path: Path) -> None:
    path = written(tmp_path, "prompt,french\nHello,Bonjour\nBye,Adieu\n")
    settings = WorkloadSettings(kind="file", path=str(path), prompt_column="french")
    workload = build_workload(settings, seed=1)
    assert {workload.item(index).messages[0].content for index in range(2)} == {"Bonjour", "Adieu"}
    assert workload.notes == ("2 prompts in the file",)
    with pytest.raises(ConfigError, match="has no column 'frnch'; did you mean french"):
        read_prompt_file(path, prompt_column="frnch")
    other = tmp_path / "mine.txt"
    other.write_text("Hi\n")
    with pytest.raises(ConfigError, match=r"only a \.csv file has columns"):
        read_prompt_file(other, prompt_column="french")


@given(
    prompts=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0")).filter(str.strip), min_size=1, max_size=20
    ),
    # Written minimally, a carriage return is in quotes only where lines end with one: bare, it ends a line (RFC 4180).
    form=st.sampled_from([(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]),
)
def test_any_prompt_survives_csv(
    *, tmp_path_factory: pytest.TempPathFactory, prompts: list[str], form: tuple[int, str]
) -> None:
    quoting, ending = form
    text = io.StringIO(newline="")
    rows = csv.writer(text, quoting=quoting, lineterminator=ending)  # type: ignore[arg-type]
    rows.writerow(["category", "prompt"])
    rows.writerows([["c", prompt] for prompt in prompts])
    path = written(tmp_path_factory.mktemp("any"), text.getvalue())
    items = read_prompt_file(path)
    assert [item.messages[0].content for item in items] == prompts
    assert [items[place].messages[0].content for place in reversed(range(len(items)))] == prompts[::-1]


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        ("a,b\n1,2\n", "1:1", "the header names no column of prompts"),
        ("prompt,b\nfine,2\nshort\n", "3:1", "this record has 1 columns and the header 2"),
        ('prompt,b\n"two\nlines",2\n , 5\n', "4:1", "the prompt is empty"),
        (
            "prompt,max_tokens\nfine,2\nfine,0\n",
            "3:6",
            "a whole number from 1 to 1,000,000, not '0'",
        ),
        (
            "prompt,max_tokens\nfine,-2\n",
            "2:6",
            "a whole number from 1 to 1,000,000, not '-2'",
        ),
        ("prompt,category\nfine," + "x" * 99 + "\n", "2:6", '"category" must be text of one line'),
        ('prompt,b\n"fine"x,2\n', "2:1", "this record is no CSV"),
        ('prompt,b\n"never closed,2\n', "2:1", "this record is no CSV"),
        ("prompt\nna\xefve\n".encode("latin-1"), "2:3", "byte 0xef is no UTF-8"),
        ("prompt\n", "", "there is no prompt in this file"),
    ],
)
def test_a_wrong_record_is_named(tmp_path: Path, content: str | bytes, place: str, problem: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_prompt_file(path)
    assert caught.value.message.startswith(f"{path}:{place}: " if place else f"{path}: ")
    assert problem in caught.value.message


def test_a_quote_that_is_never_closed_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_file, "MAX_RECORD_BYTES", 100)
    path = written(tmp_path, 'prompt\nfine\n"' + "never\n" * 100)
    with pytest.raises(ConfigError, match=r"mine\.csv:3: this record is longer than"):
        read_prompt_file(path)
