"""Prompts longer than a context that a service tells: the plan says so before anything is sent, once for each test."""

import json
import re
from typing import Any

import pytest
from front_door import benchmark, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

COMPOSED = "(by the lengths they are composed to; the chat template comes on top)"


def asked(name: str, workload: dict[str, object], **more: Any) -> dict[str, object]:
    return users(name, 2, **{"requests": 40, "workload": workload, **more})


def synthetic(prompt: object) -> dict[str, object]:
    return {"kind": "synthetic", "prompt_tokens": prompt}


def sessions(turns: int) -> dict[str, object]:
    return {"kind": "sessions", "prompt_tokens": 60, "turns": turns, "sessions": 40}


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """What the plan of many tests says of each, for a service of 512 tokens."""
    cwd = tmp_path_factory.mktemp("planned")
    lines = [json.dumps({"prompt": "word " * words}) for words in (20, 3000)]
    (cwd / "prompts.jsonl").write_text("\n".join(lines))
    tests = [
        asked("fits", synthetic(504)),
        asked("swept", synthetic(504), max_tokens=9, concurrent_users=[1, 2]),
        asked("varied", synthetic({"distribution": "uniform", "min": 100, "max": 1000}), requests=12),
        asked("file", {"kind": "file", "path": "prompts.jsonl"}),
        asked("grows", sessions(6), max_tokens=100),
        asked("short", sessions(6), max_tokens=9),
    ]
    write_config(cwd / "c.yaml", load_tests=tests)
    with SimulatorProcess(["vllm,name=small,context=512"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"vllm/small={simulator.urls['small']}", "--dry-run", cwd=cwd)
    assert done.code == 0, done.said()
    told = re.findall(r"([a-z]+): (\d+ of \d+ sampled .*? tells \([^)]*\))", " ".join(done.out.split()))
    assert len(dict(told)) == len(told)
    return dict(told)


def test_composed_prompts_go_by_their_lengths_and_what_fits_is_not_mentioned(notes: dict[str, str]) -> None:
    exceed = "sampled prompts plus their max_tokens exceed the context of 512 tokens that vllm-small tells"
    assert notes["swept"] == f"32 of 32 {exceed} {COMPOSED}"
    assert sorted(notes) == ["file", "grows", "swept", "varied"]


def test_no_more_are_looked_at_than_will_be_sent(notes: dict[str, str]) -> None:
    many, _, of, *_ = notes["varied"].split()
    assert of == "12"
    assert 0 < int(many) < 12


def test_texts_of_a_file_are_estimates_and_said_to_be(notes: dict[str, str]) -> None:
    assert notes["file"].startswith("16 of 32 sampled prompts plus their max_tokens exceed the context of 512 tokens")
    assert notes["file"].endswith("(lengths are estimated from characters: only the server counts)")


def test_a_session_grows_until_its_last_turn(notes: dict[str, str]) -> None:
    said = "32 of 32 sampled sessions, in their last turn and with answers as long as they are asked for, exceed"
    assert notes["grows"].startswith(said)
