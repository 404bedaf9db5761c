"""A watch of the API server ends at a change, and when it can no longer tell; never because it is refused."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from cluster_kubeconfig import Told, pods, with_reader
from cluster_objects import made
from engine_servers import Page, serving
from inference_bench.discovery.cluster.reader import ClusterReader, Resource
from kubernetes_api import KubernetesApi

PODS = Resource("pods")


def watched(api: KubernetesApi, folder: Path, act: Callable[[], None], *, seconds: float, since: str = "1000") -> bool:
    """Return whether a watch of pods ends within a time after an act."""

    async def story(reader: ClusterReader) -> bool:
        watching = asyncio.ensure_future(reader.changed(PODS, "team", since))
        while since and not api.watchers and not watching.done():  # noqa: ASYNC110 - another thread's list
            await asyncio.sleep(0.01)
        act()
        await asyncio.wait({watching}, timeout=seconds)
        ended = watching.done()
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        return ended

    return with_reader(api.url, folder, story)


CHANGES: dict[str, tuple[Callable[[KubernetesApi], None], bool]] = {
    "added": (lambda api: api.add(*pods(1)), True),
    "modified": (lambda api: api.replace("Pod", "chat-7d9-0", lambda pod: pod["status"].clear()), True),
    "added elsewhere": (lambda api: api.add(*pods(1, "other")), False),
    "nothing": (lambda _: None, False),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_in_the_namespace_ends_a_watch(case: str, tmp_path: Path) -> None:
    act, ended = CHANGES[case]
    with KubernetesApi(made("chat")) as api:
        assert watched(api, tmp_path, lambda: act(api), seconds=5 if ended else 0.3) is ended
        assert len(api.requests) == 1
        assert "watch=true" in api.requests[0]
        assert "resourceVersion=1000" in api.requests[0]


def test_a_watch_ends_when_its_beginning_is_forgotten(tmp_path: Path) -> None:
    with KubernetesApi() as api:
        api.faults.gone["watch pods"] = 1
        assert watched(api, tmp_path, lambda: None, seconds=5)


@pytest.mark.parametrize(("status", "ended"), [(410, True), (403, False), (404, False), (500, False)])
def test_a_watch_that_is_refused_never_ends_and_is_asked_for_once(status: int, ended: bool, tmp_path: Path) -> None:
    told: Told = {"kind": "Status", "code": status}
    with serving({}, otherwise=Page(told, status=status)) as server:

        async def story(reader: ClusterReader) -> bool:
            watching = asyncio.ensure_future(reader.changed(PODS, "team", "7"))
            await asyncio.wait({watching}, timeout=5 if ended else 0.4)
            done = watching.done()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
            return done

        assert with_reader(server.url, tmp_path, story) is ended
        assert len(server.seen) == 1


def test_without_a_version_nothing_is_watched(tmp_path: Path) -> None:
    with KubernetesApi(pods(1)) as api:
        assert not watched(api, tmp_path, lambda: api.add(*pods(1)), seconds=0.3, since="")
        assert api.requests == []
