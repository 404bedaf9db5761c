"""Talks in files: complete, honest about what is simulated and what failed, harmless, and never over another file."""

import json
import re
import signal
from pathlib import Path

import pytest
from front_door import run, start
from test_demo_talk_history import chat
from test_hostile_server import event

from engine_servers import Page, serving, vllm_pages
from inference_bench.simulator.launcher import SimulatorProcess

HOSTILE = "[bold]x[/] \x1b[2J\x07\u202e 東京 مرحبا 👩‍👧 <script>alert(1)</script> ```` # head | `c`\r\nnext"
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
KEY = "sk-talk-5fbd11c0ffee4242"


def answering(text: str) -> dict[str, Page]:
    """The pages of a server that streams this text as its answer."""
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    body = event({"content": text}) + event({}, finish_reason="stop", usage=usage) + "data: [DONE]\n\n"
    return {**vllm_pages("m", "1"), "/v1/chat/completions": Page(body.encode(), content_type="text/event-stream")}


def test_hostile_answers_are_whole_in_json_and_text_in_markdown_and_on_the_screen(tmp_path: Path) -> None:
    with serving(answering(HOSTILE)) as server:
        done = chat(
            tmp_path, "[red]hi[/red]\n/save t.md\n/save t.md\n", "--url", f"vllm={server.url}", "--save", "t.json"
        )
    assert done.code == 0, done.said()
    assert OBEYED.search(done.out + done.err) is None
    assert "[bold]x[/] [2J 東京 مرحبا" in done.out
    assert "Not saved: t.md already exists" in done.err
    text = (tmp_path / "t.json").read_text()
    assert OBEYED.search(text) is None
    talk = json.loads(text)
    (turn,) = talk["turns"]
    assert (turn["said"], turn["replies"]["vllm"]["text"]) == ("[red]hi[/red]", HOSTILE)
    assert talk["simulated"] is False
    markdown = (tmp_path / "t.md").read_text()
    assert OBEYED.search(markdown) is None
    fence = "`" * 5
    assert re.search(rf"^{fence}text\n\[bold\]x.*````.*\nnext\n{fence}$", markdown, re.MULTILINE)
    assert "SIMULATED" not in markdown


@pytest.mark.parametrize("name", ["t.json", "t.md"])
def test_a_saved_talk_says_what_it_is_and_holds_every_figure(tmp_path: Path, name: str) -> None:
    serve = ["vllm,name=a,ttft-ms=50,itl-ms=10", "ollama,name=b,ttft-ms=50,itl-ms=10,fault=http-503/3"]
    with SimulatorProcess(serve) as simulator:
        urls = ["--url", f"vllm/a={simulator.urls['a']}", "--url", f"ollama/b={simulator.urls['b']}"]
        done = chat(tmp_path, "one\ntwo\n", *urls, "--max-tokens", "7", "--save", name)
    assert done.code == 0, done.said()
    text = (tmp_path / name).read_text()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    if name.endswith(".md"):
        assert text.count("**SIMULATED: ") == 1
        assert re.findall("^##+ .*$", text, re.MULTILINE) == [
            *("## Turn 1", "### vllm-a", "### ollama-b"),
            *("## Turn 2", "### vllm-a", "### ollama-b"),
        ]
        assert text.count("· answer tokens 7 ·") == 3
        assert "**Failed: overloaded**" in text
        return
    talk = json.loads(text)
    assert (talk["schema_version"], talk["kind"], talk["simulated"], talk["interrupted"]) == (1, "chat", True, False)
    assert (talk["history"], talk["scenario"], talk["max_tokens"]) == ("own", None, 7)
    assert [(one["name"], one["simulated"]) for one in talk["services"]] == [("vllm-a", True), ("ollama-b", True)]
    assert [turn["said"] for turn in talk["turns"]] == ["one", "two"]
    reply = talk["turns"][0]["replies"]["vllm-a"]
    assert reply["ttft_ms"] == (reply["first_token_ns"] - reply["sent_ns"]) / 1e6
    assert reply["e2e_ms"] == (reply["last_token_ns"] - reply["sent_ns"]) / 1e6
    assert reply["output_tok_per_s_user"] == pytest.approx(1000 / reply["tpot_ms"])
    assert f"{reply['ttft_ms']:,.1f}" in done.out
    failed = talk["turns"][1]["replies"]["ollama-b"]
    assert (failed["answered"], failed["error_class"], failed["http_status"]) == (False, "overloaded", 503)


def test_an_interrupted_conversation_keeps_what_was_said_until_then(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,ttft-ms=50,itl-ms=100"]) as simulator:
        words = ["demo", "--mode", "conversation", "--scenario", "2", "--max-tokens", "100", "--save", "t.json"]
        with start(*words, "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as running:
            running.wait_for_line("Turn 1: asking vllm")
            running.signal(signal.SIGINT)
            done = running.finish()
            assert running.left_behind() == []
    assert done.code == 130, done.said()
    talk = json.loads((tmp_path / "t.json").read_text())
    assert talk["interrupted"] is True
    assert [turn["replies"]["vllm"]["error_class"] for turn in talk["turns"]] == ["interrupted"]


def test_a_key_that_a_server_repeats_is_not_saved(tmp_path: Path) -> None:
    with serving(answering(f"your key is {KEY}")) as server:
        words = ["demo", "--mode", "chat", "--prompt", "hi", "--url", f"openai={server.url}"]
        words += ["--api-key-env", "openai=TALK_KEY"]
        for name in ("t.md", "t.json"):
            done = run(*words, "--save", name, cwd=tmp_path, environ={"TALK_KEY": KEY})
            assert done.code == 0, done.said()
            text = (tmp_path / name).read_text()
            assert KEY not in text
            assert "your key is " in text


def test_a_place_that_cannot_be_written_is_said_and_the_talk_goes_on(tmp_path: Path) -> None:
    with serving(answering("fine")) as server:
        typed = (
            "one\n/save nowhere/t.md\n/save\n/save ~\x00.md\n/save ~nobody-here/t.md\n/save " + "x" * 400 + ".md\ntwo\n"
        )
        done = chat(tmp_path, typed, "--url", f"vllm={server.url}")
    assert done.code == 0, done.said()
    assert "Not saved: there is no folder nowhere" in done.err
    assert done.err.count("Not saved: ") == 4
    assert done.out.count("Chat, turn ") == 2


def test_a_file_that_came_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    with serving(answering("fine")) as server:
        done = chat(tmp_path, "one\n/save t.json\ntwo\n", "--url", f"vllm={server.url}", "--save", "t.json")
    assert done.code == 2, done.said()
    assert done.errors == ["Error: t.json already exists; nothing was written"]
    assert [turn["said"] for turn in json.loads((tmp_path / "t.json").read_text())["turns"]] == ["one"]


def test_an_interruption_is_told_even_where_the_talk_cannot_be_saved(tmp_path: Path) -> None:
    with SimulatorProcess(["vllm,ttft-ms=50,itl-ms=100"]) as simulator:
        words = ["demo", "--mode", "conversation", "--scenario", "2", "--max-tokens", "100", "--save", "t.json"]
        with start(*words, "--url", f"vllm={simulator.urls['vllm']}", cwd=tmp_path) as running:
            running.wait_for_line("Turn 1: asking vllm")
            (tmp_path / "t.json").write_text("mine")
            running.signal(signal.SIGINT)
            done = running.finish()
    assert done.code == 130, done.said()
    assert "Warning: t.json already exists" in done.err
    assert (tmp_path / "t.json").read_text() == "mine"
