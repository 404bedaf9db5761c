"""The recordings that are kept: one of real engines (a vLLM and a llama-server, seen once), and the shipped one."""

from importlib.resources import files
from pathlib import Path

import pytest

from inference_bench.live.board import Board
from inference_bench.live.lane import Phase
from inference_bench.live.recording import Recording

REAL = Path(__file__).parents[1] / "data" / "recordings" / "vllm-and-llama-server.jsonl"
SHIPPED = Path(str(files("inference_bench.live").joinpath("data", "race.jsonl")))


def board_of(path: Path) -> Board:
    board = Board()
    for event in Recording(path).events():
        board.take(event)
    return board


def test_a_race_of_real_engines_is_read_to_its_places() -> None:
    head = Recording(REAL).head
    assert (head.simulated, head.stamp_source) == (False, "kernel")
    board = board_of(REAL)
    llama, vllm = board.lanes
    assert [dict(lane.facts.told)["engine"].split()[0] for lane in board.lanes] == ["llama.cpp", "vLLM"]
    assert [lane.phase for lane in board.lanes] == [Phase.DONE, Phase.DONE]
    # llama-server tells no tokens by chunk and its usage at the end; vLLM tells them with each chunk.
    assert (llama.tokens_told, vllm.tokens_told) == (False, True)
    assert board.podium is not None
    assert (board.podium.tokens, [finish.lane for finish in board.podium.finishes]) == (80, [0, 1])
    assert [round(lane.ttft_ms or 0, 1) for lane in board.lanes] == [6.3, 25.7]


def test_the_shipped_recording_says_that_it_is_simulated_and_has_three_lanes() -> None:
    assert Recording(SHIPPED).head.simulated
    board = board_of(SHIPPED)
    assert [lane.facts.name for lane in board.lanes] == ["vllm", "tgi", "ollama"]
    assert all(lane.facts.simulated and lane.phase is Phase.DONE for lane in board.lanes)
    assert board.podium is not None
    assert board.podium.tokens is not None


@pytest.mark.parametrize("path", [REAL, SHIPPED], ids=["real", "shipped"])
def test_nothing_in_it_leads_beyond_loopback(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.count("http://") == text.count("http://127.0.0.1:")
    assert "https://" not in text
