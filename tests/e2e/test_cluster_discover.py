"""`discover` in a cluster: who is found in which namespace, by which way and evidence, from outside and inside."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster_of_engines import (
    GPU,
    LAB,
    LLM,
    QUICK,
    SECRETS,
    SHORT,
    Place,
    account,
    chat,
    cluster,
    engines,
    inhabitants,
    looking_at,
    nobody,
)
from front_door import Done, benchmark, only_folder, read_json, requests_of, run

from engine_servers import closed_port, self_signed
from kubernetes_api import Faults

KEYS = {
    "name", "engine", "dialect", "product", "version", "url", "reached_by", "reached_through", "model", "models",
    "context_length", "quantisation", "dtype", "parameter_size", "slots", "max_concurrent_requests", "health", "detail",
    "elapsed_ms", "attempts", "usable", "simulated", "source", "notes", "evidence", "cluster",
}  # fmt: skip
KEY = "key-of-a-locked-engine-2342"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with engines() as ports, cluster(ports, tmp_path_factory.mktemp("cluster")) as made:
        yield made


def found(done: Done) -> dict[str, dict[str, Any]]:
    """Return the services of `discover --json` by name, in their order."""
    return {one["name"]: one for one in json.loads(done.out)["services"]}


def test_a_namespace_is_found_whole_and_the_json_has_the_promised_keys_alone(place: Place, tmp_path: Path) -> None:
    begun = len(place.api.requests)
    done = run("discover", "-n", LLM, "--json", cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    data = json.loads(done.out)
    assert set(data) == {"schema_version", "simulated", "usable", "notes", "services"}
    assert (data["schema_version"], data["simulated"], data["usable"], data["notes"]) == (1, True, 2, [])
    assert all(set(one) == KEYS for one in data["services"])
    services = found(done)
    assert list(services) == ["ollama", "tgi", "chat"], "what has more evidence comes first; no shop, no database"
    weights = {name: len(one["cluster"]["evidence"]) for name, one in services.items()}
    assert weights["ollama"] >= weights["tgi"] > weights["chat"]
    told = services["chat"]
    assert (told["engine"], told["health"], told["usable"]) == ("vllm", "healthy", True)
    assert (told["url"], told["reached_by"]) == (place.url("chat"), "LoadBalancer")
    assert told["reached_through"] == "Service chat, load balancer"
    assert (services["tgi"]["url"], services["tgi"]["reached_by"]) == (place.url("tgi"), "NodePort")
    lost = services["ollama"]
    assert (lost["health"], lost["usable"], lost["reached_by"]) == ("unreachable", False, None)
    assert lost["detail"].endswith("--port-forward reaches it through the API server")
    assert set(told["cluster"]) == {"product", "certain", "evidence", "state", "facts", "sources"}
    assert told["cluster"]["evidence"][0] == "image vllm/vllm-openai"
    facts, sources = told["cluster"]["facts"], told["cluster"]["sources"]
    assert facts.keys() == sources.keys()
    assert (facts["workload"], facts["replicas_ready"], facts["replicas_wanted"]) == ("Deployment chat", 1, 1)
    assert (facts["gpu"], facts["gpus_per_replica"], facts["nodes"]) == (GPU, 1, ["node-1"])
    assert sources["gpu"] == "Node node-1"
    asked = place.api.requests[begun:]
    assert any(path.startswith(f"/api/v1/namespaces/{LLM}/pods") for path in asked)
    assert not any(f"/{LAB}/" in path for path in asked)
    assert not any("portforward" in path or "watch" in path for path in asked)


def test_every_namespace_is_searched_when_that_is_said(place: Place, tmp_path: Path) -> None:
    done = run("discover", "--all-namespaces", "--json", cwd=tmp_path, environ=place.environ())
    assert done.code == 0, done.said()
    services = found(done)
    assert set(services) == {"ollama", "tgi", "chat", "draft"}
    assert services["draft"]["cluster"]["facts"]["namespace"] == LAB
    starred = run("discover", "-n", "*", "--json", cwd=tmp_path, environ=place.environ())
    assert list(found(starred)) == list(services)


def test_a_context_alone_means_its_own_namespace(place: Place, tmp_path: Path) -> None:
    done = run("discover", "--context", "here", "--json", cwd=tmp_path, environ=place.environ())
    assert set(found(done)) == {"ollama", "tgi", "chat"}, done.said()


def test_without_a_word_this_machine_and_the_cluster_at_hand_are_searched(place: Place, tmp_path: Path) -> None:
    with engines(f"openai,name=local,{QUICK}") as mine:
        here = looking_at(tmp_path, mine["local"], closed_port())
        done = run("discover", "--json", cwd=tmp_path, environ=place.environ(**here))
        services = found(done)
        assert set(services) == {"openai", "ollama", "tgi", "chat"}, done.said()
        assert services["openai"]["cluster"] is None
        assert services["openai"]["source"] == f"local port {mine['local']}"
        named = run("discover", "-n", LLM, "--json", cwd=tmp_path, environ=place.environ(**here))
        assert "openai" not in found(named), "a namespace means the cluster alone"
        # What cannot be searched without having been asked for is a note as long as anything else is found.
        lost = tmp_path / "lost"
        lost.mkdir()
        with cluster({"chat": 1}, lost, *chat(1)) as other:
            environ = other.environ(**here)
        dead = run("discover", "--json", cwd=tmp_path, environ=environ)
        assert dead.code == 0, dead.said()
        assert list(found(dead)) == ["openai"]
        (note,) = json.loads(dead.out)["notes"]
        assert note.startswith("the cluster was not searched: the cluster at http://127.0.0.1:")
        assert f"Note: {note}" in dead.err


def test_other_commands_go_into_a_cluster_only_when_told(place: Place, tmp_path: Path) -> None:
    begun = len(place.api.requests)
    environ = place.environ(**looking_at(tmp_path, closed_port()))
    for command in ("test", "benchmark", "inspect"):
        done = run(command, cwd=tmp_path, environ=environ)
        assert done.code == 3, done.said()
        assert "a cluster is searched with -n NAMESPACE" in done.err
    assert place.api.requests[begun:] == []


def test_inside_a_pod_the_cluster_s_own_addresses_are_taken(place: Place, tmp_path: Path) -> None:
    _, pem = self_signed(tmp_path)
    with cluster(place.ports, tmp_path, certificate=(pem, next(tmp_path.glob("*key*")))) as inside:
        pod = account(tmp_path, inside.api, pem)
        done = run("discover", "-n", LLM, "--json", cwd=tmp_path, environ=pod)
        services = found(done)
        assert services["chat"]["reached_by"] == "LoadBalancer", done.said()
        for one in inside.api.objects:
            if one["kind"] == "Service" and one["metadata"]["name"] == "chat":
                one["spec"]["type"], one["status"] = "ClusterIP", {}
        done = run("discover", "--json", "--service", "chat", cwd=tmp_path, environ={**pod, **looking_at(tmp_path)})
    assert done.code == 0, done.said()
    told = found(done)["chat"]
    assert (told["reached_by"], told["usable"]) == ("cluster DNS", True)
    assert told["url"] == place.url("chat"), "its name means nothing here, its address does"


def test_found_and_measured_without_another_word(place: Place, tmp_path: Path) -> None:
    done = run("discover", "--save", "f.yaml", cwd=tmp_path, environ=place.environ(**looking_at(tmp_path)))
    assert done.code == 0, done.said()
    assert "Wrote f.yaml (2 services; 1 that cannot be measured left out)" in done.err
    assert "SIMULATED" in done.err
    # The cluster is not needed any more: what was saved are addresses.
    measured = benchmark("-c", "f.yaml", cwd=tmp_path, environ={**nobody(tmp_path), **SHORT})
    assert measured.code == 0, measured.said()
    assert "Note: f.yaml" not in measured.err
    assert "SIMULATED" in measured.out
    folder = only_folder(tmp_path)
    manifest = read_json(folder / "test_manifest.json")
    assert (manifest["status"], manifest["simulated"]) == ("complete", True)
    assert {one["name"]: one["url"] for one in manifest["services"]} == {
        name: place.url(name) for name in ("tgi", "chat")
    }
    assert read_json(folder / "summary.json")["simulated"] is True
    rows = requests_of(folder)
    assert {row["service"] for row in rows} == {"tgi", "chat"}
    assert all(row["ok"] and row["simulated"] for row in rows)


def test_services_and_models_are_chosen_by_the_names_of_the_cluster(place: Place, tmp_path: Path) -> None:
    environ = place.environ()
    args = ("--service", "chat,tgi", "--model", "chat=another-model", "--json")
    done = run("discover", "-n", LLM, *args, cwd=tmp_path, environ=environ)
    services = found(done)
    assert list(services) == ["tgi", "chat"], done.said()
    assert services["chat"]["model"] == "another-model"
    assert any("does not list the model another-model" in note for note in services["chat"]["notes"])
    assert services["tgi"]["model"] != "another-model"
    wrong = run("discover", "-n", LLM, "--service", "chut", cwd=tmp_path, environ=environ)
    assert wrong.code == 2
    assert wrong.errors == ["Error: --service names chut, and there is no such service"]
    assert "Hint: the services are: ollama, tgi, chat" in wrong.err


def test_a_url_that_was_given_wins_and_keeps_what_the_cluster_told(place: Place, tmp_path: Path) -> None:
    config = {"services": {"endpoints": [{"name": "ollama", "engine": "ollama", "url": place.url("ollama")}]}}
    (tmp_path / "c.yaml").write_text(json.dumps(config))
    done = run("discover", "-c", "c.yaml", "-n", LLM, "--json", cwd=tmp_path, environ=place.environ())
    services = found(done)
    assert set(services) == {"ollama", "tgi", "chat"}, done.said()
    told = services["ollama"]
    assert (told["reached_by"], told["url"], told["usable"]) == ("manual URL", place.url("ollama"), True)
    assert told["cluster"]["facts"]["workload"] == "Deployment ollama"


def test_a_key_opens_the_service_that_wants_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("E2E_LOCKED", KEY)
    with (
        engines(f"vllm,{QUICK},api-key-env=E2E_LOCKED") as ports,
        cluster(ports, tmp_path, *chat(ports["chat"])) as locked,
    ):
        environ = locked.environ()
        before = run("discover", "-n", LLM, "--json", cwd=tmp_path, environ=environ)
        assert before.code == 3, before.said()
        assert found(before)["chat"]["health"] == "unauthorised"
        assert "Hint: name the variable that holds its key: --api-key-env chat=VARIABLE" in before.err
        for option in ("chat=MY_KEY", "MY_KEY"):
            args = ("--api-key-env", option, "--save", f"{option}.yaml", "--json")
            after = run("discover", "-n", LLM, *args, cwd=tmp_path, environ={**environ, "MY_KEY": KEY})
            assert after.code == 0, after.said()
            assert found(after)["chat"]["health"] == "healthy"
            saved = (tmp_path / f"{option}.yaml").read_text()
            assert "api_key_env: MY_KEY" in saved
            assert not any(secret in after.out + after.err + saved for secret in (KEY, *SECRETS))
        unset = run("discover", "-n", LLM, "--api-key-env", "chat=MY_KEY", cwd=tmp_path, environ=environ)
        assert unset.code == 2
        assert "MY_KEY" in unset.errors[0]


def test_what_may_not_be_read_narrows_the_answer_with_a_note(place: Place, tmp_path: Path) -> None:
    faults = Faults(status={"nodes": 403, "ingresses": 403, "deployments": 403})
    with cluster(place.ports, tmp_path, *inhabitants(place.ports), faults=faults) as narrow:
        done = run("discover", "-n", LLM, "--json", cwd=tmp_path, environ=narrow.environ())
    assert done.code == 0, done.said()
    data = json.loads(done.out)
    assert data["notes"] == [
        "no right to list deployments: what they say is not known",
        "no right to list ingresses: what they say is not known",
        "nodes cannot be read: their addresses and kinds of GPU are known only as far as pods tell",
    ]
    services = found(done)
    assert list(services) == ["ollama", "tgi", "chat"]
    assert services["chat"]["usable"]
    assert services["chat"]["cluster"]["facts"]["gpu"] == "NVIDIA GPU", "which kind of GPU, only the node says"
