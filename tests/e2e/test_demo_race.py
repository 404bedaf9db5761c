"""`demo --mode race` without a terminal: what is shown, saved and recorded is one and the same measurement."""

import signal
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest
from front_door import Done, run, start, truth_of
from race_services import FOUR, recorded, row_of, saved, url_options

from inference_bench.simulator.launcher import SimulatorProcess

RACE = ("demo", "--mode", "race", "--max-tokens", "16")
TRUTH_MS = 5.0  # how far our stamps may lie from the simulator's on a machine that does other things too
CLOCK_SLACK_MS = 1.0  # a stamp is the kernel's wall clock brought to the monotonic one


class Services:
    """Four simulated services, with a log of the truth."""

    def __init__(self, urls: dict[str, str], truth: Path) -> None:
        self.urls = urls
        self.truth = truth


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    truth = tmp_path_factory.mktemp("truth") / "truth.jsonl"
    with SimulatorProcess(FOUR, truth_log=truth) as simulator:
        yield Services(simulator.urls, truth)


def test_the_lane_the_file_the_recording_and_the_truth_agree(services: Services, tmp_path: Path) -> None:
    done = run(*RACE, "--save", "race.json", "--record", "race.jsonl", *url_options(services.urls), cwd=tmp_path)
    assert done.code == 0, done.said()
    (heat,) = saved(tmp_path / "race.json")["heats"]
    _, lines = recorded(tmp_path / "race.jsonl")
    lanes = heat["lanes"]
    assert set(lanes) == set(services.urls)
    truth = truth_of(services.truth, wanted=[lane["request_id"] for lane in lanes.values()])
    late: list[float] = []
    for number, (name, lane) in enumerate(lanes.items()):
        # The screen's figure is the stored one's; so is the recording's, to the nanosecond.
        assert f"{lane['ttft_ms']:,.1f}" in row_of(done.out, name)
        assert f"{name}: first token, TTFT {lane['ttft_ms']:.1f} ms" in done.err
        first = next(line for line in lines if line[1] == "chunk" and line[2] == number)
        (end,) = (line[3] for line in lines if line[1] == "finished" and line[2] == number)
        assert (first[0] - first[3]) / 1e6 == lane["ttft_ms"] == (end["first_token_ns"] - end["sent_ns"]) / 1e6
        record = truth[lane["request_id"]]
        late.append((lane["first_token_ns"] - record.written_ns[0]) / 1e6)
        assert lane["output_tokens"] == record.tokens == 16
    # A machine that is busy between the server's note and its write makes one of them late, and not most of them.
    assert min(late) >= -CLOCK_SLACK_MS
    assert median(late) < TRUTH_MS
    assert lanes["vllm"]["place"] == 1
    assert "SIMULATED" in done.out
    assert saved(tmp_path / "race.json")["simulated"] is True


def test_the_recording_plays_back_to_the_same_figures(services: Services, tmp_path: Path) -> None:
    done = run(*RACE, "--record", "race.jsonl", *url_options(services.urls), cwd=tmp_path)
    again = run("demo", "--replay", "race.jsonl", "--speed", "50", cwd=tmp_path)
    assert (done.code, again.code) == (0, 0), again.said()
    for name in services.urls:
        assert row_of(again.out, name) == row_of(done.out, name)
    assert "RECORDING" in again.out
    assert "SIMULATED" in again.out


