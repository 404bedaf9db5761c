"""Files of conversations: ShareGPT arrays and JSONL, cut where they have to be, checked to the line and column."""

import io
import json
from pathlib import Path

import pytest
from counting import Simulated
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads import json_array
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.conversations import Conversation, Exchange, read_conversations
from inference_bench.workloads.items import Workload


def talk(*turns: str, start: str = "human") -> dict[str, object]:
    names = ("human", "gpt") if start == "human" else ("gpt", "human")
    messages = [{"from": names[place % 2], "value": text} for place, text in enumerate(turns)]
    return {"id": "x", "conversations": messages}


def written(folder: Path, value: object, name: str = "share.json") -> Path:
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value, indent=1), encoding="utf-8")
    return path


def conversations(path: Path) -> list[Conversation]:
    return list(read_conversations(path).records)


def test_sharegpt_conversations_are_cut_as_they_must_be(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        [
            talk("one", "two", "three"),
            talk("hello!", "who?", "me", start="gpt"),
            talk(),
            talk("only the answer", start="gpt"),
            {"conversations": [{"from": "system", "value": "Be brief."}, {"from": "user", "value": "Why?"}]},
            {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
            {"conversations": [{"from": "human", "value": "x"}, {"from": "tool", "value": 7}, {"from": "gpt"}]},
            {"conversations": [{"from": "human", "value": None}, {"from": "human", "value": "  "}]},
        ],
    )
    assert conversations(path) == [
        Conversation((Exchange("one", "two"), Exchange("three", None)), None),
        Conversation((Exchange("who?", "me"),), None),
        Conversation((Exchange("Why?", None),), "Be brief."),
        Conversation((Exchange("a\n\nb", None),), None),
        Conversation((Exchange("x", None),), None),
    ]
    assert read_conversations(path).note == "5 conversations in the file, 3 without a word of a user left out"


def test_jsonl_has_one_on_each_line(tmp_path: Path) -> None:
    lines = "".join(json.dumps(talk(str(number), "ok")) + "\r\n\n" for number in range(3))
    for name in ("talks.jsonl", "talks.json"):
        found = conversations(written(tmp_path, lines, name))
        assert [one.exchanges[0].user for one in found] == ["0", "1", "2"]


@given(
    texts=st.lists(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), max_size=4), max_size=6),
    indent=st.sampled_from([None, 1]),
    ascii_only=st.booleans(),
    chunk=st.integers(1, 60),
)
def test_any_conversation_survives_any_split_of_the_file(
    *,
    texts: list[list[str]],
    indent: int | None,
    ascii_only: bool,
    chunk: int,
) -> None:
    text = json.dumps([talk("q", *one) for one in texts], indent=indent, ensure_ascii=ascii_only)
    data = text.encode()
    kept, json_array._CHUNK = json_array._CHUNK, chunk
    try:
        found = list(json_array.elements(Path("share.json"), io.BytesIO(data)))
    finally:
        json_array._CHUNK = kept
    assert [json.loads(one.data) for one in found] == json.loads(text)
    for one in found:
        assert data[one.start : one.start + len(one.data)] == one.data
        before = data[: one.start]
        assert (one.line, one.column) == (before.count(b"\n") + 1, one.start - (before.rfind(b"\n") + 1) + 1)


