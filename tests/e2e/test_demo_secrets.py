"""A key that a server repeats, in its text piece by piece or in its error, is on no screen and in no file of a demo."""

from pathlib import Path

import pytest
from front_door import run
from race_services import answer
from talk_terminal import terminal

from engine_servers import Page, serving, vllm_pages

KEY = "sk-demo-7f3a91c0ffee"
CUT = ["your key is ", "sk", "-demo", "-7f3a9", "1c0f", "fee", ", is it not? "]
REFUSAL = Page({"error": {"message": f"Incorrect API key provided: {KEY}.", "type": "auth"}}, status=400)
CHAT = "/v1/chat/completions"


@pytest.mark.parametrize("mode", [["--mode", "race"], ["--mode", "chat", "--prompt", "who am I?"]])
def test_a_repeated_key_is_shown_nowhere(mode: list[str], tmp_path: Path) -> None:
    pages = vllm_pages()
    with (
        serving({**pages, CHAT: answer(CUT * 3, tokens=21)}) as telling,
        serving({**pages, CHAT: REFUSAL}) as refusing,
    ):
        urls = ["--url", f"vllm/a={telling.url}", "--url", f"vllm/b={refusing.url}", "--api-key-env", "DEMO_KEY"]
        record = ["--record", "r.jsonl"] if "race" in mode else []
        args = ["demo", *mode, "--save", "kept.json", *record, *urls]
        done = run(*args, cwd=tmp_path, environ={"DEMO_KEY": KEY})
        assert done.code == 3, done.said()
        (tmp_path / "kept.json").rename(tmp_path / "first.json")
        if record:
            (tmp_path / "r.jsonl").rename(tmp_path / "first.jsonl")
            with terminal(tmp_path, args, DEMO_KEY=KEY) as screen:
                during = screen.until("any key goes on")
                screen.keys("x")
                assert screen.end() == 3
                during += screen.lines(history=True)
            assert KEY not in "".join(during).replace(" ", "")
    assert "your key is" in done.out + done.err
    assert "Incorrect API key provided: ****" in done.out + done.err
    texts = [done.out, done.err, *(path.read_text() for path in tmp_path.glob("*.json*"))]
    assert len(texts) >= 3
    for text in texts:
        assert KEY not in text
        assert KEY[:8] not in text
