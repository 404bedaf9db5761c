"""Gates as CI meets them: the exit code and which of several comes first, the table, gates.json, JUnit XML."""

import json
import signal
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from front_door import (
    Done,
    answers,
    benchmark,
    only_folder,
    read_json,
    run_folders,
    start,
    truth_of,
    users,
    write_config,
)

from inference_bench.simulator.launcher import SimulatorProcess

TTFT = {"iterations": 3, "warmup_requests": 0, "max_tokens": 4}
TRUE, FALSE = "ttft:vllm-a.ttft_ms.p50 > 1", "ttft:vllm-a.ttft_ms.p50 > 60000"
# A load test that is all ramp has no steady window: invalid, whatever the machine does.
ALL_RAMP = users("load", 1, requests=1, ramp_up_seconds=20)


class Engines(NamedTuple):
    """A service that answers, one that never does, and the truth log of both."""

    good: str
    silent: str
    truth: Path


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engines]:
    truth = tmp_path_factory.mktemp("gates") / "truth.jsonl"
    serve = ["vllm,name=good,ttft-ms=20,itl-ms=10", "vllm,name=silent,fault=http-500/1,ttft-ms=20,itl-ms=10"]
    with SimulatorProcess(serve, truth_log=truth) as simulator:
        yield Engines(simulator.urls["good"], simulator.urls["silent"], truth)


def ask(url: str, cwd: Path, *args: str, slo: object = None, load_tests: Sequence[object] = ()) -> Done:
    """Run the TTFT test, with these promises, and the load tests against one service, vllm-a."""
    write_config(cwd / "c.yaml", ttft_test={**TTFT, "slo": slo}, load_tests=load_tests)
    return benchmark("-c", "c.yaml", "--url", f"vllm/a={url}", *args, cwd=cwd)


def junit_of(path: Path) -> dict[str, list[str]]:
    """Return the names of the cases of a JUnit file, by what became of them."""
    told: dict[str, list[str]] = {"passed": [], "failure": [], "error": []}
    for case in ET.parse(path).getroot().iter("testcase"):
        broken = next((child.tag for child in case if child.tag in told), "passed")
        told[broken].append(f"{case.get('classname')}/{case.get('name')}")
    return told


def test_a_gate_that_holds_is_told_nowhere_but_in_the_files(engines: Engines, tmp_path: Path) -> None:
    done = ask(engines.good, tmp_path, "--fail-if", FALSE, "--junit", "j.xml")
    assert done.code == 0, done.said()
    assert "Gates that failed" not in done.out
    gates = read_json(only_folder(tmp_path) / "gates.json")
    assert [(result["expression"], result["failed"]) for result in gates["results"]] == [(FALSE, False)]
    assert junit_of(tmp_path / "j.xml")["failure"] == []
    assert "JUnit: j.xml" in done.err


def test_a_gate_that_trips_ends_with_4_and_a_table(engines: Engines, tmp_path: Path) -> None:
    (tmp_path / "j.xml").write_text("what an earlier run left")
    done = ask(engines.good, tmp_path, "--fail-if", TRUE, "--fail-if", "vllm-a.ttft_ms.p99 > 5", "--junit", "j.xml")
    assert done.code == 4, done.said()
    assert len(done.errors) == 1
    assert "2 of 2 gates failed: ttft_ms.p50 of vllm-a in ttft is " in done.errors[0]
    table = done.out[done.out.index("Gates that failed") :]
    for part in (TRUE.partition(" ")[0], "vllm-a", "> 1", "> 5", "p99 needs n 100, there are 3"):
        assert "".join(part.split()) in "".join(table.split()), table
    assert done.err.index("Run folder: ") < done.err.index("Error: ")
    told = junit_of(tmp_path / "j.xml")
    assert told["failure"] == [f"ttft.gates/fail if: {TRUE}", "ttft.gates/fail if: vllm-a.ttft_ms.p99 > 5"]
    assert "run/completed" in told["passed"]
    folder = only_folder(tmp_path)
    assert "gates.json" in read_json(folder / "test_manifest.json")["files"]


def test_the_promises_of_the_configuration_are_gates(engines: Engines, tmp_path: Path) -> None:
    slo = {"per_request": {"ttft_ms": 60000}, "attainment": 0.5, "success_rate": 1, "limits": {"ttft_ms.p50": 1}}
    done = ask(engines.good, tmp_path, "--json", slo=slo)
    assert done.code == 4, done.said()
    document = json.loads(done.out)
    results: list[dict[str, Any]] = document["gates"]["results"]
    assert [(result["source"], result["expression"], result["failed"]) for result in results] == [
        ("slo", "vllm-a.goodput.attainment >= 0.5", False),
        ("slo", "vllm-a.success_rate >= 1", False),
        ("slo", "vllm-a.ttft_ms.p50 <= 1", True),
    ]
    assert document["gates"] == read_json(only_folder(tmp_path) / "gates.json")
    # stdout is one document; the table is for people and goes where they look.
    assert "Gates that failed" in done.err


