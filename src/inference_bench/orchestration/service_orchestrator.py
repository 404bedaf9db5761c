"""The stories of finding services: who is there, which of them can be measured, and one quick question to each.

Says nothing by itself: what people must know comes back as notes and errors.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
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
from inference_bench.discovery.health_checker import HealthStatus
from inference_bench.discovery.service_finder import find_services
from inference_bench.discovery.services import FoundService, to_endpoint
from inference_bench.discovery.sources import LOCAL_PORTS, SimulatedSource
from inference_bench.discovery.url_resolver import is_loopback
from inference_bench.errors import NoServiceError
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


@asynccontextmanager
async def found_services(
    loaded: LoadedSettings, *, environ: Mapping[str, str], only: Sequence[str] = ()
) -> AsyncIterator[tuple[FoundService, ...]]:
    """Find and check all services, whatever their health; simulated engines live as long as the block.

    Raises ConfigError and UsageError as `find_services` does.
    """
    settings = loaded.settings
    if not settings.services.simulate:
        yield await find_services(settings, environ=environ, only=only, by_service=loaded.by_service)
        return
    from inference_bench.simulator.launcher import SimulatorProcess  # noqa: PLC0415 - real runs load no simulator

    # Started and stopped on this thread: nothing else goes on meanwhile, and a cancelled story leaves no process.
    with SimulatorProcess(SIMULATED_ENGINES) as simulator:
        sources = (SimulatedSource(simulator.urls),)
        yield await find_services(settings, environ=environ, sources=sources, only=only, by_service=loaded.by_service)


@asynccontextmanager
async def open_services(
    loaded: LoadedSettings, *, environ: Mapping[str, str], only: Sequence[str] = (), skip_unhealthy: bool = False
) -> AsyncIterator[OpenServices]:
    """Find the services of a run and insist that they can be measured.

    Raises NoServiceError when a named service is down (unless `skip_unhealthy`) or none is usable; ConfigError and
    UsageError as `find_services` does.
    """
    async with found_services(loaded, environ=environ, only=only) as found:
        usable = choose_usable(found, loaded.settings.services, only=only, skip_unhealthy=skip_unhealthy)
        yield OpenServices(
            services=await learn_facts(usable, environ),
            left_out=tuple(service for service in found if service not in usable),
            endpoints=tuple(to_endpoint(service, environ) for service in usable),
            notes=story_notes(found, environ),
        )


def choose_usable(
    found: Sequence[FoundService], settings: ServicesSettings, *, only: Sequence[str] = (), skip_unhealthy: bool = False
) -> tuple[FoundService, ...]:
    """Return the services that can be measured, by the rules of `open_services`; raises NoServiceError."""
    if not found:
        raise _nothing_found(settings)
    down = [service for service in found if not service.usable]
    stopping = [service for service in down if service.named or service.name in only]
    usable = tuple(service for service in found if service.usable)
    if stopping and not skip_unhealthy:
        raise NoServiceError(_all_states(stopping), hint=advice(stopping, others=bool(usable)))
    if not usable:
        raise NoServiceError(f"no service can be measured: {_all_states(down)}", hint=advice(down))
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


def _nothing_found(settings: ServicesSettings) -> NoServiceError:
    hint = "start an engine, give its address with --url http://HOST:PORT, or try --simulate"
    if not settings.discovery:
        return NoServiceError("no service is configured, and services.discovery is off", hint=hint)
    ports = ", ".join(str(port) for port in LOCAL_PORTS)
    return NoServiceError(f"no inference engine answers on this machine's usual ports ({ports})", hint=hint)


def _all_states(services: Sequence[FoundService]) -> str:
    return "; ".join(f"{one.name} ({one.url}) is {one.health.status}: {one.health.detail}" for one in services)


def advice(services: Sequence[FoundService], *, others: bool = False) -> str:
    """Say what to do about services that cannot be measured; `others` says that some can."""
    skip = "; or go on without with --skip-unhealthy" if others else ""
    locked = next((one for one in services if one.health.status is HealthStatus.UNAUTHORISED), None)
    if locked is not None:
        variable = locked.endpoint.api_key_env
        if variable is not None:
            return f"{locked.name} refuses the key in {variable}: check it{skip}"
        whose = f"{locked.name}=" if locked.endpoint.service_name is not None else ""
        return f"name the variable that holds its key: --api-key-env {whose}VARIABLE{skip}"
    if any(one.health.status is HealthStatus.RESPONDING for one in services):
        return f"wait until it is ready: discover shows when{skip}"
    if any(one.health.status is HealthStatus.UNREACHABLE for one in services):
        return f"start it, or correct its URL{skip}"
    return f"is it the right URL? For a server that does not say what it is: --url openai=URL --model NAME{skip}"
