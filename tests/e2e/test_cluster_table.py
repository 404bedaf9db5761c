"""The table of `discover` in a cluster, at several widths, on a terminal and without one, with colours and without."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from cluster_of_engines import LLM, VLLM, Place, chat, cluster, engines, inhabitants
from front_door import run
from talk_terminal import assert_whole, terminal

from cluster_objects import container, made, service

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")
EVIL = "evil \x1b[31mred\x1b[0m [bold]x"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with engines() as ports, cluster(ports, tmp_path_factory.mktemp("cluster")) as made_one:
        yield made_one


def rows(lines: list[str]) -> dict[str, list[str]]:
    """Return the table's rows by service: two or more spaces stand between cells."""
    split = [re.split(r"\s{2,}", line.strip()) for line in lines]
    return {cells[0]: cells for cells in split if len(cells) > 3 and cells[0] in ("chat", "tgi", "ollama")}


def assert_everything(lines: list[str], place: Place) -> None:
    """Check that all is told, in the table or below it; a line below may be broken by a terminal."""
    text = " ".join(" ".join(lines).split())
    whole = "".join(line.rstrip("\n") for line in lines)
    assert place.url("chat") in whole
    assert place.url("tgi") in whole
    assert "http://ollama.llm.svc:11434" in whole
    for words in (
        "chat: reached by LoadBalancer: Service chat, load balancer",
        "tgi: reached by NodePort: Service tgi, port",
        "chat: Deployment chat in llm; 1 of 1 replicas ready; 1 × NVIDIA-H100-80GB-HBM3 each; on node-1",
        "chat: vLLM, by image vllm/vllm-openai, port 8000",
        "ollama: it has an address inside the cluster only; --port-forward reaches it through the API server",
    ):
        assert words.replace(" ", "") in text.replace(" ", ""), words


@pytest.mark.parametrize("columns", ["80", "160"])
def test_without_a_terminal_the_table_keeps_to_the_width(place: Place, tmp_path: Path, columns: str) -> None:
    done = run("discover", "-n", LLM, cwd=tmp_path, environ=place.environ(COLUMNS=columns))
    assert done.code == 0, done.said()
    assert "\x1b" not in done.out + done.err
    lines = done.out.splitlines()
    assert_everything(lines, place)
    (end,) = [number for number, line in enumerate(lines) if number > 1 and not line.strip()][-1:]
    table = lines[: end + 1]
    assert max(map(len, table)) <= int(columns)
    found = rows(table)
    assert list(found) == ["ollama", "tgi", "chat"], done.out
    assert found["chat"][-2] == "healthy"
    assert found["ollama"][-2:] == ["unreachable", "-"]
    assert "Ollama" in found["ollama"][1]
    assert ("URL" in lines[1]) == (columns == "160"), "where addresses have no room they stand below"
    assert "Warning: SIMULATED: these are simulated engines, not real ones" in done.err
    assert "Hint: ollama: --port-forward, or a Route, an Ingress or a load balancer in the cluster" in done.err


@pytest.mark.parametrize("columns", [80, 160])
def test_a_terminal_shows_the_same(place: Place, tmp_path: Path, columns: int) -> None:
    environ = {**place.environ(), "TERM": "xterm-256color"}
    with terminal(tmp_path, ["discover", "-n", LLM], columns=columns, rows=50, **environ) as screen:
        assert screen.end() == 0
        lines = screen.lines(history=True)
        coloured = screen.lines(history=True, colours=True)
        assert_whole(screen)
    found = rows(lines)
    assert list(found) == ["ollama", "tgi", "chat"]
    assert found["chat"][-2] == "healthy"
    assert max(map(len, lines)) <= columns
    assert_everything(lines, place)
    assert any("\x1b[32mhealthy" in line for line in coloured)
    assert any("\x1b[31munreachable" in line for line in coloured)


def test_no_color_is_obeyed_on_a_terminal(place: Place, tmp_path: Path) -> None:
    environ = {**place.environ(), "TERM": "xterm-256color", "NO_COLOR": "1"}
    with terminal(tmp_path, ["discover", "-n", LLM], columns=120, rows=50, **environ) as screen:
        assert screen.end() == 0
        coloured = screen.lines(history=True, colours=True)
    table = [line for line in coloured if "healthy" in line or "unreachable" in line]
    assert table
    assert not [line for line in table if re.search(r"\x1b\[3[0-7]", line)]


def test_what_a_cluster_says_cannot_write_to_the_terminal(place: Place, tmp_path: Path) -> None:
    labels = {"app": "vllm", "app.kubernetes.io/name": f"vllm {EVIL}"}
    sick = made("sick", container(VLLM), labels=labels, ready=False, namespace=LLM)
    for one in sick:
        if one["kind"] == "Pod":
            one["status"]["phase"] = "Pending"
            waiting = {"name": "main", "state": {"waiting": {"reason": EVIL}}}
            one["status"]["containerStatuses"] = [waiting]
    behind = service("sick", {"port": 8000}, selector={"app": "vllm"}, namespace=LLM)
    with cluster(place.ports, tmp_path, *inhabitants(place.ports), *sick, behind) as hostile:
        environ = {**hostile.environ(), "TERM": "xterm-256color"}
        with terminal(tmp_path, ["discover", "-n", LLM], columns=200, rows=60, **environ) as screen:
            assert screen.end() == 0
            lines, coloured = screen.lines(history=True), screen.lines(history=True, colours=True)
    (waits,) = [line for line in lines if line.startswith("sick:") and "is not ready" in line]
    assert "[bold]x" in waits, "no markup"
    assert not any(re.search(r"\x1b\[31m[^\x1b]*red", line) for line in coloured), "no colour of somebody else's"


def test_a_service_that_is_starting_says_why(tmp_path: Path) -> None:
    with cluster({"chat": 1}, tmp_path, *chat(1, ready=False)) as starting:
        for one in starting.api.objects:
            if one["kind"] == "Pod":
                waiting = {"name": "main", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}
                one["status"]["containerStatuses"] = [waiting]
        done = run("discover", "-n", LLM, cwd=tmp_path, environ=starting.environ(COLUMNS="160"))
    assert done.code == 3, done.said()
    (row,) = [line for line in done.out.splitlines() if line.startswith(" chat")]
    assert "vLLM (by its pods)" in row
    assert "unreachable" in row
    assert "CrashLoopBackOff" in done.out
    (error,) = done.errors
    assert error.startswith("Error: no service can be measured: chat (http://127.0.0.1:1) is unreachable")
    assert "Hint: wait until it is ready: discover --watch shows when" in done.err
