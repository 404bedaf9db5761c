"""What engines do wrong, through the command: each fault in its class, none of it an error of ours, nothing lost."""

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from front_door import (
    Done,
    Row,
    answers,
    benchmark,
    only_folder,
    read_json,
    requests_of,
    run_folders,
    start,
    users,
    write_config,
)

from inference_bench.simulator.launcher import SimulatorProcess

TIMING = "ttft-ms=20,itl-ms=10,load-ms=0"
TTFT = {"iterations": 6, "warmup_requests": 0, "max_tokens": 6}
KEY = "sk-e2e-0123456789abcdef"

# Every third generation request has the fault: 2 of the 6 that are measured.
SHARES: dict[str, tuple[str, str, dict[str, int]]] = {
    "cut": ("vllm", "cut/3", {"truncated": 2}),
    "reset": ("vllm", "cut:reset/3", {"reset": 2}),
    "stall": ("tgi", "stall:30/3", {"timeout": 2}),
    "busy": ("tgi", "http-503/3", {"overloaded": 2}),
    "broken": ("vllm", "http-500/3", {"http_5xx": 2}),
    "html": ("openai", "html/3", {"malformed": 2}),
    "garbage": ("vllm", "garbage/3", {"malformed": 2}),
    "error": ("ollama", "stream-error/3", {"stream_error": 2}),
    "empty": ("openai", "empty/3", {"empty": 2}),
    "nodone": ("openai", "no-done/3", {}),
    "drop": ("vllm", "keepalive-drop", {}),
    "refuse": ("vllm", "refuse:reset/3", {}),
}


class Faulty(NamedTuple):
    """A run against an engine with each of these faults."""

    done: Done
    folder: Path
    services: dict[str, Any]
    rows: dict[str, list[Row]]


def name_of(fault: str) -> str:
    return f"{SHARES[fault][0]}-{fault}"


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Faulty:
    cwd = tmp_path_factory.mktemp("faults")
    # Long enough that an engine on a busy machine is not taken for a silent one.
    write_config(cwd / "c.yaml", ttft_test=TTFT, services={"idle_timeout_seconds": 2})
    serve = [f"{engine},name={name},fault={fault},{TIMING}" for name, (engine, fault, _) in SHARES.items()]
    with SimulatorProcess(serve) as simulator:
        urls = [part for name, url in simulator.urls.items() for part in ("--url", f"{SHARES[name][0]}/{name}={url}")]
        done = benchmark("-c", "c.yaml", *urls, cwd=cwd)
    folder = only_folder(cwd)
    rows: dict[str, list[Row]] = {}
    for row in requests_of(folder):
        rows.setdefault(row["service"], []).append(row)
    return Faulty(done, folder, read_json(folder / "summary.json")["tests"][0]["services"], rows)


def test_some_failed_requests_do_not_change_the_exit_code(faulty: Faulty) -> None:
    assert faulty.done.code == 0, faulty.done.said()
    assert faulty.done.errors == []
    assert "Traceback" not in faulty.done.err
    assert read_json(faulty.folder / "test_manifest.json")["status"] == "complete"


@pytest.mark.parametrize("fault", SHARES)
def test_each_fault_is_counted_in_its_class_and_the_rest_is_measured(faulty: Faulty, fault: str) -> None:
    errors = SHARES[fault][2]
    service = faulty.services[name_of(fault)]
    requests = service["requests"]
    assert requests["errors"] == errors
    assert (requests["sent"], requests["ok"], requests["failed"]) == (6, 6 - sum(errors.values()), sum(errors.values()))
    assert service["metrics"]["ttft_ms"]["n"] == requests["ok"]
    for row in faulty.rows[name_of(fault)]:
        assert (row["error_class"] is None) == row["ok"]
        assert (row["error_message"] is None) == row["ok"]
        assert row["end_ns"] >= row["sent_ns"]
        if row["error_message"]:
            assert row["error_message"].isprintable()


def test_failed_requests_keep_their_marks(faulty: Faulty) -> None:
    for fault in ("cut", "reset", "stall", "garbage", "error"):
        failed = [row for row in faulty.rows[name_of(fault)] if not row["ok"]]
        assert all(row["sent_ns"] < row["first_token_ns"] <= row["last_token_ns"] for row in failed)
        # An engine that sends one bad event goes on; the others end there.
        assert {row["text_chunks"] for row in failed} == {6 if fault == "garbage" else 3}, fault
    assert {row["http_status"] for row in faulty.rows["tgi-busy"] if not row["ok"]} == {503}


def test_a_connection_lost_before_the_answer_is_opened_again_once(faulty: Faulty) -> None:
    again = [row for row in faulty.rows["vllm-refuse"] if row["reconnected"]]
    assert len(again) == 2
    assert not any(row["reused"] for row in again)
    # Dropped while idle: either noticed before the next request, or the request is sent again. Never a failure.
    assert all(row["ok"] and not row["reused"] for row in faulty.rows["vllm-drop"])


