"""Prompt files: what is read, and one clear sentence with file and line for everything else."""

import os
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.errors import ConfigError
from inference_bench.workloads import prompt_file
from inference_bench.workloads.items import WorkItem
from inference_bench.workloads.prompt_file import read_prompt_file


def written(folder: Path, content: bytes | str, name: str = "prompts.txt") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def texts(path: Path) -> list[str]:
    return [item.messages[0].content for item in read_prompt_file(path)]


def refused(path: Path) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read_prompt_file(path)
    error = caught.value
    assert error.file == path
    assert error.key == "workload.path"
    assert error.message.startswith(f"{path}:{error.line}:" if error.line is not None else f"{path}: ")
    assert error.message.isprintable()
    assert len(error.message) < len(str(path)) + 200
    return error


def test_text_has_a_prompt_on_each_line(tmp_path: Path) -> None:
    path = written(
        tmp_path, "# mine\nFirst one\n\n   \n  Second, indented  \n  # not this\n\\# Heading\n\\n stays\nlast"
    )
    assert texts(path) == ["First one", "Second, indented", "# Heading", "\\n stays", "last"]
    assert read_prompt_file(path)[0] == WorkItem((Message("user", "First one"),), None, "file")


@pytest.mark.parametrize("name", ["prompts.txt", "prompts", "prompts.md"])
def test_byte_order_mark_and_crlf_leave_no_trace(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, b"\xef\xbb\xbf# \xc3\xbc\r\nOne\r\n\r\nZwei \xe2\x80\xa8 Zeilen\r\n", name)
    assert texts(path) == ["One", "Zwei \u2028 Zeilen"]


@pytest.mark.parametrize("ending", ["\n", "\r\n", ""])
def test_jsonl_has_prompts_and_conversations(tmp_path: Path, ending: str) -> None:
    lines = [
        '\ufeff{"prompt": "Hi", "max_tokens": 12, "category": "greeting"}',
        "",
        '{"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?\\n"}]}',
    ]
    path = written(tmp_path, (ending or "\n").join(lines) + ending, "prompts.JSONL")
    assert list(read_prompt_file(path)) == [
        WorkItem((Message("user", "Hi"),), 12, "greeting"),
        WorkItem((Message("system", "Be brief."), Message("user", "Why?\n")), None, "file"),
    ]


