"""`inspect` shows what was really sent and received: against a server's own record and the simulator's truth log."""

import base64
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import pytest
from front_door import PATIENCE, Done, environment, read_json, run, start, truth_of

from engine_servers import Page, self_signed, serving, vllm_pages
from inference_bench.simulator.launcher import SimulatorProcess
from inspect_servers import PIECES, Kept, keeping_server

STATED_MS = 2.0  # what a stamp may differ from the truth by
TOKENS = 6
ENGINES = ("vllm", "tgi", "ollama", "openai")


class Inspected(NamedTuple):
    """One inspection of four engines: what the command printed, what it saved, and the truth about it."""

    done: Done
    saved: dict[str, Any]
    exchanges: dict[str, dict[str, Any]]
    truth: Path


@pytest.fixture(scope="module")
def inspected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Inspected]:
    cwd = tmp_path_factory.mktemp("inspected")
    serve = [f"{engine},ttft-ms=60,itl-ms=25" for engine in ENGINES]
    with SimulatorProcess(serve, truth_log=cwd / "truth.jsonl") as simulator:
        urls = [word for engine in ENGINES for word in ("--url", f"{engine}={simulator.urls[engine]}")]
        done = run("inspect", *urls, "--max-tokens", str(TOKENS), "--save", "all.json", cwd=cwd)
        saved = read_json(cwd / "all.json")
        exchanges = {exchange["service"]: exchange for exchange in saved["exchanges"]}
        yield Inspected(done, saved, exchanges, cwd / "truth.jsonl")


def request_id(exchange: dict[str, Any]) -> str:
    return next(str(one["value"]) for one in exchange["request"]["headers"] if one["name"] == "x-request-id")


def content(read: dict[str, Any]) -> bytes:
    return read["text"].encode() if "text" in read else base64.b64decode(read["base64"])


def test_everything_was_answered_and_nothing_else_was_asked(inspected: Inspected) -> None:
    assert inspected.done.code == 0, inspected.done.said()
    assert list(inspected.exchanges) == list(ENGINES)
    assert inspected.saved["schema_version"] == 1
    ids = {request_id(exchange) for exchange in inspected.exchanges.values()}
    assert set(truth_of(inspected.truth, wanted=ids)) == ids  # one request a service, and no warm-up


def test_offsets_are_those_of_the_truth_log(inspected: Inspected) -> None:
    for name, exchange in inspected.exchanges.items():
        record = truth_of(inspected.truth, wanted=[request_id(exchange)])[request_id(exchange)]
        sent = exchange["sent_monotonic_ns"]
        texts = [
            read["at_ms"]
            for read in exchange["response"]["reads"]
            for event in read["events"]
            if event["text"] or event["reasoning"]
        ]
        written = [(at_ns - sent) / 1e6 for at_ns in record.written_ns[: record.text_tokens]]
        assert texts[0] == exchange["marks_ms"]["first_token"] == exchange["ttft_ms"]
        assert texts[-1] == exchange["marks_ms"]["last_token"]
        if name != "ollama":  # whose lines may hold several tokens
            assert len(texts) == len(written)
        # A machine that is busy between the server's note and its write makes one of them late, and not most of them.
        late = [text - truth for text, truth in zip(texts, written, strict=False)]
        assert min(late) >= -STATED_MS, name
        assert median(late) <= STATED_MS, name
        assert texts == sorted(texts)


def test_what_is_decoded_is_what_the_server_counted(inspected: Inspected) -> None:
    for exchange in inspected.exchanges.values():
        record = truth_of(inspected.truth, wanted=[request_id(exchange)])[request_id(exchange)]
        assert exchange["usage"]["output_tokens"] == record.tokens == TOKENS
        assert exchange["usage"]["prompt_tokens"] == record.prompt_tokens
        assert exchange["ok"]
        assert exchange["finish_reason"] == "length"
        reads = exchange["response"]["reads"]
        assert [read["number"] for read in reads] == list(range(1, len(reads) + 1))
        assert [read["bytes"] for read in reads] == [len(content(read)) for read in reads]
        assert exchange["response"]["body_bytes"] == sum(read["bytes"] for read in reads)
        ends = [event for read in reads for event in read["events"] if event["done"]]
        assert len(ends) == 1


def test_the_bytes_of_a_read_say_what_its_events_say(inspected: Inspected) -> None:
    # Read here once more with nothing but json, for the one dialect where a line is an event.
    reads = inspected.exchanges["ollama"]["response"]["reads"]
    for read in reads:
        records = [json.loads(line) for line in content(read).splitlines() if line]
        assert [record["message"]["content"] for record in records] == [event["text"] for event in read["events"]]
    told = json.loads(content(reads[-1]).splitlines()[-1])
    assert inspected.exchanges["ollama"]["server_times"]["total_ms"] == pytest.approx(told["total_duration"] / 1e6)


