"""`discover --watch`: every change of a state is a line, and it ends when there are services and all are ready."""

import json
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from cluster_of_engines import LLM, Place, chat, cluster, engines, looking_at, ollama, strangers, tgi
from front_door import Running, start

from engine_servers import closed_port
from kubernetes_api import KubernetesApi, Object

WAITING = "its pod is not ready (ContainerCreating)"
STAMP = re.compile(r"\[ *\d+ s\] ")


@pytest.fixture(scope="module")
def ports() -> Iterator[Mapping[str, int]]:
    with engines() as found:
        yield found


def starting(port: int) -> list[Object]:
    """Return `chat` whose pod is not ready and whose load balancer has no address yet."""
    objects = chat(port, ready=False)
    for one in objects:
        if one["kind"] == "Pod":
            waiting = {"name": "main", "state": {"waiting": {"reason": "ContainerCreating"}}}
            one["status"] |= {"phase": "Pending", "containerStatuses": [waiting]}
        if one["kind"] == "Service":
            one["status"] = {}
    return objects


def become_ready(api: KubernetesApi) -> None:
    """Let the load balancer have its address, and then the pod be ready."""
    api.replace("Service", "chat", lambda one: one.update(status={"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}))
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    api.replace("Pod", "chat-7d9-0", lambda one: one.update(status=ready))


def watch(place: Place, cwd: Path, *args: str, **environ: str) -> Running:
    """Start the command, and wait until it watches pods and services."""
    running = start("discover", "--watch", *args, cwd=cwd, environ=place.environ(**environ))
    running.until(lambda: watched(place.api) >= {"pods", "services"}, "a watch")
    return running


def watched(api: KubernetesApi) -> set[str]:
    """Return what has been watched so far."""
    return {path.partition("?")[0].rpartition("/")[2] for path in list(api.requests) if "watch=true" in path}


def lists_of(api: KubernetesApi, plural: str) -> int:
    """Return how often a list was asked for."""
    return sum(f"/{plural}?" in path and "watch=true" not in path for path in api.requests)


def changes(err: str) -> list[str]:
    """Return the lines on changes, without their time."""
    return [STAMP.sub("", line) for line in err.splitlines() if STAMP.match(line)]


def test_a_pod_that_becomes_ready_ends_it_and_the_cluster_is_listed_anew_only_then(
    ports: Mapping[str, int], tmp_path: Path
) -> None:
    with cluster(ports, tmp_path, *starting(ports["chat"]), *strangers()) as place:
        with watch(place, tmp_path, "-n", LLM, "--json", "--save", "f.yaml") as running:
            running.wait_for_line(f"chat: unreachable: {WAITING}")
            assert lists_of(place.api, "pods") == 1
            become_ready(place.api)
            done = running.finish()
        listed = lists_of(place.api, "pods")
    assert done.code == 0, done.said()
    lines = changes(done.err)
    assert lines[0] == f"chat: unreachable: {WAITING}"
    assert lines[-1] == f"chat: healthy at {place.url('chat')}"
    assert len(lines) == len(set(lines)), "only changes are said"
    assert 2 <= listed <= 3, "once at the beginning, and once for each swarm of changes"
    (service,) = json.loads(done.out)["services"]
    assert (service["name"], service["health"]) == ("chat", "healthy")
    assert place.url("chat") in (tmp_path / "f.yaml").read_text()


def test_a_service_that_appears_later_is_waited_for(ports: Mapping[str, int], tmp_path: Path) -> None:
    with cluster(ports, tmp_path, *strangers()) as place, watch(place, tmp_path, "-n", LLM) as running:
        running.wait_for_line("nothing there yet: waiting for services in namespace llm of the cluster at")
        place.api.add(*chat(ports["chat"]))
        done = running.finish()
    assert done.code == 0, done.said()
    assert changes(done.err)[1:] == [f"chat: healthy at {place.url('chat')}"]
    assert [line for line in done.out.splitlines() if line.startswith(" chat ")]


def test_what_goes_away_is_said_and_holds_up_nothing(ports: Mapping[str, int], tmp_path: Path) -> None:
    with cluster(ports, tmp_path, *starting(ports["chat"]), *tgi(ports["tgi"]), *strangers()) as place:
        node_port = next(one for one in place.api.objects if one["metadata"]["name"] == "tgi" and "type" in one["spec"])
        node_port["spec"] |= {"type": "LoadBalancer", "ports": [{"port": ports["tgi"], "targetPort": 80}]}
        node_port["status"] = {"loadBalancer": {"ingress": [{"ip": "127.0.0.1"}]}}
        with watch(place, tmp_path, "-n", LLM) as running:
            running.wait_for_line(f"tgi: healthy at {place.url('tgi')}")
            place.api.objects[:] = [one for one in place.api.objects if "chat" not in one["metadata"]["name"]]
            place.api.replace("Pod", "shop-7d9-0", lambda one: one.update())
            done = running.finish()
    assert done.code == 0, done.said()
    assert sorted(changes(done.err)) == [
        "chat: gone",
        f"chat: unreachable: {WAITING}",
        f"tgi: healthy at {place.url('tgi')}",
    ]


def test_this_machine_and_the_cluster_at_hand_are_watched_together(ports: Mapping[str, int], tmp_path: Path) -> None:
    here = looking_at(tmp_path, ports["draft"], closed_port())
    with cluster(ports, tmp_path, *starting(ports["chat"])) as place, watch(place, tmp_path, **here) as running:
        running.wait_for_line(f"vllm: healthy at {place.url('draft')}")
        become_ready(place.api)
        done = running.finish()
    assert done.code == 0, done.said()
    assert changes(done.err)[-1] == f"chat: healthy at {place.url('chat')}"


def test_a_port_forward_stays_the_same_from_look_to_look(ports: Mapping[str, int], tmp_path: Path) -> None:
    def looks(place: Place) -> int:
        return sum("portforward" in path for path in list(place.api.requests))

    with (
        cluster(ports, tmp_path, *starting(ports["chat"]), *ollama()) as place,
        watch(place, tmp_path, "-n", LLM, "--port-forward", "--json") as running,
    ):
        running.wait_for_line("ollama: healthy at http://127.0.0.1:")
        begun = looks(place)
        running.until(lambda: looks(place) >= 2 * begun, "another look")
        assert lists_of(place.api, "pods") == 1, "services are asked again, and the cluster is not"
        become_ready(place.api)
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 0, done.said()
    said = [line for line in changes(done.err) if line.startswith("ollama: ")]
    assert len(said) == 1, "its address is the same at every look"
    services = {one["name"]: one for one in json.loads(done.out)["services"]}
    assert said == [f"ollama: healthy at {services['ollama']['url']}"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interruption_ends_it_with_130(ports: Mapping[str, int], tmp_path: Path, number: signal.Signals) -> None:
    with (
        cluster(ports, tmp_path, *starting(ports["chat"])) as place,
        watch(place, tmp_path, "-n", LLM, "--save", "f.yaml") as running,
    ):
        running.wait_for_line(f"chat: unreachable: {WAITING}")
        running.signal(number)
        done = running.finish()
        assert running.left_behind() == []
    assert done.code == 130, done.said()
    assert len(done.errors) == 1
    assert "interrupted" in done.errors[0]
    assert "Traceback" not in done.err
    assert done.out == ""
    assert not (tmp_path / "f.yaml").exists()