ALWAYS: dict[str, tuple[str, list[str], str]] = {
    "429 for all": ("vllm,fault=http-429", [], "overloaded: HTTP 429"),
    "cut for all": ("tgi,fault=cut", [], "truncated: "),
    "empty for all": ("openai,fault=empty", [], "empty: "),
    "unknown model": ("vllm", ["--model", "vllm=nope"], "http_4xx: HTTP 404"),
}


@pytest.mark.parametrize(("serve", "args", "why"), ALWAYS.values(), ids=ALWAYS.keys())
def test_a_service_that_answers_nothing_is_exit_code_3_with_the_reason(
    tmp_path: Path, serve: str, args: list[str], why: str
) -> None:
    engine, kind = serve.partition(",")[0], why.partition(":")[0]
    write_config(tmp_path / "c.yaml", ttft_test=TTFT)
    with SimulatorProcess([f"{serve},{TIMING}"]) as simulator:
        done = benchmark("-c", "c.yaml", "--url", f"{engine}={simulator.urls[engine]}", *args, cwd=tmp_path)
    assert done.code == 3, done.said()
    (error,) = done.errors
    assert error.startswith(f"Error: {engine} answered not a single request ({why}")
    assert "Traceback" not in done.err
    service = read_json(only_folder(tmp_path) / "summary.json")["tests"][0]["services"][engine]
    assert service["requests"]["errors"] == {kind: 6}
    assert service["metrics"]["ttft_ms"]["n"] == 0
    assert Counter(row["error_class"] for row in requests_of(only_folder(tmp_path))) == {kind: 6}


def test_the_others_figures_do_not_suffer_from_a_silent_service(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", ttft_test=TTFT)
    with SimulatorProcess([f"vllm,name=good,{TIMING}", f"vllm,name=bad,{TIMING},fault=http-429"]) as simulator:
        urls = [f"vllm/{name}={url}" for name, url in simulator.urls.items()]
        done = benchmark("-c", "c.yaml", "--url", urls[0], "--url", urls[1], cwd=tmp_path)
    assert done.code == 3, done.said()
    assert done.errors[0].startswith("Error: vllm-bad answered not a single request (overloaded")
    services = read_json(only_folder(tmp_path) / "summary.json")["tests"][0]["services"]
    assert services["vllm-good"]["requests"]["ok"] == 6
    assert services["vllm-bad"]["requests"]["errors"] == {"overloaded": 6}


@pytest.fixture
def locked(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("E2E_SERVER_KEY", KEY)
    with SimulatorProcess([f"vllm,{TIMING},api-key-env=E2E_SERVER_KEY"]) as simulator:
        yield simulator.urls["vllm"]


UNUSABLE = {
    "dead": ("vllm=http://127.0.0.1:1", "vllm (http://127.0.0.1:1) is unreachable", "start it, or correct its URL"),
    "html": ("vllm={html}", "vllm ({html})", "is it the right URL?"),
    "locked": ("vllm={locked}", "is unauthorised", "--api-key-env vllm=VARIABLE"),
}


@pytest.mark.parametrize(("url", "wanted", "hint"), UNUSABLE.values(), ids=UNUSABLE.keys())
def test_a_service_that_cannot_be_measured_stops_the_run_with_3(
    tmp_path: Path, locked: str, url: str, wanted: str, hint: str
) -> None:
    write_config(tmp_path / "c.yaml", ttft_test=TTFT, services={"health_check_retries": 0})
    with SimulatorProcess([f"vllm,{TIMING},fault=html"], options=["--faults-everywhere"]) as simulator:
        places = {"html": simulator.urls["vllm"], "locked": locked}
        done = benchmark("-c", "c.yaml", "--url", url.format(**places), cwd=tmp_path)
    assert done.code == 3, done.said()
    (error,) = done.errors
    assert wanted.format(**places) in error
    assert hint in done.err
    assert "Traceback" not in done.err
    assert run_folders(tmp_path) == []


def test_a_service_that_dies_in_the_middle_leaves_the_others_whole(tmp_path: Path) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, duration_seconds=3)])
    with SimulatorProcess([f"vllm,name=a,{TIMING}"]) as lives, SimulatorProcess([f"vllm,name=b,{TIMING}"]) as dies:
        urls = ["--url", f"vllm/a={lives.urls['a']}", "--url", f"vllm/b={dies.urls['b']}"]
        with start("benchmark", "-c", "c.yaml", *urls, cwd=tmp_path) as running:
            running.until(lambda: answers(running.folder(), "vllm-b") > 2, "an answer of the second service")
            os.kill(dies.pid, signal.SIGKILL)
            done = running.finish()
    assert done.code == 0, done.said()
    assert "Traceback" not in done.err
    services = read_json(only_folder(tmp_path) / "summary.json")["tests"][0]["services"]
    whole, half = services["vllm-a"]["requests"], services["vllm-b"]["requests"]
    assert (whole["failed"], whole["success_rate"]) == (0, 1.0)
    assert half["ok"] > 2
    assert set(half["errors"]) <= {"connect", "reset", "truncated"}
    assert half["errors"]["connect"] > 0
    # Two users who are refused ask again ten times a second at most: no flood of errors for the seconds that are left.
    assert half["failed"] <= 2 * (10 * 3 + 2)
