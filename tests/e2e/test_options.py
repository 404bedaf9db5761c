"""What the options of `benchmark` do, seen from outside: exit codes, what reaches the engine, what is kept."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jsonschema
import pytest
from front_door import (
    Done,
    benchmark,
    only_folder,
    read_json,
    requests_of,
    run,
    run_folders,
    truth_of,
    users,
    write_config,
)

from inference_bench.results.summary import published_json_schema
from inference_bench.simulator.launcher import SimulatorProcess

TTFT = {"iterations": 3, "warmup_requests": 0, "max_tokens": 4}
LOADS = [users("one", 2, requests=6), users("two", 2, duration_seconds=1)]


class Engine(NamedTuple):
    """A simulated vLLM: its URL and its truth log."""

    url: str
    truth: Path


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    truth = tmp_path_factory.mktemp("options") / "truth.jsonl"
    with SimulatorProcess(["vllm,ttft-ms=20,itl-ms=10"], truth_log=truth) as simulator:
        yield Engine(simulator.urls["vllm"], truth)


def ask(engine: Engine, cwd: Path, *args: str) -> Done:
    """Run `benchmark` on a configuration with a TTFT test and two load tests."""
    write_config(cwd / "c.yaml", ttft_test=TTFT, load_tests=LOADS)
    return benchmark("-c", "c.yaml", "--url", f"vllm={engine.url}", *args, cwd=cwd)


WRONG = {
    "users and rate": (["--users", "3", "--rate", "5"], "concurrent_users and rate exclude each other"),
    "unknown test": (["--test", "nope"], "there is no test 'nope'"),
    "both only": (["--ttft-only", "--load-only"], "--ttft-only and --load-only exclude each other"),
    "nothing left": (["--ttft-only", "--test", "one"], "no test is left to run"),
    "load of no load test": (["--test", "ttft", "--users", "3"], "--users concerns load tests, and --test ttft leaves"),
    "too many": (["--max-requests", "5"], "more than --max-requests 5"),
    "quick and -c": (["--quick"], "--quick and -c/--config exclude each other"),
    "no prompts": (["--prompts", "none.txt"], "none.txt: cannot read the prompt file"),
    "workers": (["--workers", "none"], "--workers takes auto or a number from 1 to 256"),
    "too many digits": (["--workers", "9" * 5000], "--workers takes auto or a number from 1 to 256, not '9999"),
    "prompts unused": (["--load-only", "--trace", "t", "--prompts", "p"], "--prompts is not used by --load-only"),
    "other digits": (["--users", "1,\u0663"], "is not a whole number above 0"),
    "underscore": (["--rate", "1_0"], "'1_0' is not a number above 0"),
    "nonce": (["--nonce", ""], "--nonce must not be empty"),
    "arrivals": (["--arrivals", "poisson"], "poisson needs rate"),
    "unknown service": (["--service", "tgi"], "tgi"),
    "output": (["-o", "c.yaml/below"], "cannot write to c.yaml/below"),
    "not a number": (["-d", "nan"], "'nan' is not a number above 0"),
    "no end": (["--rate", "inf"], "'inf' is not a number above 0"),
    "nobody to compare": (["--until-decided"], "--until-decided compares services, and there is only vllm"),
}


@pytest.mark.parametrize(("args", "wanted"), WRONG.values(), ids=WRONG.keys())
def test_what_is_impossible_is_refused_before_anything_is_sent(
    engine: Engine, tmp_path: Path, args: list[str], wanted: str
) -> None:
    before = len(truth_of(engine.truth))
    done = ask(engine, tmp_path, *args)
    assert done.code == 2, done.said()
    assert len(done.errors) == 1
    assert wanted in done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    assert len(truth_of(engine.truth)) == before
    assert run_folders(tmp_path) == []


def test_a_dry_run_tells_the_plan_on_stdout_and_measures_nothing(engine: Engine, tmp_path: Path) -> None:
    before = len(truth_of(engine.truth))
    done = ask(engine, tmp_path, "--dry-run")
    assert done.code == 0, done.said()
    rows = [line.split() for line in done.out.splitlines() if line.startswith((" ttft ", " one ", " two "))]
    assert [row[0] for row in rows] == ["ttft", "one", "two"]
    assert "SIMULATED" in done.out
    assert done.err == "Configuration: c.yaml\n"
    plan = ask(engine, tmp_path, "--dry-run", "--json", "--test", "one")
    document = json.loads(plan.out)
    assert document["dry_run"]
    assert document["simulated"]
    assert [(test["name"], test["requests"], test["output_tokens_at_most"]) for test in document["tests"]] == [
        ("one", 6, 48)
    ]
    assert document["services"][0]["model"] == "simulated-model"
    assert len(truth_of(engine.truth)) == before
    assert run_folders(tmp_path) == []


@pytest.mark.parametrize(
    ("ramp", "requests", "wanted"),
    [
        (0, 3, "one: no user asks twice in a round of 3 requests: no rate can be told"),
        (2, 3, "one: no user asks twice in a round of 3 requests: all are sent in the ramp, and nothing is measured"),
        (2, 9, "one: requests that are sent in the ramp of 2 s are not measured, and count among those asked"),
    ],
)
def test_a_plan_says_what_a_number_of_requests_leaves_unknown(
    engine: Engine, tmp_path: Path, ramp: int, requests: int, wanted: str
) -> None:
    load = users("one", 3, requests=requests, ramp_up_seconds=ramp)
    config = write_config(tmp_path / "c.yaml", load_tests=[load])
    done = benchmark("-c", str(config), "--url", f"vllm={engine.url}", "--dry-run", cwd=tmp_path)
    assert f"Note: {wanted}" in " ".join(done.said().split())


def test_a_dry_run_until_decided_tells_the_budget(engine: Engine, tmp_path: Path) -> None:
    options = ["--url", f"vllm/b={engine.url}", "--dry-run", "--ttft-only", "--until-decided"]
    done = ask(engine, tmp_path, *options, "--max-requests", "5")
    assert done.code == 0, done.said()
    assert "for at most 10 min (comparison.budget), about 600 requests" in done.out
    document = json.loads(ask(engine, tmp_path, *options, "--json").out)
    assert document["until_decided"] == {"budget_seconds": 600, "further_requests_at_most": 600}
    # What may follow counts where large load is asked about.
    refused = ask(engine, tmp_path, *[option for option in options if option != "--dry-run"], "--max-requests", "500")
    assert refused.code == 2
    assert "the plan sends about 606 requests, more than --max-requests 500" in refused.err
    assert run_folders(tmp_path) == []


def test_json_is_one_document_on_stdout_that_keeps_to_the_schema(engine: Engine, tmp_path: Path) -> None:
    done = ask(engine, tmp_path, "--json", "--load-only", "--test", "one")
    assert done.code == 0, done.said()
    document = json.loads(done.out)
    # The keys of summary.json, and beside them what was compared and what was gated.
    comparison, gates = document.pop("comparison"), document.pop("gates")
    jsonschema.Draft202012Validator(published_json_schema()).validate(document)
    assert document == read_json(only_folder(tmp_path) / "summary.json")
    assert comparison == read_json(only_folder(tmp_path) / "comparison.json")
    assert gates is None
    assert [test["name"] for test in document["tests"]] == ["one"]
    # Progress is there, on stderr, and neither stream has anything that a terminal would obey.
    assert "one: vllm, round 1" in done.err
    assert all(character.isprintable() or character == "\n" for character in done.out + done.err)


def test_what_is_chosen_on_the_command_line_is_what_runs(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("Say hello.\nCount to three.\n")
    options = ["--ttft-only", "--prompts", "prompts.txt", "--max-tokens", "3", "--workers", "2"]
    options += ["--name", "My run!", "-o", "elsewhere", "--seed", "9", "--nonce", "n1", "--quiet"]
    done = ask(engine, tmp_path, *options)
    assert done.code == 0, done.said()
    assert done.err == ""
    assert run_folders(tmp_path) == []
    (folder,) = (tmp_path / "elsewhere").iterdir()
    assert folder.name.startswith("test_my-run_")
    manifest = read_json(folder / "test_manifest.json")
    assert (manifest["name"], manifest["seed"], manifest["nonce"]) == ("My run!", 9, "n1")
    assert [test["name"] for test in manifest["plan"]] == ["ttft"]
    assert manifest["config"]["workload"]["kind"] == "file"
    rows = requests_of(folder)
    assert len(rows) == 3
    assert {row["max_tokens"] for row in rows} == {3}
    assert {row["worker"] for row in rows} == {0}  # one at a time is one worker's work


def test_users_are_divided_over_the_workers_and_requests_are_as_many_as_asked_for(
    engine: Engine, tmp_path: Path
) -> None:
    done = ask(engine, tmp_path, "--test", "two", "--requests", "9", "--users", "4", "--workers", "2")
    assert done.code == 0, done.said()
    rows = requests_of(only_folder(tmp_path))
    assert sorted(row["index"] for row in rows) == list(range(9))
    assert {row["worker"]: set() for row in rows} == {0: set(), 1: set()}
    assert {row["user"] for row in rows} == {0, 1, 2, 3}
    assert {row["user"] % 2 - row["worker"] for row in rows} == {0}
    service = read_json(only_folder(tmp_path) / "summary.json")["tests"][0]["services"]["vllm"]
    assert service["requests"]["ok"] == 9


def test_answers_that_all_came_in_the_ramp_are_answers(engine: Engine, tmp_path: Path) -> None:
    """No figure without a steady window, but a service that answered is not called silent (exit 3)."""
    load = users("load", 1, requests=1, ramp_up_seconds=20)
    write_config(tmp_path / "c.yaml", ttft_test={"enabled": False}, load_tests=[load])
    done = benchmark("-c", "c.yaml", "--url", f"vllm={engine.url}", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "was all of it ramp" in done.out


def test_an_export_never_writes_into_the_evidence(engine: Engine, tmp_path: Path) -> None:
    assert ask(engine, tmp_path, "--ttft-only").code == 0
    folder = only_folder(tmp_path)
    before = (folder / "summary.csv").read_bytes()
    export = ("results", "export", folder.name, "--format", "csv", "-o", str(folder / "summary.csv"))
    done = run(*export, cwd=tmp_path)
    assert done.code == 2
    assert "evidence" in done.err
    assert (folder / "summary.csv").read_bytes() == before
