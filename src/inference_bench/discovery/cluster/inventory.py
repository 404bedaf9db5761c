"""All of a namespace, or of all namespaces, that says something about inference services; and what could not be read.

Missing rights, absent kinds and broken answers narrow what is known, with a note each. They never end the search,
unless nothing at all may be read.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from inference_bench.api.telling import Json
from inference_bench.discovery.cluster.access import ClusterUnavailableError
from inference_bench.discovery.cluster.objects import (
    Node,
    Pod,
    Service,
    Workload,
    read_namespace,
    read_node,
    read_pod,
    read_pool,
    read_service,
    read_workload,
)
from inference_bench.discovery.cluster.reader import MOST_REQUESTS_AT_ONCE, ClusterReader, Listing, Resource
from inference_bench.discovery.cluster.routing import (
    Gateway,
    HttpRoute,
    Inference,
    Ingress,
    Route,
    read_gateway,
    read_http_route,
    read_inference,
    read_ingress,
    read_route,
)

T = TypeVar("T")

SERVICES, PODS = Resource("services"), Resource("pods")
_NODES, _NAMESPACES = Resource("nodes"), Resource("namespaces")
_PROJECTS = Resource("projects", "project.openshift.io")
_DEPLOYMENTS, _STATEFUL_SETS = Resource("deployments", "apps"), Resource("statefulsets", "apps")
_INGRESSES = Resource("ingresses", "networking.k8s.io")
_ROUTES = Resource("routes", "route.openshift.io")
_GATEWAY_API = ("gateway.networking.k8s.io", ("v1", "v1beta1"))
_HTTP_ROUTES, _GATEWAYS = Resource("httproutes", *_GATEWAY_API), Resource("gateways", *_GATEWAY_API)
_INFERENCE = Resource("inferenceservices", "serving.kserve.io", ("v1beta1",))
_LLM_INFERENCE = Resource("llminferenceservices", "serving.kserve.io", ("v1", "v1alpha2", "v1alpha1"))
_POOLS = Resource("inferencepools", "inference.networking.k8s.io", ("v1",))
_OLD_POOLS = Resource("inferencepools", "inference.networking.x-k8s.io", ("v1alpha2", "v1alpha1"))
_NODES_SECONDS = 6.0  # an accessory: nobody waits long for it
_ESSENTIAL = (SERVICES, PODS, _DEPLOYMENTS)
_FORBIDDEN = 403
_MOST_NAMESPACES = 300  # are listed one by one; a search must not become a burden to the API server


@dataclass(slots=True)
class Inventory:
    """What was read. `notes` say what could not be; `versions` (of services and of pods) are where a watch begins."""

    namespace: str | None
    services: list[Service] = field(default_factory=list)
    pods: list[Pod] = field(default_factory=list)
    workloads: list[Workload] = field(default_factory=list)
    routes: list[Route] = field(default_factory=list)
    ingresses: list[Ingress] = field(default_factory=list)
    http_routes: list[HttpRoute] = field(default_factory=list)
    gateways: list[Gateway] = field(default_factory=list)
    inferences: list[Inference] = field(default_factory=list)
    pools: list[Service] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    nodes_problem: str | None = None


class InventoryReader:
    """Reads the inventory of one namespace (None: of all). `groups` are the served API groups, None if not told."""

    def __init__(
        self, reader: ClusterReader, namespace: str | None, groups: Mapping[str, tuple[str, ...]] | None
    ) -> None:
        self._reader = reader
        self._namespace = namespace
        self._groups = groups
        self._namespaces: Listing[str] | None = None
        self._finding = asyncio.Lock()
        self._turn = asyncio.Semaphore(MOST_REQUESTS_AT_ONCE)
        self._statuses: dict[str, int | None] = {}

    async def read(self) -> Inventory:
        """Read all lists at once. Raises ClusterUnavailableError where no list that matters may be read."""
        inventory = Inventory(self._namespace)
        deployments: list[Workload] = []
        stateful_sets: list[Workload] = []
        await asyncio.gather(
            self._into(inventory, inventory.services, SERVICES, read_service),
            self._into(inventory, inventory.pods, PODS, read_pod),
            self._into(inventory, deployments, _DEPLOYMENTS, partial(read_workload, "Deployment")),
            self._into(inventory, stateful_sets, _STATEFUL_SETS, partial(read_workload, "StatefulSet")),
            self._into(inventory, inventory.routes, _ROUTES, read_route),
            self._into(inventory, inventory.ingresses, _INGRESSES, read_ingress),
            self._into(inventory, inventory.http_routes, _HTTP_ROUTES, read_http_route),
            self._into(inventory, inventory.gateways, _GATEWAYS, read_gateway),
            self._into(inventory, inventory.inferences, _INFERENCE, partial(read_inference, "InferenceService")),
            self._into(inventory, inventory.inferences, _LLM_INFERENCE, partial(read_inference, "LLMInferenceService")),
            self._into(inventory, inventory.pools, _POOLS, read_pool),
            self._into(inventory, inventory.pools, _OLD_POOLS, read_pool),
        )
        inventory.workloads = [*deployments, *stateful_sets]
        await self._foreign_gateways(inventory)
        _sort(inventory)
        refused = [self._statuses.get(resource.plural) == _FORBIDDEN for resource in _ESSENTIAL]
        if all(refused):
            where = f"in namespace {self._namespace}" if self._namespace is not None else "in all namespaces"
            raise ClusterUnavailableError(
                f"these credentials may list neither services nor pods nor deployments {where}",
                hint="ask for the rights that deploy/rbac.yaml names, or name another namespace with -n",
            )
        inventory.notes.sort()
        return inventory

    async def read_nodes(self, inventory: Inventory) -> None:
        """Add the nodes, which only addresses and accelerators need; that they may not be read is common."""
        listing = await self._reader.list(_NODES, "v1", None, read_node, seconds=_NODES_SECONDS)
        inventory.nodes, inventory.nodes_problem = listing.items, listing.problem

    async def _into(
        self, inventory: Inventory, target: list[T], resource: Resource, read: Callable[[Json], T | None]
    ) -> None:
        listing = await self._everywhere(resource, read)
        if listing is None:
            return
        target.extend(listing.items)
        inventory.versions[resource.plural] = listing.version
        self._statuses[resource.plural] = listing.status
        if listing.problem is not None and not listing.absent:
            inventory.notes.append(_said(resource, listing))

    async def _everywhere(self, resource: Resource, read: Callable[[Json], T | None]) -> Listing[T] | None:
        """List a kind; where it may not be listed cluster-wide, one namespace after another."""
        listing = await self._versioned(resource, self._namespace, read)
        if listing is None or self._namespace is not None or listing.status != _FORBIDDEN:
            return listing
        known = await self._own_namespaces()
        if not known:
            return listing
        chosen = known[:_MOST_NAMESPACES]
        parts = await asyncio.gather(*(self._in_turn(resource, one, read) for one in chosen))
        whole = _joined([part for part in parts if part is not None], len(chosen))
        if len(chosen) < len(known) and whole.problem is None:
            whole.problem = (
                f"only the first {len(chosen):,} of {len(known):,} namespaces were searched: name one with -n"
            )
        return whole

    async def _in_turn(self, resource: Resource, namespace: str, read: Callable[[Json], T | None]) -> Listing[T] | None:
        """List one namespace of many: what waits for its turn has not begun, so that its time does not run yet."""
        async with self._turn:
            return await self._versioned(resource, namespace, read)

    async def _versioned(
        self, resource: Resource, namespace: str | None, read: Callable[[Json], T | None]
    ) -> Listing[T] | None:
        """List in the first version that is served; None where the cluster has no such group."""
        versions = resource.versions
        if self._groups is not None and resource.group:
            served = self._groups.get(resource.group, ())
            versions = tuple(version for version in versions if version in served)
        listing: Listing[T] | None = None
        for version in versions:
            listing = await self._reader.list(resource, version, namespace, read)
            if not listing.absent:
                break
        return listing

    async def _own_namespaces(self) -> list[str]:
        """Return the namespaces these credentials may see. OpenShift shows everybody their own projects."""
        async with self._finding:
            if self._namespaces is None:
                listing = await self._versioned(_NAMESPACES, None, read_namespace)
                if listing is None or not listing.items:
                    listing = await self._versioned(_PROJECTS, None, read_namespace)
                self._namespaces = listing or Listing()
        return self._namespaces.items

    async def _foreign_gateways(self, inventory: Inventory) -> None:
        """Read the Gateways of other namespaces that HTTPRoutes of this one hang on."""
        if self._namespace is None:
            return
        named = {namespace for route in inventory.http_routes for namespace, _, _, _ in route.parents}
        for namespace in sorted(named - {self._namespace}):
            listing = await self._versioned(_GATEWAYS, namespace, read_gateway)
            inventory.gateways.extend(listing.items if listing is not None else ())


def _sort(inventory: Inventory) -> None:
    """Put everything into one order, so that a search says the same whatever order a server lists in."""
    lists: tuple[list[Any], ...] = (
        inventory.services, inventory.pods, inventory.workloads, inventory.routes, inventory.ingresses,
        inventory.http_routes, inventory.gateways, inventory.inferences, inventory.pools,
    )  # fmt: skip
    for one in lists:
        one.sort(key=lambda read: (read.meta.namespace, read.meta.name, read.meta.kind))


def _joined(parts: Sequence[Listing[T]], asked: int) -> Listing[T]:
    """Join the lists of many namespaces; what failed in some is one problem."""
    whole: Listing[T] = Listing([item for part in parts for item in part.items])
    failed = [part for part in parts if part.problem is not None and not part.absent]
    if failed:
        whole.problem = f"{failed[0].problem} (in {len(failed)} of {asked} namespaces)"
        whole.status = failed[0].status if len(failed) == len(parts) else None
    elif parts and all(part.absent for part in parts):
        whole.status = parts[0].status
        whole.problem = parts[0].problem
    return whole


def _said(resource: Resource, listing: Listing[T]) -> str:
    if listing.status == _FORBIDDEN:
        return f"no right to list {resource.plural}: what they say is not known"
    return f"{resource.plural}: {listing.problem}"