def test_what_tells_the_requests_apart_is_named(inspected: Inspected) -> None:
    words = {aspect["aspect"]: aspect["services"] for aspect in inspected.saved["differences"]}
    assert words[f"exactly {TOKENS} tokens"] == {
        "vllm": f"ignore_eos: true, min_tokens: {TOKENS}",
        "tgi": "cannot be asked",
        "ollama": "cannot be asked",
        "openai": "cannot be asked",
    }
    assert words["temperature 0"]["tgi"] == "parameters.do_sample: false, parameters.temperature: left out"
    assert words["temperature 0"]["vllm"] == "temperature: 0.0"
    assert words["seed"]["ollama"] == "options.seed: 0"
    assert "stream_options.continuous_usage_stats: true" in words["stream, and its usage"]["vllm"]
    assert "continuous" not in words["stream, and its usage"]["openai"]
    assert words["chat template"]["tgi"].startswith("not applied")
    assert words["chat template"]["vllm"] == "applied by the server"
    assert words["route"]["tgi"] == "POST /generate_stream (tgi)"
    assert words["model"]["tgi"].startswith("not named")
    for said in words["always sent besides"]["ollama"].split(", "):
        assert said in ("truncate: false", "shift: false", 'keep_alive: "30m"')
    for engine in ENGINES:
        assert f"  {engine} " in inspected.done.out


def test_the_output_is_linear_bounded_in_width_and_says_simulated(inspected: Inspected) -> None:
    lines = inspected.done.out.splitlines()
    assert max(map(len, lines)) <= 100
    assert not [line for line in lines if line != line.rstrip()]
    titles = [line for line in lines if re.match(r"(vllm|tgi|ollama|openai) · .* · SIMULATED ─", line)]
    assert len(titles) == 3 * len(ENGINES)  # requests, answers, streams
    assert inspected.saved["simulated"] is True
    assert "SIMULATED" in inspected.done.err


@pytest.fixture
def kept() -> Iterator[Kept]:
    with keeping_server() as server:
        yield server


def test_the_request_shown_and_saved_is_the_request_received(kept: Kept, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(
        json.dumps({"services": {"endpoints": [{"engine": "openai", "url": kept.url, "headers": {"x-team": "blue"}}]}})
    )
    done = run("inspect", "-c", "c.yaml", "--prompt", 'Say "hé" \n twice', "--save", "a.json", cwd=tmp_path)
    assert done.code == 0, done.said()
    ((head, body),) = kept.posts
    request = read_json(tmp_path / "a.json")["exchanges"][0]["request"]
    assert request["body"].encode() == body
    assert [(one["name"], one["value"]) for one in request["headers"]] == kept.fields(0)
    assert head.decode().splitlines()[0] == "POST /v1/chat/completions HTTP/1.1"
    assert f"POST {kept.url}/v1/chat/completions" == f"{request['method']} {request['url']}"
    for name, value in kept.fields(0):
        assert f"{name}: {value}" in done.out.splitlines()
    assert '"content": "Say \\"hé\\" \\n twice"' in done.out


def test_raw_is_the_body_byte_by_byte(kept: Kept, tmp_path: Path) -> None:
    # Colours that are wanted everywhere make no terminal of a file.
    args = ["--url", f"openai={kept.url}", "--raw", "--save", "a.json"]
    done = run("inspect", *args, cwd=tmp_path, environ={"FORCE_COLOR": "1"})
    assert done.code == 0, done.said()
    assert (tmp_path / "0.stdout").read_bytes() == b"".join(PIECES)
    assert "without HTTP's head and chunk framing" in done.err
    reads = read_json(tmp_path / "a.json")["exchanges"][0]["response"]["reads"]
    assert b"".join(map(content, reads)) == b"".join(PIECES)


def test_bytes_that_are_no_text_are_kept_too(tmp_path: Path) -> None:
    odd = b'data: {"choices":[{"index":0,"delta":{"content":"\xff\xfe"}}]}\n\ndata: [DONE]\n\n'
    with keeping_server(lambda _head, _body: (200, (("content-type", "text/event-stream"),), odd)) as server:
        args = ["--url", f"openai={server.url}", "--raw", "--save", "a.json"]
        with start("inspect", *args, cwd=tmp_path) as running:
            code = running.process.wait(PATIENCE)
    assert (tmp_path / "0.stdout").read_bytes() == odd
    (read,) = read_json(tmp_path / "a.json")["exchanges"][0]["response"]["reads"]
    assert base64.b64decode(read["base64"]) == odd
    assert code == 3, running.stderr.read_text()  # not JSON: this is no answer


def test_a_scenario_is_asked_with_its_past(kept: Kept, tmp_path: Path) -> None:
    done = run("inspect", "--url", f"openai={kept.url}", "--scenario", "2", "--theme", "payload", cwd=tmp_path)
    assert done.code == 0, done.said()
    messages = json.loads(kept.posts[0][1])["messages"]
    assert [message["role"] for message in messages] == ["user", "assistant"] * 3 + ["user"]
    assert "What came when" not in done.out


def test_over_tls_the_script_trusts_whom_we_trusted(tmp_path: Path) -> None:
    context, pem = self_signed(tmp_path)
    pages = {**vllm_pages(), "/v1/chat/completions": Page(b"".join(PIECES), content_type="text/event-stream")}
    with serving(pages, context=context) as server:
        endpoint = {"engine": "vllm", "url": server.url, "ca_file": str(pem)}
        (tmp_path / "c.yaml").write_text(json.dumps({"services": {"endpoints": [endpoint]}}))
        done = run("inspect", "-c", "c.yaml", "--save", "again.curl", cwd=tmp_path)
        assert done.code == 0, done.said()
        assert "said      one two" in done.out
        assert f"--cacert {pem}" in (tmp_path / "again.curl").read_text()
        if shutil.which("curl"):
            words = ["bash", str(tmp_path / "again.curl")]
            again = subprocess.run(words, capture_output=True, env=environment(), timeout=60, check=False)
            assert again.stdout == b"".join(PIECES), again.stderr.decode()
