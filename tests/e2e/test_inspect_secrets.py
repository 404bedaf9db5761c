"""`inspect` and secrets: masked where they were sent, asterisks where a server repeats them, variables in scripts."""

import json
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from front_door import Done, environment, read_json, run, write_config

from inference_bench.simulator.launcher import SimulatorProcess
from inspect_servers import Answer, keeping_server, streamed

KEY = 'sk-e2e-"quoted"-77c0ffee4242'
TEAM = "team-secret-9f31c0de"
ENVIRON = {"E2E_KEY": KEY, "E2E_TEAM": TEAM}


def config(cwd: Path, url: str) -> None:
    endpoint = {"engine": "openai", "url": url, "api_key_env": "E2E_KEY", "headers": {"x-team": "env:E2E_TEAM"}}
    write_config(cwd / "c.yaml", services={"endpoints": [endpoint]})


def nothing_leaks(done: Done, cwd: Path) -> None:
    for secret in (KEY, TEAM, json.dumps(KEY)[1:-1]):
        assert secret not in done.out
        assert secret not in done.err
        for path in cwd.iterdir():
            assert secret.encode() not in path.read_bytes(), path.name


def echo(head: bytes, body: bytes) -> tuple[int, tuple[tuple[str, str], ...], bytes]:
    """Refuse, and repeat the key in a header, in plain words and as JSON writes it."""
    said = json.dumps({"error": {"message": f"Incorrect API key provided: {KEY}", "head": head.decode("latin-1")}})
    return 401, (("content-type", "application/json"), ("x-echo", f"<{TEAM}>"), ("set-cookie", "s=1")), said.encode()


@pytest.mark.parametrize("args", [[], ["--raw"], ["--theme", "errors"], ["--theme", "streaming"]], ids=" ".join)
def test_a_server_that_repeats_the_key_does_not_make_us_show_it(tmp_path: Path, args: list[str]) -> None:
    with keeping_server(echo) as server:
        config(tmp_path, server.url)
        done = run("inspect", "-c", "c.yaml", *args, "--save", "a.json", cwd=tmp_path, environ=ENVIRON)
        assert f"Bearer {KEY}" in dict(server.fields(0)).values()
    assert done.code == (0 if "errors" in args else 3), done.said()
    nothing_leaks(done, tmp_path)
    exchange = read_json(tmp_path / "a.json")["exchanges"][0]
    assert exchange["response"]["repeated_secrets_hidden"] == 4  # message, echoed head (two), header
    told = {one["name"]: one["value"] for one in exchange["response"]["headers"]}
    assert (told["x-echo"], told["set-cookie"]) == ("<***>", "***")
    body = "".join(read["text"] for read in exchange["response"]["reads"])
    assert len(body) == int(told["content-length"])  # hidden, not shortened
    assert "Incorrect API key provided: ****" in exchange["error"]["message"]


def telling(size: int) -> Answer:
    """Repeat the key in the answer's text, so many characters in each event, as models do."""
    said = f"Your key is {KEY}, is it not?"
    deltas = ["", *(said[start : start + size] for start in range(0, len(said), size))]
    events = [{"choices": [{"index": 0, "delta": {"content": delta}}]} for delta in deltas]
    body = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    end = 'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    return lambda _head, _body: (200, (("content-type", "text/event-stream"),), f"{body}{end}".encode())


@pytest.mark.parametrize("size", [1, 3, 7, 50])
def test_a_model_that_repeats_the_key_token_by_token_does_not_either(tmp_path: Path, size: int) -> None:
    with keeping_server(telling(size)) as server:
        config(tmp_path, server.url)
        done = run("inspect", "-c", "c.yaml", "--save", "a.json", cwd=tmp_path, environ=ENVIRON)
        bare = run("inspect", "-c", "c.yaml", "--raw", cwd=tmp_path, environ=ENVIRON)
    assert done.code == bare.code == 0, done.said()
    nothing_leaks(done, tmp_path)
    assert "Your key is *****" in done.out
    exchange = read_json(tmp_path / "a.json")["exchanges"][0]
    assert exchange["response"]["repeated_secrets_hidden"] == 1
    events = [json.loads(line[6:]) for line in bare.out.splitlines() if line.startswith('data: {"')]
    said = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    assert re.fullmatch(r"Your key is \*+, is it not\?", said)


