"""A cluster as a place to look for services: candidates with their evidence, their ways, and what the cluster told."""

import asyncio
import ipaddress
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from inference_bench.config.service_models import EndpointSettings
from inference_bench.discovery.cluster.access import Cluster, Credentials, open_cluster
from inference_bench.discovery.cluster.backends import Backend, find_backends
from inference_bench.discovery.cluster.facts import cluster_facts, state_of
from inference_bench.discovery.cluster.forwarder import Forwarder
from inference_bench.discovery.cluster.inventory import PODS, SERVICES, Inventory, InventoryReader
from inference_bench.discovery.cluster.reader import ClusterReader
from inference_bench.discovery.cluster.ways import forwardable_pod, scheme_of, ways_to
from inference_bench.discovery.services import ClusterFacts
from inference_bench.discovery.sources import Candidate
from inference_bench.discovery.url_resolver import Rule, Way, normalise_url
from inference_bench.errors import ConfigError

EVERY_NAMESPACE = "*"
_SERVICE_NAMES = (".svc", ".svc.cluster.local")


@dataclass(frozen=True, slots=True)
class ClusterRequest:
    """What is searched: a namespace (None: that of the credentials, "*": all); whether ports may be forwarded.

    `named` says that somebody asked for this cluster in words.
    """

    namespace: str | None = None
    port_forward: bool = False
    named: bool = True

    @property
    def anybodys(self) -> bool:
        """Whether whoever may run a pod may be found: then no key goes to a service that was not named."""
        return self.namespace == EVERY_NAMESPACE or not self.named


