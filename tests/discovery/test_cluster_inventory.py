"""Every kind of a cluster is read in the version that is served; what rights leave out of it is a note each."""

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from cluster_kubeconfig import with_reader
from cluster_objects import (
    TEAM,
    changed,
    chat,
    gateway,
    http_route,
    inference,
    ingress,
    made,
    node,
    pool,
    route,
    service,
    workload,
)
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.inventory import Inventory, InventoryReader
from inference_bench.discovery.cluster.reader import ClusterReader
from kubernetes_api import Faults, KubernetesApi, Object

ALL_KINDS = (
    "deployments", "gateways", "httproutes", "inferencepools", "inferenceservices", "ingresses", "llminferenceservices",
    "pods", "routes", "services", "statefulsets",
)  # fmt: skip


def everything() -> list[Object]:
    return [
        *chat(),
        workload("db", kind="StatefulSet"),
        route(),
        ingress(),
        http_route(),
        gateway(),
        inference(),
        inference("large", kind="LLMInferenceService"),
        pool(app="chat"),
        node(InternalIP="192.0.2.1"),
    ]


def read_from(api: KubernetesApi, folder: Path, namespace: str | None = TEAM) -> Inventory:
    async def story(reader: ClusterReader) -> Inventory:
        reading = InventoryReader(reader, namespace, await reader.api_groups())
        inventory = await reading.read()
        await reading.read_nodes(inventory)
        return inventory

    return with_reader(api.url, folder, story)


def paths(api: KubernetesApi, *plurals: str) -> list[str]:
    """Return what was asked for of these kinds, in order, without queries."""
    asked = [request.partition("?")[0] for request in api.requests]
    return [path for path in asked if path.rpartition("/")[2] in plurals]


def named(objects: Iterable[Object], kind: str, version: str) -> list[Object]:
    """Return the objects, those of a kind in another apiVersion."""
    return changed(list(objects), kind, lambda one: one.update(apiVersion=version))


@pytest.mark.parametrize("namespace", [TEAM, None])
def test_every_kind_is_read_once(namespace: str | None, tmp_path: Path) -> None:
    with KubernetesApi(everything()) as api:
        inventory = read_from(api, tmp_path, namespace)
        assert inventory.notes == []
        assert inventory.nodes_problem is None
        assert [one.meta.called for one in inventory.workloads] == ["Deployment chat", "StatefulSet db"]
        assert [one.meta.called for one in inventory.inferences] == [
            "InferenceService chat",
            "LLMInferenceService large",
        ]
        lists = (inventory.services, inventory.pods, inventory.routes, inventory.ingresses, inventory.http_routes)
        for one in (*lists, inventory.gateways, inventory.pools, inventory.nodes):
            assert len(one) == 1
        assert sorted(path.rpartition("/")[2] for path in paths(api, *ALL_KINDS)) == sorted(ALL_KINDS)
        assert all(("/namespaces/team/" in path) is (namespace == TEAM) for path in paths(api, *ALL_KINDS))
        assert paths(api, "nodes") == ["/api/v1/nodes"]
        assert api.peak <= 8


def test_objects_of_other_namespaces_are_read_only_where_all_are_meant(tmp_path: Path) -> None:
    objects = [*made("chat"), *made("other", namespace="elsewhere"), service("s", namespace="elsewhere")]
    with KubernetesApi(objects) as api:
        assert [one.meta.name for one in read_from(api, tmp_path).workloads] == ["chat"]
        assert [one.meta.name for one in read_from(api, tmp_path, None).workloads] == ["other", "chat"]


def test_groups_that_the_cluster_does_not_have_are_not_asked_for(tmp_path: Path) -> None:
    with KubernetesApi(chat()) as api:
        inventory = read_from(api, tmp_path)
        assert inventory.notes == []
        asked = {path.rpartition("/")[2] for path in paths(api, *ALL_KINDS)}
        assert asked == {"deployments", "statefulsets", "pods", "services", "ingresses"}


VERSIONS = [
    ("HTTPRoute", "gateway.networking.k8s.io", ("v1beta1",), ["v1beta1"]),
    ("HTTPRoute", "gateway.networking.k8s.io", ("v1", "v1beta1"), ["v1"]),
    ("HTTPRoute", "gateway.networking.k8s.io", ("v1alpha2",), []),
    ("InferencePool", "inference.networking.k8s.io", ("v1",), ["v1"]),
    ("InferencePool", "inference.networking.x-k8s.io", ("v1alpha2",), ["v1alpha2"]),
    ("LLMInferenceService", "serving.kserve.io", ("v1alpha1",), ["v1alpha1"]),
    ("LLMInferenceService", "serving.kserve.io", ("v1alpha1", "v1alpha2"), ["v1alpha2"]),
    ("LLMInferenceService", "serving.kserve.io", ("v1alpha1", "v1alpha2", "v1"), ["v1"]),
    ("InferenceService", "serving.kserve.io", ("v1beta1",), ["v1beta1"]),
]


