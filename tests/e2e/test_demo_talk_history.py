"""What services are really sent in a talk, and what the figures of growing prompts say, by the real command."""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from front_door import LAUNCHER, PATIENCE, Done, environment, read_json, run
from recording_server import WORDS, recording_server

from inference_bench.simulator.launcher import SimulatorProcess
from inference_bench.workloads.scenarios import find_scenario

SCRIPT = find_scenario("1").script
OWN_ANSWER = "".join(f"word{number} " for number in range(WORDS))
CONVERSATION = ("demo", "--mode", "conversation", "--scenario", "1")


def chat(cwd: Path, typed: str, *args: str) -> Done:
    """Chat through a pipe."""
    command = [sys.executable, str(LAUNCHER), "demo", "--mode", "chat", *args]
    ran = subprocess.run(
        command, cwd=cwd, env=environment(), input=typed.encode(), capture_output=True, timeout=PATIENCE, check=False
    )
    return Done(ran.returncode, ran.stdout.decode(), ran.stderr.decode())


def said(bodies: Sequence[dict[str, Any]]) -> list[list[tuple[str, str]]]:
    """Return the messages of each request, without the warm-up's."""
    return [[(message["role"], message["content"]) for message in body["messages"]] for body in bodies[1:]]


@pytest.mark.parametrize("same", [False, True], ids=["own", "same-history"])
def test_each_turn_carries_the_services_own_answers_or_the_scripted_ones(tmp_path: Path, same: bool) -> None:
    with recording_server() as server:
        words = [*CONVERSATION, "--url", f"openai={server.url}", *(["--same-history"] if same else [])]
        done = run(*words, cwd=tmp_path)
    assert done.code == 0, done.said()
    expected: list[list[tuple[str, str]]] = []
    past: list[tuple[str, str]] = []
    for turn in SCRIPT:
        expected.append([*past, ("user", turn.user)])
        past = [*expected[-1], ("assistant", turn.assistant if same else OWN_ANSWER)]
    assert said(server.sent) == expected
    assert all(body["max_tokens"] == 200 for body in server.sent[1:])
    words_out = " ".join(done.out.split())
    assert ("times do not compare" in words_out) is not same
    assert ("one turn proves nothing" in words_out) is same


def test_one_prompt_of_a_scenario_is_a_talk_of_one_turn(tmp_path: Path) -> None:
    with recording_server() as server:
        done = run(*CONVERSATION, "--prompt", "3", "--max-tokens", "9", "--url", f"openai={server.url}", cwd=tmp_path)
    assert done.code == 0, done.said()
    assert said(server.sent) == [[("user", find_scenario("1").prompts[2])]]
    assert server.sent[1]["max_tokens"] == 9


WRONG = {
    "a text": (("conversation", "--scenario", "1", "--prompt", "Hello"), "is no number of a scenario's prompts"),
    "a number": (("conversation", "--scenario", "1", "--prompt", "5"), "customer_support has no prompt 5"),
    "a huge number": (("conversation", "--scenario", "1", "--prompt", "9" * 9999), "customer_support has no prompt"),
    "a scenario": (("conversation", "--scenario", "code-reviw"), "did you mean code_review?"),
    "a chat's scenario": (("chat", "--scenario", "6"), "there is no scenario '6'"),
    "a suffix": (("chat", "--save", "talk.txt"), "'talk.txt' says neither"),
    "a file that is there": (("chat", "--save", "there.md"), "already exists"),
}


@pytest.mark.parametrize(("args", "message"), WRONG.values(), ids=WRONG.keys())
def test_wrong_words_are_refused_before_anybody_is_asked(tmp_path: Path, args: tuple[str, ...], message: str) -> None:
    (tmp_path / "there.md").write_text("mine")
    with recording_server() as server:
        done = run("demo", "--url", f"openai={server.url}", "--mode", *args, cwd=tmp_path)
        assert server.sent == []
    assert done.code == 2, done.said()
    assert len(done.errors) == 1
    assert message in done.errors[0]
    assert (tmp_path / "there.md").read_text() == "mine"


def test_a_chat_goes_on_from_its_own_answers_until_it_begins_afresh(tmp_path: Path) -> None:
    with recording_server() as server:
        typed = "\nfirst\n \nsecond\n/new\n/nonsense\nthird\nq\nnever\n"
        done = chat(tmp_path, typed, "--url", f"openai={server.url}", "--prompt", "/opening")
    assert done.code == 0, done.said()
    answer = ("assistant", OWN_ANSWER)
    opening = [("user", "/opening")]
    first = [*opening, answer, ("user", "first")]
    assert said(server.sent) == [opening, first, [*first, answer, ("user", "second")], [("user", "third")]]
    assert done.err.count("Nothing was typed") == 2
    assert "There is no '/nonsense' here" in done.err


@pytest.mark.parametrize("typed", ["", "q\n", "/quit\n", "Q"])
def test_a_chat_in_which_nothing_is_said_asks_nobody_and_writes_nothing(tmp_path: Path, typed: str) -> None:
    with recording_server() as server:
        done = chat(tmp_path, typed, "--url", f"openai={server.url}", "--save", "t.md")
    assert done.code == 0, done.said()
    assert len(server.sent) == 1  # the warm-up
    assert not (tmp_path / "t.md").exists()
    assert "Nothing was said" in done.err


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    # Request 1 warms up, so request 3 is turn 2.
    serve = ["vllm,name=good,ttft-ms=40,itl-ms=5", "tgi,name=bad,ttft-ms=40,itl-ms=5,fault=cut/3"]
    with SimulatorProcess(serve) as simulator:
        yield ["--url", f"vllm/good={simulator.urls['good']}", "--url", f"tgi/bad={simulator.urls['bad']}"]


def test_a_service_that_dies_in_a_turn_goes_on_with_the_next_one(urls: list[str], tmp_path: Path) -> None:
    done = run(*CONVERSATION, "--max-tokens", "12", "--save", "t.json", *urls, cwd=tmp_path)
    assert done.code == 0, done.said()
    assert "No answer from tgi-bad: this question goes along with the next one." in done.err
    talk = read_json(tmp_path / "t.json")
    good, bad = ([turn["replies"][name] for turn in talk["turns"]] for name in ("vllm-good", "tgi-bad"))
    assert [reply["answered"] for reply in good] == [True] * 4
    assert [reply["answered"] for reply in bad] == [True, False, True, True]
    assert bad[1]["error_class"] == "truncated"
    assert [reply["messages_sent"] for reply in good] == [1, 3, 5, 7]
    assert [reply["messages_sent"] for reply in bad] == [1, 3, 3, 5]
    counts = [reply["prompt_tokens"] for reply in good]
    assert counts == sorted(set(counts))
    assert bad[1]["prompt_tokens"] is None
    grown = counts[3] - counts[0]
    assert f"vllm-good: from turn 1 to turn 4 +{grown} prompt tokens" in done.out
    assert all(f"{number}" in done.out for number in counts)
    assert "SIMULATED" in done.out


def test_a_service_that_answers_nothing_at_all_does_not_end_the_talk_but_its_exit_code(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,name=a,ttft-ms=30,itl-ms=5", "vllm,name=b,ttft-ms=30,itl-ms=5,fault=refuse"]) as sim:
        words = [word for name in "ab" for word in ("--url", f"vllm/{name}={sim.urls[name]}")]
        done = chat(tmp_path, "one\ntwo\nthree\n", *words, "--max-tokens", "6")
    assert done.code == 3, done.said()
    assert done.out.count("Chat, turn ") == 3
    assert done.errors == ["Error: vllm-b answered not a single request"]
