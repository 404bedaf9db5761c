"""Sessions: from the built-in scripts, from files and composed; each once in a pass, equal for equal seed."""

import json
from collections import Counter
from pathlib import Path

import pytest
from counting import Simulated, as_sent
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.api.protocols import Message
from inference_bench.config.models import WorkloadSettings
from inference_bench.errors import ConfigError
from inference_bench.workloads.build import build_workload
from inference_bench.workloads.permutation import MOST_SORTED, permuted, place_in_pass
from inference_bench.workloads.scenarios import scenarios
from inference_bench.workloads.sessions import Session, SessionWorkload


def sessions(counter: Simulated | None = None, **keys: object) -> SessionWorkload:
    settings = WorkloadSettings.model_validate({"kind": "sessions", **keys})
    workload = build_workload(settings, seed=11, counter=counter)
    assert isinstance(workload, SessionWorkload)
    return workload


def test_the_built_in_scripts_are_sessions() -> None:
    workload = sessions()
    assert workload.sessions == 5
    found = [workload.session(index) for index in range(5)]
    assert {one.category for one in found} == {scenario.name for scenario in scenarios()}
    for one in found:
        script = next(scenario.script for scenario in scenarios() if scenario.name == one.category)
        assert one == Session(tuple(turn.user for turn in script), None, one.category)
    assert workload.item(3).messages == (Message("user", workload.session(3).turns[0]),)
    assert workload.item(3).max_tokens is None
    with pytest.raises(IndexError):
        workload.session(-1)


def test_a_script_can_be_chosen_and_cut() -> None:
    workload = sessions(category="Code-Review", turns=2, output_tokens=9)
    session = workload.session(123)
    assert (len(session.turns), session.max_tokens, session.category) == (2, (9, 9), "code_review")
    assert workload.item(4).max_tokens == 9
    with pytest.raises(ConfigError, match="there is no script 'code_reviw'; did you mean code_review"):
        sessions(category="code_reviw")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "talks.jsonl"
    lines = []
    for number in range(6):
        said = [{"role": "system", "content": "Be brief."}] if number % 2 else []
        for turn in range(number + 1):
            said += [{"role": "user", "content": f"{number}.{turn}"}, {"role": "assistant", "content": "ok"}]
        lines.append(json.dumps({"messages": said}))
    path.write_text("\n".join(lines))
    return path


def test_conversations_of_a_file_are_sessions(file: Path) -> None:
    workload = sessions(path=str(file))
    found = sorted((workload.session(index) for index in range(6)), key=lambda one: one.turns)
    assert [one.turns for one in found] == [tuple(f"{n}.{turn}" for turn in range(n + 1)) for n in range(6)]
    assert [one.system for one in found] == [None, "Be brief."] * 3
    spoken = next(index for index in range(6) if workload.session(index).system)
    assert [message.role for message in workload.item(spoken).messages] == ["system", "user"]


def test_sessions_of_a_file_can_be_fewer_and_shorter(file: Path) -> None:
    workload = sessions(path=str(file), sessions=4, turns={"distribution": "uniform", "min": 1, "max": 2})
    found = Counter(workload.session(index).turns[0] for index in range(40))
    assert found == {f"{number}.0": 10 for number in range(4)}
    assert {len(workload.session(index).turns) for index in range(4)} == {1, 2}
    assert "the first 4 of them are used" in workload.notes


def test_composed_turns_have_the_length_that_was_asked() -> None:
    counter = Simulated()
    lengths = {"distribution": "uniform", "min": 40, "max": 60}
    turns = {"distribution": "uniform", "min": 1, "max": 5}
    workload = sessions(counter, prompt_tokens=lengths, turns=turns, output_tokens=lengths)
    found = [workload.session(index) for index in range(50)]
    assert workload.sessions is None
    assert {len(one.turns) for one in found} == {1, 2, 3, 4, 5}
    for one in found:
        assert all(40 <= count <= 60 for count in counter.count(one.turns[1:]))
        assert one.max_tokens is not None
        assert all(40 <= length <= 60 for length in one.max_tokens)
    assert all(40 <= count <= 60 for count in counter.count([as_sent(workload, n)[0].content for n in range(50)]))
    assert workload.notes[0].startswith("each turn of the user: 512 prompts counted by the simulator: all exactly")
    assert len({turn for one in found for turn in one.turns}) == sum(len(one.turns) for one in found)


def test_a_session_says_something() -> None:
    with pytest.raises(ValueError, match="at least one turn"):
        Session((), None, "any")
    with pytest.raises(ValueError, match="one for each turn"):
        Session(("a", "b"), None, "any", (5,))


@given(key=st.text(max_size=20), count=st.integers(1, 400))
def test_a_permutation_uses_every_place_once(key: str, count: int) -> None:
    assert sorted(permuted(key, position, count) for position in range(count)) == list(range(count))


def test_orders_of_very_many_things_need_no_memory() -> None:
    count = 3 * MOST_SORTED
    first = [place_in_pass(1, index, count) for index in range(2000)]
    assert len(set(first)) == 2000
    assert max(first) < count
    assert first != [place_in_pass(1, index, count) for index in range(count, count + 2000)]
    assert first[:4] == [place_in_pass(1, index, count) for index in range(4)]
    assert abs(sum(first) / 2000 / count - 0.5) < 0.05
