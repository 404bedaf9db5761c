"""Multi-turn sessions through the command, against engines of three dialects: the same script, each its own history."""

from collections import defaultdict
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from front_door import Done, Row, benchmark, only_folder, read_json, requests_of, users, write_config
from recording_proxy import proxied

from inference_bench.simulator.launcher import SimulatorProcess

ENGINES = ("vllm", "tgi", "ollama")
TIMING = "ttft-ms=20,itl-ms=8"
THINK_MS = 40
TURNS = 3
CLOSED = users("chat", 2, requests=18, think_time_seconds=THINK_MS / 1000, warmup_requests=1)
OPEN = {
    **{"name": "open", "arrivals": "constant", "rate": 20, "requests": 9, "rounds": 1, "warmup_requests": 0},
    **{"max_tokens": 8, "think_time_seconds": THINK_MS / 1000},
}
Talk = tuple[str, int, int]  # test, round, session


class Run(NamedTuple):
    """A finished run: rows and request bodies of each service, the summary, what was said."""

    done: Done
    talks: dict[str, dict[Talk, list[Row]]]
    rows: list[Row]
    bodies: dict[str, dict[str, Any]]
    tests: dict[str, Any]

    def said(self, row: Row) -> list[tuple[str, str]]:
        """The messages of a request."""
        body = self.bodies[row["service"]][row["request_id"]]
        return [(message["role"], message["content"]) for message in body["messages"]]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    cwd = tmp_path_factory.mktemp("sessions")
    workload = {"kind": "sessions", "turns": TURNS}
    write_config(cwd / "c.yaml", load_tests=[CLOSED, OPEN], workload=workload, output={"save_responses": True})
    served = [f"{engine},{TIMING}{',load-ms=0' if engine == 'ollama' else ''}" for engine in ENGINES]
    with SimulatorProcess(served) as simulator, proxied(simulator.urls) as proxies:
        urls = [word for name, proxy in proxies.items() for word in ("--url", f"{name}={proxy.url}")]
        done = benchmark("-c", "c.yaml", *urls, cwd=cwd)
        bodies = {name: proxy.bodies() for name, proxy in proxies.items()}
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    rows = requests_of(folder)
    talks: dict[str, dict[Talk, list[Row]]] = {name: defaultdict(list) for name in ENGINES}
    for row in sorted(rows, key=lambda row: int(row["sent_ns"])):
        if not row["warmup"]:
            talks[row["service"]][row["test"], row["round"], row["session"]].append(row)
    tests = {test["name"]: test["services"] for test in read_json(folder / "summary.json")["tests"]}
    return Run(done, talks, rows, bodies, tests)


@pytest.mark.parametrize("engine", ENGINES)
def test_each_turn_carries_the_servers_own_earlier_answers(run: Run, engine: str) -> None:
    thirds = 0
    for turns in run.talks[engine].values():
        assert [row["turn"] for row in turns] == list(range(len(turns)))
        for number, row in enumerate(turns):
            said = run.said(row)
            assert [role for role, _ in said if role != "system"] == ["user", "assistant"] * number + ["user"]
            heard = [text for role, text in said if role == "assistant"]
            assert heard == [earlier["response_text"] for earlier in turns[:number]]
            assert all(heard)
            assert said[: len(said) - 2] == run.said(turns[number - 1]) if number else True
            thirds += number == TURNS - 1
    assert thirds >= 6


def test_every_service_is_asked_the_same_script_with_the_same_prefix(run: Run) -> None:
    asked = {
        engine: {
            (*talk, row["turn"], row["index"]): [text for role, text in run.said(row) if role != "assistant"]
            for talk, rows in talks.items()
            for row in rows
        }
        for engine, talks in run.talks.items()
    }
    assert asked["vllm"] == asked["tgi"] == asked["ollama"]
    firsts = [texts[0] for place, texts in asked["vllm"].items() if place[3] == 0]
    assert len({first[:40] for first in firsts}) == len(firsts)  # no two sessions share a prefix
    for turns in run.talks["vllm"].values():
        assert len({run.said(row)[0] for row in turns}) == 1  # and all turns of a session have one


def test_a_turn_waits_for_the_answer_and_the_think_time_and_the_work_is_used_up_exactly(run: Run) -> None:
    for talks in run.talks.values():
        for turns in talks.values():
            for before, after in pairwise(turns):
                assert after["sent_ns"] - before["end_ns"] >= THINK_MS * 1_000_000
        for test, asked in (("chat", 18), ("open", 9)):
            rows = [row for talk, rows in talks.items() if talk[0] == test for row in rows]
            assert len(rows) == asked == len({(row["round"], row["index"]) for row in rows})
            assert all(row["ok"] for row in rows)


def test_an_open_loop_intends_the_starts_of_sessions_only(run: Run) -> None:
    for talks in run.talks.values():
        for (test, _, _), turns in talks.items():
            assert [row["intended_ns"] is not None for row in turns] == [
                test == "open" and row["turn"] == 0 for row in turns
            ]


def test_warm_ups_are_no_part_of_a_session(run: Run) -> None:
    warm_ups = [row for row in run.rows if row["warmup"]]
    assert len(warm_ups) == 9
    assert {(row["session"], row["turn"]) for row in warm_ups} == {(None, None)}


@pytest.mark.parametrize("engine", ENGINES)
def test_the_summary_tells_of_each_turn_and_of_the_clients_turnaround(run: Run, engine: str) -> None:
    service = run.tests["chat"][engine]
    turns = service["turns"]
    assert [turn["turn"] for turn in turns] == list(range(TURNS))
    assert [turn["n"] for turn in turns] == [6, 6, 6]
    lengths = [turn["prompt_tokens"] for turn in turns]
    assert lengths == sorted(set(lengths))  # the prompt grows with the conversation
    assert all(turn["ttft_ms"] > 0 for turn in turns)
    assert service["sessions"]["begun"] == 6
    assert service["sessions"]["ended_early"] == 0
    assert service["sessions"]["turnarounds"] == 12
    assert service["sessions"]["turnaround_p50_ms"] >= 0


def test_the_screen_shows_the_turns(run: Run) -> None:
    assert "Turn 3 TTFT p50, ms" in run.done.out
    assert "Turn 4" not in run.done.out
