"""The stories of finding services: who is there, which of them can be measured, and one quick question to each.

Says nothing by itself: what people must know comes back as notes and errors.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from inference_bench.api.exchange import Timeouts
from inference_bench.api.protocols import ChatRequest, Endpoint
from inference_bench.api.targets import TargetError, resolve
from inference_bench.api.unified_client import Answer, UnifiedClient
from inference_bench.config.loader import LoadedSettings
from inference_bench.config.models import Settings
from inference_bench.config.service_models import ServicesSettings
from inference_bench.discovery.fact_finder import learn_facts
from inference_bench.discovery.searching import Search, open_search
from inference_bench.discovery.service_finder import find_services
from inference_bench.discovery.services import FoundService, to_endpoint
from inference_bench.discovery.sources import SimulatedSource
from inference_bench.discovery.url_resolver import is_loopback
from inference_bench.discovery.watching import Watch
from inference_bench.errors import BenchError, NoServiceError
from inference_bench.orchestration.service_advice import advice, all_states, nothing_found
from inference_bench.testing.rendering import ServiceUnderTest

SIMULATED_ENGINES = ("vllm", "tgi", "ollama")  # what --simulate starts
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


@dataclass(frozen=True, slots=True)
class OpenServices:
    """The services of one story.

    `services` can be measured, and `endpoints` are their ways in, in the same order. `left_out` was found and cannot
    be. `simulated` says that at least one of them is a simulator, however it was reached.
    """

    services: tuple[FoundService, ...]
    left_out: tuple[FoundService, ...]
    endpoints: tuple[Endpoint, ...]
    notes: tuple[str, ...]

    @property
    def simulated(self) -> bool:
        """Whether anything measured here is a simulator."""
        return any(service.simulated for service in self.services)


@dataclass(frozen=True, slots=True)
class Findings:
    """All services that were found, whatever their health; what is to be said of the search, and where was looked.

    `problem` is why a cluster that nobody insisted on could not be searched.
    """

    services: tuple[FoundService, ...]
    notes: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    problem: BenchError | None = None


@asynccontextmanager
async def found_services(
    loaded: LoadedSettings, *, environ: Mapping[str, str], only: Sequence[str] = (), look_around: bool = False
) -> AsyncIterator[Findings]:
    """Find and check all services, whatever their health; simulators and port-forwards live as long as the block.

    `look_around` says that the cluster at hand is searched even when nobody named it. Raises ConfigError and UsageError
    as `find_services` does, and ClusterUnavailableError (a NoServiceError) where a named cluster cannot be searched.
    """
    settings = loaded.settings
    if not settings.services.simulate:
        async with open_search(settings.services, environ, look_around=look_around) as search:
            yield await _find(loaded, search, environ, only)
        return
    from inference_bench.simulator.launcher import SimulatorProcess  # noqa: PLC0415 - real runs load no simulator

    # Started and stopped on this thread: nothing else goes on meanwhile, and a cancelled story leaves no process.
    with SimulatorProcess(SIMULATED_ENGINES) as simulator:
        yield await _find(loaded, Search([SimulatedSource(simulator.urls)]), environ, only)


async def watched_services(
    loaded: LoadedSettings, *, environ: Mapping[str, str], only: Sequence[str] = (), look_around: bool = False
) -> AsyncGenerator[Findings, None]:
    """Find services again and again, and end when there are some and all of them can be measured.

    A cluster is listed anew only when its pods or services have changed, or after LIST_AGAIN_SECONDS; how the services
    are is asked every ASK_AGAIN_SECONDS. Simulators are found once: they are there before they are looked for.
    """
    if loaded.settings.services.simulate:
        async with found_services(loaded, environ=environ, only=only) as simulated:
            yield simulated
        return
    async with (
        open_search(loaded.settings.services, environ, look_around=look_around) as search,
        Watch(search) as watch,
    ):
        while True:
            findings = await _find(loaded, search, environ, only)
            yield findings
            if findings.services and all(service.usable for service in findings.services):
                return
            await watch.pause()


async def _find(loaded: LoadedSettings, search: Search, environ: Mapping[str, str], only: Sequence[str]) -> Findings:
    services = await find_services(
        loaded.settings, environ=environ, sources=search.sources, only=only, by_service=loaded.by_service
    )
    return Findings(services, search.notes, search.places, search.problem)


@asynccontextmanager
async def open_services(
    loaded: LoadedSettings, *, environ: Mapping[str, str], only: Sequence[str] = (), skip_unhealthy: bool = False
) -> AsyncIterator[OpenServices]:
    """Find the services of a run and insist that they can be measured.

    Raises NoServiceError when a named service is down (unless `skip_unhealthy`) or none is usable; ConfigError and
    UsageError as `find_services` does.
    """
    async with found_services(loaded, environ=environ, only=only) as findings:
        found = findings.services
        usable = choose_usable(findings, loaded.settings.services, only=only, skip_unhealthy=skip_unhealthy)
        yield OpenServices(
            services=await learn_facts(usable, environ),
            left_out=tuple(service for service in found if service not in usable),
            endpoints=tuple(to_endpoint(service, environ) for service in usable),
            notes=(*findings.notes, *story_notes(found, environ)),
        )


def choose_usable(
    findings: Findings, settings: ServicesSettings, *, only: Sequence[str] = (), skip_unhealthy: bool = False
) -> tuple[FoundService, ...]:
    """Return the services that can be measured, by the rules of `open_services`; raises NoServiceError.

    Where nothing was found and a cluster could not be searched, that is the error: it may be a ConfigError.
    """
    found = findings.services
    if not found:
        raise nothing_found(findings.places, findings.notes, findings.problem, settings)
    down = [service for service in found if not service.usable]
    stopping = [service for service in down if service.named or service.name in only]
    usable = tuple(service for service in found if service.usable)
    if stopping and not skip_unhealthy:
        raise NoServiceError(all_states(stopping), hint=advice(stopping, others=bool(usable)))
    if not usable:
        raise NoServiceError(f"no service can be measured: {all_states(down)}", hint=advice(down))
    return usable


def story_notes(found: Sequence[FoundService], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a user must know of the services of a story, each note with the name of the service it is about."""
    notes = [f"{service.name}: {note}" for service in found for note in service.notes]
    return (*notes, *proxy_notes(found, environ))


