"""The command `test`, through the front door: one question, its answers, its exit codes, Ctrl-C."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from engine_servers import Page, serving, vllm_pages
from inference_bench.cli.main import run

LAUNCHER = Path(__file__).parents[2] / "vllm_benchmark.py"
CHAT = "/v1/chat/completions"


def stream(*texts: str, usage: bool = True, done: bool = True) -> Page:
    """Return a vLLM chat answer made of these texts."""
    deltas = [{"role": "assistant", "content": ""}, *({"content": text} for text in texts)]
    events: list[object] = [{"choices": [{"index": 0, "delta": delta, "finish_reason": None}]} for delta in deltas]
    events.append({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "stop"}]})
    if usage:
        counts = {"prompt_tokens": 5, "completion_tokens": len(texts), "total_tokens": 5 + len(texts)}
        events.append({"choices": [], "usage": counts})
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events) + ("data: [DONE]\n\n" if done else "")
    return Page(body.encode(), content_type="text/event-stream")


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def test_answers_and_times_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(vllm_pages() | {CHAT: stream("Good", " day")}) as server:
        code = run(["test", "--url", server.url, "-p", "Hello"])
    streams = capsys.readouterr()
    assert code == 0
    row = next(line.split() for line in streams.out.splitlines() if line.split()[:1] == ["vllm"])
    assert row[1:3] == ["tiny-llama", "ok"]
    assert row[-2:] == ["5", "2"]
    assert "vllm: Good day" in streams.out
    assert "1 of 1 services answered" in streams.err


def test_the_json_has_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(vllm_pages() | {CHAT: stream("Good", " day", usage=False)}) as server:
        code = run(["test", "--url", server.url, "-p", "Hello", "--json"])
    data = json.loads(capsys.readouterr().out)
    assert code == 0
    assert (data["schema_version"], data["simulated"], data["prompt"], data["max_tokens"]) == (1, False, "Hello", 64)
    (answer,) = data["services"]
    assert set(answer) == {
        *("name", "engine", "dialect", "model", "url", "ok", "error", "http_status", "finish_reason", "text"),
        *("reasoning", "ttft_ms", "tpot_ms", "e2e_ms", "connect_ms", "output_tokens_per_s", "prompt_tokens"),
        *("output_tokens", "token_source", "text_chunks", "simulated", "notes"),
    }
    assert (answer["ok"], answer["text"], answer["finish_reason"], answer["text_chunks"]) == (
        True,
        "Good day",
        "stop",
        2,
    )
    # The server told no usage: missing is missing, not a count of chunks.
    assert (answer["output_tokens"], answer["prompt_tokens"], answer["token_source"]) == (None, None, None)
    assert (answer["tpot_ms"], answer["output_tokens_per_s"]) == (None, None)
    assert answer["ttft_ms"] > 0 and answer["e2e_ms"] >= answer["ttft_ms"]


@pytest.mark.parametrize(
    ("page", "error_class"),
    [
        (Page({"error": {"message": "The model `x` does not exist.", "code": 404}}, status=404), "http_4xx"),
        (Page({"error": {"message": "slow down", "code": 429}}, status=429), "overloaded"),
        (stream("cut", done=False), "truncated"),
        (stream(), "empty"),
    ],
)
def test_a_service_that_fails_is_shown_with_its_reason_and_exit_3(
    capsys: pytest.CaptureFixture[str], page: Page, error_class: str
) -> None:
    if error_class == "truncated":
        page = replace(page, body=page.raw.split(b'data: {"choices": [{"index": 0, "delta": {"content": ""}, "f')[0])
    with serving(vllm_pages() | {CHAT: stream("ok")}) as good, serving(vllm_pages() | {CHAT: page}) as bad:
        code = run(["test", "--url", good.url, "--url", bad.url, "--json"])
    streams = capsys.readouterr()
    first, second = json.loads(streams.out)["services"]
    assert code == 3
    assert (first["ok"], first["error"]) == (True, None)
    assert (second["ok"], second["error"]["class"]) == (False, error_class)
    assert "1 of 2 services answered" in streams.err


def test_an_answer_cannot_write_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with serving(vllm_pages() | {CHAT: stream("\x1b[2J[red]boo[/red]\x07")}) as server:
        run(["test", "--url", server.url])
    out = capsys.readouterr().out
    assert "\x1b" not in out and "\x07" not in out
    assert "[red]boo[/red]" in out


def test_a_simulated_answer_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    marked = replace(stream("ok"), headers=(("x-simulated-engine", "vllm"),))
    with serving(vllm_pages() | {CHAT: marked}) as server:
        run(["test", "--url", server.url])
    streams = capsys.readouterr()
    assert "SIMULATED" in streams.out and "SIMULATED" in streams.err


def test_every_simulated_engine_answers_in_its_own_protocol(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "--simulate", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["simulated"] is True
    assert [service["name"] for service in data["services"]] == ["vllm", "tgi", "ollama"]
    for answer in data["services"]:
        assert answer["ok"] and answer["simulated"] and answer["text"]
        assert answer["token_source"] == "usage"
        assert 0 < answer["output_tokens"] <= data["max_tokens"]


def test_nobody_to_ask_and_nothing_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["test", "--url", "http://no-such-host.invalid"]) == 3
    assert run(["test", "--url", "http://localhost", "-p", "  "]) == 2
    assert capsys.readouterr().err.count("Error:") == 2


@pytest.mark.parametrize("path", [CHAT, "/api/version"])
def test_ctrl_c_ends_it_with_one_line_and_130(path: str, tmp_path: Path) -> None:
    pages = vllm_pages() | {CHAT: stream("late")}
    pages[path] = replace(pages.get(path, Page(b"{}")), delay=20.0)
    with serving(pages) as server:
        process = subprocess.Popen(
            [sys.executable, str(LAUNCHER), "test", "--url", f"vllm={server.url}"],
            cwd=tmp_path,
            env={**os.environ, "VLLM_BENCHMARK__SERVICES__HEALTH_CHECK_RETRIES": "0"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            while not any(seen == path for seen, _ in server.seen):
                server.asked.wait(30)
                server.asked.clear()
            process.send_signal(signal.SIGINT)
            _, err = process.communicate(timeout=30)
        finally:
            process.kill()
            process.wait()
    assert process.returncode == 130
    assert "Traceback" not in err
    assert len([line for line in err.splitlines() if line.startswith("Error: interrupted")]) == 1
