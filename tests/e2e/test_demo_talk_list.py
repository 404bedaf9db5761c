"""`demo --list`: every scenario and canned prompt by the number that users type, whole at any width."""

from pathlib import Path

import pytest
from front_door import run

from inference_bench.workloads.canned import canned_prompts
from inference_bench.workloads.scenarios import scenarios


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_the_list_is_whole_and_fits(tmp_path: Path, columns: int) -> None:
    done = run("demo", "--list", cwd=tmp_path, environ={"COLUMNS": str(columns)})
    assert done.code == 0, done.said()
    assert done.err == ""
    lines = done.out.splitlines()
    assert all(len(line) <= min(columns, 100) for line in lines if not line.startswith(("Scenarios", "Canned")))
    assert not any(line.endswith(" ") for line in lines)
    words = " ".join(done.out.split())
    for scenario in scenarios():
        assert f"{scenario.number}   {scenario.name}" in lines
        assert scenario.persona in words
        for number, prompt in enumerate(scenario.prompts, start=1):
            assert f"{number} {' '.join(prompt.split())[:50]}" in words
    for number, canned in enumerate(canned_prompts(), start=1):
        assert f"{number}   {canned.title}" in lines
        assert " ".join(canned.prompt.split()) in words
