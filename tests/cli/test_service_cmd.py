"""The command `discover`, through the front door: tables, JSON, saved configurations, exit codes, clear lines."""

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine_servers import (
    HTML,
    Page,
    closed_port,
    llama_server_pages,
    ollama_pages,
    serving,
    tgi_pages,
    vllm_pages,
)
from inference_bench.cli.main import run
from inference_bench.discovery.sources import LOCAL_PORTS


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code and both streams."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, object]:
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


class Command:
    """Runs commands in a folder of their own."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self._capsys = capsys
        self.folder = folder

    def __call__(self, *args: str) -> Done:
        code = run(args)
        streams = self._capsys.readouterr()
        assert "Traceback" not in streams.err
        return Done(code, streams.out, streams.err)


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(variable, raising=False)
    return Command(capsys, tmp_path)


def test_every_engine_is_shown_with_what_it_told(command: Command) -> None:
    with (
        serving(vllm_pages()) as one,
        serving(tgi_pages("org/model")) as two,
        serving(ollama_pages("llama3:latest")) as three,
        serving(llama_server_pages()) as four,
    ):
        urls = [part for server in (one, two, three, four) for part in ("--url", server.url)]
        done = command("discover", *urls)
    assert done.code == 0
    rows = [line.split() for line in done.out.splitlines() if "http://" in line]
    assert [row[0] for row in rows] == ["vllm", "tgi", "ollama", "openai"]
    assert [row[1:3] for row in rows] == [
        ["vLLM", "0.32.0"],
        ["TGI", "3.3.7"],
        ["Ollama", "0.32.15"],
        ["llama.cpp", "b1-unknown"],
    ]
    assert [row[4:6] for row in rows] == [
        ["tiny-llama", "healthy"],
        ["org/model", "healthy"],
        ["llama3:latest", "healthy"],
        ["tiny-llama", "healthy"],
    ]


def test_the_json_has_the_promised_keys_and_nothing_else_is_on_stdout(command: Command) -> None:
    gone = f"http://127.0.0.1:{closed_port()}"
    with serving(vllm_pages()) as server:
        done = command("discover", "--json", "--url", server.url, "--url", f"tgi={gone}")
    assert done.code == 0
    data = done.data
    assert (data["schema_version"], data["simulated"], data["usable"]) == (1, False, 1)
    services = data["services"]
    assert isinstance(services, list)
    up, down = services
    assert up | {"elapsed_ms": 0} == {
        "name": "vllm",
        "engine": "vllm",
        "dialect": "vllm",
        "product": "vLLM",
        "version": "0.32.0",
        "url": server.url,
        "reached_by": "manual URL",
        "reached_through": "as configured",
        "model": "tiny-llama",
        "models": ["tiny-llama"],
        "context_length": 1024,
        "quantisation": None,
        "dtype": None,
        "parameter_size": None,
        "slots": None,
        "max_concurrent_requests": None,
        "health": "healthy",
        "detail": "/health: HTTP 200 OK",
        "elapsed_ms": 0,
        "attempts": 1,
        "usable": True,
        "simulated": False,
        "source": "configured",
        "notes": [],
        "evidence": ["GET /version", "GET /v1/models"],
        "cluster": None,
    }
    assert down.keys() == up.keys()
    assert (down["name"], down["health"], down["product"], down["elapsed_ms"]) == ("tgi", "unreachable", None, None)
    assert "Hint: tgi: start it, or correct its URL" in done.err


@pytest.mark.parametrize(
    ("otherwise", "words"),
    [
        (HTML, "answers with a web page"),
        (Page(b"", status=302, headers=(("location", "https://sso.example/"),)), "redirects to https://sso.example/"),
        (Page({"error": "Unauthorized"}, status=401), "--api-key-env VARIABLE"),
        (Page(b"\xff\x00[red]x", content_type="text/plain"), "something that is no list of models"),
    ],
)
def test_what_cannot_be_measured_is_one_clear_line_and_exit_3(command: Command, otherwise: Page, words: str) -> None:
    with serving({}, otherwise=otherwise) as server:
        done = command("discover", "--url", server.url)
    assert done.code == 3
    errors = [line for line in done.err.splitlines() if line.startswith("Error:")]
    assert len(errors) == 1
    assert words in done.err


def test_dead_hosts_of_every_kind_are_unreachable(command: Command) -> None:
    # 192.0.2.1 is reserved for documentation: whether it is silent or refused, nothing may hang on it.
    urls = [f"http://127.0.0.1:{closed_port()}", "http://192.0.2.1:8000", "http://no-such-host.invalid:8000"]
    done = command("discover", *(part for url in urls for part in ("--url", url)))
    assert done.code == 3
    assert done.out.count("unreachable") == 3


def test_what_a_server_sends_cannot_write_to_the_terminal(command: Command) -> None:
    pages = {
        "/v1/models": Page({"object": "list", "data": [{"id": "[bold]m[/bold]"}]}),
        "/version": Page({"version": "1\x1b[2J\x1b]0;title\x07[link=http://x]y[/link]"}),
    }
    with serving(pages) as server:
        done = command("discover", "--url", server.url)
    assert "\x1b" not in done.out and "\x07" not in done.out
    assert "[bold]m[/bold]" in done.out


def test_a_simulator_is_called_one_on_both_streams(command: Command) -> None:
    with serving(vllm_pages(), headers=(("x-simulated-engine", "vllm"),)) as server:
        done = command("discover", "--url", server.url)
        data = command("discover", "--json", "--url", server.url).data
    assert "SIMULATED" in done.out and "SIMULATED" in done.err
    assert data["simulated"] is True


def test_the_key_is_read_from_the_variable_and_shown_nowhere(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_KEY", "hunter2")
    with serving(vllm_pages(), key="hunter2") as server:
        done = command("--verbose", "discover", "--url", server.url, "--api-key-env", "LLM_KEY", "--save", "f.yaml")
        missing = command("discover", "--url", server.url, "--api-key-env", "OTHER_KEY")
    saved = (command.folder / "f.yaml").read_text()
    assert done.code == 0
    assert "hunter2" not in done.out + done.err + saved
    assert "api_key_env: LLM_KEY" in saved
    assert missing.code == 2
    assert "OTHER_KEY" in missing.err


def test_a_saved_configuration_is_right_and_finds_the_same(command: Command) -> None:
    with serving(vllm_pages()) as one, serving(ollama_pages("a", "b")) as two:
        saving = command("discover", "--url", one.url, "--url", two.url, "--model", "ollama=b", "--save", "found.yaml")
        checked = command("config", "found.yaml", "--check")
        again = command("discover", "-c", "found.yaml", "--json")
    assert (saving.code, checked.code, again.code) == (0, 0, 0)
    assert "Wrote found.yaml (2 services)" in saving.err
    services = again.data["services"]
    assert isinstance(services, list)
    assert [(service["name"], service["model"]) for service in services] == [("vllm", "tiny-llama"), ("ollama", "b")]


def test_saving_overwrites_nothing_and_leaves_nothing_out_unsaid(command: Command) -> None:
    taken = command.folder / "taken.yaml"
    taken.write_text("mine")
    gone = f"http://127.0.0.1:{closed_port()}"
    with serving(vllm_pages()) as server:
        refused = command("discover", "--url", server.url, "--save", "taken.yaml")
        assert server.seen == []
        nowhere = command("discover", "--url", server.url, "--save", "no/folder.yaml")
        partly = command("discover", "--url", server.url, "--url", f"tgi={gone}", "--save", "part.yaml")
        skipped = command(
            "discover", "--url", server.url, "--url", f"tgi={gone}", "--save", "part.yaml", "--skip-unhealthy"
        )
        simulated = command("discover", "--simulate", "--save", "sim.yaml")
    assert (refused.code, nowhere.code, partly.code, skipped.code, simulated.code) == (2, 2, 3, 0, 2)
    assert taken.read_text() == "mine"
    assert "1 that cannot be measured left out" in skipped.err
    assert sorted(path.name for path in command.folder.iterdir()) == ["part.yaml", "taken.yaml"]


def test_the_subset_and_the_models_are_obeyed(command: Command) -> None:
    with serving(vllm_pages()) as one, serving(ollama_pages("a", "b")) as two:
        urls = ("--url", f"vllm={one.url}", "--url", f"ollama={two.url}")
        only = command("discover", *urls, "--service", "ollama", "--model", "b", "--json").data
        stranger = command("discover", *urls, "--service", "tgi")
        nobody = command("discover", *urls, "--model", "tgi=m")
    services = only["services"]
    assert isinstance(services, list)
    assert [(service["name"], service["model"]) for service in services] == [("ollama", "b")]
    assert (stranger.code, nobody.code) == (2, 2)
    assert "the services are: " in stranger.err


@pytest.mark.parametrize(
    "args", [("--url", "http://u:hunter2@h"), ("--url", "vlm=http://h"), ("-c", "none.yaml"), ("--nonsense",)]
)
def test_wrong_usage_is_exit_2_and_one_line(command: Command, args: tuple[str, ...]) -> None:
    done = command("discover", *args)
    assert done.code == 2
    assert "Error:" in done.err
    assert "hunter2" not in done.err


def test_the_help_names_the_ports_that_are_looked_at(command: Command) -> None:
    help_text = " ".join(command("discover", "--help").out.split())
    assert all(str(port) in help_text for port in LOCAL_PORTS)


def test_simulated_engines_are_found_only_when_asked_for(command: Command) -> None:
    data = command("discover", "--simulate", "--json").data
    services = data["services"]
    assert isinstance(services, list)
    assert (data["simulated"], data["usable"]) == (True, 3)
    assert [(service["name"], service["simulated"]) for service in services] == [
        ("vllm", True),
        ("tgi", True),
        ("ollama", True),
    ]


def test_an_ipv6_address_is_told_as_a_url_writes_it(command: Command) -> None:
    port = closed_port()
    done = command("discover", "--url", f"vllm=http://[::1]:{port}")
    assert done.code == 3
    assert f" [::1]:{port}" in f"{done.out} {done.err}".replace("\n", " ")  # not the URL, which begins with http


def test_an_address_that_has_no_room_in_the_table_stands_below_it(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    url = f"http://127.0.0.1:{closed_port()}/teams/search-and-retrieval/inference/gateway/production/vllm"
    done = command("discover", "--url", f"vllm/my-long-name={url}")
    lines = done.out.splitlines()
    assert f"vllm-my-long-name: {url}" in lines
    assert any({"vllm-my-long-name", "unreachable"} <= set(line.split()) for line in lines)