class ClusterSource:
    """One cluster. After `candidates`, `notes` say what could not be read and `described` what was searched."""

    def __init__(self, cluster: Cluster, request: ClusterRequest, forwarder: Forwarder) -> None:
        self._reader = ClusterReader(cluster)
        self._cluster = cluster
        self._request = request
        self._forwarder = forwarder
        self._versions: Mapping[str, str] = {}
        self.notes: tuple[str, ...] = ()

    @property
    def namespace(self) -> str | None:
        """The namespace that is searched, None for all."""
        wanted = self._request.namespace
        return None if wanted == EVERY_NAMESPACE else wanted or self._cluster.namespace

    @property
    def described(self) -> str:
        """What is searched, in words."""
        where = f"namespace {self.namespace}" if self.namespace is not None else "all namespaces"
        context = f", context {self._cluster.context}" if self._cluster.context is not None else ""
        return f"{where} of the cluster at {self._cluster.server}{context}"

    async def candidates(self) -> Sequence[Candidate]:
        """Return one candidate for each engine, the best evidence first. Raises ClusterUnavailableError."""
        groups = await self._reader.api_groups()
        reading = InventoryReader(self._reader, self.namespace, groups)
        inventory = await reading.read()
        backends = find_backends(inventory)
        if backends:
            await reading.read_nodes(inventory)
        self._versions = inventory.versions
        notes = list(inventory.notes)
        if inventory.nodes_problem is not None and any(_needs_nodes(backend) for backend in backends):
            notes.append("nodes cannot be read: their addresses and kinds of GPU are known only as far as pods tell")
        self.notes = tuple(notes)
        names = _names(backends)
        return [self._candidate(backend, name, inventory) for backend, name in zip(backends, names, strict=True)]

    async def changed(self) -> None:
        """Return when pods or services have changed since the search; never, where that may not be watched."""
        watching = [
            asyncio.ensure_future(
                self._reader.changed(resource, self.namespace, self._versions.get(resource.plural, ""))
            )
            for resource in (PODS, SERVICES)
        ]
        try:
            await asyncio.wait(watching, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in watching:
                one.cancel()
            await asyncio.gather(*watching, return_exceptions=True)

    def _candidate(self, backend: Backend, name: str, inventory: Inventory) -> Candidate:
        found = ways_to(backend, inventory, inside=self._cluster.inside)
        ways, spelt = _spelt(found.ways)
        ways = tuple(self._trusting(way) for way in ways)
        facts, sources = cluster_facts(backend, inventory)
        certain = backend.guess.strong
        told = ClusterFacts(backend.product, backend.guess.evidence, facts, sources, state_of(backend), certain)
        return Candidate(
            endpoint=EndpointSettings(name=name, url=ways[0].url if ways else _placeholder(found.only_inside, name)),
            source=f"{backend.namespace}: {'; '.join(backend.guess.evidence)}",
            named=False,
            notes=(*found.refusals, *spelt),
            ways=ways,
            last_way=self._last_way(backend),
            no_way=None if ways else self._no_way(backend, (*found.refusals, *spelt)),
            cluster=told,
            certain=certain,
            hint=backend.guess.product.engine if certain else None,
            by_name_only=self._request.anybodys,
        )

    def _trusting(self, way: Way) -> Way:
        """Trust OpenShift's own authority for the addresses that it makes certificates for: names of Services."""
        inside = way.rule is Rule.CLUSTER_DNS and (urlsplit(way.url).hostname or "").endswith(_SERVICE_NAMES)
        return replace(way, ca_file=self._cluster.service_ca) if inside and way.url.startswith("https:") else way

    def _last_way(self, backend: Backend) -> Callable[[], Awaitable[Way]] | None:
        """Return what opens a port-forward, None where none was asked for or no pod takes requests."""
        pod = forwardable_pod(backend)
        if not self._request.port_forward or pod is None:
            return None
        door = next((door for door in backend.doors if not door.front), None)
        front = backend.doors[0] if backend.doors and door is None else None
        port = front.target if front is not None else (door.target if door is not None else backend.port)

        async def opened() -> Way:
            url = await self._forwarder.open(backend.namespace, pod.meta.name, port)
            url = url.replace("http://", f"{scheme_of(backend, front or door)}://", 1)
            several = len(backend.ready_pods)
            only = (f"the port-forward leads to one of its {several} pods",) if several > 1 else ()
            return Way(Rule.PORT_FORWARD, url, f"{pod.meta.called}, port {port}", only)

        return opened

    def _no_way(self, backend: Backend, refusals: Sequence[str]) -> str:
        state = state_of(backend)
        if state is not None:
            return state
        if not backend.doors and backend.inference is None:
            reason = "no Service leads to it"
        elif refusals:
            reason = refusals[0]
        elif self._cluster.inside:
            reason = "it has no address"
        else:
            reason = "it has an address inside the cluster only"
        return reason if self._request.port_forward else f"{reason}; --port-forward reaches it through the API server"


@asynccontextmanager
async def cluster_source(
    credentials: Credentials, request: ClusterRequest, environ: Mapping[str, str]
) -> AsyncIterator[ClusterSource]:
    """Open a cluster to be searched; its port-forwards last as long as the block.

    Raises ConfigError for a broken kubeconfig, ClusterUnavailableError where credentials cannot be had.
    """
    async with open_cluster(credentials, environ) as cluster, Forwarder(credentials.context, environ) as forwarder:
        yield ClusterSource(cluster, request, forwarder)


def _spelt(ways: Iterable[Way]) -> tuple[tuple[Way, ...], tuple[str, ...]]:
    """Return the ways with their URLs in the one spelling; one that cannot be a URL is left out, with a note."""
    spelt: list[Way] = []
    notes: list[str] = []
    for way in ways:
        try:
            base = normalise_url(way.url)
        except ConfigError as error:
            notes.append(f"{way.through} is not used: {error.message}")
            continue
        if _is_link_local(base.url):
            notes.append(f"{way.through} is not used: it leads to a link-local address ({base.url})")
            continue
        spelt.append(replace(way, url=base.url, notes=(*way.notes, *base.notes)))
    return tuple(spelt), tuple(notes)


def _is_link_local(url: str) -> bool:
    """Whether a URL leads to where clouds hand out credentials: whoever may make a Route could send us there."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    try:
        return ipaddress.ip_address(host).is_link_local
    except ValueError:
        return host == "metadata.google.internal"


def _placeholder(address: str, name: str) -> str:
    """Return what is shown as the address of a service without a way; nobody is asked there."""
    try:
        return normalise_url(address).url
    except ConfigError:
        return f"http://{name}"


def _needs_nodes(backend: Backend) -> bool:
    ports = any(door.port.node_port is not None for door in backend.doors)
    return ports or (backend.container is not None and any("gpu" in name for name in backend.container.limits))


def _names(backends: Sequence[Backend]) -> list[str]:
    """Name each engine after what it is called in the cluster, with its namespace where a name is there twice."""
    plain = [_plain(backend.name) for backend in backends]
    often = Counter(plain)
    wanted = [
        name if often[name] == 1 else f"{name}-{_plain(backend.namespace)}"
        for name, backend in zip(plain, backends, strict=True)
    ]
    taken: set[str] = set()
    names = []
    for name in wanted:
        number, free = 2, name
        while free in taken:
            free, number = f"{name}-{number}", number + 1
        taken.add(free)
        names.append(free)
    return names


def _plain(name: str) -> str:
    """Spell a name as services are named here: lower-case letters, digits and hyphens."""
    kept = "".join(char if char.isascii() and (char.isalnum() or char == "-") else "-" for char in name.lower())
    return kept.strip("-") or "service"
