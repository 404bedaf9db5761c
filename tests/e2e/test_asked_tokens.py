"""What a plan says of output tokens, where the work has lengths of its own: not that of the test."""

from pathlib import Path

from front_door import benchmark, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess

TRACE = "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.68,40,3000\n2023-11-16 18:15:47.99,40,1000\n"


def test_the_lengths_of_the_work_are_planned_and_not_the_test_s(tmp_path: Path) -> None:
    (tmp_path / "azure.csv").write_text(TRACE)
    work = {"kind": "synthetic", "prompt_tokens": 50, "output_tokens": 1000}
    long = users("long", 2, requests=9, workload=work)
    turns = {"kind": "sessions", "prompt_tokens": 50, "turns": 2, "output_tokens": 700}
    replay = {"name": "replay", "arrivals": "trace", "rounds": 1, "warmup_requests": 0}
    tests = [
        long,
        users("plain", 2, requests=9),
        users("talk", 2, requests=8, workload=turns),
        users("timed", 2, duration_seconds=2, workload=work),
        {**replay, "workload": {"kind": "trace", "path": "azure.csv"}},
    ]
    write_config(tmp_path / "c.yaml", load_tests=tests, slo={"per_request": {"ttft_ms": 500}, "attainment": 0.9})
    with SimulatorProcess(["vllm"]) as simulator:
        options = ("-c", "c.yaml", "--url", simulator.urls["vllm"], "--load-only", "--dry-run")
        done = benchmark(*options, cwd=tmp_path)
        searched = benchmark(*options, "--find-capacity", "--test", "timed", cwd=tmp_path)
    assert done.code == 0, done.said()
    shown = [line.strip() for line in done.out.splitlines()]
    for name, tokens in {"long": "~9,000", "plain": "<= 72", "talk": "~5,600", "replay": "~4,000"}.items():
        assert any(line.startswith(f"{name} ") and f" {tokens} " in line for line in shown), (name, done.out)
    assert "what the workload asks for, by the mean of a sample" in done.out
    assert searched.code == 0, searched.said()
    (row,) = (line for line in searched.out.splitlines() if line.startswith(" timed "))
    assert "<=" not in row
