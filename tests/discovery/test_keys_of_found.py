"""A key for every service goes to those of a place that somebody named, and to nobody who merely was found."""

import asyncio
from collections.abc import Sequence

import pytest

from engine_servers import serving, vllm_pages
from inference_bench.config.models import Settings
from inference_bench.config.service_models import EndpointSettings, ServicesSettings
from inference_bench.discovery.cluster.source import ClusterRequest
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.service_finder import ByService, find_services
from inference_bench.discovery.services import FoundService
from inference_bench.discovery.sources import Candidate

ENVIRON = {"KEY": "sekret"}
FOR_ALL: ByService = {"*": {"api_key_env": "KEY"}}


class Found:
    """A source with one service."""

    def __init__(self, url: str, *, by_name_only: bool) -> None:
        endpoint = EndpointSettings(name="chat", url=url)
        self._candidate = Candidate(endpoint, "found", named=False, by_name_only=by_name_only, certain=True)

    async def candidates(self) -> Sequence[Candidate]:
        return [self._candidate]


def find(url: str, said: ByService, *, by_name_only: bool) -> FoundService:
    sources = [Found(url, by_name_only=by_name_only)]
    (service,) = asyncio.run(find_services(Settings(), environ=ENVIRON, sources=sources, by_service=said))
    return service


def test_a_key_for_all_goes_to_the_services_of_a_named_namespace() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        assert find(server.url, FOR_ALL, by_name_only=False).health.status is HealthStatus.HEALTHY


def test_a_key_for_all_goes_to_no_service_that_merely_was_found_and_that_is_said() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        service = find(server.url, FOR_ALL, by_name_only=True)
        assert {key for _, key in server.seen} == {None}
    assert service.health.status is HealthStatus.UNAUTHORISED
    assert any("--api-key-env SERVICE=VARIABLE" in note for note in service.notes)


def test_a_key_for_one_service_goes_to_it_wherever_it_was_found() -> None:
    with serving(vllm_pages(), key="sekret") as server:
        service = find(server.url, {"chat": {"api_key_env": "KEY"}}, by_name_only=True)
    assert service.health.status is HealthStatus.HEALTHY
    assert service.notes == ()


@pytest.mark.parametrize(
    ("request_", "anybodys"),
    [
        (ClusterRequest("llm"), False),
        (ClusterRequest(None), False),
        (ClusterRequest("*"), True),
        (ClusterRequest(None, named=False), True),
    ],
)
def test_what_counts_as_named(request_: ClusterRequest, anybodys: bool) -> None:
    assert request_.anybodys is anybodys


def test_a_cluster_is_named_by_its_namespace_or_its_context() -> None:
    assert ServicesSettings(namespace="llm").cluster
    assert ServicesSettings(context="prod").cluster
    assert not ServicesSettings().cluster
