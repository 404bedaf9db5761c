"""The simulated engines that most of these tests talk to: one process, exact and quick timing."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from simulator_talk import Talk

from inference_bench.simulator.launcher import SimulatorProcess

MODEL = "tiny-llama"
QUICK = ("--model", MODEL, "--ttft-ms", "8", "--itl-ms", "2", "--answer-tokens", "14")
SERVE = ("vllm,context=1024", "tgi", "ollama", "openai,context=1024")  # the contexts of the recorded servers


@pytest.fixture(scope="session")
def truth_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the truth log of the shared simulator."""
    return tmp_path_factory.mktemp("truth") / "truth.jsonl"


@pytest.fixture(scope="session")
def simulator(truth_path: Path) -> Iterator[SimulatorProcess]:
    """Start all engines once."""
    with SimulatorProcess(SERVE, truth_log=truth_path, options=QUICK) as running:
        yield running


@pytest.fixture
def talk(simulator: SimulatorProcess) -> Iterator[Talk]:
    """Give a client that knows each engine by name."""
    with httpx.Client(trust_env=False, timeout=30) as client:
        yield Talk(client, simulator.urls)