def test_the_request_names_the_variables(tmp_path: Path) -> None:
    with keeping_server() as server:
        config(tmp_path, server.url)
        done = run("inspect", "-c", "c.yaml", "--save", "a.json", cwd=tmp_path, environ=ENVIRON)
    assert done.code == 0, done.said()
    nothing_leaks(done, tmp_path)
    assert "authorization: Bearer ***  (from $E2E_KEY)" in done.out
    assert "x-team: ***  (from $E2E_TEAM)" in done.out
    headers = {one["name"]: one for one in read_json(tmp_path / "a.json")["exchanges"][0]["request"]["headers"]}
    assert headers["authorization"] == {"name": "authorization", "value": "Bearer ***", "from_env": "E2E_KEY"}
    assert headers["x-team"]["from_env"] == "E2E_TEAM"


def bash(script: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", str(script)], env=environment(**environ), capture_output=True, text=True, timeout=60, check=False
    )


def send(script: Path) -> None:
    """Run a saved script as a user does; without curl send what it says, read with a shell's own grammar."""
    if shutil.which("curl"):
        done = bash(script, **ENVIRON)
        assert done.returncode == 0, done.stderr
        return
    words = shlex.split(script.read_text(), comments=True)
    body = words[words.index("%s") + 1]
    url = next(word for word in words if word.startswith("http"))
    given = [words[place + 1] for place, word in enumerate(words) if word == "--header"]
    headers = dict(one.split(": ", 1) for one in given if ": " in one)
    httpx.post(url, content=body.encode(), headers=headers)


def test_a_curl_script_sends_the_same_request(tmp_path: Path) -> None:
    prompt = 'It\'s a "test" of $HOME, `backticks`, 100 % and\na new line'
    with keeping_server() as server:
        config(tmp_path, server.url)
        args = ["-c", "c.yaml", "--prompt", prompt, "--save", "again.curl"]
        done = run("inspect", *args, cwd=tmp_path, environ=ENVIRON)
        assert done.code == 0, done.said()
        nothing_leaks(done, tmp_path)
        script = tmp_path / "again.curl"
        assert subprocess.run(["bash", "-n", str(script)], check=False).returncode == 0
        assert '"$E2E_KEY"' in script.read_text()
        send(script)
        assert len(server.posts) == 2
        assert server.posts[1][1] == server.posts[0][1]
        if shutil.which("curl"):
            # curl writes the names of the fields that it makes itself with capitals.
            sent, again = ({name.lower(): value for name, value in server.fields(number)} for number in (0, 1))
            assert again == sent


def test_a_curl_script_without_its_key_says_which_variable_lacks(tmp_path: Path) -> None:
    with keeping_server() as server:
        config(tmp_path, server.url)
        run("inspect", "-c", "c.yaml", "--save", "again.curl", cwd=tmp_path, environ=ENVIRON)
        done = bash(tmp_path / "again.curl")
        assert done.returncode != 0
        assert "E2E_KEY" in done.stderr
        assert len(server.posts) == 1


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("E2E_ENGINE_KEY", KEY)
        with SimulatorProcess(["vllm,ttft-ms=20,itl-ms=5,api-key-env=E2E_ENGINE_KEY"]) as simulator:
            yield simulator.urls["vllm"]


def test_a_key_opens_the_simulated_engine(locked: str, tmp_path: Path) -> None:
    args = ["--url", f"vllm={locked}", "--api-key-env", "E2E_KEY", "--save", "again.curl", "--max-tokens", "3"]
    done = run("inspect", *args, cwd=tmp_path, environ=ENVIRON)
    assert done.code == 0, done.said()
    nothing_leaks(done, tmp_path)
    if shutil.which("curl"):
        again = bash(tmp_path / "again.curl", **ENVIRON)
        assert again.stdout.rstrip().endswith("data: [DONE]"), again.stderr


def test_a_short_key_that_is_a_word_leaves_answers_alone(tmp_path: Path) -> None:
    with keeping_server(streamed) as server:
        config(tmp_path, server.url)
        environ = {"E2E_KEY": "two", "E2E_TEAM": TEAM}
        done = run("inspect", "-c", "c.yaml", "--theme", "payload", cwd=tmp_path, environ=environ)
    assert done.code == 0, done.said()
    assert "authorization: Bearer ***" in done.out
    assert "said      one two" in done.out
    assert "two" not in next(line for line in done.out.splitlines() if line.startswith("authorization"))
    assert os.environ.get("E2E_KEY") is None
