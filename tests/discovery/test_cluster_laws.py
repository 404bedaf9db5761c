"""Laws of the search: nothing in any field breaks it, no order changes what it says, no name of a namespace either."""

import asyncio
import random
from collections.abc import Iterator
from copy import deepcopy
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster_objects import (
    TEAM,
    chat,
    container,
    facts,
    gateway,
    http_route,
    inference,
    ingress,
    made,
    opened,
    path_prefix,
    pool,
    route,
    search,
    search_at,
    service,
)
from inference_bench.discovery.cluster.flags import start_flags
from inference_bench.discovery.cluster.objects import Container
from inference_bench.discovery.cluster.recognition import container_clues
from inference_bench.discovery.sources import Candidate
from kubernetes_api import KubernetesApi, Object, load

CHARTS = sorted((Path(__file__).parents[1] / "data" / "clusters" / "charts").glob("*.yaml"))


def told(candidates: tuple[Candidate, ...]) -> list[tuple[object, ...]]:
    """Return all that a search says, to be compared."""
    return [
        (one.endpoint.name, one.endpoint.url, one.source, one.notes, one.ways, one.no_way, repr(one.cluster), one.hint)
        for one in candidates
    ]


@pytest.mark.parametrize("chart", CHARTS, ids=lambda file: file.stem)
def test_the_order_of_objects_changes_nothing(chart: Path) -> None:
    objects = load(chart)
    expected = told(search(objects, namespace="*", inside=True).candidates)
    with KubernetesApi(objects) as api:
        for seed in range(3):
            random.Random(seed).shuffle(objects)
            assert told(search_at(api.url, namespace="*", inside=True)[0]) == expected


NAMESPACES = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", fullmatch=True)


def test_the_name_of_a_namespace_never_changes_the_guess() -> None:
    shop = [*made("shop", container("registry.example.com/shop")), service("shop", {"port": 8000})]
    with KubernetesApi() as api:

        def guessed(namespace: str) -> tuple[object, ...]:
            api.objects = deepcopy([*chat(), *shop])
            for one in api.objects:
                one["metadata"]["namespace"] = namespace
            (only,) = search_at(api.url, namespace=namespace)[0]
            assert facts(only)["namespace"] == namespace
            assert only.cluster is not None
            return only.endpoint.name, only.cluster.product, only.cluster.evidence

        expected = guessed(TEAM)
        assert expected[:2] == ("chat", "vLLM")
        for namespace in ("vllm", "ollama", "tgi-models", "vllm-benchmark", "kube-system"):
            assert guessed(namespace) == expected

        @settings(max_examples=15)
        @given(namespace=NAMESPACES)
        def law(namespace: str) -> None:
            assert guessed(namespace) == expected

        law()


EXAMPLES = 4
RUBBISH = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20), st.sampled_from(["", "²", "9" * 5000, "http://[x", "a b", "\x1b[1m", "*", "True", "None"]),
    st.just([]), st.just({}), st.lists(st.none() | st.text(max_size=3), max_size=3),
    st.dictionaries(st.sampled_from(["name", "port", "x"]), st.none() | st.integers(), max_size=2),
)  # fmt: skip


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of every value inside a value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*path, key)
        yield from places(one, (*path, key))


