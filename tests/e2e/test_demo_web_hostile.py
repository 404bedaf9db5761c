"""The page of `demo --web` before services that do not behave, and viewers that do not read."""

import http.client
import json
import re
import signal
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from front_door import PATIENCE
from playwright.sync_api import Browser
from web_race import serving_page, viewer

from browser_pages import running_browser
from engine_servers import Page, serving, vllm_pages
from inference_bench.live.lane import SHOWN_CHARACTERS
from inference_bench.simulator.launcher import SimulatorProcess

MODEL = "<script>window.struck = 1</script><img src=x onerror='window.struck = 2'>"
VERSION = "1.0<b>&amp;</b>"
SAID = (
    "<script>window.struck = 3</script><img src=http://evil.example/x onerror='window.struck = 4'> &lt;b&gt; "
    "\x1b[2J\x1b]0;title\x07 \u202eabc\u202c "
    "\u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \U0001f600\n"
    "data: {}\n\nevent: bye\n\n end"
)
SHOWN = (
    "<script>window.struck = 3</script><img src=http://evil.example/x onerror='window.struck = 4'> &lt;b&gt; "
    "[2J]0;title abc \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627 \u4f60\u597d \U0001f600\n"
    "data: {}\n\nevent: bye\n\n end"
)


def told(delta: dict[str, object], **more: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    body = {"id": "x", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more}
    return f"data: {json.dumps(body)}\n\n"


def answer(words: list[str]) -> Page:
    """A proper streamed answer of these words."""
    usage = {"prompt_tokens": 5, "completion_tokens": len(words), "total_tokens": 5 + len(words)}
    last = told({}, finish_reason="<i>stop</i>", usage=usage)
    text = "".join(told({"content": word}) for word in words) + last + "data: [DONE]\n\n"
    return Page(text.encode(), content_type="text/event-stream")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with running_browser() as opened:
        yield opened


def test_what_services_send_is_text_and_failures_are_told(browser: Browser, tmp_path: Path) -> None:
    pages = vllm_pages(MODEL, VERSION)
    refusal = Page({"error": {"message": f"<b>no</b> {MODEL}", "type": "x"}}, status=500)
    with (
        serving({**pages, "/v1/chat/completions": answer(re.findall(r"\S+\s*", SAID))}) as good,
        serving({**pages, "/v1/chat/completions": refusal}) as bad,
        SimulatorProcess(["tgi,name=dying,fault=cut,ttft-ms=20,itl-ms=20"], options=["--faults-everywhere"]) as dying,
    ):
        urls = [
            "--url",
            f"vllm/good={good.url}",
            "--url",
            f"vllm/bad={bad.url}",
            "--url",
            "vllm/dead=http://127.0.0.1:9",
        ]
        urls += ["--url", f"tgi={dying.urls['dying']}", "--skip-unhealthy", "--max-tokens", "30"]
        with serving_page(*urls, cwd=tmp_path) as served, viewer(browser, served.address) as looking:
            assert looking.lane("vllm-dead")["why"].startswith("down: ")
            looking.race("Space")
            shown = {name: looking.lane(name) for name in ("vllm-good", "vllm-bad", "vllm-dead", "tgi")}
            names = looking.page.locator("h2").all_inner_texts()
            struck = looking.page.evaluate(
                "[window.struck ?? 0, document.querySelectorAll('main script, main img').length]"
            )
            facts = looking.page.locator('.lane[aria-label="vllm-good"] .told').inner_text()
            assert looking.seen("#simulated") == "SIMULATED ENGINES"  # one of them is
            marked = [tag.is_visible() for tag in looking.page.locator(".sim").all()]
            served.running.signal(signal.SIGINT)
            done = served.running.finish()
            assert [url for url in looking.asked if not url.startswith(f"http://127.0.0.1:{served.port}/")] == []
            assert looking.complaints == []
    assert struck == [0, 0]
    assert (MODEL in facts, VERSION in facts) == (True, True)
    assert [name.strip() for name in names] == ["vllm-good", "vllm-bad", "tgi", "vllm-dead"]
    assert marked == [False, False, True, False]
    assert shown["vllm-good"]["text"] == SHOWN
    assert shown["vllm-good"]["state"] == "done (<i>stop</i>)"
    assert shown["vllm-bad"]["state"] == "failed"
    assert shown["vllm-bad"]["why"].startswith("failed: http_5xx (HTTP 500): HTTP 500: <b>no</b> <script>")
    assert shown["vllm-bad"]["ttft"] == "–"
    assert shown["tgi"]["state"] == "failed"
    assert shown["tgi"]["why"].startswith("failed: truncated")
    assert shown["tgi"]["text"] != ""  # what came before the cut is kept
    assert shown["vllm-dead"]["state"] == "down"
    assert not any(what["place"] for what in shown.values())  # nobody to compare with
    assert done.code == 130, done.said()
    assert "\x1b" not in done.err


def test_a_flood_is_bounded_for_a_page_and_for_a_viewer_who_does_not_read(browser: Browser, tmp_path: Path) -> None:
    words = [f"{number:07d} {'x' * 91}\n" for number in range(20_000)]  # 2 MB
    pages = vllm_pages("m", "1.0")
    with (
        serving({**pages, "/v1/chat/completions": answer(words)}) as flood,
        serving({**pages, "/v1/chat/completions": answer(["a ", "b"])}) as calm,
    ):
        urls = ["--url", f"vllm/flood={flood.url}", "--url", f"vllm/calm={calm.url}"]
        with serving_page(*urls, cwd=tmp_path) as served, viewer(browser, served.address) as looking:
            connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=PATIENCE)
            connection.request("GET", "/events")
            with closing(connection), closing(connection.getresponse()) as asleep:
                looking.race("Space")
                shown = looking.lane("vllm-flood")
                assert shown["text"].endswith(words[-1])
                assert len(shown["text"]) <= 2 * SHOWN_CHARACTERS
                assert shown["count"] == "20,000 tokens"
                assert looking.lane("vllm-calm")["text"] == "a b"
                served.running.signal(signal.SIGINT)
                read = asleep.read()  # wakes up at the end, and reads what was kept for it
                assert served.running.finish().code == 130
        assert len(read) < len("".join(words)) / 2
        states = [json.loads(line[6:]) for line in read.decode().splitlines() if line.startswith('data: {"now"')]
        assert states[-1]["now"]["rule"]
        flooded = [state["text"][0] for state in states if state["text"][0]]
        text = ""
        for goes_on, piece in flooded:
            text = text + piece if goes_on else piece
        assert text.endswith(words[-1])  # nothing is missing at its end
        numbers = [int(line.split()[0]) for line in text.splitlines()[1:]]
        assert numbers == list(range(numbers[0], len(words)))
