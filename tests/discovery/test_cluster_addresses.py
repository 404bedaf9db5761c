"""A Service's own addresses: by which scheme, from which load balancer, node or name; and the port-forward."""

from typing import Any

import pytest

from cluster_objects import (
    changed,
    chat,
    container,
    made,
    node,
    route,
    search,
    service,
    urls,
)
from kubernetes_api import Faults, Object

PROBED = container(readinessProbe={"httpGet": {"port": 8000, "scheme": "HTTPS", "path": "/health"}})
BY_NAME = container(
    port=None, ports=[{"name": "web", "containerPort": 8000}],
    livenessProbe={"httpGet": {"port": "web", "scheme": "HTTPS"}},
)  # fmt: skip
SCHEMES: dict[str, tuple[Object, Object, str]] = {
    "nothing told": (container(), {"port": 8000}, "http://203.0.113.5:8000"),
    "port 443": (container(), {"port": 443, "targetPort": 8000}, "https://203.0.113.5"),
    "port 443 that says http": (container(), {"port": 443, "name": "http"}, "http://203.0.113.5:443"),
    "the protocol": (container(), {"port": 8000, "appProtocol": "https"}, "https://203.0.113.5:8000"),
    "the protocol before the name": (
        container(), {"port": 8000, "name": "https", "appProtocol": "HTTPS"}, "https://203.0.113.5:8000",
    ),
    "the name": (container(), {"port": 8000, "name": "https-chat"}, "https://203.0.113.5:8000"),
    "a name that only begins so": (container(), {"port": 80, "name": "http-chat"}, "http://203.0.113.5"),
    "a probe": (PROBED, {"port": 8000}, "https://203.0.113.5:8000"),
    "a probe of a port by name": (BY_NAME, {"port": 80, "targetPort": "web"}, "https://203.0.113.5:80"),
    "a probe of another scheme": (
        container(readinessProbe={"httpGet": {"port": 8000, "scheme": "GOPHER"}}), {"port": 8000},
        "http://203.0.113.5:8000",
    ),
    "a flag": (
        container(args=["--ssl-certfile=/c", "--ssl-keyfile", "/k"]), {"port": 8000}, "https://203.0.113.5:8000",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", SCHEMES)
def test_the_scheme_of_a_port(case: str) -> None:
    runs, port, url = SCHEMES[case]
    listed = {"targetPort": 8000, **port}
    balanced = service("chat", listed, selector={"app": "chat"}, type="LoadBalancer", balancers=[{"ip": "203.0.113.5"}])
    assert urls(search([*made("chat", runs), balanced]).only) == [("LoadBalancer", url)]


BALANCED: dict[str, tuple[dict[str, Any], list[str], str | None]] = {
    "hostname": ({"balancers": [{"hostname": "lb.example.com"}]}, ["http://lb.example.com"], None),
    "address": ({"balancers": [{"ip": "203.0.113.5"}]}, ["http://203.0.113.5"], None),
    "address of IPv6": ({"balancers": [{"ip": "2001:db8::5"}]}, ["http://[2001:db8::5]"], None),
    "several": (
        {"balancers": [{"ip": "203.0.113.5"}, {"hostname": "lb.example.com"}, {}]},
        ["http://203.0.113.5", "http://lb.example.com"], None,
    ),
    "pending": ({}, [], "Service chat is not used: its load balancer has no address yet"),
    "external IPs": (
        {"type": "ClusterIP", "externalIPs": ["198.51.100.4", "198.51.100.5"]},
        ["http://198.51.100.4", "http://198.51.100.5"], None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BALANCED)
def test_load_balancers(case: str) -> None:
    spec, expected, note = BALANCED[case]
    found = search(chat(**{"type": "LoadBalancer", **spec}))
    assert urls(found.only) == [("LoadBalancer", url) for url in expected]
    assert found.only.notes == (() if note is None else (note,))


def test_an_external_name_is_an_address_unless_it_is_one_of_the_cluster() -> None:
    def named(host: str) -> list[Object]:
        labels = {"app": "vllm"}
        return [service("far", {"port": 443}, labels=labels, type="ExternalName", externalName=host, clusterIP=None)]

    assert urls(search(named("llm.example.com")).only) == [("LoadBalancer", "https://llm.example.com")]
    assert urls(search(named("llm.other.svc.cluster.local")).only) == []


PORT = {"port": 80, "targetPort": 8000, "nodePort": 30080}
NODE_PORTS: dict[str, tuple[list[Object], list[str]]] = {
    "inside addresses": ([node(InternalIP="192.0.2.1")], ["192.0.2.1"]),
    "outside before inside": (
        [node(InternalIP="192.0.2.1", ExternalIP="203.0.113.1"), node("node-2", InternalIP="192.0.2.2")],
        ["203.0.113.1"],
    ),
    "by name": ([node(Hostname="node-1.example.com")], ["node-1.example.com"]),
    "IPv6": ([node(InternalIP="2001:db8::1")], ["[2001:db8::1]"]),
    "nodes that are not ready are left out": (
        [node(ready=False, InternalIP="192.0.2.1"), node("node-2", InternalIP="192.0.2.2")], ["192.0.2.2"],
    ),
    "those with a pod first, at most three": (
        [*(node(f"node-{number}", InternalIP=f"192.0.2.{number}") for number in (0, 1, 2, 3))],
        ["192.0.2.1", "192.0.2.0", "192.0.2.2"],
    ),
    "no nodes: the host of its pod": ([], ["192.0.2.1"]),
    "nodes without an address: the host of its pod": ([node()], ["192.0.2.1"]),
}  # fmt: skip


@pytest.mark.parametrize("case", NODE_PORTS)
def test_node_ports(case: str) -> None:
    nodes, hosts = NODE_PORTS[case]
    found = search([*chat(PORT, type="NodePort"), *nodes])
    assert urls(found.only) == [("NodePort", f"http://{host}:30080") for host in hosts]
    assert found.notes == ()


def test_traffic_that_stays_on_its_node_is_sent_to_nodes_with_a_pod() -> None:
    nodes = [node(InternalIP="192.0.2.1"), node("node-2", InternalIP="192.0.2.2")]
    found = search([*chat(PORT, type="NodePort", externalTrafficPolicy="Local"), *nodes])
    assert urls(found.only) == [("NodePort", "http://192.0.2.1:30080")]
    assert found.only.ways[0].through == "Service chat, port 30080 of a node (InternalIP)"


def test_where_nodes_may_not_be_read_pods_tell_their_hosts_and_a_note_says_so() -> None:
    found = search(chat(PORT, type="NodePort"), faults=Faults(status={"nodes": 403}))
    assert urls(found.only) == [("NodePort", "http://192.0.2.1:30080")]
    assert found.only.ways[0].through == "Service chat, port 30080 of a node (its pod's host)"
    assert found.notes == ("nodes cannot be read: their addresses and kinds of GPU are known only as far as pods tell",)


def test_without_nodes_and_pods_a_node_port_has_no_address() -> None:
    objects = changed(chat(PORT, type="NodePort"), "Pod", lambda one: one["status"].update(hostIP=None))
    found = search(objects)
    assert urls(found.only) == []
    assert found.only.no_way is not None
    assert found.only.no_way.startswith("Service chat is not used: no node's address is known; --port-forward")


INSIDE: dict[str, tuple[list[Object], list[str]]] = {
    "name and IP": (chat(), ["http://chat.team.svc", "http://10.0.0.1"]),
    "a port of its own": (
        chat({"port": 9000, "targetPort": 8000}), ["http://chat.team.svc:9000", "http://10.0.0.1:9000"],
    ),
    "IPv6": (chat(clusterIP="fd00::1"), ["http://chat.team.svc", "http://[fd00::1]"]),
    "headless: the container's port": (chat(clusterIP="None"), ["http://chat.team.svc:8000"]),
    "https by the protocol": (
        chat({"port": 443, "targetPort": 8000, "appProtocol": "https"}), ["https://chat.team.svc", "https://10.0.0.1"],
    ),
    "two ports to one": (
        chat({"name": "a", "port": 80, "targetPort": 8000}, {"name": "https", "port": 443, "targetPort": 8000}),
        ["http://chat.team.svc", "http://10.0.0.1", "https://chat.team.svc", "https://10.0.0.1"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", INSIDE)
def test_addresses_inside_the_cluster(case: str) -> None:
    objects, expected = INSIDE[case]
    assert urls(search(objects, inside=True).only) == [("cluster DNS", url) for url in expected]
    outside = search(objects)
    assert urls(outside.only) == []
    assert outside.only.endpoint.url == expected[0]


def test_a_port_forward_is_no_way_but_the_last_and_only_on_request() -> None:
    objects = [*chat(), route()]
    assert search(objects).only.last_way is None
    assert search(objects, port_forward=True).only.last_way is not None
    unready = changed(chat(), "Pod", lambda one: one["status"].update(conditions=[]))
    found = search(unready, port_forward=True)
    assert found.only.last_way is None  # a port-forward needs a pod that takes requests
    assert found.only.no_way == "its pod is not ready (not ready)"