@pytest.mark.parametrize(("kind", "group", "served", "asked"), VERSIONS)
def test_the_best_version_that_is_served_is_asked_for(
    kind: str, group: str, served: tuple[str, ...], asked: list[str], tmp_path: Path
) -> None:
    makers: dict[str, Callable[[], Object]] = {
        "HTTPRoute": http_route,
        "InferencePool": lambda: pool(app="chat"),
        "LLMInferenceService": lambda: inference(kind="LLMInferenceService"),
        "InferenceService": inference,
    }
    objects = [one for version in served for one in named([makers[kind]()], kind, f"{group}/{version}")]
    plural = f"{kind.lower()}s"
    with KubernetesApi(objects) as api:
        inventory = read_from(api, tmp_path)
        assert paths(api, plural) == [f"/apis/{group}/{version}/namespaces/team/{plural}" for version in asked]
        found = [one.meta for one in inventory.http_routes] + [one.meta for one in inventory.pools]
        found += [one.meta for one in inventory.inferences]
        assert [one.name for one in found] == ([objects[0]["metadata"]["name"]] if asked else [])
        assert inventory.notes == []


def test_a_group_that_serves_a_version_without_the_kind_is_asked_for_the_next(tmp_path: Path) -> None:
    # KServe serves v1alpha1 of other kinds long before it serves LLMInferenceServices there.
    other = {"apiVersion": "serving.kserve.io/v1", "kind": "ServingRuntime", "metadata": {"name": "r"}}
    objects = [
        other,
        *named([inference(kind="LLMInferenceService")], "LLMInferenceService", "serving.kserve.io/v1alpha1"),
    ]
    with KubernetesApi(objects) as api:
        inventory = read_from(api, tmp_path)
        assert [one.meta.name for one in inventory.inferences] == ["chat"]
        assert [path.split("/")[3] for path in paths(api, "llminferenceservices")] == ["v1", "v1alpha1"]
        assert inventory.notes == []


@pytest.mark.parametrize("status", [403, 404, 500])
def test_where_the_groups_are_not_told_known_versions_are_tried(status: int, tmp_path: Path) -> None:
    objects = named(everything(), "LLMInferenceService", "serving.kserve.io/v1alpha1")
    with KubernetesApi(objects, faults=Faults(groups=status)) as api:
        inventory = read_from(api, tmp_path)
        assert [len(inventory.inferences), len(inventory.routes), len(inventory.http_routes)] == [2, 1, 1]
        assert [len(inventory.gateways), len(inventory.pools), len(inventory.ingresses)] == [1, 1, 1]
        tried = [path.split("/")[3] for path in paths(api, "llminferenceservices")]
        assert tried == ["v1", "v1alpha2", "v1alpha1"]
        pools = [path.split("/")[2:4] for path in paths(api, "inferencepools")]
        assert ["inference.networking.x-k8s.io", "v1alpha1"] in pools
        assert inventory.notes == []  # what is not there is no news
        assert api.requests.count("/apis") == 1


@pytest.mark.parametrize("plural", [kind for kind in ALL_KINDS if kind != "inferencepools"])
def test_a_kind_that_may_not_be_listed_is_one_note(plural: str, tmp_path: Path) -> None:
    with KubernetesApi(everything(), faults=Faults(status={plural: 403})) as api:
        inventory = read_from(api, tmp_path)
        assert inventory.notes == [f"no right to list {plural}: what they say is not known"]
        assert len(paths(api, plural)) == 1


def test_what_breaks_is_one_note_each_and_in_one_order(tmp_path: Path) -> None:
    faults = Faults(status={"routes": 400}, body={"pods": b"[]", "ingresses": b"<html>"})
    with KubernetesApi(everything(), faults=faults) as api:
        assert read_from(api, tmp_path).notes == [
            "ingresses: answered with something that is not JSON",
            "pods: answered with something that is not JSON",
            'routes: 400 routes is forbidden: User "test" cannot list resource "routes"',
        ]


def test_nodes_that_may_not_be_read_are_no_note(tmp_path: Path) -> None:
    with KubernetesApi(everything(), faults=Faults(status={"nodes": 403})) as api:
        inventory = read_from(api, tmp_path)
        assert (inventory.nodes, inventory.notes) == ([], [])
        assert inventory.nodes_problem is not None
        assert inventory.nodes_problem.startswith("403 ")


def many(number: int, kind: str = "Namespace") -> list[Object]:
    """Return so many namespaces, called team-0 and so on, each with an engine."""
    version = "v1" if kind == "Namespace" else "project.openshift.io/v1"
    spaces = [{"apiVersion": version, "kind": kind, "metadata": {"name": f"team-{one}"}} for one in range(number)]
    return [*spaces, *(one for space in range(number) for one in made("chat", namespace=f"team-{space}"))]


def cluster_wide(*kinds: str) -> dict[str, int]:
    """Forbid cluster-wide lists of these kinds."""
    return {f"{kind}@None": 403 for kind in kinds}


