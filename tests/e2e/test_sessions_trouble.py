"""Sessions that go wrong: a failed turn ends its session and nothing hangs; Ctrl-C keeps what was measured."""

import signal
import time
from pathlib import Path

from front_door import answers, benchmark, only_folder, read_json, requests_of, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

HELD_UP_SECONDS = 1.0
WORKLOAD = {"kind": "sessions", "turns": 3}


def test_a_failed_turn_ends_its_session_the_user_goes_on_with_the_next_and_nobody_hangs(tmp_path: Path) -> None:
    chat = users("chat", 2, requests=24)
    write_config(tmp_path / "c.yaml", load_tests=[chat], workload=WORKLOAD)
    served = ["vllm,name=shaky,ttft-ms=10,itl-ms=5,fault=http-500/4", "vllm,name=down,fault=http-503"]
    with SimulatorProcess(served) as simulator:
        urls = [word for name, url in simulator.urls.items() for word in ("--url", f"vllm/{name}={url}")]
        done = benchmark("-c", "c.yaml", *urls, cwd=tmp_path)
    assert done.code in {0, 3}, done.said()
    folder = only_folder(tmp_path)
    (test,) = read_json(folder / "summary.json")["tests"]
    shaky, down = test["services"]
    for name in (shaky, down):
        rows = [row for row in requests_of(folder) if row["service"] == name]
        failed = [row for row in rows if not row["ok"]]
        assert failed
        last = {(row["round"], row["session"]): 0 for row in rows}
        for row in rows:
            place = row["round"], row["session"]
            last[place] = max(last[place], row["turn"])
        assert all(row["turn"] == last[row["round"], row["session"]] for row in failed)  # nothing follows a failure
        assert sorted(last) == [(number, session) for number in range(2) for session in range(4)]  # all were begun
        assert test["services"][name]["sessions"]["ended_early"] == len(failed)
        assert len(rows) == 8 if name == down else 8 < len(rows) < 24


def test_a_client_that_makes_its_turns_too_slowly_is_no_valid_client(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("chat", 2, duration_seconds=4)], workload=WORKLOAD)
    with SimulatorProcess(["vllm,ttft-ms=30,itl-ms=5"]) as simulator:
        url = simulator.urls["vllm"]
        with start("benchmark", "-c", "c.yaml", "--url", f"vllm={url}", cwd=tmp_path) as running:
            running.until(lambda: answers(running.folder(), "vllm") >= 2, "answers in the journal")
            decoder = running.child("inference_bench.testing.decoder")
            decoder.suspend()
            time.sleep(HELD_UP_SECONDS)  # nobody can know what was answered: no next turn can be made
            decoder.resume()
            done = running.finish()
            folder = running.folder()
    assert done.code == 0, done.said()
    (test,) = read_json(folder / "summary.json")["tests"]
    validity = test["services"]["vllm"]["validity"]
    assert validity["verdict"] == "invalid"
    signs = {sign["sign"]: sign["value"] for sign in validity["signs"]}
    assert signs["turn_lag"] > 800 * HELD_UP_SECONDS
    assert signs["turn_wait"] > 0.1
    assert signs["stall"] < 800 * HELD_UP_SECONDS  # the worker itself could run
    assert any("for this client to make their next turn" in reason for reason in validity["reasons"])


def test_an_interrupted_run_keeps_its_sessions(tmp_path: Path) -> None:
    chat = users("chat", 3, duration_seconds=30)
    write_config(tmp_path / "c.yaml", load_tests=[chat], workload=WORKLOAD)
    with SimulatorProcess(["vllm,ttft-ms=60,itl-ms=20"]) as simulator:
        url = simulator.urls["vllm"]
        with start("benchmark", "-c", "c.yaml", "--url", f"vllm={url}", cwd=tmp_path) as running:
            running.until(lambda: answers(running.folder(), "vllm") >= 9, "answers in the journal")
            running.signal(signal.SIGINT)
            done = running.finish()
            assert running.left_behind() == []
            folder = running.folder()
    assert done.code == 130, done.said()
    rows = requests_of(folder)
    assert sum(row["ok"] for row in rows) >= 9
    assert all(row["ok"] or row["error_class"] == "interrupted" for row in rows)
    assert {row["session"] % 3 == row["user"] for row in rows} == {True}
    (test,) = read_json(folder / "summary.json")["tests"]
    assert test["services"]["vllm"]["turns"]
