"""Awkward clusters: what looks like an engine and is none, what is one and hardly looks so, and what is half there."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from cluster_objects import (
    TEAM,
    Searched,
    changed,
    chat,
    container,
    facts,
    find,
    inference,
    ingress,
    made,
    meta,
    node,
    pod,
    route,
    search,
    service,
    urls,
    workload,
)
from inference_bench.discovery.health_checker import HealthStatus
from kubernetes_api import Object, copied

OLLAMA = container("ollama/ollama:0.9.0", port=11434)
NGINX = container("nginx:1.29", name="web", port=8000)


def state(one: Object, **told: Any) -> None:
    one["status"] = {"phase": "Running", "conditions": [{"type": "Ready", "status": "False"}], **told}


def waiting(reason: str, phase: str = "Running") -> Callable[[Object], None]:
    told = [{"name": "main", "state": {"waiting": {"reason": reason}}}]
    return lambda one: state(one, phase=phase, containerStatuses=told)


def unschedulable(one: Object) -> None:
    scheduled = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
    one["spec"].pop("nodeName")
    state(one, phase="Pending", conditions=[scheduled])


def terminating(one: Object) -> None:
    one["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"


def job(name: str, *containers: Object, labels: dict[str, str] | None = None, **more: Any) -> Object:
    return pod(name, *containers, labels=labels, owner=("Job", name.rpartition("-")[0]), **more)


def in_namespace(objects: list[Object], namespace: str) -> list[Object]:
    for one in objects:
        one["metadata"]["namespace"] = namespace
    return objects


def sixty_ports() -> list[Object]:
    ports = [{"name": f"p{number}", "port": 9100 + number, "targetPort": 9100 + number} for number in range(59)]
    return chat(*ports, {"name": "api", "port": 80, "targetPort": 8000})


# In each of these there is no service at all.
NOTHING: dict[str, list[Object]] = {
    "no objects": [],
    "a benchmark with vLLM's image": [job("load-x1", container(command=["vllm", "bench", "serve"], port=None))],
    "a benchmark as a Deployment": made("load", container(command=["python", "benchmark_serving.py"])),
    "a job that runs vLLM's image for once": [job("batch-x1", container(command=["python", "offline.py"]))],
    "Django at port 8000": [
        *made("shop", container("registry.example.com/shop:1", command=["gunicorn", "shop.wsgi"])),
        service("shop", {"port": 8000, "targetPort": 8000}, selector={"app": "shop"}),
    ],
    "an exporter": [
        *made("vllm-exporter", container("ghcr.io/acme/vllm-exporter:2", port=9400)),
        service("vllm-exporter", {"port": 9400}, selector={"app": "vllm-exporter"}),
    ],
    "an operator": made("vllm-operator", container("ghcr.io/acme/vllm-operator:1", port=8080)),
    "an InferenceService of sklearn": [
        inference("iris", url="http://iris.example.com", model={"modelFormat": {"name": "sklearn"}}),
    ],
    "a Deployment of ended pods": [pod("chat-1", container(), status={"phase": "Failed"})],
    "a database": [
        *made("db", container("postgres:17", port=5432)),
        service("db", {"port": 5432, "targetPort": 5432}, selector={"app": "db"}),
    ],
    "an Ingress alone": [ingress()],
    "a Route whose Service is gone": [route()],
    "objects without metadata": [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"namespace": TEAM}, "spec": {"ports": [{"port": 8000}]}},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": TEAM, "name": None}, "spec": None},
    ],
    "only UDP": [service("vllm-dns", {"port": 8000, "protocol": "UDP"}, selector={"app": "none"})],
}  # fmt: skip


@pytest.mark.parametrize("case", NOTHING)
def test_nothing_is_found_where_nothing_serves(case: str) -> None:
    assert search(NOTHING[case]).names == []


def test_the_name_of_a_namespace_makes_nothing_an_engine() -> None:
    shop = [
        *made("shop", container("registry.example.com/shop:1"), namespace="vllm-ollama"),
        service("shop", {"port": 8000}, selector={"app": "shop"}, namespace="vllm-ollama"),
    ]
    assert search(shop, namespace="vllm-ollama").names == []


# Cluster, then what is told of each service: name -> (product, state).
FOUND: dict[str, tuple[list[Object], dict[str, tuple[str, str | None]]]] = {
    "open-webui beside Ollama": (
        [
            *made("ollama", OLLAMA), service("ollama", {"port": 11434}, selector={"app": "ollama"}),
            *made("open-webui", container("ghcr.io/open-webui/open-webui:main", port=8080)),
            service("open-webui", {"port": 80, "targetPort": 8080}, selector={"app": "open-webui"}),
        ],
        {"ollama": ("Ollama", None)},
    ),
    "open-webui by Ollama's own chart label": (
        [
            *made("open-webui-ollama", OLLAMA), service(
                "open-webui-ollama", {"port": 11434}, selector={"app": "open-webui-ollama"},
                labels={"app.kubernetes.io/name": "ollama"},
            ),
        ],
        {"open-webui-ollama": ("Ollama", None)},
    ),
    "nginx before vLLM": (
        [*chat(), *made("front", NGINX), service("front", {"port": 80, "targetPort": 8000}, selector={"app": "front"})],
        {"chat": ("vLLM", None)},
    ),
    "a pod that measures carries its labels": (
        [*chat(), job("a-load-x1", container(command=["vllm", "bench", "serve"]), labels={"app": "chat"})],
        {"chat": ("vLLM", None)},
    ),
    "a pod that tests carries its labels": (
        [*chat(), pod("a-test", container("busybox", port=None), labels={"app": "chat"})], {"chat": ("vLLM", None)},
    ),
    "a Service without a selector": (
        [service("vllm", {"port": 8000}, clusterIP="10.0.0.7") | {"spec": {"ports": [{"port": 8000}]}}],
        {"vllm": ("vLLM", None)},
    ),
    "a selector that matches nothing": (
        [service("vllm", {"port": 8000}, selector={"app": "gone"})], {"vllm": ("vLLM", None)},
    ),
    "scaled to zero": (
        [workload("chat", container(), labels={"app": "chat"}, replicas=0), service("chat", selector={"app": "chat"})],
        {"chat": ("vLLM", "it is scaled to zero")},
    ),
    "no pods yet": (
        [workload("chat", container(), labels={"app": "chat"}), service("chat", selector={"app": "chat"})],
        {"chat": ("vLLM", "it has no pods")},
    ),
    "crashing": (
        changed(chat(), "Pod", waiting("CrashLoopBackOff")),
        {"chat": ("vLLM", "its pod is not ready (CrashLoopBackOff)")},
    ),
    "its image cannot be had": (
        changed(chat(), "Pod", waiting("ImagePullBackOff", "Pending")),
        {"chat": ("vLLM", "its pod is not ready (ImagePullBackOff)")},
    ),
    "no node has room": (
        changed(chat(), "Pod", unschedulable), {"chat": ("vLLM", "its pod is not ready (Unschedulable)")},
    ),
    "terminating": (changed(chat(), "Pod", terminating), {"chat": ("vLLM", "its pod is not ready (terminating)")}),
    "one pod of two crashes": (
        [*made("chat"), pod("chat-b", container(), labels={"app": "chat"}, ready=False),
         service("chat", selector={"app": "chat"})],
        {"chat": ("vLLM", None)},
    ),
    "labels that are null": (
        changed([*made("chat")], "Pod", lambda one: one["metadata"].update(labels=None)), {"chat": ("vLLM", None)},
    ),
    "names with dots": (
        [*made("chat.v1"), service("chat.v1", selector={"app": "chat.v1"})], {"chat-v1": ("vLLM", None)},
    ),
    "a StatefulSet": (
        [workload("chat", container(), labels={"app": "chat"}, kind="StatefulSet"),
         pod("chat-0", container(), labels={"app": "chat"}, owner=("StatefulSet", "chat")),
         service("chat", selector={"app": "chat"}, clusterIP="None")],
        {"chat": ("vLLM", None)},
    ),
    "pods of a DaemonSet without a Service": (
        [pod(f"every-{one}", OLLAMA, labels={"app": "every"}, owner=("DaemonSet", "every")) for one in "abc"],
        {"every": ("Ollama", None)},
    ),
    "a bare pod": ([pod("chat", container())], {"chat": ("vLLM", None)}),
    "hostNetwork": (
        [pod("chat", container(), labels={"app": "chat"}, spec={"hostNetwork": True}),
         service("chat", selector={"app": "chat"})],
        {"chat": ("vLLM", None)},
    ),
    "an Ingress of another namespace": (
        [*chat(), {**ingress(), "metadata": meta("chat", "elsewhere")}], {"chat": ("vLLM", None)},
    ),
    "UDP beside TCP": (
        chat({"name": "quic", "port": 80, "protocol": "UDP"}, {"name": "tcp", "port": 8000, "targetPort": 8000}),
        {"chat": ("vLLM", None)},
    ),
    "sixty ports": (sixty_ports(), {"chat": ("vLLM", None)}),
    "an InferenceService that is not ready": (
        [inference(ready="False", reason="MinimumReplicasUnavailable", model={"runtime": "kserve-vllm"})],
        {"chat": ("vLLM", "InferenceService chat is not ready (MinimumReplicasUnavailable)")},
    ),
    "forks in private registries": (
        [*made("one", container("registry.example.com:5000/ai/vllm-openai:v1@sha256:" + "0" * 64)),
         *made("two", container("10.1.2.3:5000/mirror/text-generation-inference@sha256:" + "1" * 64, port=80))],
        {"one": ("vLLM", None), "two": ("TGI", None)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", FOUND)
def test_what_serves_is_found_once_with_its_state(case: str) -> None:
    objects, expected = FOUND[case]
    found = search(copied(objects))
    told = {
        str(one.endpoint.name): (one.cluster.product, one.cluster.state)
        for one in found.candidates
        if one.cluster is not None
    }
    assert told == expected
    assert len(found.candidates) == len(expected)
    assert found.notes == ()


def inside(objects: list[Object]) -> Searched:
    return search(objects, inside=True)


def test_two_engines_in_one_pod_are_two_services() -> None:
    both = (container(name="large", port=8000), container("ollama/ollama", name="small", port=11434))
    own = [*made("duo", *both)]
    by_service = service(
        "duo", {"name": "a", "port": 80, "targetPort": 8000}, {"name": "b", "port": 81, "targetPort": 11434},
        selector={"app": "duo"},
    )  # fmt: skip
    assert sorted(search(own).names) == ["duo-large", "duo-small"]
    found = inside([*own, by_service])
    assert {one.cluster.product: urls(one)[0][1] for one in found.candidates if one.cluster is not None} == {
        "vLLM": "http://duo.team.svc",
        "Ollama": "http://duo.team.svc:81",
    }
    assert len(set(found.names)) == 2


def test_four_services_before_the_same_pods_are_one_service_with_all_their_ways() -> None:
    names = ("chat", "chat-internal", "chat-headless", "chat-metrics")
    doors = [
        service("chat", selector={"app": "chat"}),
        service("chat-internal", {"port": 8000}, selector={"app": "chat"}, clusterIP="10.0.0.2"),
        service("chat-headless", {"port": 8000}, selector={"app": "chat"}, clusterIP="None"),
        service("chat-metrics", {"port": 8000}, selector={"app": "chat"}, clusterIP="10.0.0.4"),
    ]
    assert {one["metadata"]["name"] for one in doors} == set(names)
    found = inside([*made("chat"), *doors])
    assert found.names == ["chat"]
    assert [url for _, url in urls(found.only)] == [
        "http://chat.team.svc", "http://10.0.0.1", "http://chat-internal.team.svc:8000", "http://10.0.0.2:8000",
        "http://chat-headless.team.svc:8000",
    ]  # fmt: skip


def test_a_canary_behind_one_service_is_one_service_of_two_deployments() -> None:
    labels = {"app": "chat"}
    objects = [service("chat", selector=labels)]
    for name in ("chat-stable", "chat-canary"):
        objects.append(workload(name, container(), labels={**labels, "track": name}))
        owner = ("ReplicaSet", f"{name}-7d9")
        objects.append(pod(f"{name}-7d9-x", container(), labels={**labels, "track": name}, owner=owner))
    one = search(objects).only
    assert facts(one)["workload"] == "Deployment chat-canary, Deployment chat-stable"
    assert (facts(one)["replicas_ready"], facts(one)["replicas_wanted"]) == (2, 2)


def test_two_namespaces_with_the_same_names_are_told_apart() -> None:
    objects = [*in_namespace(chat(), "blue"), *in_namespace(chat(), "green"), *in_namespace(made("only"), "green")]
    found = search(objects, namespace="*")
    assert sorted(found.names) == ["chat-blue", "chat-green", "only"]
    assert {name: facts(found[name])["namespace"] for name in found.names} == {
        "chat-blue": "blue", "chat-green": "green", "only": "green",
    }  # fmt: skip


def test_ports_as_strings_are_no_ports() -> None:
    one = inside(chat({"port": "80", "targetPort": "8000"})).only
    assert one.cluster is not None
    assert one.cluster.product == "vLLM"
    assert not any(":80" in way.url and "chat.team.svc" in way.url for way in one.ways)


def test_a_container_port_that_does_not_exist_is_no_reason_to_lose_the_engine() -> None:
    one = inside(chat({"port": 8000, "targetPort": "nowhere"})).only
    assert urls(one)[0] == ("cluster DNS", "http://chat.team.svc:8000")


def test_a_route_to_a_service_that_is_gone_belongs_to_nobody() -> None:
    gone = route("old", to={"kind": "Service", "name": "old"})
    found = search([*chat(), gone])
    assert (found.names, urls(found.only), found.only.notes) == (["chat"], [], ())


def test_addresses_of_ipv6_alone_stand_in_brackets() -> None:
    port = {"port": 80, "targetPort": 8000, "nodePort": 30080}
    spec = {"type": "LoadBalancer", "clusterIP": "fd00::10", "balancers": [{"ip": "2001:db8::5"}]}
    objects = [*chat(port, **spec), node(InternalIP="2001:db8::1")]
    assert [url for _, url in urls(inside(objects).only)] == [
        "http://[2001:db8::5]", "http://[2001:db8::1]:30080", "http://chat.team.svc", "http://[fd00::10]",
    ]  # fmt: skip


def test_dual_stack_gives_both_addresses_of_a_balancer_and_a_node() -> None:
    port = {"port": 80, "targetPort": 8000, "nodePort": 30080}
    spec = {"type": "LoadBalancer", "clusterIPs": ["10.0.0.1", "fd00::1"], "ipFamilyPolicy": "PreferDualStack"}
    objects = chat(port, **spec, balancers=[{"ip": "203.0.113.5"}, {"ip": "2001:db8::5"}])
    both = node(InternalIP="192.0.2.1")
    both["status"]["addresses"].append({"type": "InternalIP", "address": "2001:db8::1"})
    assert [url for _, url in urls(search([*objects, both]).only)] == [
        "http://203.0.113.5", "http://[2001:db8::5]", "http://192.0.2.1:30080", "http://[2001:db8::1]:30080",
    ]  # fmt: skip


SECRETS = ("sesame-one", "sesame two", "hf_sesame3", "sk-sesame4")


def test_no_secret_of_a_pod_is_told() -> None:
    args = ["--api-key", "sesame-one", "--hf-token=sesame two", "--max-model-len", "8192", "sk-sesame4"]
    env = [{"name": "VLLM_API_KEY", "value": "sesame-one"}, {"name": "HF_TOKEN", "value": "hf_sesame3"}]
    env += [{"name": "MODEL_ID", "value": "hf_sesame3"}, {"name": "PORT", "value": "8000"}]
    objects = [*made("chat", container(args=args, env=env)), service("chat", selector={"app": "chat"})]
    objects[0]["metadata"]["annotations"] = {"kubectl.kubernetes.io/last-applied-configuration": "sesame-one"}
    one = search(objects).only
    told = repr(one)
    assert not [secret for secret in SECRETS if secret in told]
    flags = facts(one)["start_flags"]
    assert flags == ["--api-key", "…", "--hf-token=…", "--max-model-len", "8192", "…"]


def test_terminal_codes_markup_and_endless_values_are_harmless() -> None:
    nasty = "\x1b[31mvllm\x1b]8;;http://x\x07 [bold]\u202e" + "x" * 100_000
    objects = [
        *made("chat", container(args=["--model", nasty]), labels={"app.kubernetes.io/name": nasty}),
        service("chat", selector={"app": "chat"}, labels={"app": nasty}),
    ]
    changed(objects, "Pod", waiting(nasty))
    one = search(objects).only
    assert one.cluster is not None
    told = [one.source, one.no_way or "", *one.notes, *one.cluster.evidence, one.cluster.state or ""]
    told += [repr(value) for value in one.cluster.facts.values()]
    assert all(text.isprintable() for text in told)
    assert all(len(text) < 5_000 for text in told)


def test_a_service_that_only_seems_to_be_an_engine_is_asked_and_kept_only_for_its_answer() -> None:
    labels = {"app": "vllm"}
    perhaps = search([service("x", {"port": 8000}, selector={"app": "x"}, labels=labels)]).only
    assert perhaps.certain  # a label that says vLLM stands for itself
    by_name = search([service("vllm", {"port": 8000}, selector={"app": "x"})]).only
    assert (by_name.certain, by_name.hint) == (False, None)


def test_services_that_cannot_be_reached_are_told_and_nobody_is_asked() -> None:
    found, api = find(changed(chat(), "Pod", waiting("CrashLoopBackOff")))
    (one,) = found
    assert (one.name, one.health.status) == ("chat", HealthStatus.UNREACHABLE)
    assert "CrashLoopBackOff" in one.health.detail
    assert not any("portforward" in request for request in api.requests)


def test_searches_at_the_same_time_do_not_disturb_one_another() -> None:
    async def story() -> list[list[str]]:
        return [list(names) for names in await asyncio.gather(*(one("a"), one("b")))]

    async def one(name: str) -> list[str]:
        return await asyncio.to_thread(lambda: search(made(name)).names)

    assert asyncio.run(story()) == [["a"], ["b"]]
