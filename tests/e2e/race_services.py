"""What the tests of the race share: simulated services in lanes, what a race saves and records, what a screen shows."""

import json
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from engine_servers import Page

Json = Any  # tests look into it freely

FOUR = (
    "vllm,ttft-ms=60,itl-ms=12",
    "tgi,ttft-ms=90,itl-ms=14",
    "ollama,ttft-ms=140,itl-ms=16",
    "vllm,name=vllm-green,ttft-ms=60,itl-ms=24",
)


def url_options(urls: dict[str, str], *names: str) -> list[str]:
    """Return --url options for simulated services by name (`vllm-green` is vLLM's second)."""
    made: list[str] = []
    for name in names or tuple(urls):
        engine, _, own = name.partition("-")
        made += ["--url", f"{engine}/{own}={urls[name]}" if own else f"{engine}={urls[name]}"]
    return made


def saved(path: Path) -> Json:
    """Return what --save wrote."""
    return json.loads(path.read_bytes())


def recorded(path: Path) -> tuple[Json, list[Json]]:
    """Return a recording's head and its lines."""
    head, *lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return head, lines


def row_of(output: str, name: str) -> list[str]:
    """Return the words of a service's line in the result."""
    return next(line.split() for line in output.splitlines() if name in line.split())


def headings(lines: list[str]) -> list[str]:
    """Return the lines that head lanes: the tops of boxes when they stand side by side, rules when stacked."""
    return [line for line in lines if "╭" in line or line.startswith("─ ")]


def assert_fits(lines: list[str], columns: int, rows: int) -> None:
    """Check that a screen holds: no line too wide, no more lines than there is room for, no lane leaves its borders."""
    assert len(lines) <= rows
    assert max(map(cell_len, lines), default=0) <= columns
    heads = headings(lines)
    assert heads, "no lane is drawn"
    widths = {cell_len(line.rstrip()) for line in heads}
    assert len(widths) == 1, f"lanes of different widths: {widths}"
    assert max(widths) > columns - 4, "the lanes leave much of the screen empty"
    if "╭" in heads[0]:
        feet = [line for line in lines if "╰" in line]
        inside = [line for line in lines if line.startswith("│")]
        assert len(feet) == len(heads)
        assert {cell_len(line.rstrip()) for line in (*feet, *inside)} == widths, "a line of a lane leaves its box"


def answer(pieces: list[str], *, tokens: int) -> Page:
    """Return a proper streamed chat answer of the OpenAI protocol, made of these pieces."""

    def event(delta: dict[str, str], **more: object) -> str:
        choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
        return "data: " + json.dumps({"object": "chat.completion.chunk", "choices": [choice], **more}) + "\n\n"

    usage = {"prompt_tokens": 5, "completion_tokens": tokens, "total_tokens": 5 + tokens}
    body = "".join(event({"content": piece}) for piece in pieces) + event({}, finish_reason="stop", usage=usage)
    return Page(f"{body}data: [DONE]\n\n".encode(), content_type="text/event-stream")