def test_many_heats_end_in_a_verdict_with_intervals(services: Services, tmp_path: Path) -> None:
    options = url_options(services.urls, "vllm", "vllm-green")
    done = run(*RACE, "--runs", "6", "--save", "race.json", *options, cwd=tmp_path)
    assert done.code == 0, done.said()
    kept = saved(tmp_path / "race.json")
    assert [heat["number"] for heat in kept["heats"]] == [1, 2, 3, 4, 5, 6]
    (primary,) = [pair for pair in kept["verdicts"] if pair["primary"]]
    # A machine too busy to tell names nobody, and says so; otherwise the difference of 12 ms a token is found.
    valid = all(one["validity"]["verdict"] != "invalid" for one in kept["figures"].values())
    said = (primary["metric"], primary["verdict"], primary["better"])
    assert said == (("finish_ms", "better", "vllm") if valid else ("finish_ms", "not_comparable", None))
    if valid:
        assert primary["blocks"] == 6
        assert 0 < primary["ci_low"] <= primary["ratio"] <= primary["ci_high"] < 1
        assert "faster than vllm-green on time to the same tokens (95 % CI" in done.out
    else:
        assert "the race is invalid" in done.out
    assert "not a count of wins" in done.out
    assert "Miller 1968, Nielsen 1993" in done.out
    figures = kept["figures"]["vllm"]["ttft_ms"]
    assert figures["ci"]["mean"][0] <= figures["mean"] <= figures["ci"]["mean"][1]
    # Every heat asks with a prefix of its own, in an order of its own, and everybody the same.
    assert len({lane["request_id"] for heat in kept["heats"] for lane in heat["lanes"].values()}) == 12
    prompts = {lane["prompt_tokens"] for heat in kept["heats"] for lane in heat["lanes"].values()}
    assert None not in prompts


