"""What a cluster told makes services unlike: each note, its words, and none where nothing was told or all is alike."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inference_bench.results.comparison import FairnessNote
from inference_bench.results.fairness import notes_before
from inference_bench.results.fairness_cluster import cluster_notes
from inference_bench.results.manifest import ServiceFacts

CODES = ("way", "port_forward", "replicas", "accelerators", "cpu_limit", "memory_limit", "shared_node")
ALIKE: dict[str, Any] = {
    "reached_by": "Route", "replicas_ready": 1, "workload": "Deployment x", "image": "x", "gpu": "H100",
    "gpus_per_replica": 1, "cpu_limit": "4", "memory_limit": "16Gi",
}  # fmt: skip


def service(name: str, **said: Any) -> ServiceFacts:
    told = {key: value for key, value in {**ALIKE, **said}.items() if value is not None}
    return ServiceFacts(
        name=name, engine="vllm", product="vLLM", version="1", model="m", url=f"http://{name}.example:8000", said=told
    )


def notes(*services: ServiceFacts) -> list[FairnessNote]:
    return list(cluster_notes(services))


RULES: dict[str, tuple[dict[str, Any], dict[str, Any], list[tuple[str, str, str]]]] = {
    "alike": ({}, {}, []),
    "ways": (
        {"reached_by": "Route"}, {"reached_by": "NodePort"},
        [("way", "warning", "The ways to the services differ: Route (a), NodePort (b).")],
    ),
    "a port-forward": (
        {"reached_by": "port-forward"}, {"reached_by": "LoadBalancer"},
        [("way", "warning", "The ways to the services differ: port-forward (a), LoadBalancer (b)."),
         ("port_forward", "warning",
          "a is reached by a port-forward: every byte goes through the cluster's API server, and its times hold "
          "what that adds.")],
    ),
    "port-forwards": (
        {"reached_by": "port-forward"}, {"reached_by": "port-forward"},
        [("port_forward", "warning",
          "a and b are reached by a port-forward: every byte goes through the cluster's API server, and their times "
          "hold what that adds.")],
    ),
    "one outside the cluster": (
        {"reached_by": "port-forward"}, dict.fromkeys(ALIKE),
        [("port_forward", "warning",
          "a is reached by a port-forward: every byte goes through the cluster's API server, and its times hold "
          "what that adds.")],
    ),
    "replicas": (
        {"replicas_ready": 1200}, {}, [("replicas", "warning", "Replicas that take requests: 1,200 (a), 1 (b).")],
    ),
    "replicas by port-forwards": (
        {"replicas_ready": 3, "reached_by": "port-forward"}, {"replicas_ready": 1, "reached_by": "port-forward"},
        [("port_forward", "warning",
          "a and b are reached by a port-forward: every byte goes through the cluster's API server, and their times "
          "hold what that adds.")],
    ),
    "kinds of GPU": (
        {"gpu": "H100"}, {"gpu": "L4"},
        [("accelerators", "warning", "Accelerators of a replica differ: 1 × H100 (a), 1 × L4 (b).")],
    ),
    "numbers of GPUs": (
        {"gpus_per_replica": 4}, {},
        [("accelerators", "warning", "Accelerators of a replica differ: 4 × H100 (a), 1 × H100 (b).")],
    ),
    "none": (
        {"gpu": None, "gpus_per_replica": None}, {},
        [("accelerators", "warning", "Accelerators of a replica differ: none asked for (a), 1 × H100 (b).")],
    ),
    "a pod nobody saw": (
        {"gpu": None, "gpus_per_replica": None, "workload": None, "image": None}, {}, [],
    ),
    "limits written otherwise": ({"cpu_limit": "4000m", "memory_limit": "17179869184"}, {}, []),
    "CPU limits": ({"cpu_limit": "8"}, {}, [("cpu_limit", "note", "CPU limits differ: 8 (a), 4 (b).")]),
    "memory limits": (
        {"memory_limit": "1Ti"}, {}, [("memory_limit", "note", "Memory limits differ: 1Ti (a), 16Gi (b).")],
    ),
    "a limit of one alone": ({"cpu_limit": None, "memory_limit": None}, {}, []),
    "a node of both": (
        {"nodes": ["n1", "n2"]}, {"nodes": ["n2", "n3"]},
        [("shared_node", "note", "a and b run on a node together (n2).")],
    ),
    "nodes of both": (
        {"nodes": ["n1", "n2"]}, {"nodes": ["n1", "n2"]},
        [("shared_node", "note", "a and b run on 2 nodes together (n1 and n2).")],
    ),
    "nodes apart": ({"nodes": ["n1"]}, {"nodes": ["n2"]}, []),
    "what is of no type it should be": (
        {"nodes": "n1", "replicas_ready": "2", "gpus_per_replica": True, "cpu_limit": 3, "reached_by": 5}, {}, [],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", RULES)
def test_rules(case: str) -> None:
    first, second, expected = RULES[case]
    made = notes(service("a", **first), service("b", **second))
    assert [(one.code, one.weight, one.text) for one in made] == expected
    assert all(one.services == (("a", "b") if "port" not in one.code else one.services) for one in made)


def test_whom_a_note_is_about() -> None:
    (way, forwarded) = notes(service("a", reached_by="port-forward"), service("b"), service("c", reached_by=None))
    assert (way.code, way.services) == ("way", ("a", "b"))
    assert (forwarded.code, forwarded.services) == ("port_forward", ("a",))


def test_nodes_that_others_share_are_told_by_who_shares_them() -> None:
    three = [service(name, nodes=nodes) for name, nodes in (("a", ["1", "2"]), ("b", ["1", "2"]), ("c", ["2", "3"]))]
    assert [(one.services, one.text) for one in notes(*three)] == [
        (("a", "b"), "a and b run on a node together (1)."),
        (("a", "b", "c"), "a, b and c run on a node together (2)."),
    ]


def test_services_outside_a_cluster_have_none_of_these_notes() -> None:
    outside = [service(name, **dict.fromkeys(ALIKE)) for name in "ab"]
    assert notes(*outside) == []
    assert not {one.code for one in notes_before(outside)} & set(CODES)


def test_they_are_among_the_notes_before_a_run_warnings_first() -> None:
    first = service("a", reached_by="port-forward", cpu_limit="8", nodes=["n"])
    before = notes_before([first, service("b", replicas_ready=2, gpu="L4", memory_limit="1Gi", nodes=["n"])])
    codes = [one.code for one in before]
    assert set(CODES) <= set(codes)
    weights = [one.weight for one in before]
    assert weights == sorted(weights, key=lambda weight: weight != "warning")


def test_one_service_alone_is_unlike_nothing() -> None:
    assert notes_before([service("a", reached_by="Route", nodes=["n"])]) == ()


ANY = st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.lists(st.none() | st.text(max_size=3))
SAID = st.dictionaries(st.sampled_from([*ALIKE, "nodes"]), ANY)


@given(first=SAID, second=SAID)
def test_whatever_a_manifest_holds_notes_are_sentences_of_one_line(first: Any, second: Any) -> None:
    for one in notes(service("a", **first), service("b", **second)):
        assert one.code in CODES
        assert one.text.endswith(".")
        assert one.text.isprintable()


@given(said=SAID)
def test_a_service_is_never_unlike_its_twin_but_for_what_they_share(said: Any) -> None:
    codes = {one.code for one in notes(service("a", **said), service("b", **said))}
    assert codes <= {"port_forward", "shared_node"}