@pytest.mark.parametrize(
    ("content", "place", "problem"),
    [
        ("7", "1:1", "'[' should stand here, not '7'"),
        ("[\n 7]", "2:2", "an object should stand here, not '7'"),
        ('[{"conversations": []} {"conversations": []}]', "1:24", "a comma or the end of the list should stand here"),
        ('[{"conversations": []},]', "1:24", "an object should stand here, not ']'"),
        ('[{"conversations": []}', "1:23", "a comma or the end of the list should stand here, not the end of the file"),
        ('[{"conversations": []}] x', "1:25", "the end of the file should stand here, not 'x'"),
        ('[\n{"conversations": [', "2:1", "the file ends inside this object"),
        ('[\n  {"conversations": ["]}]', "2:3", "the file ends inside this object"),
        ('[\n  {"conversations": 5 5}]', "2:23", "this is not JSON"),
        ('[{},\n  {"conversations":\n [5 5]}]', "1:2", 'neither "conversations" nor "messages"'),
        ('[{"conversations": [],\n "x": 5 5}]', "2:9", "this is not JSON"),
        ('[\n{"conversations": 5}]', "2:1", '"conversations" must be a list'),
        ('[\n{"conversations": ["Hi"]}]', "2:1", 'a message must be an object with "from" and "value"'),
        ('[{"conversations": [{"from": "alien", "value": "a"}]}]', "1:2", "\"from\" of a message cannot be 'alien'"),
        ('[{"conversations": [{"from": "human", "value": 5}]}]', "1:2", '"value" of a message must be text'),
    ],
)
def test_the_first_wrong_record_is_named(tmp_path: Path, content: str, place: str, problem: str) -> None:
    path = written(tmp_path, content)
    with pytest.raises(ConfigError) as caught:
        read_conversations(path)
    assert caught.value.message.startswith(f"{path}:{place}: ")
    assert problem in caught.value.message


def test_files_without_conversations(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no conversation with a word of a user"):
        read_conversations(written(tmp_path, [talk()]))
    with pytest.raises(ConfigError, match="the file of conversations is empty"):
        read_conversations(written(tmp_path, ""))
    with pytest.raises(ConfigError, match="cannot read the file of conversations: No such file"):
        read_conversations(tmp_path / "none.json")
    with pytest.raises(ConfigError, match=r":1:49: byte 0xff is no UTF-8"):
        path = tmp_path / "bytes.json"
        path.write_bytes(b'[{"conversations": [{"from": "human", "value": "\xff"}]}]')
        read_conversations(path)


def test_an_object_without_end_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_CHUNK", 64)
    monkeypatch.setattr(json_array, "MAX_ELEMENT_BYTES", 256)
    path = written(tmp_path, '[{"conversations": "' + "x" * 5000 + '"}]')
    with pytest.raises(ConfigError, match=r"share\.json:1:2: this object is longer than"):
        read_conversations(path)


def sharegpt(path: Path, counter: Simulated | None = None, **keys: object) -> Workload:
    settings = WorkloadSettings.model_validate({"kind": "sharegpt", "path": str(path), **keys})
    return build_workload(settings, seed=3, counter=counter)


def test_the_first_question_is_asked_and_its_answer_s_length_is_wanted(tmp_path: Path) -> None:
    counter = Simulated()
    path = written(tmp_path, [talk(f"question {number}", "word " * number, "more") for number in range(1, 6)])
    workload = sharegpt(path, counter)
    items = [workload.item(index) for index in range(5)]
    assert {item.messages for item in items} == {(Message("user", f"question {number}"),) for number in range(1, 6)}
    for item in items:
        number = int(item.messages[0].content.split()[1])
        assert item.max_tokens == counter.count([("word " * number).strip()])[0]
    assert "answer lengths are those of the dataset's answers: 5 counted by the simulator" in workload.notes


def test_answer_lengths_without_a_counter_and_from_a_distribution(tmp_path: Path) -> None:
    path = written(tmp_path, [talk("q", "a" * 455), talk("alone")])
    guessed = {sharegpt(path).item(index).max_tokens for index in range(2)}
    assert guessed == {100, None}
    assert "estimated" in sharegpt(path).notes[-1]
    assert {sharegpt(path, output_tokens=9).item(index).max_tokens for index in range(2)} == {9}


def test_what_happens_to_the_file_afterwards_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, [talk("before", "x")])
    workload = sharegpt(path)
    path.unlink()
    written(tmp_path, [talk("after", "x")])
    assert workload.item(0).messages == (Message("user", "before"),)
    with pytest.raises(IndexError):
        workload.item(-1)
