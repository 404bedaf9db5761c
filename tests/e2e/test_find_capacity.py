"""The search for capacity through the command: two engines whose batches hold one and two answers at a time."""

from typing import Any, NamedTuple

import pytest
from front_door import Done, benchmark, only_folder, read_json, requests_of, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

EDGES = {"vllm-one": 1, "vllm-two": 2}
PROMISE = {"per_request": {"ttft_ms": 550}, "attainment": 0.8}
ENGINES = ["vllm,name=one,max-batch=1,step-ms=20", "vllm,name=two,max-batch=2,step-ms=20"]


class Search(NamedTuple):
    """A finished search: what the command said, and what the run folder holds."""

    done: Done
    manifest: Any
    summary: Any
    comparison: Any
    rows: list[dict[str, Any]]


@pytest.fixture(scope="module")
def search(tmp_path_factory: pytest.TempPathFactory) -> Search:
    """An answer takes 700 ms: who waits for a place in the batch breaks the promise, who does not is far from it."""
    cwd = tmp_path_factory.mktemp("capacity")
    chat = users("chat", 1, duration_seconds=1.8, rounds=3, max_tokens=35)
    write_config(cwd / "c.yaml", slo=PROMISE, load_tests=[chat, users("other", 2, requests=4)])
    with SimulatorProcess(ENGINES) as simulator:
        urls = [word for name in ("one", "two") for word in ("--url", f"vllm/{name}={simulator.urls[name]}")]
        done = benchmark("-c", "c.yaml", *urls, "--find-capacity", "--test", "chat", cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    return Search(
        done,
        read_json(folder / "test_manifest.json"),
        read_json(folder / "summary.json"),
        read_json(folder / "comparison.json"),
        list(requests_of(folder)),
    )


def spoiled(one: Any) -> bool:
    """Whether the search of a service was given up because this machine, too busy, spoiled its probes: it says so."""
    return str(one["limited_by"]).startswith("this client at ")


def test_each_service_s_edge_is_found_and_enclosed(search: Search) -> None:
    (facts,) = search.summary["capacity"]
    assert (facts["test"], facts["unit"], facts["complete"]) == ("chat", "users", True)
    assert facts["services"].keys() == EDGES.keys()
    for name, one in facts["services"].items():
        edge = EDGES[name]
        if spoiled(one):
            assert (one["value"] or 0) <= edge
        else:
            assert (one["value"], one["low"], one["high"], one["at_least"]) == (edge, edge, edge + 1, False)


def test_both_ends_of_the_edge_were_tried_three_times(search: Search) -> None:
    for one in search.summary["capacity"][0]["services"].values():
        told = [(probe["load"], probe["kept"]) for probe in one["probes"] if probe["kept"] is not None]
        if not spoiled(one):
            assert told.count((one["low"], True)) == told.count((one["high"], False)) == 3
        assert all(probe["why"] for probe in one["probes"] if not probe["kept"])
        # A probe lasts as long as one of the three rounds, and that is all that was asked of it.
        assert not any("steady window" in why for probe in one["probes"] for why in probe["why"])


def test_equal_rounds_of_a_load_are_equal_work_for_both_services(search: Search) -> None:
    work: dict[tuple[str, int, int], set[tuple[int, int]]] = {}
    for row in search.rows:
        of_place = work.setdefault((row["test"], row["round"], row["index"]), set())
        of_place.add((row["prompt_tokens"], row["max_tokens"]))
    assert all(len(asked) == 1 for asked in work.values())
    if not any(map(spoiled, search.summary["capacity"][0]["services"].values())):
        assert {row["service"] for row in search.rows if row["test"] == "chat@2"} == {"vllm-one", "vllm-two"}


def test_what_was_asked_beyond_the_edge_fails_nothing_and_compares_nothing(search: Search) -> None:
    tests = {test["name"]: sorted(test["services"]) for test in search.summary["tests"]}
    (facts,) = search.summary["capacity"]
    answers = {name: int(one["value"]) for name, one in facts["services"].items() if one["value"] is not None}
    loads = sorted(set(answers.values()))
    assert tests == {f"chat@{load}": [name for name in EDGES if answers.get(name) == load] for load in loads}
    assert all(test["probe"] and test["sweep"] == "chat" for test in search.summary["tests"])
    assert search.comparison["pairs"] == []
    assert [test["name"] for test in search.manifest["plan"]] == [f"chat@{load}" for load in loads]


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (["--find-capacity"], "--find-capacity varies one load test, and 4 are selected"),
        (["--find-capacity", "--test", "bare"], "nothing is promised in bare"),
        (["--find-capacity", "--test", "course"], "varies users or a rate, and course has steps arrivals"),
        (["--find-capacity", "--test", "bare", "--until-decided"], "exclude each other"),
        (["--find-capacity", "--test", "brief"], "varies the rate of brief, which ends after a number of requests"),
        (["--find-capacity", "--test", "few"], "varies the users of few, which ends after a number of requests"),
        (["--find-capacity", "--ttft-only"], "--find-capacity concerns load tests"),
    ],
)
def test_what_cannot_be_searched_is_refused_before_anything_is_asked(
    words: list[str], problem: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cwd = tmp_path_factory.mktemp("refused")
    course = {"name": "course", "arrivals": "steps", "rate": [1, 2], "duration_seconds": 2, "slo": PROMISE}
    brief = {"name": "brief", "rate": 4, "requests": 20, "slo": PROMISE}
    few = users("few", 2, requests=4, slo=PROMISE)
    write_config(cwd / "c.yaml", load_tests=[users("bare", 2, duration_seconds=2), course, brief, few])
    done = benchmark("-c", "c.yaml", "--url", "vllm=http://127.0.0.1:9", *words, cwd=cwd)
    assert done.code == 2, done.said()
    assert problem in done.errors[0]
    assert not (cwd / "results").exists()
