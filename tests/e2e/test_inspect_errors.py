"""`inspect` and what goes wrong: errors that are provoked, and those that servers have of their own."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from front_door import Done, read_json, run, start, truth_of

from inference_bench.simulator.launcher import SimulatorProcess
from inspect_servers import keeping_server

CONTEXT = 700
ENGINES = ("vllm", "tgi", "ollama", "openai")
FAULTS = {
    "cut": ("vllm", "truncated", 200),
    "refuse": ("vllm", "reset", None),
    "http-500": ("ollama", "http_5xx", 500),
    "http-503": ("tgi", "overloaded", 503),
    "stream-error": ("tgi", "stream_error", 200),
    "garbage": ("openai", "malformed", 200),
    "html": ("openai", "malformed", 200),
    "no-done": ("vllm", "truncated", 200),
    "empty": ("vllm", "empty", 200),
}


@pytest.fixture(scope="module")
def provoked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Done, list[dict[str, Any]], Path]]:
    cwd = tmp_path_factory.mktemp("provoked")
    serve = [f"{engine},ttft-ms=20,itl-ms=5,context={CONTEXT}" for engine in ENGINES]
    with SimulatorProcess(serve, truth_log=cwd / "truth.jsonl") as simulator:
        urls = [word for engine in ENGINES for word in ("--url", f"{engine}={simulator.urls[engine]}")]
        done = run("inspect", *urls, "--theme", "errors", "--max-tokens", "4", "--save", "e.json", cwd=cwd)
        yield done, read_json(cwd / "e.json")["exchanges"], cwd


def test_each_service_is_asked_for_both_errors_once(provoked: tuple[Done, list[dict[str, Any]], Path]) -> None:
    done, exchanges, cwd = provoked
    assert done.code == 0, done.said()
    purposes = [(one["service"], one["purpose"]) for one in exchanges]
    assert purposes == [(engine, purpose) for purpose in ("unknown_model", "over_long_prompt") for engine in ENGINES]
    ids = [
        str(field["value"]) for one in exchanges for field in one["request"]["headers"] if "request-id" in field["name"]
    ]
    assert len(set(ids)) == 2 * len(ENGINES)
    assert set(truth_of(cwd / "truth.jsonl")) <= set(ids)  # nothing was generated that is not shown


def test_what_engines_answer_is_shown_and_classified(provoked: tuple[Done, list[dict[str, Any]], Path]) -> None:
    done, exchanges, _ = provoked
    found = {(one["service"], one["purpose"]): one for one in exchanges}
    classes = {
        key: None if one["ok"] else (one["response"]["status"], one["error"]["class"]) for key, one in found.items()
    }
    assert classes[("vllm", "unknown_model")] == (404, "http_4xx")
    assert classes[("ollama", "unknown_model")] == (404, "http_4xx")
    assert classes[("tgi", "unknown_model")] is None  # its route names no model
    assert "this route names no model" in found[("tgi", "unknown_model")]["remark"]
    assert classes[("vllm", "over_long_prompt")] == (400, "http_4xx")
    assert classes[("ollama", "over_long_prompt")] == (400, "http_4xx")
    assert classes[("openai", "over_long_prompt")] == (400, "http_4xx")
    assert classes[("tgi", "over_long_prompt")] == (200, "stream_error")
    assert '"message": "The model `no-such-model/made-up-to-see-the-error` does not exist' in done.out
    assert "no such" not in done.err


def test_the_prompt_is_longer_than_the_context_that_was_told(
    provoked: tuple[Done, list[dict[str, Any]], Path],
) -> None:
    done, exchanges, _ = provoked
    for one in exchanges:
        if one["purpose"] == "over_long_prompt":
            assert CONTEXT < one["request"]["body"].count("word") <= CONTEXT + 64
            assert str(CONTEXT) in one["remark"]
    assert done.out.count("word word") < 60 * len(ENGINES)  # shown in part


def test_a_route_that_names_the_model_gets_the_made_up_one(tmp_path: Path) -> None:
    with SimulatorProcess([f"tgi,ttft-ms=20,itl-ms=5,context={CONTEXT}"]) as simulator:
        args = ["--url", f"tgi={simulator.urls['tgi']}", "--theme", "errors", "--scenario", "1", "--save", "a.json"]
        done = run("inspect", *args, cwd=tmp_path)
    assert done.code == 0, done.said()
    unknown = read_json(tmp_path / "a.json")["exchanges"][0]
    assert unknown["dialect"] == "tgi-chat"  # a conversation has turns, which TGI's own route has not
    assert json.loads(unknown["request"]["body"])["model"] == "no-such-model/made-up-to-see-the-error"
    assert unknown["remark"] is None
    assert not unknown["ok"]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_shown_as_fully_as_an_answer(fault: str, tmp_path: Path) -> None:
    engine, error_class, status = FAULTS[fault]
    serve = [f"{engine},name=bad,ttft-ms=20,itl-ms=5,fault={fault}", "vllm,name=good,ttft-ms=20,itl-ms=5"]
    with SimulatorProcess(serve) as simulator:
        urls = ["--url", f"{engine}/bad={simulator.urls['bad']}", "--url", f"vllm/good={simulator.urls['good']}"]
        done = run("inspect", *urls, "--max-tokens", "8", "--save", "a.json", cwd=tmp_path)
    assert done.code == 3, done.said()
    assert "Traceback" not in done.err
    bad, good = read_json(tmp_path / "a.json")["exchanges"]
    assert (bad["ok"], bad["error"]["class"], bad["response"]["status"]) == (False, error_class, status)
    assert good["ok"]  # the other is shown all the same
    assert f"{'no answer' if status is None else f'HTTP {status}'}  {error_class}: " in done.out
    if bad["response"]["reads"] and status != 200:
        assert bad["response"]["body_bytes"] == sum(read["bytes"] for read in bad["response"]["reads"])
        assert '"error"' in done.out


def test_a_service_that_answers_no_provocation_at_all_is_code_3(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,fault=refuse"]) as simulator:
        done = run("inspect", "--url", f"vllm={simulator.urls['vllm']}", "--theme", "errors", cwd=tmp_path)
    assert done.code == 3, done.said()
    assert "no answer  reset: " in done.out


def test_a_context_beyond_what_is_sent_is_said_and_not_tried(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,context=400000"]) as simulator:
        args = ["--url", f"vllm={simulator.urls['vllm']}", "--theme", "errors", "--save", "a.json"]
        done = run("inspect", *args, cwd=tmp_path)
    assert done.code == 0, done.said()
    saved = read_json(tmp_path / "a.json")
    assert [one["purpose"] for one in saved["exchanges"]] == ["unknown_model"]
    assert saved["not_sent"] == [
        "vllm: it told a context of 400,000 tokens; a longer prompt than 300,000 words is not sent"
    ]
    assert saved["not_sent"][0] in done.out


def test_a_context_that_was_not_told_gets_a_stated_size(tmp_path: Path) -> None:
    def refuse(head: bytes, body: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
        return 413, (("content-type", "application/json"),), json.dumps({"error": f"{len(body)} bytes"}).encode()

    with keeping_server(refuse) as server:
        done = run("inspect", "--url", f"openai={server.url}", "--theme", "errors", cwd=tmp_path)
    assert done.code == 0, done.said()
    assert "a prompt of 50,000 words: its context was not told" in done.out
    assert [body.count(b"word") for _, body in server.posts] == [0, 50_000]
    assert [json.loads(body)["model"] for _, body in server.posts] == ["no-such-model/made-up-to-see-the-error", "m"]


def test_an_endless_answer_is_bounded_on_the_screen_and_whole_in_the_file(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,ttft-ms=5,itl-ms=0,context=50000"]) as simulator:
        args = ["--url", f"vllm={simulator.urls['vllm']}", "--max-tokens", "20000", "--save", "a.json"]
        done = run("inspect", *args, cwd=tmp_path)
    assert done.code == 0, done.said()
    assert len(done.out.splitlines()) < 400
    assert "lines left out here; --raw and --save have all" in done.out
    (exchange,) = read_json(tmp_path / "a.json")["exchanges"]
    texts = [event for read in exchange["response"]["reads"] for event in read["events"] if event["text"]]
    assert len(texts) == 20_000


def test_interrupted_it_shows_what_came_and_ends_with_130(tmp_path: Path) -> None:
    serve = ["vllm,name=slow,ttft-ms=20,itl-ms=500", "vllm,name=next,ttft-ms=20,itl-ms=5"]
    with SimulatorProcess(serve) as simulator:
        urls = ["--url", f"vllm/slow={simulator.urls['slow']}", "--url", f"vllm/next={simulator.urls['next']}"]
        with start("inspect", *urls, "--max-tokens", "200", "--save", "a.json", cwd=tmp_path) as running:
            running.wait_for_line("asking vllm-slow")
            running.until(lambda: running.connected_to(simulator.urls["slow"]) or running.look(), "a worker")
            running.signal(signal.SIGINT)
            done = running.finish()
            left = running.left_behind()
    assert done.code == 130, done.said()
    assert left == []
    assert "Traceback" not in done.err
    saved = read_json(tmp_path / "a.json")
    assert saved["interrupted"] is True
    assert [(one["service"], one["error"]["class"]) for one in saved["exchanges"]] == [("vllm-slow", "interrupted")]