def test_an_invalid_run_comes_before_a_gate_where_it_is_asked_to(engines: Engines, tmp_path: Path) -> None:
    options = ("--fail-if", "load:vllm-a.ttft_ms.p50 > 1", "--junit", "j.xml")
    done = ask(engines.good, tmp_path, *options, "--strict", load_tests=[ALL_RAMP])
    assert done.code == 5, done.said()
    # A busy machine may spoil the TTFT test as well.
    assert "the run is invalid: " in done.errors[0]
    assert "load" in done.errors[0]
    assert "Gates that failed" in done.out
    told = junit_of(tmp_path / "j.xml")
    assert "load.vllm-a/validity" in told["error"]
    assert told["failure"] == ["load.gates/fail if: load:vllm-a.ttft_ms.p50 > 1"]
    assert "load.vllm-a/answered" in told["passed"]
    again = ask(engines.good, tmp_path, *options, load_tests=[ALL_RAMP])
    assert again.code == 4, again.said()
    assert "no request succeeded in the steady window" in again.errors[0]


def test_a_silent_service_comes_before_both(engines: Engines, tmp_path: Path) -> None:
    options = ["--url", f"vllm/b={engines.silent}", "--strict", "--junit", "j.xml"]
    options += ["--fail-if", TRUE, "--fail-if", "vllm-b.ttft_ms.p50 > 1", "--fail-if", "vllm-b.success_rate < 0.9"]
    done = ask(engines.good, tmp_path, *options, load_tests=[ALL_RAMP])
    assert done.code == 3, done.said()
    assert "vllm-b answered not a single request" in done.errors[0]
    assert "Gates that failed" in done.out
    told = junit_of(tmp_path / "j.xml")
    assert {"ttft.vllm-b/answered", "load.vllm-b/answered"} < set(told["failure"])
    assert "ttft.vllm-a/answered" in told["passed"]
    assert "load.vllm-a/validity" in told["error"]


def test_an_interruption_comes_before_everything_and_the_files_are_written(engines: Engines, tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", ttft_test=TTFT, load_tests=[users("load", 2, duration_seconds=30)])
    urls = ("--url", f"vllm/a={engines.good}", "--url", f"vllm/b={engines.silent}")
    gates = ("--fail-if", TRUE, "--fail-if", "load:vllm-a.ttft_ms.p99 > 1", "--strict", "--junit", "j.xml")
    with start("benchmark", "-c", "c.yaml", *urls, *gates, cwd=tmp_path) as running:
        running.until(lambda: answers(running.folder(), "vllm-a") > 5, "answers in the journal")
        running.signal(signal.SIGINT)
        done = running.finish()
        folder = running.folder()
    assert done.code == 130, done.said()
    assert "Gates that failed" in done.out
    assert TRUE in [one["expression"] for one in read_json(folder / "gates.json")["results"] if one["failed"]]
    told = junit_of(tmp_path / "j.xml")
    assert "run/completed" in told["error"]
    assert f"ttft.gates/fail if: {TRUE}" in told["failure"]


WRONG = {
    "syntax": (["--fail-if", "vllm-a.ok = 3"], "column 11: one = compares nothing: write =="),
    "unknown metric": (["--fail-if", "vllm-a.ttft.p50 > 3"], "did you mean ttft_ms?"),
    "no statistic": (["--fail-if", "vllm-a.ttft_ms > 3"], "needs a statistic, such as ttft_ms.p50"),
    "unknown service": (["--fail-if", "vllm.ok > 3"], "no service 'vllm' in this run; did you mean vllm-a?"),
    "unknown test": (["--fail-if", "tft:vllm-a.ok > 3"], "no test 'tft' in this run; did you mean ttft?"),
    "test left out": (["--ttft-only", "--fail-if", "load:vllm-a.ok > 3"], "no test 'load' in this run"),
    "goodput of nothing": (["--fail-if", "vllm-a.goodput.attainment < 1"], "there is no goodput in ttft"),
    "no folder": (["--junit", "none/j.xml"], "--junit cannot write none/j.xml: there is no folder none"),
    "a folder": (["--junit", "."], "--junit cannot write .: it is a folder"),
}


@pytest.mark.parametrize(("args", "wanted"), WRONG.values(), ids=WRONG.keys())
def test_what_cannot_be_judged_is_refused_before_anything_is_sent(
    engines: Engines, tmp_path: Path, args: list[str], wanted: str
) -> None:
    before = len(truth_of(engines.truth))
    done = ask(engines.good, tmp_path, *args, load_tests=[ALL_RAMP])
    assert done.code == 2, done.said()
    assert len(done.errors) == 1
    assert wanted in done.err
    assert run_folders(tmp_path) == []
    assert len(truth_of(engines.truth)) == before


def test_an_unknown_name_is_refused_in_a_dry_run_too(engines: Engines, tmp_path: Path) -> None:
    assert ask(engines.good, tmp_path, "--dry-run", "--fail-if", "b.ok > 3").code == 2
    assert ask(engines.good, tmp_path, "--dry-run", "--fail-if", "vllm-a.ok > 3").code == 0
