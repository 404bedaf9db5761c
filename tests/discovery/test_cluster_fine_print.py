"""The fine print of the APIs: what several routers say, hosts that are somebody else's, paths that are fixed, workers
that take no requests, replicas on nodes of different kinds, and many namespaces.
"""

from typing import Any

import pytest

from cluster_objects import (
    VLLM,
    chat,
    container,
    facts,
    gateway,
    http_route,
    made,
    meta,
    node,
    path_prefix,
    pod,
    route,
    search,
    service,
    urls,
    workload,
)
from inference_bench.discovery.cluster import inventory
from kubernetes_api import Faults, Object


def test_of_several_routers_the_host_of_one_that_took_the_route_counts() -> None:
    one = route(host="internal.example.com", admitted="False")
    taken = {"host": "public.example.com", "conditions": [{"type": "Admitted", "status": "True"}]}
    one["status"]["ingress"].append(taken)
    assert urls(search([*chat(), one]).only) == [("Route", "http://public.example.com")]


def test_a_listener_of_another_host_is_no_way_for_a_pattern() -> None:
    listener = {"name": "http", "port": 80, "protocol": "HTTP", "hostname": "chat.b.example"}
    found = search([*chat(), gateway(listener), http_route(hostnames=["*.a.example"])])
    assert urls(found.only) == []
    listener["hostname"] = "chat.a.example"
    found = search([*chat(), gateway(listener), http_route(hostnames=["*.a.example"])])
    assert urls(found.only) == [("HTTPRoute", "http://chat.a.example")]


def test_a_rule_that_rewrites_every_path_to_one_is_no_way() -> None:
    rewriting = {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/v1/completions"}}
    found = search([*chat(), gateway(), http_route({"filters": [{"type": "URLRewrite", "urlRewrite": rewriting}]})])
    assert urls(found.only) == []
    assert "it rewrites every path to /v1/completions" in str(found.only.no_way)


def test_a_rule_that_adds_the_prefix_of_the_api_by_itself_is_no_way() -> None:
    found = search([*chat(), gateway(), http_route(path_prefix("/llm", replacement="/v1"))])
    assert urls(found.only) == []
    assert "it puts /v1 in the place of /llm" in str(found.only.no_way)
    found = search([*chat(), gateway(), http_route(path_prefix("/llm/v1", replacement="/v1"))])
    assert urls(found.only) == [("HTTPRoute", "http://chat.example.com/llm")]


def test_backends_that_may_not_be_referred_to_make_no_way() -> None:
    one = http_route()
    refused = {"type": "ResolvedRefs", "status": "False", "reason": "RefNotPermitted"}
    one["status"]["parents"][0]["conditions"].append(refused)
    found = search([*chat(), gateway(), one])
    assert urls(found.only) == []
    assert "its Gateway refused it (RefNotPermitted)" in str(found.only.no_way)


@pytest.mark.parametrize("host", ["chat.other.svc", "chat.other.svc.", "chat.other.svc.cluster.local"])
def test_an_external_name_inside_the_cluster_is_no_way_from_outside(host: str) -> None:
    found = search([service("vllm", {"port": 8000}, type="ExternalName", externalName=host)])
    assert urls(found.only) == []


def test_an_external_name_outside_is_a_way_that_says_where_it_leads() -> None:
    found = search([service("vllm", {"port": 8000}, type="ExternalName", externalName="llm.example.org")])
    (way,) = found.only.ways
    assert way.url == "http://llm.example.org:8000"
    assert "leads out of the cluster, to llm.example.org" in way.notes[0]


@pytest.mark.parametrize(
    "words",
    [
        ["vllm", "serve", "org/model", "--headless", "--data-parallel-size", "2"],
        ["sh", "-c", "bash /vllm-workspace/multi-node-serving.sh worker --ray_address=$(LEADER)"],
        ["ray", "start", "--address=leader:6379", "--block"],
    ],
)
def test_a_worker_of_an_engine_on_several_nodes_is_no_engine(words: list[str]) -> None:
    assert search([pod("worker-0", container(VLLM, command=words))]).candidates == ()


def test_a_link_local_address_is_never_asked() -> None:
    found = search([*chat(type="LoadBalancer"), *made("other"), service("other", selector={"app": "other"})])
    assert found["chat"].ways == ()
    hostile = [*made("chat"), service("chat", selector={"app": "chat"}, externalIPs=["169.254.169.254"])]
    found = search(hostile)
    assert found.only.ways == ()
    assert any("link-local" in note for note in found.only.notes)


def test_replicas_on_nodes_of_two_kinds_have_two_kinds_of_gpu() -> None:
    own = container(VLLM, resources={"limits": {"nvidia.com/gpu": "1"}})
    nodes = [
        node(f"node-{number}", labels={"nvidia.com/gpu.product": kind}) for number, kind in enumerate(("H100", "A100"))
    ]
    pods = [
        pod(f"chat-7d9-{number}", own, labels={"app": "chat"}, spec={"nodeName": f"node-{number}"})
        for number in range(2)
    ]
    objects = [workload("chat", own, labels={"app": "chat"}, replicas=2), *pods, *nodes]
    found = search([*objects, service("chat", selector={"app": "chat"})])
    assert facts(found.only)["gpu"] == "A100, H100"


def test_signatures_of_addresses_are_hidden() -> None:
    signed = "https://store.example.com/model?X-Amz-Signature=f00d"
    own = container(VLLM, args=["--model", signed, f"--tokenizer={signed}"])
    found = search([*made("chat", own), service("chat", selector={"app": "chat"})])
    assert "f00d" not in str(found.only)
    assert any("store.example.com/model" in word for word in _flags(found.only))


def _flags(candidate: Any) -> list[str]:
    flags = facts(candidate)["start_flags"]
    assert isinstance(flags, list)
    return flags


def test_of_very_many_namespaces_the_first_are_searched_and_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inventory, "_MOST_NAMESPACES", 2)
    spaces: list[Object] = [
        {"apiVersion": "project.openshift.io/v1", "kind": "Project", "metadata": {"name": f"team-{number}"}}
        for number in range(3)
    ]
    found = search([*spaces, *chat()], namespace="*", faults=Faults(cluster_wide=403))
    assert any("only the first 2 of 3 namespaces were searched: name one with -n" in note for note in found.notes)


def test_a_list_that_holds_no_list_is_said() -> None:
    body = b'{"kind": "RouteList", "metadata": {}, "items": {"a": 1}}'
    objects = [*chat(), route(), {"apiVersion": "v1", "kind": "Secret", "metadata": meta("unread")}]
    found = search(objects, faults=Faults(body={"routes": body}))
    assert found.names == ["chat"]
    assert "routes: answered with something that is no list" in found.notes
