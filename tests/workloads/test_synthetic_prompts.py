"""Synthetic prompts: exactly as long as asked under any counter whose words add up, and honest where they are not."""

import subprocess
import sys
from collections import Counter
from typing import Any

import pytest
from counting import Pieces, Simulated, Uneven, as_sent
from hypothesis import given, settings
from hypothesis import strategies as st

from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.build import build_workload, counts_tokens
from inference_bench.workloads.items import Workload
from inference_bench.workloads.tokens import TokenCounter


def synthetic(counter: TokenCounter | None, seed: int = 3, **keys: Any) -> Workload:
    wanted = WorkloadSettings.model_validate({"kind": "synthetic", **keys})
    return build_workload(wanted, seed=seed, counter=counter)


@settings(max_examples=30, deadline=None)
@given(
    tokens=st.integers(60, 3000),
    letters=st.sampled_from([1, 2, 3, 4, 30]),
    seed=st.integers(0, 2**63 - 1),
    index=st.integers(0, 10**12),
    unique=st.booleans(),
    nonce=st.text("abcdefgh", min_size=8, max_size=8),
)
def test_every_prompt_has_the_length_that_was_asked(
    *, tokens: int, letters: int, seed: int, index: int, unique: bool, nonce: str
) -> None:
    counter = Pieces(letters)
    cache = "unique" if unique else "shared"
    workload = synthetic(counter, seed, prompt_tokens=tokens, cache=cache)
    (message,) = as_sent(workload, index, unique=unique, nonce=nonce)
    assert counter.count([message.content]) == [tokens]


@pytest.mark.parametrize("counter", [Simulated(), Uneven(), Pieces(3)])
def test_the_note_says_how_many_were_counted_and_by_whom(counter: TokenCounter) -> None:
    workload = synthetic(counter, prompt_tokens={"distribution": "uniform", "min": 60, "max": 90})
    assert workload.notes[0] == f"512 prompts counted by {counter.source}: all exactly as long as asked"
    assert "chat template come on top" in workload.notes[1]


def test_prefixes_are_of_words_that_cost_the_same() -> None:
    words = synthetic(Uneven(), prompt_tokens=100).prefix_words
    assert words is not None
    assert len(words) in (16, 32, 64)
    assert len({(word[0] in "abc", word[-1] == "e") for word in words}) == 1


def test_without_a_counter_it_is_said_to_be_approximate() -> None:
    workload = synthetic(None, prompt_tokens=100)
    assert workload.notes[0].startswith("prompt lengths are approximate: no tokenizer counted them")
    assert workload.prefix_words is None
    (message,) = as_sent(workload, 7)
    assert len(message.content.split()) == 99  # and the blank line behind the unique prefix


class Shifting:
    """Counts one token more than words add up to in every second text it is asked for once it has been calibrated."""

    source = "shifting"

    def count(self, texts: list[str]) -> list[int]:
        return [len(text.split()) + (len(text) > 300 and place % 2) for place, text in enumerate(texts)]


def test_lengths_that_are_off_are_said_to_be_off() -> None:
    note = synthetic(Shifting(), prompt_tokens=100).notes[0]  # type: ignore[arg-type]
    assert note == "512 prompts counted by shifting: 256 not as long as asked, off by +0 to +1 tokens"


def test_a_share_of_the_prompts_begins_alike() -> None:
    counter = Simulated()
    workload = synthetic(counter, prompt_tokens=200, shared_prefix={"share": 0.4, "tokens": 101, "groups": 3})
    items = [workload.item(index) for index in range(1000)]
    beginnings = Counter(item.messages[0].content[: item.shared_characters] for item in items)
    assert 530 < beginnings.pop("") < 670
    assert len(beginnings) == 3
    assert {counter.count([beginning.rstrip(" ")])[0] for beginning in beginnings} == {101}
    sent = [as_sent(workload, index)[0].content for index in range(200)]
    assert set(counter.count(sent)) == {200}
    shared = next(index for index in range(1000) if items[index].shared_characters)
    assert sent[shared].startswith(items[shared].messages[0].content[: items[shared].shared_characters])
    assert "40% of the prompts share one of 3 beginnings of 101 tokens; the unique prefix stands behind it" in (
        workload.notes
    )


def test_without_unique_prefixes_a_shared_beginning_counts_too() -> None:
    counter = Pieces(4)
    workload = synthetic(counter, prompt_tokens=64, cache="shared", shared_prefix={"share": 1, "tokens": 63})
    texts = [as_sent(workload, index, unique=False)[0].content for index in range(50)]
    assert set(counter.count(texts)) == {64}
    assert len({text[:300] for text in texts}) == 1


def test_output_lengths_are_drawn_too() -> None:
    workload = synthetic(None, prompt_tokens=50, output_tokens={"distribution": "uniform", "min": 5, "max": 9})
    assert {workload.item(index).max_tokens for index in range(200)} == {5, 6, 7, 8, 9}
    assert {synthetic(None, prompt_tokens=50).item(index).max_tokens for index in range(5)} == {None}


def test_prompts_differ_from_index_to_index_and_by_seed() -> None:
    workload, other = synthetic(None, prompt_tokens=60), synthetic(None, seed=4, prompt_tokens=60)
    texts = {workload.item(index).messages[0].content for index in range(500)}
    assert len(texts) == 500
    assert texts.isdisjoint({other.item(index).messages[0].content for index in range(500)})
    with pytest.raises(IndexError):
        workload.item(-1)


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"prompt_tokens": 12}, "a prompt of 12 tokens has no room for its unique prefix, which takes 26"),
        (
            {"prompt_tokens": 70, "shared_prefix": {"share": 0.5, "tokens": 60}},
            "has no room for its shared and its unique prefix, which take 86",
        ),
    ],
)
def test_a_prompt_needs_room(keys: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        synthetic(Simulated(), **keys)


def test_a_counter_that_counts_nothing_alike_is_refused() -> None:
    class Odd:
        source = "odd"

        def count(self, texts: list[str]) -> list[int]:
            return list(range(1, len(texts) + 1))

    with pytest.raises(ConfigError, match="odd counts nearly every word differently"):
        synthetic(Odd(), prompt_tokens=100)  # type: ignore[arg-type]


def test_another_process_composes_the_same() -> None:
    program = (
        "from inference_bench.config.models import WorkloadSettings\n"
        "from inference_bench.workloads.build import build_workload\n"
        "workload = build_workload(WorkloadSettings.model_validate({'kind': 'synthetic', 'prompt_tokens': 40,\n"
        "    'output_tokens': {'distribution': 'lognormal', 'mean': 90, 'stdev': 80}}), seed=5)\n"
        "print([workload.item(index) for index in (0, 3, 99999)])\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    lengths = {"distribution": "lognormal", "mean": 90, "stdev": 80}
    workload = synthetic(None, seed=5, prompt_tokens=40, output_tokens=lengths)
    assert said.stdout.strip() == str([workload.item(index) for index in (0, 3, 99999)])


def test_who_needs_a_counter() -> None:
    def asks(**keys: object) -> bool:
        return counts_tokens(WorkloadSettings.model_validate(keys))

    assert asks(kind="synthetic", prompt_tokens=5)
    assert asks(kind="trace", path="a")
    assert asks(kind="sharegpt", path="a")
    assert not asks(kind="sharegpt", path="a", output_tokens=5)
    assert not asks(kind="synthetic", prompt_tokens=5, tokenizer="t.json")
    assert not asks(kind="sessions")
    assert not asks()