def proxy_notes(found: Sequence[FoundService], environ: Mapping[str, str]) -> tuple[str, ...]:
    """Say that a proxy of the environment is not used, where somebody could expect that it is."""
    proxies = [name for name in _PROXY_VARIABLES if environ.get(name)]
    if not proxies or all(is_loopback(service.url) for service in found):
        return ()
    return (f"the proxy in {proxies[0]} is not used: services are reached directly",)


def services_under_test(opened: OpenServices, settings: Settings) -> tuple[ServiceUnderTest, ...]:
    """Resolve the open services, in their order. Raises NoServiceError for a name that cannot be resolved."""
    services: list[ServiceUnderTest] = []
    for endpoint in opened.endpoints:
        try:
            target = resolve(endpoint, timeout_seconds=settings.services.connect_timeout_seconds)
            target.tls_context()
        except TargetError as error:
            raise NoServiceError(f"{endpoint.name}: {error}") from error
        services.append(ServiceUnderTest.of(endpoint, target))
    return tuple(services)


def timeouts_of(settings: ServicesSettings) -> Timeouts:
    """Return the bounds of one exchange that the configuration asks for."""
    return Timeouts(
        connect_seconds=settings.connect_timeout_seconds,
        idle_seconds=settings.idle_timeout_seconds,
        total_seconds=settings.timeout_seconds,
    )


async def ask_everyone(
    opened: OpenServices, request: ChatRequest, *, timeouts: Timeouts, stop: asyncio.Event
) -> dict[str, Answer]:
    """Ask every open service the same at the same moment; answers by service name, failures among them.

    Once `stop` is set, what is in flight is given up and reported as interrupted.
    """
    given_up = threading.Event()

    def ask() -> dict[str, Answer]:
        return UnifiedClient(opened.endpoints, timeouts=timeouts).ask_all(request, stop=given_up.is_set)

    async def pass_on() -> None:
        await stop.wait()
        given_up.set()

    watcher = asyncio.ensure_future(pass_on())
    try:
        return await asyncio.to_thread(ask)
    finally:
        # Cancelled as a whole (a second Ctrl-C), the thread must end too: the program waits for it.
        given_up.set()
        watcher.cancel()
