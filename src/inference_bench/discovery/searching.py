"""Where to look: the configured endpoints, this machine's ports, the cluster that was named or the one at hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from inference_bench.config.service_models import ServicesSettings
from inference_bench.discovery.cluster.access import ClusterUnavailableError, Credentials, find_credentials
from inference_bench.discovery.sources import LOCAL_PORTS, Candidate, ConfiguredSource, LocalSource, ServiceSource
from inference_bench.errors import BenchError

if TYPE_CHECKING:
    from inference_bench.discovery.cluster.source import ClusterSource

_NO_CREDENTIALS = "no kubeconfig (KUBECONFIG, ~/.kube/config) and no account of a pod: there is no cluster to search"


@dataclass(slots=True)
class Search:
    """Where is looked. `local`: at this machine's ports; `cluster` is among the sources when it could be opened.

    `problem` is why a cluster could not be searched that nobody had insisted on.
    """

    sources: list[ServiceSource] = field(default_factory=list)
    local: bool = False
    cluster: "ClusterSource | None" = None
    problem: BenchError | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be read; complete once the sources have been asked."""
        told = self.cluster.notes if self.cluster is not None else ()
        return (*told, f"the cluster was not searched: {self.problem.message}") if self.problem is not None else told

    @property
    def places(self) -> tuple[str, ...]:
        """Where was looked, in words."""
        ports = ", ".join(str(port) for port in LOCAL_PORTS)
        here = (f"this machine's usual ports ({ports})",) if self.local else ()
        there = (self.cluster.described,) if self.cluster is not None and self.problem is None else ()
        return (*here, *there)


class _AtHand:
    """A cluster that nobody insisted on: that it cannot be searched is no error."""

    def __init__(self, source: "ClusterSource", search: Search) -> None:
        self._source = source
        self._search = search

    async def candidates(self) -> Sequence[Candidate]:
        try:
            return await self._source.candidates()
        except ClusterUnavailableError as error:
            self._search.problem = error
            return ()


@asynccontextmanager
async def open_search(
    services: ServicesSettings, environ: Mapping[str, str], *, look_around: bool = False
) -> AsyncIterator[Search]:
    """Open every place where the settings say to look; port-forwards last as long as the block.

    Endpoints, and the cluster where a namespace or context is named; without either this machine's usual ports, and
    with `look_around` also the cluster that the kubeconfig or the pod's account leads to, if there is one. Raises
    ConfigError for a broken kubeconfig and ClusterUnavailableError where a named cluster cannot be opened.
    """
    search = Search()
    if services.endpoints:
        search.sources.append(ConfiguredSource(services.endpoints))
    async with AsyncExitStack() as stack:
        if services.cluster:
            credentials = find_credentials(environ, services.context)
            if credentials is None:
                raise ClusterUnavailableError(_NO_CREDENTIALS, hint="log in to the cluster first, or name a kubeconfig")
            search.cluster = await _opened(stack, credentials, services, environ)
            search.sources.append(search.cluster)
        elif services.discovery and not services.endpoints:
            search.sources.append(LocalSource())
            search.local = True
            if look_around:
                await _look_around(search, stack, services, environ)
        yield search


async def _look_around(
    search: Search, stack: AsyncExitStack, services: ServicesSettings, environ: Mapping[str, str]
) -> None:
    try:
        credentials = find_credentials(environ)
        if credentials is not None:
            search.cluster = await _opened(stack, credentials, services, environ)
            search.sources.append(_AtHand(search.cluster, search))
    except BenchError as error:
        search.problem = error


async def _opened(
    stack: AsyncExitStack, credentials: Credentials, services: ServicesSettings, environ: Mapping[str, str]
) -> "ClusterSource":
    from inference_bench.discovery.cluster.source import ClusterRequest, cluster_source  # noqa: PLC0415 - rarely needed

    request = ClusterRequest(services.namespace, services.port_forward, named=services.cluster)
    return await stack.enter_async_context(cluster_source(credentials, request, environ))
