"""Apples and oranges at the front door: a dry run asks every service what it is and says what is unlike."""

import json
from pathlib import Path

import pytest
from front_door import Done, benchmark, only_folder, read_json, run_folders, users, write_config

TTFT = {"iterations": 2, "warmup_requests": 0, "max_tokens": 4}


@pytest.fixture
def config(tmp_path: Path) -> str:
    write_config(tmp_path / "c.yaml", ttft_test=TTFT, load_tests=[users("load", 1, requests=1)])
    return "c.yaml"


def ask(config: str, cwd: Path, *args: str) -> Done:
    done = benchmark("-c", config, "--simulate", *args, cwd=cwd)
    assert done.code == 0, done.said()
    return done


def test_a_dry_run_says_what_makes_the_services_unlike(config: str, tmp_path: Path) -> None:
    done = ask(config, tmp_path, "--dry-run")
    lines = done.out.splitlines()
    start = lines.index("What makes the services unlike each other:")
    said = " ".join(" ".join(lines[start:]).split())
    assert "Warning: No chat template is applied for tgi" in said
    assert "Note: Quantisation is Q4_K_M (ollama); vllm and tgi do not say." in said
    assert "Note: Context lengths in tokens differ: 8,192 (vllm and tgi), 4,096 (ollama)." in said
    assert said.count("Quantisation is") == 1
    assert max(len(line) for line in lines[start:]) <= 100
    assert "1 user, 1 request per service in 3 rounds" in done.out
    assert "2 blocks, one request at a time" in done.out
    assert run_folders(tmp_path) == []


def test_the_plan_as_json_has_facts_and_notes(config: str, tmp_path: Path) -> None:
    plan = json.loads(ask(config, tmp_path, "--dry-run", "--json").out)
    assert {note["code"] for note in plan["fairness"]} >= {"chat_template", "exact_length", "untold", "client_host"}
    assert all(set(note) == {"code", "weight", "services", "test", "text"} for note in plan["fairness"])
    vllm, tgi, ollama = plan["services"]
    assert vllm["said"]["prefix_caching"] is False
    assert tgi["said"]["max_batch_tokens"] == 96_000
    assert ollama["said"]["sources"]["context_length"] == "POST /api/show"
    assert [test["requests_guessed"] for test in plan["tests"]] == [False, False]


def test_a_run_keeps_what_was_told_in_its_manifest(config: str, tmp_path: Path) -> None:
    done = ask(config, tmp_path, "--ttft-only")
    assert "What makes the services unlike each other:" in done.err
    services = read_json(only_folder(tmp_path) / "test_manifest.json")["services"]
    assert [service["said"]["exact_length"] for service in services] == ["asked", "not possible", "not possible"]
    assert [service["product"] for service in services] == ["vLLM", "TGI", "Ollama"]
