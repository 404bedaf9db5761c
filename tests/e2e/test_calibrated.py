"""`--calibrate`: before the tests the same load goes to a null server, and what the machine adds is said and kept."""

import json
import signal
from pathlib import Path

import pytest
from front_door import benchmark, only_folder, read_json, run_folders, start, users, write_config

from inference_bench.cli.main import run
from inference_bench.results.trust import CalibrationFacts
from inference_bench.simulator.launcher import SimulatorProcess

PLAIN: dict[str, object] = {"generate_charts": False, "generate_report": False}


def test_what_the_machine_adds_is_shown_stored_and_of_no_service(tmp_path: Path) -> None:
    write_config(
        tmp_path / "c.yaml",
        load_tests=[users("curve", 1, duration_seconds=1) | {"concurrent_users": [1, 4]}],
        output=PLAIN,
    )
    done = benchmark(
        "-c",
        "c.yaml",
        "--simulate",
        "--service",
        "vllm",
        "--calibrate",
        "--yes",
        cwd=tmp_path,
        environ={"COLUMNS": "200"},
    )
    assert done.code == 0, done.said()
    folder = only_folder(tmp_path)
    assert "calibrating for curve@4 (4 users) against a null server" in done.err
    assert "curve@4: at 4 users this machine adds" in done.err
    assert "the null server itself was late by" in done.err
    assert done.err.index("this machine adds") < done.err.index("curve@1: vllm")  # before the tests
    assert "curve@4 calibrated: at 4 users this machine adds" in done.out

    tests = {test["name"]: test for test in read_json(folder / "summary.json")["tests"]}
    assert tests["curve@1"]["calibration"] is None  # of a sweep only the largest load
    found = tests["curve@4"]["calibration"]
    assert (found["load"], found["failed"]) == ("4 users", 0)
    assert found["requests"] >= 4
    assert found["ttft_error_ms"]["n"] == found["requests"]
    assert 0 <= found["ttft_error_ms"]["p50"] <= found["ttft_error_ms"]["max"]
    assert found["server_late_ms"]["n"] == 8 * found["requests"]
    assert found["verdict"] in ("valid", "suspect", "invalid")
    manifest = read_json(folder / "test_manifest.json")
    assert manifest["trust"]["calibration"] == {"curve@4": found}
    assert [service["name"] for service in manifest["services"]] == ["vllm"]
    assert all(list(test["services"]) == ["vllm"] for test in tests.values())
    watch = tests["curve@4"]["watch"]
    assert watch["memory"] > 0
    assert watch["sockets"] >= 4


def test_ctrl_c_while_calibrating_ends_cleanly_and_nothing_is_left(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("long", 2, duration_seconds=60, max_tokens=64)], output=PLAIN)
    with start("benchmark", "-c", "c.yaml", "--simulate", "--calibrate", "--yes", cwd=tmp_path) as running:
        running.wait_for_line("calibrating for long")
        running.child("inference_bench.testing.worker")
        running.signal(signal.SIGINT)
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 130, done.said()
    assert "its calibration was cut short and is not kept" in done.err
    (folder,) = run_folders(tmp_path)
    manifest = read_json(folder / "test_manifest.json")
    assert manifest["status"] == "partial"
    assert manifest["trust"]["calibration"] == {}


def test_a_run_that_goes_on_is_calibrated_for_what_is_left(tmp_path: Path) -> None:
    """Also without the word: it was to be calibrated. What was found for a test that is whole stays as it is."""
    load = [users("first", 1, requests=1), users("second", 1, duration_seconds=1.5)]
    write_config(tmp_path / "c.yaml", load_tests=load, output=PLAIN)
    with SimulatorProcess(["vllm,ttft-ms=20,itl-ms=10"]) as simulator:
        with start("benchmark", "-c", "c.yaml", "--url", simulator.urls["vllm"], cwd=tmp_path) as running:
            running.wait_for_line("second: vllm, round 1")
            running.signal(signal.SIGINT)
            stopped = running.finish()
        assert stopped.code == 130, stopped.said()
        folder = only_folder(tmp_path)
        manifest = read_json(folder / "test_manifest.json")
        earlier = dict.fromkeys(CalibrationFacts.model_fields) | {"seconds": 1, "requests": 3, "failed": 0}
        earlier |= {"test": "first", "load": "1 user", "verdict": "valid", "reasons": []}
        manifest |= {"calibrate": True, "trust": manifest["trust"] | {"calibration": {"first": earlier}}}
        (folder / "test_manifest.json").write_text(json.dumps(manifest))
        done = benchmark("--resume", "last", cwd=tmp_path, environ={"COLUMNS": "200"})
    assert done.code == 0, done.said()
    assert "Calibration: before the run goes on, for second; what was found for first stays" in done.err
    assert "calibrating for first" not in done.err
    after = read_json(folder / "test_manifest.json")
    assert after["trust"]["calibration"]["first"] == earlier
    assert after["trust"]["calibration"]["second"]["requests"] > 0
    assert after["notes"][-1].startswith("second was calibrated (1 user) when the run was resumed at ")


@pytest.mark.parametrize(
    ("option", "said"),
    [("--ttft-only", "--calibrate concerns load tests"), ("--find-capacity", "chooses its loads as it goes")],
)
def test_it_is_refused_where_there_is_no_load_to_calibrate_for(
    option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["benchmark", "--quick", "--simulate", "--calibrate", "--dry-run", option]) == 2
    assert said in " ".join(capsys.readouterr().err.split())


def test_its_time_is_in_the_plan(tmp_path: Path) -> None:
    options = ("--quick", "--simulate", "--load-only", "--calibrate", "--dry-run")
    done = benchmark(*options, "--json", cwd=tmp_path)
    assert done.code == 0, done.said()
    plan = json.loads(done.out)["calibration"]
    assert plan["tests"] == ["quick-load"]
    assert 3 < plan["seconds"] < 15
