"""A file that is written to after it was checked: a record of it is the one that was checked, or refused."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.errors import ConfigError
from inference_bench.workloads.conversations import read_conversations
from inference_bench.workloads.prompt_file import read_prompt_file

COUNT = 12


def written(path: Path, word: str = "tell") -> Sequence[object]:
    """Write a file of prompts of the kind that its name says, and check it."""
    prompts = [f"{word} {number:02}" for number in range(COUNT)]
    lines = {
        ".txt": prompts,
        ".jsonl": [json.dumps({"prompt": prompt}) for prompt in prompts],
        ".csv": ["prompt,other", *(f'"{prompt}\n, more",x' for prompt in prompts)],
        ".json": [
            json.dumps([{"conversations": [{"from": "human", "value": prompt}]} for prompt in prompts], indent=1)
        ],
    }[path.suffix]
    path.write_text("\n".join(lines) + "\n")
    return read_conversations(path).records if path.suffix == ".json" else read_prompt_file(path)


@pytest.mark.parametrize("suffix", [".txt", ".jsonl", ".csv", ".json"])
def test_records_of_the_same_form_at_the_same_place_are_refused_too(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    records = written(path)
    before = records[3]
    with path.open("r+") as file:
        file.write(path.read_text().replace("tell 04", "sing 04"))
    assert records[3] == before
    assert len(records[5:]) == COUNT - 5
    with pytest.raises(ConfigError, match=r"mine\.\w+: this file was changed while it is in use"):
        records[4]
    with pytest.raises(ConfigError, match="changed"):
        records[2:6]


@settings(max_examples=60, deadline=None)
@given(data=st.data(), suffix=st.sampled_from([".txt", ".jsonl", ".csv", ".json"]))
def test_a_record_is_the_one_that_was_checked_or_refused_whatever_is_done_to_the_file(
    data: st.DataObject, suffix: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("changed") / f"mine{suffix}"
    records = written(path)
    checked = list(records)
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(data.draw(st.integers(0, size)))
        file.write(data.draw(st.binary(max_size=40)))
    os.truncate(path, data.draw(st.integers(0, 2 * size)))
    for place in range(COUNT):
        try:
            found = records[place]
        except ConfigError as error:
            assert "changed while it is in use" in str(error)
        else:
            assert found == checked[place]


def test_lines_that_are_added_and_a_name_that_goes_do_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    records = written(path)
    with path.open("a") as file:
        file.write("one more\n")
    path.unlink()
    assert len(list(records)) == COUNT
    with pytest.raises(IndexError):
        records[COUNT]
