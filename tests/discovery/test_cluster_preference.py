"""Of several ways the preferred one is used, and the next one only where the first does not answer, with a note."""

import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from cluster_objects import chat, find, gateway, http_route, inference, ingress, made, node, route, service
from engine_servers import LOADING, EngineServer, Page, closed_port, raw_server, self_signed, serving, vllm_pages
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.services import FoundService
from inference_bench.discovery.url_resolver import Rule
from kubernetes_api import Object

POD = ("team", "chat-7d9-0", 8000)
# Rules whose URLs may have any port, so that a server of the tests can stand there; in their order.
REACHED = ("KServe URL", "HTTPRoute", "LoadBalancer", "NodePort", "cluster DNS")
# Rules whose URLs have the usual ports: in tests nobody answers there.
FAR = ("Route", "Ingress")


def cluster(ports: dict[str, int]) -> list[Object]:
    """Return vLLM that can be reached by these rules, each at a port of this machine; other rules are not there."""
    labels = {"serving.kserve.io/inferenceservice": "chat"}
    objects: list[Object] = [node(InternalIP="127.0.0.1"), *made("chat", labels=labels)]
    for rule, port in ports.items():
        if rule == "KServe URL":
            objects.append(inference(url=f"http://127.0.0.1:{port}"))
        if rule == "HTTPRoute":
            rules = {"backendRefs": [{"name": "chat"}]}
            listener = {"name": "web", "port": port, "protocol": "HTTP"}
            objects += [http_route(rules, hostnames=["localhost"]), gateway(listener)]
        if rule == "Route":
            objects.append(route(host="chat.invalid"))
        if rule == "Ingress":
            objects.append(ingress(host="ingress.invalid"))
    # Each of these Services leads to the same pods: one service, by several ways.
    kinds: dict[str, dict[str, Any]] = {
        "LoadBalancer": {"type": "LoadBalancer", "balancers": [{"ip": "127.0.0.1"}]},
        "cluster DNS": {"clusterIP": "127.0.0.1"},
    }
    nowhere: dict[str, Any] = {"clusterIP": "127.0.0.9"}
    objects.append(service("chat", {"port": 80, "targetPort": 8000}, selector={"app": "chat"}, **nowhere))
    for rule, spec in kinds.items():
        if rule in ports:
            one: dict[str, Any] = {"port": ports[rule], "targetPort": 8000}
            objects.append(service(f"chat-{rule.lower().replace(' ', '-')}", one, selector={"app": "chat"}, **spec))
    if "NodePort" in ports:
        of_node = {"port": 80, "targetPort": 8000, "nodePort": ports["NodePort"]}
        objects.append(service("chat-nodes", of_node, selector={"app": "chat"}, type="NodePort", **nowhere))
    return objects


def only(found: Sequence[FoundService]) -> FoundService:
    (one,) = found
    return one


def left_notes(one: FoundService) -> list[str]:
    return [note for note in one.notes if "does not answer" in note]


@contextmanager
def engines(*rules: str) -> Iterator[dict[str, EngineServer]]:
    """Run one engine for each rule; its model tells which."""
    with ExitStack() as stack:
        yield {rule: stack.enter_context(serving(vllm_pages(rule.lower().replace(" ", "-")))) for rule in rules}


@pytest.mark.parametrize(("first", "second"), list(itertools.combinations(REACHED, 2)))
def test_of_two_ways_that_answer_the_preferred_one_is_used_and_the_other_not_asked(first: str, second: str) -> None:
    with engines(first, second) as running:
        objects = cluster({rule: server.port for rule, server in running.items()})
        found, _ = find(objects, inside="cluster DNS" in running)
        one = only(found)
        assert running[second].seen == []
    assert one.way is not None
    assert (one.usable, str(one.way.rule), one.model) == (True, first, first.lower().replace(" ", "-"))
    assert left_notes(one) == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pair
        for pair in itertools.combinations(("Route", *REACHED[:2], "Ingress", *REACHED[2:]), 2)
        if pair[1] not in FAR
    ],
)
def test_of_two_ways_the_next_is_used_where_the_preferred_one_does_not_answer(first: str, second: str) -> None:
    with engines(second) as running:
        objects = cluster({first: closed_port(), second: running[second].port})
        found, _ = find(objects, inside="cluster DNS" in (first, second))
        one = only(found)
    assert one.way is not None
    assert (one.usable, str(one.way.rule), one.model) == (True, second, second.lower().replace(" ", "-"))
    assert one.url == one.way.url
    (note, *more) = left_notes(one)
    assert note.startswith({"KServe URL": "InferenceService", "HTTPRoute": "HTTPRoute"}.get(first, "")), note
    assert ("localhost" if first == "HTTPRoute" else ".invalid" if first in FAR else "127.0.0.1") in note
    assert not more or second == "cluster DNS"  # a name of the cluster stands before its IP


