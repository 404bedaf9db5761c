"""A fast wrong engine does not win: garbled or wildly short answers are found, flagged, and cost it the verdict."""

from pathlib import Path
from typing import Any, NamedTuple

import pytest
from front_door import Done, benchmark, only_folder, read_json, requests_of, run, write_config

from inference_bench.simulator.launcher import SimulatorProcess

SLOW, FAST = "ttft-ms=120,itl-ms=8,load-ms=0", "ttft-ms=60,itl-ms=4,load-ms=0"
BLOCKS = 8
# Every fast one has half the TTFT and half the time per token of the slow one.
SERVE = {
    "slow": ("vllm", SLOW),
    "sound": ("vllm", FAST),
    "garbled": ("vllm", f"{FAST},fault=garbled"),
    "bang": ("ollama", f"{FAST},fault=garbled:bang"),
    "repeat": ("openai", f"{FAST},fault=repeat"),
    "short": ("tgi", f"{FAST},fault=short"),
}
WRONG = {
    "vllm-garbled": ("garbled", "broken characters"),
    "ollama-bang": ("garbled", "few characters"),
    "openai-repeat": ("garbled", "repeated"),
    "tgi-short": ("short", "wildly short"),
}


class Raced(NamedTuple):
    """A TTFT run of all of them."""

    cwd: Path
    folder: Path
    done: Done
    services: dict[str, Any]
    comparison: dict[str, Any]


@pytest.fixture(scope="module")
def raced(tmp_path_factory: pytest.TempPathFactory) -> Raced:
    cwd = tmp_path_factory.mktemp("sanity")
    write_config(
        cwd / "c.yaml",
        ttft_test={"iterations": BLOCKS, "warmup_requests": 0, "max_tokens": 24},
        output={"generate_charts": False, "generate_report": False},
    )
    with SimulatorProcess([f"{engine},name={name},{how}" for name, (engine, how) in SERVE.items()]) as simulator:
        urls = [part for name, url in simulator.urls.items() for part in ("--url", f"{SERVE[name][0]}/{name}={url}")]
        done = benchmark("-c", "c.yaml", *urls, cwd=cwd)
    folder = only_folder(cwd)
    services = read_json(folder / "summary.json")["tests"][0]["services"]
    return Raced(cwd, folder, done, services, read_json(folder / "comparison.json"))


def pair_of(raced: Raced, one: str, other: str) -> dict[str, Any]:
    """Return the deciding pair of two services."""
    (found,) = [
        pair for pair in raced.comparison["pairs"] if pair["primary"] and {pair["a"], pair["b"]} == {one, other}
    ]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_engine_is_flagged_although_every_request_succeeded(raced: Raced, name: str) -> None:
    kind, words = WRONG[name]
    service = raced.services[name]
    assert service["requests"]["success_rate"] == 1.0
    sanity = service["sanity"]
    assert (sanity[kind], sanity["sound"], sanity["sound_rate"]) == (BLOCKS, 0, 0.0)
    assert sanity["flagged"]
    assert words in sanity["reason"]
    assert f"NOT SOUND  {name}: {BLOCKS} of {BLOCKS} answers do not look sound" in raced.done.out


@pytest.mark.parametrize("name", ["vllm-slow", "vllm-sound"])
def test_a_sound_engine_is_not(raced: Raced, name: str) -> None:
    sanity = raced.services[name]["sanity"]
    assert (sanity["garbled"], sanity["short"], sanity["sound_rate"], sanity["flagged"]) == (0, 0, 1.0, False)
    assert {row["text_check"] for row in requests_of(raced.folder) if row["service"] == name} == {"sound"}


@pytest.mark.parametrize("name", WRONG)
def test_twice_as_fast_and_wrong_does_not(raced: Raced, name: str) -> None:
    """That it is for want of sense, and that sound answers would win, is shown without a clock in tests/results."""
    assert raced.done.code == 0, raced.done.said()
    figures = {one: raced.services[one]["metrics"]["ttft_ms"]["p50"] for one in ("vllm-slow", name)}
    assert figures[name] < figures["vllm-slow"]
    for other in ("vllm-slow", "vllm-sound"):
        assert pair_of(raced, name, other)["better"] != name
    assert name not in raced.comparison["winners"].values()


def test_the_stored_run_says_it_too(raced: Raced) -> None:
    shown = run("results", "show", raced.folder.name, cwd=raced.cwd)
    assert "NOT SOUND  tgi-short" in shown.out
    exported = run("results", "export", raced.folder.name, "--format", "markdown", cwd=raced.cwd)
    assert "NOT SOUND: tgi-short" in exported.out.replace("\\", "")