def test_where_all_namespaces_may_not_be_read_at_once_they_are_read_one_by_one(tmp_path: Path) -> None:
    with KubernetesApi(many(5), faults=Faults(status=cluster_wide(*ALL_KINDS))) as api:
        inventory = read_from(api, tmp_path, None)
        assert [one.meta.namespace for one in inventory.workloads] == [f"team-{one}" for one in range(5)]
        assert len(inventory.pods) == 5
        assert inventory.notes == []
        assert paths(api, "pods")[0] == "/api/v1/pods"
        assert sorted(paths(api, "pods")[1:]) == [f"/api/v1/namespaces/team-{one}/pods" for one in range(5)]
        assert paths(api, "namespaces") == ["/api/v1/namespaces"]
        assert paths(api, "projects") == []


def test_only_the_kinds_that_need_it_are_read_one_by_one(tmp_path: Path) -> None:
    with KubernetesApi(many(3), faults=Faults(status=cluster_wide("pods"))) as api:
        inventory = read_from(api, tmp_path, None)
        assert (len(inventory.pods), len(inventory.workloads)) == (3, 3)
        assert (len(paths(api, "pods")), len(paths(api, "deployments"))) == (4, 1)


def test_openshift_shows_everybody_their_own_projects(tmp_path: Path) -> None:
    with KubernetesApi(many(3, "Project"), faults=Faults(cluster_wide=403)) as api:
        inventory = read_from(api, tmp_path, None)
        assert [one.meta.namespace for one in inventory.workloads] == ["team-0", "team-1", "team-2"]
        assert inventory.notes == []
        assert paths(api, "namespaces", "projects") == ["/api/v1/namespaces", "/apis/project.openshift.io/v1/projects"]
        assert inventory.nodes_problem is not None


def test_namespaces_that_refuse_are_counted_in_one_note_a_kind(tmp_path: Path) -> None:
    refused = cluster_wide(*ALL_KINDS) | {"pods@team-1": 403, "pods@team-3": 403, "services@team-0": 403}
    with KubernetesApi(many(4), faults=Faults(status=refused)) as api:
        inventory = read_from(api, tmp_path, None)
        said = 'is forbidden: User "test" cannot list resource'
        assert inventory.notes == [
            f'pods: 403 pods {said} "pods" (in 2 of 4 namespaces)',
            f'services: 403 services {said} "services" (in 1 of 4 namespaces)',
        ]
        assert [one.meta.namespace for one in inventory.pods] == ["team-0", "team-2"]
        assert len(inventory.workloads) == 4


def test_a_kind_that_every_namespace_refuses_is_a_kind_without_a_right(tmp_path: Path) -> None:
    with KubernetesApi(many(3), faults=Faults(status={**cluster_wide(*ALL_KINDS), "statefulsets": 403})) as api:
        inventory = read_from(api, tmp_path, None)
        assert inventory.notes == ["no right to list statefulsets: what they say is not known"]


def test_where_nothing_that_matters_may_be_read_the_cluster_cannot_be_searched(tmp_path: Path) -> None:
    for namespace, where in ((TEAM, "in namespace team"), (None, "in all namespaces")):
        faults = Faults(status=dict.fromkeys(("services", "pods", "deployments", "namespaces"), 403))
        with KubernetesApi(everything(), faults=faults) as api, pytest.raises(ClusterUnavailableError) as caught:
            read_from(api, tmp_path, namespace)
        message = f"these credentials may list neither services nor pods nor deployments {where}"
        assert caught.value.message == message
        assert caught.value.hint is not None
        assert "deploy/rbac.yaml" in caught.value.hint
        assert caught.value.exit_code == 3


@pytest.mark.parametrize("left", ["services", "pods", "deployments"])
def test_one_kind_that_matters_is_enough(left: str, tmp_path: Path) -> None:
    refused = [kind for kind in ("services", "pods", "deployments") if kind != left]
    with KubernetesApi(everything(), faults=Faults(status=dict.fromkeys(refused, 403))) as api:
        assert len(read_from(api, tmp_path).notes) == 2


def test_gateways_of_other_namespaces_are_read_where_routes_hang_on_them(tmp_path: Path) -> None:
    hanging = http_route(parent={"name": "gw", "namespace": "infra"})
    objects = [hanging, gateway(), gateway(namespace="infra"), gateway(namespace="strangers")]
    with KubernetesApi(objects) as api:
        inventory = read_from(api, tmp_path)
        assert {one.meta.namespace for one in inventory.gateways} == {"infra", "team"}
        root = "/apis/gateway.networking.k8s.io/v1/namespaces"
        assert sorted(paths(api, "gateways")) == [f"{root}/infra/gateways", f"{root}/team/gateways"]
    with KubernetesApi(objects, faults=Faults(status={"gateways@infra": 403})) as api:
        inventory = read_from(api, tmp_path)
        assert [one.meta.namespace for one in inventory.gateways] == ["team"]
        assert len(inventory.http_routes) == 1


def test_everything_comes_in_one_order(tmp_path: Path) -> None:
    objects = [one for name in ("b", "c", "a") for one in [*made(name), service(name)]]
    for listed in (objects, list(reversed(objects))):
        with KubernetesApi(listed) as api:
            inventory = read_from(api, tmp_path)
            assert [one.meta.name for one in inventory.services] == ["a", "b", "c"]
            assert [one.meta.name for one in inventory.workloads] == ["a", "b", "c"]
