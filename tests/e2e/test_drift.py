"""A machine that slows down while it is measured: whoever is asked last would lose, and interleaved nobody does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from front_door import Row, benchmark, only_folder, read_json, requests_of, users, write_config

from inference_bench.metrics.comparison import Decision, Hypothesis, decide, paired
from inference_bench.metrics.statistics import Estimate
from inference_bench.simulator.launcher import SimulatorProcess

DRIFT = 8.0  # of the first times, each minute: after eight seconds everything takes twice as long
BLOCKS = 30
SERVICES = ("vllm-a", "vllm-b", "vllm-c")


class Run(NamedTuple):
    """The finished run: pairs that decide by (test, a, b), and the TTFT of each service in ms, block by block.

    `invalid` has each (test, service) that a machine too busy to measure spoiled: of those nothing may be said.
    """

    pairs: dict[tuple[str, str, str], Any]
    winners: dict[str, str | None]
    ttft_ms: dict[str, list[float]]
    invalid: set[tuple[str, str]]

    def judged(self, test: str, a: str, b: str) -> Any:
        """Return a pair; None where one of the two is invalid, which the pair must say."""
        pair = self.pairs[test, a, b]
        if not {(test, a), (test, b)} & self.invalid:
            return pair
        assert (pair["verdict"], pair["better"]) == ("not_comparable", None)
        assert pair["reason"].startswith("the test is invalid")
        return None


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Two equal services and, last in every list, one that is truly a seventh faster; one clock of drift for all."""
    cwd: Path = tmp_path_factory.mktemp("drift")
    write_config(
        cwd / "c.yaml",
        seed=5,
        ttft_test={"iterations": BLOCKS, "warmup_requests": 1, "max_tokens": 1},
        load_tests=[users("load", 3, duration_seconds=1.5, rounds=3, max_tokens=2)],
        comparison={"primary": "ttft_ms.p50"},
        output={"generate_report": False},
    )
    serve = [f"vllm,name={name},ttft-ms={42 if name == 'vllm-c' else 49},itl-ms=30" for name in SERVICES]
    with SimulatorProcess(serve, options=["--drift", str(DRIFT)]) as simulator:
        urls: list[str] = []
        for name in SERVICES:
            urls += ["--url", f"vllm/{name[-1]}={simulator.urls[name]}"]
        done = benchmark("-c", "c.yaml", *urls, cwd=cwd)
    assert done.code == 0, done.said()
    folder = only_folder(cwd)
    comparison = read_json(folder / "comparison.json")
    verdicts = {
        (test["name"], name): service["validity"]["verdict"]
        for test in read_json(folder / "summary.json")["tests"]
        for name, service in test["services"].items()
    }
    rows = [row for row in requests_of(folder) if row["test"] == "ttft" and not row["warmup"]]
    rows.sort(key=lambda row: int(row["block"]))
    yield Run(
        {(pair["test"], pair["a"], pair["b"]): pair for pair in comparison["pairs"] if pair["primary"]},
        comparison["winners"],
        {name: [ttft(row) for row in rows if row["service"] == name] for name in SERVICES},
        {place for place, verdict in verdicts.items() if verdict == "invalid"},
    )


def ttft(row: Row) -> float:
    return (int(row["first_token_ns"]) - int(row["sent_ns"])) / 1e6


def in_turn(first: list[float], second: list[float]) -> Decision:
    """Return the verdict of a fixed order, one service after the other: the first's early values against the second's
    late ones, as the same machine gave them.
    """
    half = BLOCKS // 2
    estimate = paired([np.array([x]) for x in first[:half]], [np.array([x]) for x in second[half:]], "p50", seed=1)
    assert isinstance(estimate, Estimate)
    return decide([Hypothesis(estimate, "less")])[0]


def test_one_after_the_other_the_last_one_would_lose(run: Run) -> None:
    """Even the one that is truly faster."""
    equal = in_turn(run.ttft_ms["vllm-a"], run.ttft_ms["vllm-b"])
    assert (equal.verdict, equal.better) == ("better", "a")
    faster = in_turn(run.ttft_ms["vllm-a"], run.ttft_ms["vllm-c"])
    assert (faster.verdict, faster.better) == ("better", "a")


def test_interleaved_equal_services_stay_equal(run: Run) -> None:
    if pair := run.judged("ttft", "vllm-a", "vllm-b"):
        assert pair["better"] is None
        assert pair["verdict"] in ("equivalent", "no_difference_shown")
        assert pair["ratio"] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("other", ["vllm-a", "vllm-b"])
def test_interleaved_the_faster_one_wins_although_it_comes_last(run: Run, other: str) -> None:
    if pair := run.judged("ttft", other, "vllm-c"):
        assert (pair["verdict"], pair["better"]) == ("better", "vllm-c")
        assert pair["ratio"] == pytest.approx(49 / 42, abs=0.05)


def test_rotated_rounds_make_no_false_loser(run: Run) -> None:
    """Turns are seconds apart, so that the drift is in each ratio; the rotation takes it out of their mean."""
    pair = run.pairs["load", "vllm-a", "vllm-b"]
    assert pair["better"] is None
    assert {run.pairs["load", other, "vllm-c"]["better"] for other in ("vllm-a", "vllm-b")} <= {None, "vllm-c"}
    assert run.winners["overall"] == (None if run.invalid else "vllm-c")