@given(prompts=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1)))
def test_any_prompt_survives_jsonl(tmp_path_factory: pytest.TempPathFactory, prompts: list[str]) -> None:
    prompts = [prompt for prompt in prompts if prompt.strip()] or ["one"]
    lines = b"\n".join(orjson.dumps({"prompt": prompt}) for prompt in prompts)
    assert texts(written(tmp_path_factory.mktemp("any"), lines, "p.ndjson")) == prompts


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{", "not JSON"),
        ('{"prompt": "a"} {"prompt": "b"}', "not JSON"),
        ("# no comment in JSONL", "not JSON"),
        ('"text"', "not an object"),
        ("[1]", "not an object"),
        ("[" * 200_000, "not JSON"),
        ('{"prompt": "\\ud800"}', "not JSON"),
        ("{}", 'exactly one of "prompt" and "messages"'),
        ('{"prompt": "a", "messages": []}', "exactly one of"),
        ('{"prompt": ""}', '"prompt" is empty'),
        ('{"prompt": 7}', '"prompt" must be text'),
        ('{"prompt": "a\\u0000b"}', "NUL"),
        ('{"prompt": "a", "max_token": 5}', "unknown key 'max_token' in a prompt; did you mean max_tokens?"),
        ('{"prompt": "a", "\\u001b[31m": 5}', "unknown key"),
        ('{"prompt": "a", "max_tokens": 0}', '"max_tokens" must be a whole number from 1 to 1,000,000'),
        ('{"prompt": "a", "max_tokens": true}', '"max_tokens" must be'),
        ('{"prompt": "a", "max_tokens": 2.0}', '"max_tokens" must be'),
        ('{"prompt": "a", "category": ""}', '"category" must be'),
        ('{"prompt": "a", "category": "two\\nlines"}', '"category" must be'),
        ('{"messages": []}', '"messages" must be a list'),
        ('{"messages": "Hi"}', '"messages" must be a list'),
        ('{"messages": ["Hi"]}', "must be an object"),
        ('{"messages": [{"role": "User", "content": "a"}]}', "cannot be 'User'; did you mean user?"),
        ('{"messages": [{"content": "a"}]}', "cannot be nothing"),
        ('{"messages": [{"role": "user", "content": ["a"]}]}', '"content" must be text'),
        ('{"messages": [{"role": "user", "content": " "}]}', '"content" is empty'),
        ('{"messages": [{"role": "user", "content": "a", "name": "x"}]}', "unknown key 'name' in a message"),
        ('{"messages": [{"role": "assistant", "content": "a"}]}', "the last one must be of the user"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, line: str, problem: str) -> None:
    error = refused(written(tmp_path, '{"prompt": "fine"}\n\n' + line + '\n{"prompt": "fine"}\n', "prompts.jsonl"))
    assert problem in error.message
    assert error.line == 3


def test_bytes_that_are_no_utf8_are_named(tmp_path: Path) -> None:
    error = refused(written(tmp_path, b"fine\nna\xefve\n"))
    assert (error.line, error.hint) == (2, "save the file as UTF-8")
    assert "byte 0xef at position 3" in error.message


def test_utf16_is_recognised(tmp_path: Path) -> None:
    error = refused(written(tmp_path, "Hello\n".encode("utf-16")))
    assert error.line == 1
    assert error.hint == "this looks like UTF-16; save the file as UTF-8"
    assert "NUL" in refused(written(tmp_path, "Hello\n".encode("utf-16-le"))).message


@pytest.mark.parametrize("content", ["\n\n", "# only\n# comments\n"])
def test_a_file_without_prompts(tmp_path: Path, content: str) -> None:
    assert "there is no prompt in this file" in refused(written(tmp_path, content)).message


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    assert "the prompt file is empty" in refused(written(tmp_path, "")).message
    assert "cannot read the prompt file: No such file" in refused(tmp_path / "none.txt").message
    (tmp_path / "folder").mkdir()
    assert "cannot read the prompt file: Is a directory" in refused(tmp_path / "folder").message


def test_a_json_document_is_no_jsonl(tmp_path: Path) -> None:
    error = refused(written(tmp_path, '[{"prompt": "a"}]', "prompts.json"))
    assert ".json file is one document" in error.message
    assert error.hint is not None
    assert ".jsonl" in error.hint


def test_a_line_is_bounded_and_a_file_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_file, "MAX_LINE_BYTES", 64)
    assert len(texts(written(tmp_path, "x" * 63 + "\n"))[0]) == 63
    assert refused(written(tmp_path, "ok\n" + "x" * 65)).line == 2
    many = read_prompt_file(written(tmp_path, "".join(f"prompt {number}\n" for number in range(150_000))))
    assert len(many) == 150_000
    assert many[149_999].messages[0].content == "prompt 149999"


def test_a_file_without_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "endless.txt"
    path.symlink_to("/dev/zero")
    assert "no regular file" in refused(path).message
    os.mkfifo(tmp_path / "pipe.txt")  # nobody writes to it, so to open it for reading could last for ever
    assert "no regular file" in refused(tmp_path / "pipe.txt").message


def test_what_happens_to_the_file_afterwards_changes_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "one\ntwo\n")
    items = read_prompt_file(path)
    path.unlink()
    path.write_text("another\nfile\n")
    path.unlink()
    assert [item.messages[0].content for item in items] == ["one", "two"]


def test_the_place_in_a_line_is_named(tmp_path: Path) -> None:
    error = refused(written(tmp_path, '{"prompt": "fine"}\n{"prompt": 7 8}\n', "p.jsonl"))
    assert error.message.startswith(f"{tmp_path / 'p.jsonl'}:2:14: this line is not JSON")
