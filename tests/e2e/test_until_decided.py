"""`--until-decided` as a user meets it: it stops when it is decided, and keeps what it has when it is stopped."""

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from front_door import (
    Done,
    Running,
    benchmark,
    journal_of,
    only_folder,
    read_json,
    requests_of,
    run,
    start,
    write_config,
)

from inference_bench.metrics.sequential import alpha_at_look
from inference_bench.results.comparing import compare_run
from inference_bench.results.folder import RunFolder
from inference_bench.simulator.launcher import SimulatorProcess

ENDLESS = {"min_effect": 1e-6, "budget": 600}  # nothing is that sure: only the test's own end comes before the budget
BLOCKS = 12


@pytest.fixture(scope="module")
def urls() -> Iterator[list[str]]:
    """Three services, of which the third is far slower."""
    serve = ["vllm,name=vllm-a,ttft-ms=40,itl-ms=60", "vllm,name=vllm-b,ttft-ms=40,itl-ms=60"]
    with SimulatorProcess([*serve, "vllm,name=vllm-c,ttft-ms=200,itl-ms=60"]) as simulator:
        yield [f"vllm/{name[-1]}={url}" for name, url in simulator.urls.items()]


def configure(cwd: Path, *, blocks: int, comparison: Mapping[str, float]) -> None:
    write_config(
        cwd / "c.yaml",
        ttft_test={"iterations": blocks, "warmup_requests": 1, "max_tokens": 2},
        comparison=comparison,
        output={"generate_report": False},
    )


def test_too_few_blocks_are_doubled_until_they_decide(urls: list[str], tmp_path: Path) -> None:
    """Two blocks carry no comparison; four do, and five times as long is plain to see. A machine that is disturbed in
    the middle of it gets a chance more.
    """
    configure(tmp_path, blocks=2, comparison={"budget": 60})
    done = benchmark("-c", "c.yaml", "--url", urls[0], "--url", urls[2], "--until-decided", "--json", cwd=tmp_path)
    assert done.code == 0, done.said()
    folder = only_folder(tmp_path)
    manifest, (pair,) = read_json(folder / "test_manifest.json"), primary(folder)
    assert manifest["status"] == "complete"
    looks = manifest["design"]["sequential"]["looks"]
    if spoiled(folder):
        assert (pair["better"], looks[-1]["stopped"] == "decided") == (None, False)
        return
    assert 2 <= len(looks) <= 4
    assert [look["blocks"]["ttft"] for look in looks] == [2 * 2**number for number in range(len(looks))]
    assert [(look["undecided"], look["stopped"]) for look in looks[:-1]] == [(["ttft"], None)] * (len(looks) - 1)
    assert (looks[-1]["undecided"], looks[-1]["stopped"]) == ([], "decided")
    assert (pair["verdict"], pair["better"], pair["blocks"]) == ("better", "vllm-a", looks[-1]["blocks"]["ttft"])
    assert pair["p_adjusted"] < alpha_at_look(len(looks))
    assert read_json(folder / "comparison.json")["winners"] == {"ttft": "vllm-a", "overall": "vllm-a"}
    assert "look 1: ttft not decided yet; going on with 2 further blocks of ttft" in done.err.replace("\n", " ")
    assert f"look {len(looks)}: decided" in done.err
    # The blocks of both stretches are in the figures, and nothing of the look is left behind.
    assert {row["round"] for row in requests_of(folder) if row["in_window"]} == set(range(len(looks)))
    assert sorted(path.name for path in folder.iterdir()) == sorted([*manifest["files"], "test_manifest.json"])


def spoiled(folder: Path) -> bool:
    """Whether a machine too busy to measure made the run invalid to its end: then it names nobody."""
    tests = read_json(folder / "summary.json")["tests"]
    return any(one["validity"]["verdict"] == "invalid" for test in tests for one in test["services"].values())


def begin(urls: list[str], cwd: Path) -> Running:
    """Start an endless run and wait until it has answers from beyond its plan."""
    configure(cwd, blocks=BLOCKS, comparison=ENDLESS)
    running = start(
        "benchmark", "-c", "c.yaml", "--url", urls[0], "--url", urls[1], "--until-decided", "--yes", cwd=cwd
    )
    folder = running.folder()
    running.until(lambda: len([row for row in journal_of(folder) if row["round"] > 0]) > 5, "further blocks")
    return running


@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_run_that_ends_between_two_looks_is_judged_as_its_next_one(urls: list[str], tmp_path: Path, how: str) -> None:
    with begin(urls, tmp_path) as running:
        folder = running.folder()
        running.signal(signal.SIGINT if how == "interrupted" else signal.SIGKILL)
        done = running.finish()
        assert running.left_behind() == []
    if how == "interrupted":
        assert done.code == 130, done.said()
    else:
        recovered = run("results", "recover", folder.name, cwd=tmp_path)
        assert recovered.code == 0, recovered.said()
    check_judged(folder, done)


def check_judged(folder: Path, done: Done) -> None:
    manifest = read_json(folder / "test_manifest.json")
    assert manifest["status"] == "partial"
    *before, last = manifest["design"]["sequential"]["looks"]
    assert [look["stopped"] for look in before] == [None] * len(before)
    assert len(before) >= 1
    assert (last["look"], last["stopped"]) == (len(before) + 1, "interrupted"), done.said()
    assert last["alpha"] == pytest.approx(alpha_at_look(last["look"], 0.05))
    comparison = read_json(folder / "comparison.json")
    assert comparison["design"]["confidence"] == pytest.approx(1 - last["alpha"])
    # What came after the plan counts, although its stretch was cut short.
    counted = [row for row in requests_of(folder) if row["round"] > 0 and row["ok"] and not row["warmup"]]
    assert len(counted) > 5 - 2 - 1  # without the warm-ups, and one that the end may have cut short
    assert all(row["in_window"] for row in counted)
    (test,) = read_json(folder / "summary.json")["tests"]
    assert min(service["requests"]["ok"] for service in test["services"].values()) > BLOCKS
    # Whoever compares the run later comes to the same.
    again = compare_run(RunFolder(folder))
    assert again.model_dump(mode="json") == comparison


def primary(folder: Path) -> list[Any]:
    """Return the pairs that decide."""
    return [pair for pair in read_json(folder / "comparison.json")["pairs"] if pair["primary"]]