def test_equal_services_share_a_place_and_are_never_called_better(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,name=vllm-a,ttft-ms=50,itl-ms=10", "vllm,name=vllm-b,ttft-ms=50,itl-ms=10"]) as pair:
        options = url_options(pair.urls)
        done = run(*RACE, "--runs", "4", "--save", "race.json", *options, cwd=tmp_path)
    kept = saved(tmp_path / "race.json")
    assert done.code == 0, done.said()
    (primary,) = [one for one in kept["verdicts"] if one["primary"]]
    valid = all(one["validity"]["verdict"] != "invalid" for one in kept["figures"].values())
    assert primary["verdict"] in (("equivalent", "no_difference_shown") if valid else ("not_comparable",))
    assert primary["better"] is None
    assert kept["saving"] is None
    for heat in kept["heats"]:
        places = sorted(lane["place"] for lane in heat["lanes"].values())
        apart = abs(heat["lanes"]["vllm-a"]["finish_ms"] - heat["lanes"]["vllm-b"]["finish_ms"])
        later = max(heat["lanes"].values(), key=lambda lane: lane["finish_ms"])
        assert places == ([1, 1] if apart <= heat["tolerance_ms"] + later["doubt_ms"] else [1, 2])
        assert {lane["tied"] for lane in heat["lanes"].values()} == {places == [1, 1]}


def test_rapid_fire_asks_short_prompts_in_rounds(services: Services, tmp_path: Path) -> None:
    options = url_options(services.urls, "vllm", "tgi")
    done = run("demo", "--rapid-fire", "--max-tokens", "8", "--save", "r.json", *options, cwd=tmp_path)
    assert done.code == 0, done.said()
    kept = saved(tmp_path / "r.json")
    assert [heat["title"] for heat in kept["heats"]] == ["greeting", "fact", "code", "advice"]
    for number, heat in enumerate(kept["heats"], start=1):
        shown = next(line for line in done.out.splitlines() if line.split()[:2] == [str(number), heat["title"]])
        assert [f"{lane['ttft_ms']:,.1f}" for lane in heat["lanes"].values()] == shown.split()[2:]


def test_a_crowd_is_real_and_told_apart_from_the_heat_alone(tmp_path: Path) -> None:
    serve = ["ollama,slots=1,load-ms=0,answer-tokens=40", "vllm"]
    with SimulatorProcess(serve, truth_log=tmp_path / "t.jsonl") as simulator:
        options = url_options(simulator.urls)
        done = run("demo", "--crowd", "3", "--max-tokens", "8", "--save", "c.json", *options, cwd=tmp_path)
    assert done.code == 0, done.said()
    kept = saved(tmp_path / "c.json")
    alone, among = kept["heats"]
    assert (alone["crowd"], among["crowd"]) == (0, 3)
    # One slot and three others: the question waits its turn. Real requests, which the simulator has seen.
    truth = truth_of(tmp_path / "t.jsonl", wanted=[heat["lanes"]["ollama"]["request_id"] for heat in (alone, among)])
    waits: list[float] = []
    for heat in (alone, among):
        record = truth[heat["lanes"]["ollama"]["request_id"]]
        waits.append((record.due_ns[0] - record.received_ns) / 1e6)
        assert heat["lanes"]["ollama"]["ttft_ms"] >= waits[-1] - CLOCK_SLACK_MS
    assert waits[1] > 3 * waits[0]
    effect = kept["crowd_effect"]["ollama"]
    assert (effect["users"], effect["ttft_alone_ms"]) == (3, alone["lanes"]["ollama"]["ttft_ms"])
    seen = list(truth_of(tmp_path / "t.jsonl").values())
    own = {lane["request_id"] for heat in kept["heats"] for lane in heat["lanes"].values()}
    for name in simulator.urls:
        background = [one for one in seen if one.service == name and one.request_id not in own]
        assert len(background) >= effect["users"] + 1  # the warm-up, and everybody of the crowd
    assert "3 background users on each service" in done.out


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--mode", "chat", "--runs", "3"], "--runs does not go with --mode chat"),
        (["--rapid-fire", "--prompt", "x"], "--rapid-fire asks short prompts of its own"),
        (["--web", "--crowd", "3"], "--web races one prompt at a time"),
        (["--speed", "2"], "--speed is for --replay"),
        (["--mode", "race", "--prompt", "77"], "there is no canned prompt"),
        (["--mode", "race", "--scenario", "9"], "there is no scenario"),
        (["--mode", "race", "--scenario", "1", "--prompt", "9"], "has no prompt 9"),
        (["--mode", "race", "--prompt", " "], "the prompt is empty"),
        (["--mode", "race", "--save", "/nowhere/x.json"], "there is no folder"),
        (["--runs", "3", "--save", "x.md"], "a race is kept as JSON, and 'x.md' does not say so"),
        (["--save", "x.json", "--record", "./x.json"], "--save and --record both name x.json"),
        (["--mode", "interactive", "--save", "x.json"], "it is for race, conversation and chat"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_asked(
    args: list[str], words: str, tmp_path: Path
) -> None:
    done = run("demo", *args, "--simulate", cwd=tmp_path)
    assert done.code == 2, done.said()
    assert words in done.errors[0]
    assert "Traceback" not in done.err


def test_a_file_that_is_there_is_not_overwritten(services: Services, tmp_path: Path) -> None:
    (tmp_path / "kept.json").write_text("mine")
    for option in ("--save", "--record"):
        done = run(*RACE, option, "kept.json", *url_options(services.urls), cwd=tmp_path)
        assert done.code == 2, done.said()
        assert "kept.json already exists" in done.errors[0]
    assert (tmp_path / "kept.json").read_text() == "mine"


def test_an_interrupted_race_keeps_the_heats_that_were_over(services: Services, tmp_path: Path) -> None:
    args = [*RACE, "--runs", "40", "--save", "race.json", "--record", "race.jsonl"]
    with start(*args, *url_options(services.urls), cwd=tmp_path) as running:
        running.until(
            lambda: (tmp_path / "race.jsonl").is_file() and (tmp_path / "race.jsonl").read_text().count('"ended"') >= 2,
            "two heats",
        )
        running.signal(signal.SIGINT)
        done: Done = running.finish()
        left = running.left_behind()
    assert done.code == 130, done.said()
    heats = saved(tmp_path / "race.json")["heats"]
    assert 2 <= len(heats) < 40
    assert [heat["interrupted"] for heat in heats[:-1]] == [False] * (len(heats) - 1)
    assert not left
    assert "Traceback" not in done.err
