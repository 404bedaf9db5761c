"""A server that answers with markup and terminal escapes: every command and every export shows them as text.

What it says reaches us by every way there is: its model's name, its version, its answers, its errors, its headers.
"""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from front_door import Done, only_folder, read_json, requests_of, run, write_config

from engine_servers import Page, raw_server, serving, vllm_pages

MODEL = "<script>alert(1)</script>[bold red]m[/]|`x`"
VERSION = "1.0[link=http://evil]v[/link]"
SAID = "<script>alert('x')</script> [bold red]loud[/bold red] \x1b[2J\x1b]0;title\x07\x9b31m \u202eabc | **b** `c` end"
ERROR = "[bold]no[/bold] <b>x</b> \x1b[31mred\x07 \u202eline\r\nnext | cell"
# What a terminal obeys, or what turns text around. A line end is no such thing, a carriage return is.
OBEYED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def event(delta: dict[str, object], **more: object) -> str:
    choice = {"index": 0, "delta": delta, "finish_reason": more.pop("finish_reason", None)}
    body = {"id": "x", "object": "chat.completion.chunk", "model": MODEL, "choices": [choice], **more}
    return f"data: {json.dumps(body)}\n\n"


def answer() -> Page:
    """A proper streamed chat answer whose text and finish reason are hostile."""
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "total_tokens": 9}
    words = "".join(event({"content": word}) for word in re.findall(r"\S+\s*", SAID))
    last = event({}, finish_reason="[blink]stop\x1b[0m", usage=usage)
    return Page(f"{words}{last}data: [DONE]\n\n".encode(), content_type="text/event-stream")


class Hostile(NamedTuple):
    """Two servers, one that answers and one that refuses, measured once."""

    cwd: Path
    folder: Path
    done: Done
    urls: tuple[str, ...]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hostile]:
    cwd = tmp_path_factory.mktemp("hostile")
    pages = vllm_pages(MODEL, VERSION)
    refusing = {**pages, "/v1/chat/completions": Page({"error": {"message": ERROR, "type": ERROR}}, status=500)}
    write_config(
        cwd / "c.yaml",
        ttft_test={"iterations": 4, "warmup_requests": 0, "max_tokens": 8},
        output={"save_responses": True},
    )
    with (
        serving({**pages, "/v1/chat/completions": answer()}, server_header="[red]x") as good,
        serving(refusing, server_header="x\x1b[2J") as bad,
    ):
        urls = ("--url", f"vllm/good={good.url}", "--url", f"vllm/bad={bad.url}")
        done = run("benchmark", "-c", "c.yaml", *urls, cwd=cwd)
        yield Hostile(cwd, only_folder(cwd), done, urls)


def harmless(done: Done) -> str:
    """Check that nothing printed is obeyed by a terminal; return all of it on one line."""
    for stream in (done.out, done.err):
        found = OBEYED.search(stream)
        assert found is None, f"{found!r} in {stream[max(0, found.start() - 80) : found.start() + 80]!r}"
    assert "Traceback" not in done.err
    return " ".join((done.out + done.err).split())


def test_the_run_is_measured_and_says_what_went_wrong_in_plain_text(hostile: Hostile) -> None:
    assert hostile.done.code == 3, hostile.done.said()
    said = harmless(hostile.done)
    assert "[bold]no[/bold] <b>x</b> [31mred" in said
    assert read_json(hostile.folder / "summary.json")["tests"][0]["services"]["vllm-good"]["requests"]["ok"] == 4
    assert {row["response_text"] for row in requests_of(hostile.folder) if row["ok"]} == {SAID}


COMMANDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "discover": (("discover", "{urls}"), ("<script>alert(1)</script>[bold red]m[/]|`x`",)),
    "test": (("test", "{urls}"), ("<script>alert('x')</script> [bold red]loud[/bold red] [2J]0;title", "[bold]no")),
    "list": (("results",), ("vllm-good, vllm-bad",)),
    "show": (("results", "show", "{run}"), ("[bold red]m[/]|`x`", "1.0[link=http://evil]v[/link]")),
    "dry run": (("benchmark", "-c", "c.yaml", "--dry-run", "{urls}"), ("vllm-good (vllm)",)),
}


@pytest.mark.parametrize(("args", "shown"), COMMANDS.values(), ids=COMMANDS.keys())
def test_every_command_shows_it_as_text(hostile: Hostile, args: tuple[str, ...], shown: tuple[str, ...]) -> None:
    said = harmless(run(*filled(hostile, args), cwd=hostile.cwd, environ={"COLUMNS": "300"}))
    for text in shown:
        assert text in said


def filled(hostile: Hostile, args: tuple[str, ...]) -> list[str]:
    """Return a command line with the servers' addresses and the run's id in their places."""
    words = [part for arg in args for part in (hostile.urls if arg == "{urls}" else (arg,))]
    return [hostile.folder.name if word == "{run}" else word for word in words]


JSON = {
    "discover": ("discover", "--json", "{urls}"),
    "test": ("test", "--json", "{urls}"),
    "list": ("results", "--json"),
    "show": ("results", "show", "--json", "{run}"),
    "dry run": ("benchmark", "-c", "c.yaml", "--dry-run", "--json", "{urls}"),
}


@pytest.mark.parametrize("args", JSON.values(), ids=JSON.keys())
def test_json_is_json_and_escapes_what_a_terminal_obeys(hostile: Hostile, args: tuple[str, ...]) -> None:
    done = run(*filled(hostile, args), cwd=hostile.cwd)
    harmless(done)
    assert json.loads(done.out)


def test_exports_hold_it_as_text(hostile: Hostile) -> None:
    def export(form: str) -> str:
        done = run("results", "export", hostile.folder.name, "--format", form, cwd=hostile.cwd)
        assert done.code == 0, done.said()
        return done.out

    exported = {form: export(form) for form in ("csv", "json", "markdown")}
    rows = [json.loads(line) for line in exported["json"].splitlines()]
    assert {row["response_text"] for row in rows if row["ok"]} == {SAID}
    for form, text in exported.items():
        assert re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", text) is None, form
    cells = list(csv.DictReader(io.StringIO(exported["csv"], newline="")))
    assert any("\\x1b[2J" in row["response_text"] for row in cells)
    markdown = exported["markdown"]
    assert "\\<script\\>alert\\(1\\)\\</script\\>\\[bold red\\]m\\[/\\]\\|\\`x\\`" in markdown
    assert "<script>" not in markdown
    assert len({line.replace("\\|", "").count("|") for line in markdown.splitlines() if line.startswith("| vllm")}) == 1


def test_a_server_that_is_no_engine_is_quoted_harmlessly(tmp_path: Path) -> None:
    page = f"HTTP/1.1 200 OK\r\nserver: \x1b[31m[bold]x\r\ncontent-length: {len(ERROR.encode())}\r\n\r\n{ERROR}"
    with raw_server(lambda connection: connection.sendall(page.encode())) as url:
        for words in (("discover", "--url", url), ("test", "--url", f"openai={url}")):
            harmless(run(*words, cwd=tmp_path))
    broken = "HTTP/1.1 2\x1b[2J00 [bold]\r\n\r\n"
    with raw_server(lambda connection: connection.sendall(broken.encode())) as url:
        done = run("discover", "--url", f"vllm={url}", cwd=tmp_path)
    harmless(done)
    assert done.code == 3
