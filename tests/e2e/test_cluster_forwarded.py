"""Services of a cluster that only a port-forward reaches: it streams, it counts as another machine, it leaves nothing.

The engine's own log says when each piece was written; it and the stamps of the program share one clock.
"""

import json
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from cluster_of_engines import GPU, LLM, SERVE, SHORT, Place, cluster, engines
from front_door import (
    PATIENCE,
    Running,
    answers,
    only_folder,
    read_json,
    requests_of,
    run,
    start,
    truth_of,
    users,
    write_config,
)
from talk_terminal import assert_whole, terminal

from inference_bench.simulator.truth import TruthRecord

FORWARDING = "inference_bench.discovery.cluster.forwarding"
FORWARDED = ("-n", LLM, "--port-forward")
ALONE = (*FORWARDED, "--service", "ollama")


@pytest.fixture(scope="module")
def truth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("truth") / "truth.jsonl"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, truth: Path) -> Iterator[Place]:
    with (
        engines(*SERVE, truth_log=truth) as ports,
        cluster(ports, tmp_path_factory.mktemp("cluster")) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def folder(place: Place, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of three services by three ways, without a word but where they are; nothing of it goes on behind it."""
    cwd = tmp_path_factory.mktemp("run")
    with start("benchmark", *FORWARDED, cwd=cwd, environ=place.environ(**SHORT)) as running:
        port = local_port(running)
        done = running.finish()
        assert_nothing_left(running, place, port)
    assert done.code == 0, done.said()
    assert "SIMULATED" in done.out
    assert "Warning: ollama is reached by a port-forward: every byte goes through" in done.err
    return only_folder(cwd)


def assert_nothing_left(running: Running, place: Place, port: int) -> None:
    """Check that neither process nor connection nor listening socket has outlived the command."""
    assert running.left_behind() == []
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "nobody listens there any more"
    deadline = time.monotonic() + PATIENCE
    while place.api.forwarding and time.monotonic() < deadline:
        time.sleep(0.05)
    assert place.api.forwarding == 0, "connections through the API server are still open"


def local_port(running: Running) -> int:
    """Wait for the process that forwards, and return where it listens."""
    child = running.child(FORWARDING)

    def listening() -> int | None:
        return next((one.laddr.port for one in child.net_connections() if one.status == psutil.CONN_LISTEN), None)

    return running.until(listening, "a port of the port-forward")


def written_while_read(row: dict[str, int], record: TruthRecord) -> bool:
    """Whether the first token was here before the engine wrote its last: it was not kept back anywhere."""
    return row["first_token_ns"] < record.written_ns[record.text_tokens - 1]


def test_every_service_answers_and_the_forwarded_one_streams(place: Place, tmp_path: Path) -> None:
    done = run("test", *FORWARDED, "--json", cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    told = {one["name"]: one for one in json.loads(done.out)["services"]}
    assert set(told) == {"ollama", "tgi", "chat"}
    assert all(one["ok"] and one["simulated"] for one in told.values())
    assert told["ollama"]["url"].startswith("http://127.0.0.1:")
    assert told["ollama"]["url"] != place.url("ollama"), "not straight to the engine"
    assert told["ollama"]["text_chunks"] > 10
    assert told["ollama"]["ttft_ms"] < told["ollama"]["e2e_ms"]
    assert any("portforward?ports=11434" in path for path in place.api.requests)


def test_without_it_the_others_are_asked_and_that_one_is_left_out(place: Place, tmp_path: Path) -> None:
    begun = len(place.api.requests)
    done = run("test", "-n", LLM, cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    assert "Warning: ollama is left out: it is unreachable: it has an address inside the cluster only" in done.err
    assert "2 of 2 services answered" in done.err
    assert not any("portforward" in path for path in place.api.requests[begun:])
    alone = run("test", "-n", LLM, "--service", "ollama", cwd=tmp_path, environ=place.environ())
    assert alone.code == 3, alone.said()
    assert "--port-forward" in alone.errors[0]


def test_chunks_have_times_of_their_own_through_a_port_forward(folder: Path, truth: Path) -> None:
    rows = [row for row in requests_of(folder) if row["service"] == "ollama" and not row["warmup"]]
    assert len(rows) == 3
    assert all(row["ok"] and row["text_chunks"] == 12 for row in rows)
    records = truth_of(truth, wanted=[row["request_id"] for row in rows])
    assert all(row["first_token_ns"] >= records[row["request_id"]].written_ns[0] - 1_000_000 for row in rows)
    assert any(written_while_read(row, records[row["request_id"]]) for row in rows)
    chunks = pq.read_table(folder / "chunks.parquet").to_pylist()
    for row in rows:
        times = [one["arrival_ns"] for one in chunks if one["seq"] == row["seq"]]
        assert len(times) == 12
        assert times == sorted(times)
        assert len(set(times)) > 6, "not one lump"


def test_the_facts_of_the_cluster_are_kept_with_their_sources(folder: Path) -> None:
    services = {one["name"]: one for one in read_json(folder / "test_manifest.json")["services"]}
    assert {name: one["said"]["reached_by"] for name, one in services.items()} == {
        "ollama": "port-forward",
        "tgi": "NodePort",
        "chat": "LoadBalancer",
    }
    assert services["ollama"]["said"]["reached_through"] == "Pod ollama-7d9-0, port 11434"
    for one in services.values():
        said = one["said"]
        assert (said["namespace"], said["replicas_ready"], said["replicas_wanted"]) == (LLM, 1, 1)
        assert (said["gpu"], said["gpus_per_replica"], said["cpu_limit"], said["memory_limit"]) == (GPU, 1, "8", "64Gi")
        assert said["sources"]["gpu"] == "Node node-1"
        assert said["sources"]["image"].startswith(f"Pod {one['name']}-7d9-0")
    flags = services["chat"]["said"]["start_flags"]
    assert flags[:2] == ["--model", "org/model"]
    assert flags[2:4] == ["--api-key", "…"]


def test_what_the_cluster_makes_unequal_is_among_the_fairness_notes(folder: Path) -> None:
    comparison = read_json(folder / "comparison.json")
    notes = {note["code"]: note for note in comparison["fairness"]}
    assert {"way", "port_forward", "shared_node"} <= notes.keys()
    assert notes["port_forward"]["services"] == ["ollama"]
    assert (notes["port_forward"]["weight"], notes["way"]["weight"]) == ("warning", "warning")
    assert "port-forward (ollama), NodePort (tgi), LoadBalancer (chat)" in notes["way"]["text"]
    assert not {"replicas", "accelerators", "cpu_limit", "memory_limit"} & notes.keys(), "those are equal"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_so_does_an_interruption_and_what_was_measured_is_kept(
    place: Place, tmp_path: Path, number: signal.Signals
) -> None:
    write_config(tmp_path / "c.yaml", load_tests=[users("load", 2, duration_seconds=60)])
    with start("benchmark", "-c", "c.yaml", *ALONE, cwd=tmp_path, environ=place.environ()) as running:
        port = local_port(running)
        running.until(lambda: answers(running.folder(), "ollama") > 2, "answers")
        running.signal(number)
        done = running.finish()
        assert_nothing_left(running, place, port)
    assert done.code == 130, done.said()
    assert "Traceback" not in done.err
    folder = only_folder(tmp_path)
    assert read_json(folder / "test_manifest.json")["status"] == "partial"
    assert sum(row["ok"] for row in requests_of(folder)) > 2


def test_load_through_a_port_forward_is_load_on_another_machine(place: Place, tmp_path: Path) -> None:
    environ = {**place.environ(**SHORT), "TERM": "xterm-256color"}
    with terminal(tmp_path, ["benchmark", *ALONE, "--ttft-only"], columns=120, rows=40, **environ) as screen:
        screen.until("to services on other machines? [y/N]")
        screen.keys("n", "Enter")
        assert screen.end() == 2
        assert_whole(screen)
    assert not (tmp_path / "results").exists()


def test_a_crowd_through_a_port_forward_is_refused_where_nobody_can_be_asked(place: Place, tmp_path: Path) -> None:
    crowd = ("demo", "--mode", "race", "--max-tokens", "6", "--crowd", "1")
    done = run(*crowd, *ALONE, cwd=tmp_path, environ=place.environ())
    assert done.code == 2, done.said()
    assert "a crowd of 1 users would load services on other machines" in done.errors[0]


def test_a_race_of_all_three(place: Place, tmp_path: Path) -> None:
    args = ("demo", "--mode", "race", "--max-tokens", "12", "--save", "race.json")
    done = run(*args, *FORWARDED, cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    assert "SIMULATED" in done.out
    (heat,) = read_json(tmp_path / "race.json")["heats"]
    assert {name: lane["output_tokens"] for name, lane in heat["lanes"].items()} == dict.fromkeys(
        ("ollama", "tgi", "chat"), 12
    )


def test_a_look_at_one_of_them(place: Place, tmp_path: Path) -> None:
    done = run("inspect", *ALONE, cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    assert "ollama · Ollama" in done.out
    assert "HTTP 200" in done.out
    assert "SIMULATED" in done.err