def test_every_way_is_tried_in_order_and_each_that_was_left_is_told() -> None:
    with engines("cluster DNS") as running:
        ports = {rule: closed_port() for rule in ("Route", *REACHED[:2], "Ingress", *REACHED[2:4])}
        found, _ = find(cluster({**ports, "cluster DNS": running["cluster DNS"].port}), inside=True)
        one = only(found)
    assert one.usable
    assert one.way is not None
    assert one.way.rule is Rule.CLUSTER_DNS
    begun = [note.split(" ", 1)[0] for note in left_notes(one)]
    assert begun[:6] == ["Route", "InferenceService", "HTTPRoute", "Ingress", "Service", "Service"]


def _refuses() -> str:
    return f"http://127.0.0.1:{closed_port()}"


FAILURES: dict[str, tuple[str, str]] = {
    "DNS": ("http://chat.invalid", "chat.invalid"),
    "refused": ("", "refused"),
    "TLS": ("tls", "certificate"),
    "time-out": ("slow", "answer within 1 s"),
    "not HTTP": ("cut", "127.0.0.1"),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_whatever_keeps_the_preferred_way_from_answering_the_next_is_used(failure: str, tmp_path: Path) -> None:
    kind, told = FAILURES[failure]
    with ExitStack() as stack:
        context = self_signed(tmp_path)[0] if kind == "tls" else None
        slow = {path: Page(page.body, delay=3.0) for path, page in vllm_pages().items()}
        urls: dict[str, Callable[[], str]] = {
            "": _refuses,
            "tls": lambda: stack.enter_context(serving(vllm_pages(), context=context)).url,
            "slow": lambda: stack.enter_context(serving(slow, otherwise=Page(delay=3.0))).url,
            "cut": lambda: stack.enter_context(raw_server(_hang_up)),
        }
        url = urls[kind]() if kind in urls else kind
        balanced = stack.enter_context(serving(vllm_pages("balanced")))
        objects = [*cluster({"LoadBalancer": balanced.port}), inference(url=url)]
        soon = {"timeout_seconds": 1.0, "idle_timeout_seconds": 1.0, "connect_timeout_seconds": 1.0}
        one = only(find(objects, services=soon if kind == "slow" else None)[0])
    assert one.way is not None
    if failure == "not HTTP":  # somebody is there: what is wrong with it must be seen
        assert one.way.rule is Rule.KSERVE
        assert not one.usable
        return
    assert (one.way.rule, one.model, one.usable) == (Rule.LOAD_BALANCER, "balanced", True)
    (note,) = left_notes(one)
    assert note.startswith(f"InferenceService chat, as its status tells ({url}) does not answer: ")
    assert told in note


def _hang_up(connection: socket.socket) -> None:
    connection.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


@pytest.mark.parametrize(
    ("page", "status"),
    [
        (Page({"error": "Unauthorized"}, 401), HealthStatus.UNAUTHORISED),
        (Page({"error": "Forbidden"}, 403), HealthStatus.UNAUTHORISED),
        (LOADING, HealthStatus.RESPONDING),
        (Page({"detail": "Not Found"}, 404), HealthStatus.UNHEALTHY),
        (Page(b"oops", 500), HealthStatus.UNHEALTHY),
    ],
)
def test_who_answers_badly_is_not_left_for_another_way(page: Page, status: HealthStatus) -> None:
    with serving({}, otherwise=page) as preferred, serving(vllm_pages()) as balanced:
        objects = [*cluster({"LoadBalancer": balanced.port}), inference(url=preferred.url)]
        one = only(find(objects)[0])
        assert balanced.seen == []
    assert one.way is not None
    assert (one.way.rule, one.health.status, one.usable) == (Rule.KSERVE, status, False)
    assert left_notes(one) == []


def test_where_nothing_answers_the_preferred_way_is_the_one_that_is_shown() -> None:
    objects = cluster({"LoadBalancer": closed_port(), "NodePort": closed_port()})
    one = only(find(objects)[0])
    assert one.way is not None
    assert (one.way.rule, one.health.status) == (Rule.LOAD_BALANCER, HealthStatus.UNREACHABLE)
    assert "refused" in one.health.detail
    (note,) = left_notes(one)
    assert note.startswith("Service chat-nodes, port ")


def test_a_url_that_was_given_stands_for_the_service_of_that_name_and_keeps_what_the_cluster_tells() -> None:
    with engines("KServe URL") as running, serving(vllm_pages("given")) as given:
        objects = cluster({rule: server.port for rule, server in running.items()})
        found, _ = find(objects, services={"endpoints": [{"name": "chat", "url": given.url}]})
        one = only(found)
        assert running["KServe URL"].seen == []
    assert (one.url, one.model, one.named, one.source) == (given.url, "given", True, "configured")
    assert one.way is not None
    assert one.way.rule is Rule.MANUAL
    assert one.cluster is not None
    assert one.cluster.product == "vLLM"
    assert one.cluster.facts["replicas_ready"] == 1


def test_a_given_url_that_does_not_answer_is_not_left_for_one_of_the_cluster() -> None:
    with engines("KServe URL") as running:
        objects = cluster({rule: server.port for rule, server in running.items()})
        given = f"http://127.0.0.1:{closed_port()}"
        one = only(find(objects, services={"endpoints": [{"name": "chat", "url": given}]})[0])
        assert running["KServe URL"].seen == []
    assert (one.url, one.health.status) == (given, HealthStatus.UNREACHABLE)


def test_a_given_url_of_another_name_is_a_service_of_its_own() -> None:
    with engines("KServe URL") as running, serving(vllm_pages("given")) as given:
        objects = cluster({rule: server.port for rule, server in running.items()})
        found, _ = find(objects, services={"endpoints": [{"name": "other", "url": given.url}]})
    assert [(one.name, one.usable) for one in found] == [("other", True), ("chat", True)]
    assert found[0].cluster is None


@pytest.mark.parametrize("rule", ["Route", "NodePort", "cluster DNS", None])
def test_a_port_forward_is_the_last_way(rule: str | None) -> None:
    with engines("pod") as running:
        objects = cluster({rule: closed_port()} if rule is not None else {})
        found, api = find(objects, port_forward=True, inside=rule == "cluster DNS", forwards={POD: running["pod"].port})
        one = only(found)
    assert one.way is not None
    assert (one.way.rule, one.model, one.usable) == (Rule.PORT_FORWARD, "pod", True)
    assert (one.way.through, one.stays) == ("Pod chat-7d9-0, port 8000", False)
    assert len(left_notes(one)) >= (rule is not None)
    assert sum("/portforward" in request for request in api.requests) >= 1


def test_a_port_forward_is_not_opened_where_a_way_answers() -> None:
    with engines("LoadBalancer", "pod") as running:
        objects = cluster({"LoadBalancer": running["LoadBalancer"].port})
        found, api = find(objects, port_forward=True, forwards={POD: running["pod"].port})
        one = only(found)
        assert running["pod"].seen == []
    assert one.way is not None
    assert one.way.rule is Rule.LOAD_BALANCER
    assert not any("portforward" in request for request in api.requests)


def test_a_port_forward_to_one_of_several_pods_says_so() -> None:
    objects = [*made("chat", replicas=3), service("chat", selector={"app": "chat"})]
    with engines("pod") as running:
        one = only(find(objects, port_forward=True, forwards={POD: running["pod"].port})[0])
    assert one.usable
    assert "the port-forward leads to one of its 3 pods" in one.notes


def test_a_port_forward_that_a_pod_refuses_leaves_the_service_unreachable() -> None:
    one = only(find(chat(), port_forward=True)[0])
    assert one.way is not None
    assert one.way.rule is Rule.PORT_FORWARD
    assert not one.usable
