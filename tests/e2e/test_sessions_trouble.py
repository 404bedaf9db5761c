"""Sessions that go wrong: a failed turn ends its session and nothing hangs; Ctrl-C keeps what was measured."""

import signal
from collections import Counter
from pathlib import Path

from front_door import answers, benchmark, only_folder, read_json, requests_of, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

WORKLOAD = {"kind": "sessions", "turns": 3}


def test_a_failed_turn_ends_its_session_and_the_user_goes_on_with_the_next(tmp_path: Path) -> None:
    chat = users("chat", 2, requests=24)
    write_config(tmp_path / "c.yaml", load_tests=[chat], workload=WORKLOAD)
    with SimulatorProcess(["vllm,ttft-ms=10,itl-ms=5"], options=["--fault", "http-500/4"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path)
    assert done.code in {0, 3}, done.said()
    rows = requests_of(only_folder(tmp_path))
    failed = [row for row in rows if not row["ok"]]
    assert failed
    assert {row["error_class"] for row in failed} == {"http_5xx"}
    last = Counter({row["session"]: 0 for row in rows})
    for row in rows:
        last[row["session"]] = max(last[row["session"]], row["turn"])
    assert all(row["turn"] == last[row["session"]] for row in failed)  # nothing follows a turn that failed
    assert sorted(last) == list(range(8))  # and every session of the plan was begun
    (test,) = read_json(only_folder(tmp_path) / "summary.json")["tests"]
    assert test["services"]["vllm"]["sessions"]["ended_early"] == len(failed)


def test_a_server_that_refuses_every_turn_hangs_nobody(tmp_path: Path) -> None:
    chat = users("chat", 2, duration_seconds=1)
    write_config(tmp_path / "c.yaml", load_tests=[chat], workload=WORKLOAD)
    with SimulatorProcess(["vllm"], options=["--fault", "http-503"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path)
    assert "Traceback" not in done.err, done.said()
    rows = requests_of(only_folder(tmp_path))
    assert 4 <= len(rows) <= 24  # each user asks again after the pause of who is turned away
    assert {row["turn"] for row in rows} == {0}


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