def replaced(one: Object, path: tuple[Any, ...], value: Any) -> None:
    """Put a value at a path; one that an earlier change has taken away stays away."""
    target: Any = one
    try:
        for key in path[:-1]:
            target = target[key]
        target[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        pass


@pytest.mark.parametrize("chart", CHARTS, ids=lambda file: file.stem)
def test_whatever_stands_in_any_field_the_search_ends_and_raises_nothing(chart: Path) -> None:
    """Up to twenty fields of the objects hold rubbish; kinds and groups stay, so that they are listed."""
    original = load(chart)
    fields = [
        (number, path)
        for number, one in enumerate(original)
        for path in places(one)
        if path[0] in ("spec", "status") or path[1:] not in ((), ("namespace",))
    ]

    async def ended(url: str, inside: bool) -> None:
        async with asyncio.timeout(30), opened(url, namespace="*", inside=inside, port_forward=True) as source:
            for one in await source.candidates():
                assert one.endpoint.name
                assert one.ways or one.no_way
                assert one.source.isprintable()

    with KubernetesApi() as api:

        @settings(max_examples=EXAMPLES)
        @given(
            changes=st.lists(st.tuples(st.sampled_from(fields), RUBBISH), min_size=1, max_size=20), inside=st.booleans()
        )
        def law(changes: list[tuple[tuple[int, tuple[Any, ...]], Any]], inside: bool) -> None:
            objects = deepcopy(original)
            for (number, path), value in changes:
                replaced(objects[number], path, value)
            api.objects = objects
            asyncio.run(ended(api.url, inside))

        law()


EVERY_KIND: list[Object] = [
    *made("chat", container(
        args=["--port", "8000"], env=[{"name": "PORT", "value": "8000"}],
        resources={"limits": {"nvidia.com/gpu": "1"}, "requests": {"cpu": "1"}},
        readinessProbe={"httpGet": {"port": 8000, "scheme": "HTTPS"}},
    )),
    service("chat", {"port": 80, "targetPort": 8000, "nodePort": 30080, "name": "web"}, selector={"app": "chat"},
            type="LoadBalancer", balancers=[{"ip": "203.0.113.5"}], externalIPs=["198.51.100.4"]),
    service("bare-vllm", {"port": 8000}, selector={"app": "gone"}),
    route(), ingress(tls=[{"hosts": ["chat.example.com"]}]), gateway(), http_route(path_prefix("/a", replacement="/")),
    inference(url="http://a.example.com", address={"url": "http://b.team.svc"}, addresses=[{"name": "x", "url": "y"}]),
    pool(app="chat"),
]  # fmt: skip
# The strings and numbers that have no meaning somewhere stand in every field; the types take turns from field to field.
TYPES: tuple[Any, ...] = (None, "", True, 0, [], {}, [None], "9" * 5000, "\x1b[1m")
VALUES: tuple[tuple[Any, ...], ...] = (
    ("a b",),
    ("²",),
    ("http://[x",),
    ("GOPHER",),
    (70_000,),
    TYPES,
    TYPES[4:] + TYPES[:4],
)


@pytest.mark.parametrize("values", VALUES, ids=lambda values: repr(values[0])[:12])
def test_no_single_field_breaks_the_search_or_what_is_found_elsewhere(values: tuple[Any, ...]) -> None:
    """Each field of each kind in turn holds a value, each in a namespace of its own: one search sees them all."""
    objects: list[Object] = []
    turns = cycle(values)
    for number, one in enumerate(EVERY_KIND):
        for path in places(one):
            if path[0] in ("spec", "status") or path[1:] not in ((), ("namespace",)):
                cluster = deepcopy(EVERY_KIND)
                replaced(cluster[number], path, deepcopy(next(turns)))
                for each in cluster:
                    each["metadata"]["namespace"] = f"n-{len(objects)}"
                objects += cluster
    whole = deepcopy(EVERY_KIND)
    for one in whole:
        one["metadata"]["namespace"] = "whole"
    found = search([*objects, *whole], namespace="*", inside=True)
    spared = [one for one in found.candidates if facts(one)["namespace"] == "whole"]
    alone = search(whole, namespace="whole", inside=True).candidates
    assert [(one.source, one.ways, one.notes) for one in spared] == [(one.source, one.ways, one.notes) for one in alone]
    assert len({one.endpoint.name for one in found.candidates}) == len(found.candidates)


@pytest.mark.parametrize("text", ["w", "vllm serve ", "://", "a=", "-", "'", "bench "])
def test_endless_commands_are_read_in_steps_that_grow_with_their_length_alone(text: str) -> None:
    """Patterns that try every beginning against every end would take hours; the bound is the test's own time-out."""
    words = tuple((text * 2000)[:2000] for _ in range(200))
    own = Container("main", image="vllm/vllm-openai", words=(*words, "--headless"))
    assert len(start_flags(own)) <= 40
    container_clues(own)


def test_objects_that_are_no_objects_are_left_out() -> None:
    broken: list[Any] = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"namespace": TEAM, "name": "x"}, "spec": value, "status": value}
        for kind in ("Pod", "Service")
        for value in (None, "x", 3, [], [None], {"containers": "x", "ports": 3, "selector": []})
    ]
    assert search([*broken, *chat()]).names == ["chat"]
