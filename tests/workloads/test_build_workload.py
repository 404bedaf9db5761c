"""From settings to work: equal for equal seed and index, every prompt equally often, wrong categories named."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.builtin import categories
from inference_bench.workloads.items import PooledWorkload, WorkItem, Workload


def pool(count: int, seed: int) -> PooledWorkload:
    items = [WorkItem((Message("user", str(number)),), None, "any") for number in range(count)]
    return PooledWorkload("pool", items, seed)


def numbers(workload: Workload, indices: range) -> list[str]:
    return [workload.item(index).messages[0].content for index in indices]


@given(st.integers(1, 60), st.integers(), st.integers(0, 10**12))
def test_each_pass_uses_every_item_once(count: int, seed: int, pass_no: int) -> None:
    drawn = numbers(pool(count, seed), range(pass_no * count, (pass_no + 1) * count))
    assert Counter(drawn) == Counter(str(number) for number in range(count))


@given(st.integers(2, 60), st.integers(), st.lists(st.integers(0, 10**9), max_size=20))
def test_equal_index_means_equal_work_in_whatever_order_it_is_asked(count: int, seed: int, asked: list[int]) -> None:
    one, two = pool(count, seed), pool(count, seed)
    forwards = [one.item(index) for index in asked]
    backwards = [two.item(index) for index in reversed(asked)]
    assert forwards == backwards[::-1]


def test_passes_and_seeds_have_orders_of_their_own() -> None:
    first = numbers(pool(30, 7), range(30))
    assert first != numbers(pool(30, 7), range(30, 60))
    assert first != numbers(pool(30, 8), range(30))


def test_the_order_of_a_seed_is_the_same_for_ever() -> None:
    assert numbers(pool(6, 42), range(12)) == list("015324153240")


def test_another_process_draws_the_same_work() -> None:
    workload = build_workload(WorkloadSettings(), seed=5)
    program = (
        "from inference_bench.config.models import WorkloadSettings\n"
        "from inference_bench.workloads.build import build_workload\n"
        "workload = build_workload(WorkloadSettings(), seed=5)\n"
        "print(ascii([workload.item(index).messages[0].content for index in (0, 1, 500, 12345)]))\n"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    expected = [workload.item(index).messages[0].content for index in (0, 1, 500, 12345)]
    assert said.stdout.strip() == ascii(expected)


def test_work_is_numbered_from_zero() -> None:
    with pytest.raises(IndexError):
        pool(3, 1).item(-1)
    with pytest.raises(ValueError, match="at least one"):
        PooledWorkload("none", [], 1)


def test_without_a_category_the_chat_mix_is_asked() -> None:
    workload = build_workload(WorkloadSettings(), seed=0)
    assert workload.name == "built-in"
    mixed = categories()["mixed"]
    assert {workload.item(index) for index in range(len(mixed))} == set(mixed)


@pytest.mark.parametrize("category", ["long_context_4k", "Long-Context-4K", "long context 4k"])
def test_a_category_is_written_as_one_likes(category: str) -> None:
    workload = build_workload(WorkloadSettings(category=category), seed=0)
    assert workload.name == "built-in/long_context_4k"
    assert {workload.item(index).category for index in range(3)} == {"long_context_4k"}


def test_an_unknown_category_is_named_with_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        build_workload(WorkloadSettings(category="multilingaul"), seed=0)
    error = caught.value
    assert error.message.endswith("no prompts of category 'multilingaul'; did you mean multilingual?")
    assert error.key == "workload.category"
    assert error.hint is not None
    assert "edge_cases" in error.hint


def test_a_file_is_asked_in_whole_or_by_category(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(
        '{"prompt": "a", "category": "Short Ones", "max_tokens": 9}\n{"prompt": "b"}\n'
        '{"prompt": "c", "category": "short-ones"}\n'
    )
    whole = build_workload(WorkloadSettings(kind="file", path=str(path)), seed=3)
    assert whole.name == "file mine.jsonl"
    assert sorted(numbers(whole, range(6))) == ["a", "a", "b", "b", "c", "c"]
    some = build_workload(WorkloadSettings(kind="file", path=str(path), category="short_ones"), seed=3)
    assert some.name == "file mine.jsonl/short_ones"
    assert sorted(numbers(some, range(2))) == ["a", "c"]
    assert {some.item(index).max_tokens for index in range(2)} == {9, None}


def test_a_category_the_file_does_not_have(tmp_path: Path) -> None:
    path = tmp_path / "mine.txt"
    path.write_text("a\nb\n")
    with pytest.raises(ConfigError, match="no prompts of category 'code'") as caught:
        build_workload(WorkloadSettings(kind="file", path=str(path), category="code"), seed=0)
    assert caught.value.file == path


def test_a_file_with_a_wrong_line_builds_nothing(tmp_path: Path) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text('{"prompt": "a"}\n{"promt": "b"}\n')
    with pytest.raises(ConfigError, match=r"mine\.jsonl:2:2: unknown key 'promt' in a prompt; did you mean prompt\?"):
        build_workload(WorkloadSettings(kind="file", path=str(path)), seed=0)
