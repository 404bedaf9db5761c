"""A file of prompts that is written to while a run reads it: refused in words, and what was measured is kept."""

import json
from pathlib import Path

from front_door import answers, benchmark, read_json, requests_of, start, users, write_config

from inference_bench.simulator.launcher import SimulatorProcess


def test_a_dataset_that_changes_under_a_run_ends_it_with_what_was_measured(tmp_path: Path) -> None:
    data = tmp_path / "mine.jsonl"
    before = "".join(json.dumps({"prompt": f"Tell me of {number:03}"}) + "\n" for number in range(500))
    data.write_text(before)
    workload = {"kind": "file", "path": str(data)}
    output = {"generate_charts": False, "generate_report": False}
    write_config(
        tmp_path / "c.yaml", load_tests=[users("chat", 2, duration_seconds=30)], workload=workload, output=output
    )
    with (
        SimulatorProcess(["vllm,ttft-ms=10,itl-ms=5"]) as simulator,
        start("benchmark", "-c", "c.yaml", "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as run,
    ):
        run.until(lambda: answers(run.folder(), "vllm") >= 4, "answers in the journal")
        with data.open("r+") as file:  # every line still a prompt, of the same length at the same place
            file.write(before.replace("Tell", "Sing"))
        done = run.finish()
        assert run.left_behind() == []
        again = benchmark("--resume", run.folder().name, cwd=tmp_path)
        data.write_text(before)
        restored = benchmark("--resume", run.folder().name, "--dry-run", cwd=tmp_path)
    assert done.code == 2, done.said()
    assert "Traceback" not in done.err
    (error,) = done.errors
    assert "mine.jsonl: this file was changed while it is in use; what was measured before is kept" in error
    assert read_json(run.folder() / "test_manifest.json")["status"] == "failed"
    assert again.code == 2, again.said()
    assert "the prompts of chat are not those that were asked before" in again.errors[0]
    assert restored.code == 0, restored.said()
    rows = requests_of(run.folder())
    assert sum(row["ok"] for row in rows) >= 4
