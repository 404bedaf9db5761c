"""A local tokenizer file: counts like a server does, and says plainly what it is when it is none."""

import json
import sys
from pathlib import Path

import pytest
from counting import as_sent

from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.prefix import prefix_words
from inference_bench.workloads.tokens import FileTokenCounter


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Return a tokenizer file: bytes, cut before blanks, with every second word of the prefixes merged to one token."""
    merges: dict[tuple[str, str], None] = {}
    letters = {chr(code): None for code in range(33, 127)}
    vocabulary = dict.fromkeys([*letters, "Ġ", "Ċ"])
    for word in prefix_words()[::2]:
        for start in (word, f"Ġ{word}"):
            for end in range(1, len(start)):
                merges[(start[:end], start[end])] = None
                vocabulary[start[: end + 1]] = None
    path = tmp_path / "tokenizer.json"
    pre = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    model = {
        "type": "BPE",
        "vocab": {token: number for number, token in enumerate(vocabulary)},
        "merges": [list(pair) for pair in merges],
        "fuse_unk": False,
        "byte_fallback": False,
    }
    path.write_text(json.dumps({"version": "1.0", "pre_tokenizer": pre, "model": model, "added_tokens": []}))
    return path


def test_a_file_counts_and_prompts_are_exact(tokenizer: Path) -> None:
    counter = FileTokenCounter(tokenizer)
    assert counter.source == "tokenizer.json"
    assert counter.count(["able", "able aged", "", "able\n\naged"]) == [1, 2, 0, 4]
    value = {"kind": "synthetic", "prompt_tokens": 77, "tokenizer": str(tokenizer)}
    workload = build_workload(WorkloadSettings.model_validate(value), seed=1)
    assert workload.notes[0] == "512 prompts counted by tokenizer.json: all exactly as long as asked"
    sent = [as_sent(workload, index)[0].content for index in range(600, 900)]
    assert set(counter.count(sent)) == {77}


def test_what_is_no_tokenizer_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    with pytest.raises(ConfigError, match="cannot read the tokenizer file: No such file"):
        FileTokenCounter(path)
    path.write_text('{"model": 5}')
    with pytest.raises(ConfigError, match=r"this is no tokenizer\.json") as caught:
        FileTokenCounter(path)
    assert (caught.value.file, caught.value.key) == (path, "workload.tokenizer")


def test_without_the_extra_it_is_named(tokenizer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ConfigError, match="library that reads tokenizer files is not installed") as caught:
        FileTokenCounter(tokenizer)
    assert caught.value.hint is not None
    assert "pip install 'vllm-benchmark[tokenizers]'" in caught.value.hint
